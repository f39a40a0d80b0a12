"""What an output's name says, and the checks of it that can be made before anything is spent."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.records.compression import require_zstd
from llmx.records.formats import format_of, suffix_format
from llmx.records.inputs import shown
from llmx.records.partials import building_of, is_partial, partial_of

__all__ = ["check_output", "check_place", "is_stream", "same_file", "sink_format"]


def check_output(path: str, inputs: Sequence[str], *, env: Environment, format: str | None = None) -> None:
    """Make sure that rows can be written to `path`, and that this takes nothing away from `inputs`.

    Args:
        path: the output's name, "-" for stdout.
        inputs: as given to `open_source`.
        format: the user's `--output-format`.

    Raises:
        UsageError: its folder is missing, it is a folder, its format is unknown, it or what is written on the
            way to it is an input, it would be read as one the next time since it lies in an input folder, or
            it is binary and the output a terminal.
    """
    kind = sink_format(path, format)
    if path == "-":
        if kind == "parquet" and env.stdout.isatty():
            raise UsageError("Parquet is not for a terminal", hint="-o FILE, or `| COMMAND`")
        return
    try:
        target = check_place(path, env)
        for other in _on_the_way(target, kind):  # their names are longer than its own
            with suppress(FileNotFoundError):
                other.lstat()
    except OSError as error:
        raise UsageError(
            f"the output {shown(path)!r}: {error.strerror}", hint="-o FILE, elsewhere"
        ) from error
    for name in inputs:
        if name == "-":
            continue
        source = env.cwd / name
        if source.is_dir():
            _check_beside(path, target, name, source)
        elif same_file(target, source):
            raise UsageError(f"the output {shown(path)!r} is also an input", hint="give -o another name")
        elif not is_stream(target) and any(same_file(other, source) for other in _on_the_way(target, kind)):
            message = (
                f"the input {shown(name)!r} is where rows wait while the output {shown(path)!r} is written"
            )
            raise UsageError(message, hint="rename it, or give -o another name")


def _on_the_way(target: Path, kind: str) -> Iterator[Path]:
    """The files that writing `target` makes and takes away again."""
    yield partial_of(target)
    if kind == "parquet":
        yield building_of(target)


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
    if is_partial(path):
        hint = f"-o {shown(path.removesuffix('.partial'))}"
        raise UsageError(f"{shown(path)!r}: .partial is the end of outputs that are not complete", hint=hint)
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
    files = [file for file in folder.rglob("*") if file.suffix and not is_partial(file)]
    if inside and kind in {suffix_format(file.name).format for file in files}:
        hint = "give -o a name in another folder"
        raise UsageError(f"the output {shown(path)!r} lies in the input folder {shown(name)!r}", hint=hint)


def same_file(one: Path, other: Path) -> bool:
    """Whether two names are one file, by links of either kind; of files that are not there yet, by their paths."""
    try:
        return one.samefile(other) and one.is_file()
    except OSError:
        return one.resolve() == other.resolve()


def is_stream(path: Path) -> bool:
    """Whether `path` is written as it is, never replaced: a pipe, a device, or what the process has open already."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or _is_open_already(path)


def _is_open_already(path: Path) -> bool:
    """`/dev/stdout`, `/dev/fd/3`: behind them may be a regular file, but it is the shell's, opened as it wished."""
    named = [path, path.parent / path.readlink()] if path.is_symlink() else [path]
    try:
        return any(name.parent.samefile("/dev/fd") for name in named)
    except OSError:
        return False
