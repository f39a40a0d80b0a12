"""The process's surroundings (streams, terminal, environment variables, folders) as one value.

The CLI takes an `Environment` and returns an exit code, so tests can run it without a process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO

__all__ = ["Environment"]


@dataclass(frozen=True, slots=True)
class Environment:
    """Streams and variables.

    Args:
        stdin, stdout: bytes, unbuffered by us.
        stderr: text, for people.
        variables: as in `os.environ`.
        cwd: relative paths are relative to it.
    """

    stdin: BinaryIO = field(default_factory=lambda: sys.stdin.buffer)
    stdout: BinaryIO = field(default_factory=lambda: sys.stdout.buffer)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ)
    cwd: Path = field(default_factory=Path.cwd)

    @property
    def home(self) -> Path:
        """`$LLMX_HOME`, else the platform's cache folder for llmx. Not created here."""
        if named := self.variables.get("LLMX_HOME"):
            return Path(named).expanduser()
        from platformdirs import user_cache_path

        return user_cache_path("llmx")
