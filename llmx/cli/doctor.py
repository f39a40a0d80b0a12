"""`llmx doctor`: what works here, and what is missing for what does not."""

from __future__ import annotations

import os
import platform
import shlex
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer
from msgspec import Struct

from llmx._version import __version__
from llmx.environment import Environment
from llmx.errors import UsageError

__all__ = ["doctor"]

EXTRAS = {
    "xllamacpp": "the embedded model (-m local)",
    "pyarrow": "Parquet input and output",
    "zstandard": ".zst input and output",
}


class _Check(Struct, frozen=True):
    """One line: whether it is fine, what it is about, what was found, what would mend it.

    `needed` says that llmx cannot work without it.
    """

    fine: bool
    subject: str
    found: str
    hint: str = ""
    needed: bool = False


def doctor(context: typer.Context) -> int:
    """Check versions, keys, folders, config files and optional packages; calls no provider."""
    checks = list(_checks(context.obj))
    for check in checks:
        mark = "ok" if check.fine else "!!" if check.needed else "--"
        typer.echo(
            f"{mark}  {check.subject}: {check.found}" + (f"  hint: {check.hint}" if check.hint else "")
        )
    return 1 if any(check.needed and not check.fine for check in checks) else 0


def _checks(env: Environment) -> Iterator[_Check]:
    yield _Check(True, "llmx", f"{__version__}, Python {platform.python_version()}, {platform.system()}")
    yield from _packages()
    yield _home(env.home)
    yield from _config(env)
    yield from _keys(env)


def _packages() -> Iterator[_Check]:
    import importlib.metadata

    for name in ("openai", "anthropic", "instructor"):
        yield _Check(True, name, importlib.metadata.version(name))
    for name, use in EXTRAS.items():
        try:
            yield _Check(True, name, f"{importlib.metadata.version(name)}, {use}")
        except importlib.metadata.PackageNotFoundError:
            yield _Check(False, name, f"not installed: {use}", f"pip install {name}")


def _home(home: Path) -> _Check:
    nearest = next(folder for folder in (home, *home.parents) if folder.exists())
    writable = nearest.is_dir() and os.access(nearest, os.W_OK)
    if writable and nearest == home and home.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return _Check(False, "home", f"{home}, where others may write", f"chmod 700 {shlex.quote(str(home))}")
    found = f"{home}, {'writable' if writable else 'not writable'}"
    return _Check(writable, "home", found, "" if writable else "set LLMX_HOME to another folder", needed=True)


def _config(env: Environment) -> Iterator[_Check]:
    from llmx.config import project_file, user_file

    for name, path in (("user config", user_file(env)), ("project config", project_file(env.cwd))):
        if path is not None and path.is_file():
            yield _Check(True, name, str(path))


def _keys(env: Environment) -> Iterator[_Check]:
    """Which keys are set; their values are never shown."""
    from llmx.providers import CATALOG

    for name in ("openai", "anthropic"):
        yield _key(f"{name} key", CATALOG[name].keys, env)


def _key(what: str, names: Sequence[str], env: Environment) -> _Check:
    """Looked up as a run does: a file that X_FILE names must be readable, and hold something."""
    from llmx.providers import secret

    try:
        set_ = [name for name in names if secret(name, env.variables)]
    except UsageError as error:
        return _Check(False, what, str(error), error.hint or "")
    if not set_:
        return _Check(False, what, "not set", f"export {names[0]}=…")
    given = set_[0] if env.variables.get(set_[0], "").strip() else f"{set_[0]}_FILE"
    return _Check(True, what, f"{given} is set")
