"""The rows of a predictions or gold file, each under its key: the left end of an evaluation.

What a file cannot be evaluated for (lines that are no rows, rows without a key, keys that stand twice) is an error
that names the lines, after the whole file has been read. Nothing here knows what is in a row beside its key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from llmx.environment import Environment
from llmx.errors import InputFailed, UsageError
from llmx.journal import Manifest, read_manifest, run_folder
from llmx.records import RecordSource, Unreadable, open_source, to_json
from llmx.records.formats import suffix_format
from llmx.text import nearest, plural

__all__ = ["File", "choose_key", "identity", "keyed_rows", "open_file"]

_SHOWN = 3
"""Lines that a message names; of the others it says how many they are."""

_FORMAT_OF = {"gold": "--gold-format"}
"""The option that names the format of a file, where it is not that of all inputs."""


class File(Struct, frozen=True):
    """One of the two files, open.

    Args:
        name: as the user gave it.
        role: what it is to the evaluation: "predictions", "gold" or "baseline".
        source: its rows, to be read once.
        texts: every value is text, whatever it means: it is CSV or TSV.
        run: what is known of the run that wrote it, None where nothing is.
    """

    name: str
    role: str
    source: RecordSource
    texts: bool
    run: Manifest | None = None

    @property
    def columns(self) -> list[str]:
        """As far as its header or its first rows tell."""
        return self.source.columns


def open_file(path: str | Path, role: str, *, env: Environment, format: str | None = None) -> File:
    """Open a file of rows.

    Raises:
        UsageError: it is not there, is no file of rows, or its format is not known.
    """
    name = str(path)
    kind = format or ("json" if name == "-" else suffix_format(name).format)
    if kind == "text":
        raise UsageError(f"{role}: {name!r} is text, not rows", hint="JSON Lines, CSV, TSV or Parquet")
    try:
        source = open_source([name], env=env, format=format)
    except UsageError as error:
        words = [
            text.replace("--input-format", _FORMAT_OF.get(role, "--input-format"))
            for text in (str(error), error.hint)
        ]
        raise UsageError(f"{role}: {words[0]}", hint=words[1]) from error
    run = None if name == "-" else read_manifest(run_folder(env.cwd / name, None).manifest)
    return File(name, role, source, kind in ("csv", "tsv"), run)


def choose_key(predictions: File, gold: File, given: str | None) -> str:
    """The column by which rows of the two files belong together.

    Args:
        given: what the user says; else the `--key` of the run that wrote the predictions, else `id`.

    Raises:
        UsageError: a file has no such column, or nobody says which one it is.
    """
    both = [name for name in gold.columns if name in predictions.columns]
    if given is not None:
        for file in (predictions, gold):
            _check_column(file, given, both)
        return given
    noted = predictions.run.command.get("key") if predictions.run else None
    for name in (noted, "id"):
        if name in both:
            return str(name)
    empty = [file for file in (predictions, gold) if not file.columns]
    if empty:
        raise _no_rows(empty[0])
    raise UsageError(
        "which rows belong together is not known: there is no column 'id' in both files",
        hint=_keys(both) if both else f"{_has(predictions)}; {_has(gold)}",
    )


def _check_column(file: File, key: str, both: Sequence[str]) -> None:
    if key in file.columns:
        return
    if not file.columns:
        raise _no_rows(file)
    close = nearest(key, file.columns)
    hint = f"did you mean {close!r}? " if close else ""
    raise UsageError(f"{file.role}: no column {key!r} in {file.name!r}", hint=hint + _keys(both))


def _no_rows(file: File) -> UsageError:
    """Why a file has no columns: nothing is in it, or nothing that can be read."""
    try:
        unreadable = [str(row.error) for row in file.source if isinstance(row, Unreadable)]
    except InputFailed as error:
        return UsageError(f"{file.role}: {error}", hint=error.hint)
    finally:
        file.source.close()
    _check(file, "", _Faults(unreadable))
    return UsageError(f"{file.role}: no rows in {file.name!r}")


def _has(file: File) -> str:
    return f"{file.name!r} has the columns {', '.join(file.columns)}"


def _keys(both: Sequence[str]) -> str:
    usable = [name for name in both if not name.startswith("_") and name != "gold"]
    if not usable:
        return "the files have no column in common; keep one with --keep when you extract"
    return f"--key COL; the columns of both are {', '.join(usable)}"


def identity(value: Any) -> str | None:
    """A key as text, so that 7, 7.0 and "7" are one; None where there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return to_json(whole, sort_keys=True).decode()


class _Faults(Struct):
    """What is wrong with a file, line by line."""

    unreadable: list[str] = field(default_factory=list)
    keyless: list[str] = field(default_factory=list)
    twice: dict[str, list[str]] = field(default_factory=dict)


def keyed_rows(file: File, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each row with its key, in the file's order.

    Raises:
        UsageError: after the last row, where there were lines that are no rows, rows without a key, or a key
            of several rows.
    """
    faults, seen = _Faults(), dict[str, int | str]()
    try:
        for row in file.source:
            place = row.line or f"row {row.index + 1}"
            if isinstance(row, Unreadable):
                faults.unreadable.append(str(row.error))
                continue
            name = identity(row.data.get(key))
            if name is None:
                faults.keyless.append(str(place))
            elif (first := seen.setdefault(name, place)) != place:
                faults.twice.setdefault(name, [str(first)]).append(str(place))
            else:
                yield name, row.data
    except InputFailed as error:
        raise UsageError(f"{file.role}: {error}", hint=error.hint) from error
    finally:
        file.source.close()
    _check(file, key, faults)


def _check(file: File, key: str, faults: _Faults) -> None:
    if faults.unreadable:
        raise UsageError(
            f"{file.role}: {plural(len(faults.unreadable), 'line')} of {file.name!r} cannot be read: "
            f"{_some(faults.unreadable)}",
            hint="mend or remove them: a figure over the others would be of another file",
        )
    if faults.keyless:
        raise UsageError(
            f"{file.role}: {plural(len(faults.keyless), 'row')} of {file.name!r} without a value in the key "
            f"column {key!r}: {_lines(faults.keyless)}",
            hint="mend them, or name another column with --key",
        )
    if faults.twice:
        raise _not_unique(file, key, faults.twice)


def _not_unique(file: File, key: str, twice: Mapping[str, Sequence[str]]) -> UsageError:
    shown = [f"{name[:60]!r} in {_lines(places)}" for name, places in twice.items()]
    others = [name for name in file.columns if name != key and not name.startswith("_") and name != "gold"]
    hint = "a key names one row: remove the others"
    if "_item" in file.columns:
        hint = "rows of --explode are parts of one: evaluate a run without it"
    elif others:
        hint += f", or name another column with --key; there are {', '.join(others)}"
    what = plural(len(twice), "value")
    raise UsageError(
        f"{file.role}: {what} of the key column {key!r} of {file.name!r} in several rows: {_some(shown)}",
        hint=hint,
    )


def _lines(places: Sequence[str]) -> str:
    if all(place.isdecimal() for place in places):
        return f"line{'s' if len(places) > 1 else ''} {_some(places, ', ')}"
    return _some([f"line {place}" if place.isdecimal() else place for place in places], ", ")


def _some(texts: Sequence[str], between: str = "; ") -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return between.join(texts[:_SHOWN]) + more
