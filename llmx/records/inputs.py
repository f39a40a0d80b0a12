"""From the names a user gives to the list of inputs, all of them checked before any row is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.records.compression import require_zstd
from llmx.records.formats import FORMATS, format_of, suffix_format
from llmx.records.partials import is_partial
from llmx.text import nearest

__all__ = ["Input", "Stamp", "find_inputs", "shown"]


class Stamp(Struct, frozen=True):
    """By what a file that was written to or replaced is told from what it was.

    Args:
        file: device and inode.
        size: in bytes.
        written: when it was last written to, in nanoseconds.
    """

    file: tuple[int, int]
    size: int
    written: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp of a file whose status this is."""
        return cls((status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns)

    def has_grown(self, now: Stamp) -> bool:
        """Whether it is the same file and longer; whether anything else of it has changed nobody can see."""
        return now.file == self.file and now.size > self.size

    def change(self, now: Stamp) -> str:
        """What has happened since, in words; "" for nothing."""
        if now == self:
            return ""
        if now.file != self.file:
            return "it was replaced by another file"
        if now.size != self.size:
            verb = "has grown" if now.size > self.size else "was cut"
            return f"it {verb} from {self.size} to {now.size} bytes"
        return "it was written to"


class Input(Struct, frozen=True):
    """One thing to read.

    Args:
        origin: its name as the user gave it, fit to be shown and to be a row's `path`; "-" for stdin.
        path: where it is; None for stdin.
        format: one of `FORMATS`, or "json" (an array or lines).
        live: a pipe or device: read once, its end unknown, somebody may still be writing.
        size: in bytes, None when live.
        stamp: what the file was when it was found, None when live.
    """

    origin: str
    path: Path | None
    format: str
    live: bool = False
    size: int | None = None
    stamp: Stamp | None = None


def find_inputs(names: Sequence[str], format: str | None, env: Environment) -> list[Input]:
    """Look at every name: a file, a folder (its files, sorted, hidden ones left out) or "-".

    Raises:
        UsageError: nothing is there, it may not be read, or its format is unknown.
    """
    if list(names).count("-") > 1:
        raise UsageError("stdin can be read only once, but '-' is given twice")
    if not names:
        raise UsageError("no input", hint="name files or a folder, or '-' for stdin")
    return [found for name in names for found in _find(name, format, env)]


def shown(path: str) -> str:
    """A file name as text: bytes that are not UTF-8, which Linux allows in names, as U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def _find(name: str, format: str | None, env: Environment) -> Iterator[Input]:
    if name == "-":
        yield Input("-", None, format_of("-", format), live=True)
        return
    path = env.cwd / name
    try:
        status = path.stat()
    except OSError as error:
        raise _not_there(name, path, error) from error
    if stat.S_ISDIR(status.st_mode):
        yield from _folder(name, path, format, env)
        return
    live = not stat.S_ISREG(status.st_mode)
    if not live:
        _check_readable(name, path)
    yield _file(name, path, format_of(shown(name), format), None if live else status)


def _file(name: str, path: Path, format: str, status: os.stat_result | None) -> Input:
    if suffix_format(name).compression == "zstd":
        require_zstd()
    if status is None:
        return Input(shown(name), path, format, live=True)
    return Input(shown(name), path, format, size=status.st_size, stamp=Stamp.of(status))


def _check_readable(name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"cannot read {shown(name)!r}: {error.strerror}") from error


def _folder(name: str, folder: Path, format: str | None, env: Environment) -> Iterator[Input]:
    if format is not None:
        format_of(name, format)
    files = list(_walk(name, folder))
    chosen = _folder_kinds({_kind(file) for file in files}, format, shown(name))
    for file in files:
        if (kind := _kind(file)) in chosen:
            path = env.cwd / file
            yield _file(file, path, format or str(kind), path.stat())


def _kind(file: str) -> str | None:
    """The format that a file in a folder says by its suffix; without one it is none of ours."""
    named = suffix_format(file)
    return named.format if named.suffix else None


def _folder_kinds(kinds: set[str | None], format: str | None, name: str) -> set[str | None]:
    """Which kinds of files are read: text, or else rows. A folder with both is a question to the user.

    With `format`, the files that have its suffix; where none has, those whose suffix says nothing.
    """
    if format is not None:
        wanted: set[str | None] = {"jsonl", "json"} if format == "jsonl" else {format}
        unnamed: set[str | None] = {None}
        return wanted & kinds or unnamed & kinds or _refuse_folder(name, f"no {format} file")
    rows = kinds - {"text", None}
    if rows and "text" in kinds:
        hint = "--input-format text, or the format of the rows, or name the files"
        raise UsageError(f"the folder {name!r} holds both text files and files of rows", hint=hint)
    return rows or kinds & {"text"} or _refuse_folder(name, "no text file and no file of rows")


def _refuse_folder(name: str, what: str) -> NoReturn:
    hint = f"files are chosen by suffix; else name them, with --input-format {'|'.join(FORMATS)}"
    raise UsageError(f"{what} in the folder {name!r}", hint=hint)


def _walk(name: str, folder: Path) -> Iterator[str]:
    """The regular files under `folder` in the order of their names, as the user would name them.

    Hidden ones and those of outputs that are not complete are left out.
    """
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(child for child in folders if not child.startswith("."))
        below = Path(name, os.path.relpath(root, folder))
        for file in sorted(files):
            if not file.startswith(".") and not is_partial(file) and Path(root, file).is_file():
                yield str(below / file)


def _not_there(name: str, path: Path, error: OSError) -> UsageError:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return UsageError(f"cannot read {shown(name)!r}: {error.strerror}")
    try:
        with os.scandir(path.parent) as entries:
            neighbours = [entry.name for entry in islice(entries, 1000)]
    except OSError:
        return UsageError(f"no such file: {shown(name)!r}")
    like = nearest(path.name, neighbours)
    hint = f"did you mean {shown(str(Path(name).with_name(like)))!r}?" if like else ""
    return UsageError(f"no such file: {shown(name)!r}", hint=hint)
