"""Which format a file has, by what the user says, else by its suffix."""

from __future__ import annotations

from pathlib import PurePath

from msgspec import Struct

from llmx.errors import UsageError
from llmx.records.compression import COMPRESSIONS
from llmx.records.partials import is_partial, without_partial
from llmx.text import nearest

__all__ = ["FORMATS", "SINK_FORMATS", "Named", "format_of", "suffix_format"]

FORMATS = ("jsonl", "csv", "tsv", "parquet", "text")
"""What `--input-format` takes."""

SINK_FORMATS = ("jsonl", "csv", "tsv", "parquet")
"""What `--output-format` takes."""

_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",  # an array or lines; input only
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    **dict.fromkeys((".txt", ".text", ".md", ".markdown", ".rst", ".html", ".htm", ".eml"), "text"),
}


class Named(Struct, frozen=True):
    """What a name says of a file.

    Args:
        format: one of `FORMATS`, or "json" (an array or lines); None when the suffix says nothing to us.
        compression: "gzip", "zstd" or None.
        suffix: the suffix that decides on the format, "" when there is none.
    """

    format: str | None
    compression: str | None
    suffix: str


def suffix_format(path: str) -> Named:
    """Read `path`'s suffixes: `rows.csv.gz` is CSV in gzip, no suffix at all is JSONL.

    A partial file has the format of the file that it was to be, but for Parquet: its rows wait as JSON Lines.
    """
    name = without_partial(PurePath(path))
    compression = COMPRESSIONS.get(name.suffix.lower())
    if compression:
        name = name.with_suffix("")
    suffix = name.suffix.lower()
    format = _SUFFIXES.get(suffix) if suffix else "jsonl"
    return Named("jsonl" if format == "parquet" and is_partial(path) else format, compression, suffix)


def format_of(path: str, given: str | None, *, sink: bool = False) -> str:
    """The format of one input, or of the output with `sink`.

    Args:
        path: a file's name, or "-".
        given: the user's `--input-format` or `--output-format`; the suffix is ignored then.

    Raises:
        UsageError: the format or the suffix is unknown, or is none that can be written.
    """
    known = SINK_FORMATS if sink else FORMATS
    option = "--output-format" if sink else "--input-format"
    if given is not None:
        if given not in known:
            raise UsageError(f"unknown {option} {given!r}", hint=_one_of(nearest(given, known), known))
        return given
    if path == "-":
        return "jsonl" if sink else "json"
    named = suffix_format(path)
    if named.format is None or (sink and named.format not in known):
        writable = [suffix for suffix, format in _SUFFIXES.items() if format in known or not sink]
        like = nearest(named.suffix, writable)
        hint = f"name the format: {option} {'|'.join(known)}"
        what = "cannot write" if named.format else "unknown suffix"
        raise UsageError(
            f"{what} {named.suffix!r} in {path!r}", hint=f"did you mean {like!r}? or {hint}" if like else hint
        )
    return named.format


def _one_of(like: str | None, known: tuple[str, ...]) -> str:
    choice = "one of " + ", ".join(known)
    return f"did you mean {like!r}? {choice}" if like else choice
