"""From what the user wrote after `--schema` to a `Schema`: which form a spec has, and who reads it.

sentiment           a ready-made schema
path.py:Model       a Pydantic model of a file; without ":Model" the only one there
module:Model        a Pydantic model of an importable module
schema.json         a JSON Schema file
'name, age int'     inline: anything with a space, comma, newline, '?', '[', '|' or ':' that is none of the above
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from llmx.environment import is_file
from llmx.errors import UsageError
from llmx.schemas.inline import parse_inline
from llmx.schemas.python_source import model_from_file, model_from_module, models_of_file
from llmx.schemas.ready import ready_made
from llmx.schemas.schema import Schema, schema_from_model
from llmx.schemas.user_code import digest_of_code, has_code
from llmx.text import nearest

__all__ = ["is_inline", "load_schema", "load_schemas", "schema_of"]

_INLINE = re.compile(r"[\s,:?|\[\]]")
_PYTHON_FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<model>[^\W\d][\w.]*)?)?")
_MODULE = re.compile(r"(?P<module>[^\W\d][\w.]*):(?P<model>[^\W\d][\w.]*)")
_PATH_LIKE = re.compile(r"\S+|[^,\n]*[/\\](?:(?!: )[^,\n])*")
"""A path to a file that is not there: no blanks, or at least a slash and nothing of a list of fields."""
_LONGEST_NAME = 255  # characters: a longer name is none on any file system in use


def load_schema(spec: str, *, cwd: Path) -> Schema:
    """Load the schema that `spec` names or spells.

    Args:
        spec: a ready-made name, path.py:Model, module:Model, a .json file, or the inline form.
        cwd: what relative paths are relative to.

    Raises:
        UsageError: there is no such schema, or it cannot be used; the message says where and why.
    """
    spec = spec.strip()
    if not spec:
        raise UsageError("the schema is empty", hint=f"name a ready-made one: {', '.join(ready_made())}")
    if ready := ready_made().get(spec):
        return _ready(ready, spec)
    if (python := _PYTHON_FILE.fullmatch(spec)) and _is_path(python["path"], cwd):
        path = _existing(python["path"], cwd)
        return _of_the_user(model_from_file(path, python["model"], source=python["path"]), spec)
    if spec.lower().endswith(".json") and _is_path(spec, cwd):
        return _from_json(_existing(spec, cwd), spec)
    if module := _MODULE.fullmatch(spec):
        return _of_the_user(model_from_module(module["module"], module["model"], cwd=cwd), spec)
    if _INLINE.search(spec):
        return parse_inline(spec)
    raise _unknown(spec, cwd)


def is_inline(spec: str) -> bool:
    """Whether `load_schema` takes a spec for fields, whatever files and modules there are."""
    spec = spec.strip()
    named = spec in ready_made() or spec.lower().endswith(".json")
    named = named or any(form.fullmatch(spec) for form in (_PYTHON_FILE, _MODULE))
    return not named and _INLINE.search(spec) is not None


def load_schemas(spec: str, *, cwd: Path) -> tuple[Schema, ...]:
    """The schema of a spec; of a Python file without a class's name all that it defines, maybe none.

    Raises:
        UsageError: as for `load_schema`.
    """
    python = _PYTHON_FILE.fullmatch(spec.strip())
    if python is None or python["model"] or not _is_path(python["path"], cwd):
        return (load_schema(spec, cwd=cwd),)
    models = models_of_file(_existing(python["path"], cwd), source=python["path"])
    return tuple(_of_the_user(model, f"{python['path']}:{model.__qualname__}") for model in models)


def schema_of(obj: type[BaseModel] | Mapping[str, Any] | str | Schema, *, cwd: Path | None = None) -> Schema:
    """The schema of whatever a library user may pass for one.

    Args:
        obj: a Pydantic model class, a JSON Schema as a dict, a spec as for `load_schema`, or a Schema.
        cwd: what relative paths in a spec are relative to; None is the process's folder.

    Raises:
        UsageError: it is none of these, or cannot be used.
    """
    if isinstance(obj, Schema):
        return obj
    if isinstance(obj, str):
        return load_schema(obj, cwd=cwd or Path.cwd())
    if isinstance(obj, Mapping):
        from llmx.schemas.json_source import schema_from_json

        return schema_from_json(dict(obj), source=str(obj.get("title") or "schema"))
    if isinstance(obj, type) and issubclass(obj, BaseModel):
        return _of_the_user(obj, obj.__name__)
    raise UsageError(
        f"{obj!r} is not a schema", hint="pass a Pydantic model class, a JSON Schema dict or a spec"
    )


def _of_the_user(model: type[BaseModel], source: str) -> Schema:
    return replace(schema_from_model(model, source=source), code=has_code(model), made_of=digest_of_code())


def _ready(path: Path, name: str) -> Schema:
    """A ready-made file may hold several models: the schema is the one named like the file."""
    wanted = "".join(part.capitalize() for part in name.split("_"))
    return schema_from_model(model_from_file(path, wanted, source=str(path)), source=name)


def _from_json(path: Path, source: str) -> Schema:
    from llmx.schemas.json_source import read_json_schema, schema_from_json

    return schema_from_json(read_json_schema(path, source), source=source)


def _is_path(text: str, cwd: Path) -> bool:
    """Whether a spec that ends like a file is one, rather than a description that ends that way."""
    if len(Path(text).name) > _LONGEST_NAME:
        return False
    return _PATH_LIKE.fullmatch(text) is not None or is_file(_resolved(text, cwd))


def _resolved(text: str, cwd: Path) -> Path:
    return cwd / Path(text).expanduser()


def _existing(text: str, cwd: Path) -> Path:
    path = _resolved(text, cwd)
    if is_file(path):
        return path
    if path.is_dir():
        raise UsageError(f"the schema {text!r} is a folder", hint="name a .py or .json file in it")
    raise UsageError(f"there is no schema file {text!r}", hint=_nearby(path, text))


def _nearby(path: Path, text: str) -> str:
    """A file with nearly that name in the same folder, else a ready-made schema, else the folder."""
    there = _names_in(path.parent, (".py", ".json"))
    alike = {Path(name).stem: name for name in there if name.endswith(path.suffix)}
    if close := alike.get(nearest(path.stem, alike) or ""):
        return f"did you mean {str(Path(text).parent / close)!r}?"
    if close := nearest(path.stem, ready_made()):
        return f"did you mean the ready-made schema {close!r}?"
    return f"looked in {path.parent}"


def _names_in(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.suffix in suffixes)
    except OSError:
        return []


def _unknown(spec: str, cwd: Path) -> UsageError:
    path = _resolved(spec, cwd)
    if is_file(path) and path.suffix:
        return UsageError(
            f"the schema {spec!r} is neither a .py nor a .json file",
            hint="give path.py:Model, or a JSON Schema whose name ends in .json",
        )
    ready = ready_made()
    close = nearest(spec, [*ready, *_names_in(cwd, (".py", ".json"))])
    guess = f"did you mean {close!r}? " if close else ""
    return UsageError(
        f"there is no schema named {spec!r}",
        hint=f"{guess}ready-made: {', '.join(ready)}; one inline field is written '{spec} str'",
    )
