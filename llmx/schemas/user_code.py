"""Errors of the user's own code in one line: what was raised, and in which file and line."""

from __future__ import annotations

import hashlib
import site
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydantic

from llmx.errors import UsageError

__all__ = ["code_failed", "digest_of_code", "has_code"]

_LONGEST = 300
_OWN = ("computed_fields", "custom_init", "post_init")
_NOT_THEIRS = (str(Path(__file__).parent), str(Path(pydantic.__file__).parent))


def code_failed(error: BaseException, source: str, path: Path | None = None) -> UsageError:
    """The error to show for one that the user's code raised.

    Args:
        source: what was loaded, as the user gave it.
        path: its file, where that is known.
    """
    file, line = (path, _line(error, path)) if path else _place(error)
    where = source if path or file is None else str(file)
    where = f"{where}:{line}" if line else where
    text = _one_line(str(error.msg if isinstance(error, SyntaxError) else error))
    message = f"{where}: {type(error).__name__}: {text}" if text else f"{where}: {type(error).__name__}"
    if isinstance(error, ModuleNotFoundError):
        return UsageError(message, hint=f"install {error.name!r} into the environment that llmx runs in")
    return UsageError(message, hint="the file must load: mend the line it names")


def _one_line(text: str) -> str:
    """Pydantic says the cause in the later lines, and where to read on in the last one."""
    lines = [line.strip() for line in text.splitlines() if not line.startswith("For further information")]
    joined = " ".join(filter(None, lines))
    return joined if len(joined) <= _LONGEST else f"{joined[:_LONGEST]}…"


def _place(error: BaseException) -> tuple[Path | None, int | None]:
    """The file and line where a module's code stood when the error came; None where no code of it ran."""
    if isinstance(error, SyntaxError) and error.filename:
        return Path(error.filename), error.lineno
    found, trace = None, error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith(("<", *_NOT_THEIRS)) and "importlib" not in name:
            found = Path(name), trace.tb_lineno
        trace = trace.tb_next
    return found or (None, None)


def _line(error: BaseException, path: Path | None) -> int | None:
    """The deepest line of the user's own file, where its code stood when the error came."""
    if path is None:
        return None
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def digest_of_code() -> str:
    """A digest of all Python files that are loaded and not installed, and pydantic's version.

    The user's own, and what they import beside them: a class may do more than its JSON Schema tells.
    """
    digest = hashlib.sha256(pydantic.VERSION.encode())
    for file in sorted(_own_files()):
        with suppress(OSError):
            digest.update(b"\0%s\0" % file.encode() + hashlib.sha256(Path(file).read_bytes()).digest())
    return digest.hexdigest()


def _own_files() -> set[str]:
    ours = str(Path(__file__).parents[1])
    installed = (*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages(), ours)
    files = {str(getattr(module, "__file__", None)) for module in list(sys.modules.values())}
    return {file for file in files if file.endswith(".py") and not file.startswith(installed)}


def has_code(model: type[pydantic.BaseModel]) -> bool:
    """Whether functions take part in validating or writing a model's instances: its own, or those of its parts."""
    waiting: list[Any] = [model.__pydantic_core_schema__]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if any(part.get(name) for name in _OWN):
                return True
            waiting += [value for name, value in part.items() if name != "metadata"]  # that is of JSON Schema
        elif isinstance(part, list | tuple):
            waiting += part
        elif callable(part) and not isinstance(part, type):
            return True
    return False
