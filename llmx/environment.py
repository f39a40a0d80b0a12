"""The process's surroundings (streams, terminal, environment variables, folders) as one value.

The CLI takes an `Environment` and returns an exit code, so tests can run it without a process.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from msgspec import Struct, field

__all__ = ["Environment", "is_file", "private"]


def _stdin() -> BinaryIO:
    """Standard input as a stream of our own.

    A thread that is blocked in a read of `sys.stdin` holds its lock, and the interpreter, which closes
    `sys.stdin` at exit, then aborts the process.
    """
    try:
        return open(0, "rb", closefd=False)
    except OSError:  # as by `<&-`: no rows must not pass for an input without rows
        return _closed()


def _stdout() -> BinaryIO:
    if sys.stdout is not None:
        return sys.stdout.buffer
    return _closed()  # as by `>&-`: rows must not go, paid for, to where nobody sees them


def _closed() -> BinaryIO:
    stream = io.BytesIO()
    stream.close()
    return stream


def _stderr() -> TextIO:
    return sys.stderr if sys.stderr is not None else Path(os.devnull).open("w", encoding="utf-8")


@contextmanager
def private() -> Iterator[None]:
    """Files and folders that are made within are their owner's alone: modes 0600 and 0700."""
    previous = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(previous)


def is_file(path: Path) -> bool:
    """Whether a file is there; a text that can be no name, such as a long description of fields, is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


class Environment(Struct, frozen=True):
    """Streams and variables.

    Args:
        stdin, stdout: bytes, unbuffered by us; closed streams when the process has none.
        stderr: text, for people.
        variables: as in `os.environ`.
        cwd: relative paths are relative to it.
    """

    stdin: BinaryIO = field(default_factory=_stdin)
    stdout: BinaryIO = field(default_factory=_stdout)
    stderr: TextIO = field(default_factory=_stderr)
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ)
    cwd: Path = field(default_factory=Path.cwd)

    @property
    def home(self) -> Path:
        """`$LLMX_HOME`, else the platform's cache folder for llmx. Not created here."""
        if named := self.variables.get("LLMX_HOME"):
            return Path(named).expanduser()
        from platformdirs import user_cache_path

        return user_cache_path("llmx")
