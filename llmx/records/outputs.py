"""The checks of an output's name that can be made before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.records.compression import require_zstd
from llmx.records.formats import format_of, suffix_format
from llmx.records.inputs import shown

__all__ = ["check_output", "check_place", "sink_format"]


def check_output(path: str, inputs: Sequence[str], *, env: Environment, format: str | None = None) -> None:
    """Make sure that rows can be written to `path`, and that this takes nothing away from `inputs`.

    Args:
        path: the output's name, "-" for stdout.
        inputs: as given to `open_source`.
        format: the user's `--output-format`.

    Raises:
        UsageError: its folder is missing, it is a folder, its format is unknown, it is an input, or it would be
            read as one the next time since it lies in an input folder.
    """
    sink_format(path, format)
    if path == "-":
        return
    target = check_place(path, env)
    for name in inputs:
        if name == "-":
            continue
        source = env.cwd / name
        if source.is_dir():
            _check_beside(path, target, name, source)
        elif _same(target, source):
            raise UsageError(f"the output {shown(path)!r} is also an input", hint="give -o another name")


def check_place(path: str, env: Environment) -> Path:
    """Where `path` is. Raises UsageError when it is a folder or its folder is missing."""
    target = env.cwd / path
    if target.is_dir():
        raise UsageError(
            f"the output {shown(path)!r} is a folder", hint=f"-o {shown(str(Path(path, 'out.jsonl')))}"
        )
    if not target.parent.is_dir():
        folder = shown(str(Path(path).parent))
        what = "is a file" if target.parent.exists() else "does not exist"
        raise UsageError(f"the folder {folder!r} of the output {what}", hint=f"mkdir -p {folder}")
    return target


def sink_format(path: str, format: str | None) -> str:
    """The output's format. Raises UsageError when it is none, or its compression does not fit."""
    found = format_of(path, format, sink=True)
    compression = None if path == "-" else suffix_format(path).compression
    if compression and found == "parquet":
        raise UsageError(
            f"{shown(path)!r}: Parquet compresses its columns itself", hint="leave the last suffix out"
        )
    if compression == "zstd":
        require_zstd()
    return found


def _check_beside(path: str, target: Path, name: str, folder: Path) -> None:
    """Refuse an output that a second run would read: of a kind with the files of an input folder."""
    inside = target.resolve().is_relative_to(folder.resolve())
    kind = suffix_format(path).format
    if inside and kind in {suffix_format(file.name).format for file in folder.rglob("*") if file.suffix}:
        hint = "give -o a name in another folder"
        raise UsageError(f"the output {shown(path)!r} lies in the input folder {shown(name)!r}", hint=hint)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other) and one.is_file()
    except OSError:
        return one.resolve() == other.resolve()
