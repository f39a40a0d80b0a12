"""Config files: option values for people who do not want to repeat them.

Precedence, highest first: flags, LLMX_* variables, the project's file (`llmx.toml`, or `[tool.llmx]` in
`pyproject.toml`, in the current folder or the nearest one above), the user's file. Keys are the long
options without their dashes; an unknown one is an error with the nearest name. Relative paths are relative
to the file that they stand in.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from llmx.environment import Environment, is_file
from llmx.errors import UsageError
from llmx.text import nearest

__all__ = ["anchored", "load_config", "project_file", "user_file"]


def load_config(env: Environment, options: Collection[str]) -> dict[str, Any]:
    """The merged option values, by option name with underscores.

    Args:
        options: the names that may occur, with dashes and without leading ones, e.g. "max-failures".

    Raises:
        UsageError: a file is no TOML, or has a key that is no option.
    """
    merged: dict[str, Any] = {}
    for path in (user_file(env), project_file(env.cwd)):
        if path is not None and path.is_file():
            table = _checked(_table(path), path, options)
            if path.parent != env.cwd:
                table = {name: anchored(name, value, path.parent) for name, value in table.items()}
            merged |= table
    return {name.replace("-", "_"): value for name, value in merged.items()}


def user_file(env: Environment) -> Path:
    """`$XDG_CONFIG_HOME/llmx/config.toml` or the platform's equivalent; need not exist."""
    if folder := env.variables.get("XDG_CONFIG_HOME"):
        return Path(folder) / "llmx" / "config.toml"
    from platformdirs import user_config_path

    return user_config_path("llmx") / "config.toml"


def project_file(cwd: Path) -> Path | None:
    """The nearest `llmx.toml`, or `pyproject.toml` with a `[tool.llmx]`, from `cwd` upwards."""
    for folder in (cwd, *cwd.parents):
        if (own := folder / "llmx.toml").is_file():
            return own
        shared = folder / "pyproject.toml"
        if shared.is_file() and _table(shared):
            return shared
    return None


def _table(path: Path) -> Mapping[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if path.name != "pyproject.toml":
        return document
    tools = document.get("tool")
    table = tools.get("llmx") if isinstance(tools, dict) else None
    return table if isinstance(table, dict) else {}


def _checked(table: Mapping[str, Any], path: Path, options: Collection[str]) -> dict[str, Any]:
    for name, value in table.items():
        if isinstance(value, dict):
            hint = "options stand at the top level, as in: rpm = 500"
            raise UsageError(f"{path}: {name!r} is a table", hint=hint)
        if name not in options:
            close = nearest(name, options)
            hint = f"did you mean {close!r}?" if close else "llmx extract --help lists the options"
            raise UsageError(f"{path}: unknown key {name!r}", hint=hint)
    return dict(table)


_PATHS = {"examples", "key-file", "output", "errors", "state-dir", "summary"}
_TEXTS = {"prompt", "system"}
_LOCAL = "local/"


def anchored(name: str, value: Any, folder: Path) -> Any:
    """A value whose relative path, if it is one, leads on from a folder: the config file's, or a run's."""
    if not isinstance(value, str) or value == "-":
        return value
    if name in _PATHS:
        return str(folder / value)
    if name in _TEXTS and value.startswith("@"):
        return f"@{folder / value[1:]}"
    if name == "model" and value.startswith(_LOCAL) and not value.startswith(f"{_LOCAL}~"):
        return f"{_LOCAL}{folder / value.removeprefix(_LOCAL)}"  # an absolute path stays what it is
    if name == "schema" and _names_file(value, folder):
        return str(folder / value)
    return value


def _names_file(spec: str, folder: Path) -> bool:
    """Whether `path.py:Model` or `schema.json` is there, and the spec none of another form."""
    path, colon, _ = spec.rpartition(":")
    named = path if colon and path.endswith(".py") else spec
    return named.endswith((".py", ".json")) and is_file(folder / named)
