"""Config files: option values for people who do not want to repeat them.

Precedence, highest first: flags, LLMX_* variables, the project's file (`llmx.toml`, or `[tool.llmx]` in
`pyproject.toml`, in the current folder or the nearest one above), the user's file. Keys are the long
options without their dashes; an unknown one is an error with the nearest name. Relative paths are relative
to the file that they stand in. Tables `[endpoint.NAME]` and `[budget.NAME]` say what `-m NAME` and `--budget NAME`
mean, and `[serve]` is about the service.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from llmx.environment import Environment, is_file
from llmx.errors import UsageError
from llmx.text import nearest

if TYPE_CHECKING:
    from llmx.budgets import Daily
    from llmx.settings import DailyBudget, EndpointTable  # here alone: --help is not to wait for pydantic

__all__ = [
    "SERVICE",
    "Tables",
    "anchored",
    "load_budgets",
    "load_config",
    "load_service",
    "load_tables",
    "project_file",
    "user_file",
]

TABLES = ("endpoint", "budget")
SERVICE = "serve"


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
            for one, other in (("model", "cascade"), ("cascade", "model")):
                if one in table and other not in table:
                    merged.pop(other, None)  # one stands in the place of the other
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
    given = {name: value for name, value in table.items() if name not in (*TABLES, SERVICE)}
    for name, value in given.items():
        if isinstance(value, dict):
            hint = "options stand at the top level, as in: rpm = 500; tables are [endpoint.NAME], [budget.NAME] and [serve]"
            raise UsageError(f"{path}: {name!r} is a table", hint=hint)
        if name not in options:
            close = nearest(name, [*options, *TABLES, SERVICE])
            hint = f"did you mean {close!r}?" if close else "llmx extract --help lists the options"
            raise UsageError(f"{path}: unknown key {name!r}", hint=hint)
    return given


class Tables(Struct, frozen=True):
    """What the config files give names to."""

    endpoints: Mapping[str, EndpointTable]
    budgets: Mapping[str, DailyBudget]


def load_tables(env: Environment) -> Tables:
    """The named endpoints and budgets; the project's win over the user's. Raises UsageError."""
    found: dict[str, dict[str, Any]] = {kind: {} for kind in TABLES}
    for path in (user_file(env), project_file(env.cwd)):
        if path is not None and path.is_file():
            for kind, table in _table(path).items():
                if kind in TABLES:
                    found[kind] |= _named(kind, table, path, env)
    return Tables(found["endpoint"], found["budget"])


def load_budgets(env: Environment) -> dict[str, Daily]:
    """The named budgets alone. Raises UsageError, for one that limits nothing, too."""
    return {name: table.limits(name) for name, table in load_tables(env).budgets.items()}


def load_service(env: Environment) -> dict[str, Any]:
    """The table `[serve]`, keys as they are written; those of the project's file win over the user's. Raises UsageError."""
    merged: dict[str, Any] = {}
    for path in (user_file(env), project_file(env.cwd)):
        if path is not None and path.is_file():
            table = _table(path).get(SERVICE, {})
            if not isinstance(table, dict):
                raise UsageError(
                    f"{path}: {SERVICE!r} is a table", hint="write [serve], and below it port = 8090"
                )
            schemas = {**_schemas_of(merged), **_schemas_of(_anchored_service(table, path.parent))}
            merged |= _anchored_service(table, path.parent)
            if schemas:
                merged["schemas"] = schemas
    return merged


def _schemas_of(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The names of `[serve.schemas]`; what is no table is told by who checks it."""
    schemas = table.get("schemas", {})
    return schemas if isinstance(schemas, dict) else {}


def _anchored_service(table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    found = {
        name: str(folder / Path(value).expanduser()) if name in _PLACES and isinstance(value, str) else value
        for name, value in table.items()
    }
    if isinstance(schemas := table.get("schemas"), dict):
        found["schemas"] = {name: anchored("schema", spec, folder) for name, spec in schemas.items()}
    return found


_PLACES = {"data", "keys"}


def _named(kind: str, table: Any, path: Path, env: Environment) -> dict[str, Any]:
    if not isinstance(table, dict) or not all(isinstance(value, dict) for value in table.values()):
        given = ", and give --budget NAME" if kind == "budget" else ""
        raise UsageError(f"{path}: {kind!r} holds named tables", hint=f"write [{kind}.NAME]{given}")
    from llmx.settings import DailyBudget, EndpointTable, checked_table

    form: Any = EndpointTable if kind == "endpoint" else DailyBudget
    named = {name: checked_table(form, name, value, str(path)) for name, value in table.items()}
    if kind == "endpoint" and path.parent != env.cwd:
        for name, value in named.items():
            model = anchored("model", value.model, path.parent)
            named[name] = value.model_copy(update={"model": model})
    return named


_PATHS = {"calibration", "examples", "key-file", "output", "errors", "review", "state-dir", "summary"}
_TEXTS = {"prompt", "system"}
_LOCAL = "local/"


def anchored(name: str, value: Any, folder: Path) -> Any:
    """A value whose relative path, if it is one, leads on from a folder: the config file's, or a run's."""
    if name in ("model", "cascade") and isinstance(value, list):
        return [anchored("model", model, folder) for model in value]
    if name == "cascade" and isinstance(value, str) and '"' not in value:
        return ",".join(anchored("model", model.strip(), folder) for model in value.split(","))
    if name == "endpoints" and isinstance(value, dict):  # of a run, as `as_options` has them
        return {called: _anchored_table(table, folder) for called, table in value.items()}
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


def _anchored_table(table: Any, folder: Path) -> Any:
    if not isinstance(table, dict):
        return table
    return {
        name: anchored(name, value, folder) if name == "model" else value for name, value in table.items()
    }


def _names_file(spec: str, folder: Path) -> bool:
    """Whether `path.py:Model` or `schema.json` is there, and the spec none of another form."""
    path, colon, _ = spec.rpartition(":")
    named = path if colon and path.endswith(".py") else spec
    return named.endswith((".py", ".json")) and is_file(folder / named)
