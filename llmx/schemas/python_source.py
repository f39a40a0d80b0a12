"""Pydantic models out of Python code: a file by its path, or an importable module.

The code is run: a schema file is trusted as much as pytest's conftest is. What it prints goes to
stderr, since stdout carries rows. Whatever it raises ends in one line that names its file and line.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, get_args

from pydantic import BaseModel, RootModel

from llmx.errors import UsageError
from llmx.schemas.user_code import code_failed
from llmx.text import nearest

__all__ = ["model_from_file", "model_from_module", "models_of_file"]


def model_from_file(path: Path, name: str | None, *, source: str) -> type[BaseModel]:
    """The model `name` of a Python file.

    Args:
        path: an existing file.
        name: the class, dotted where it is nested; None takes the only model the file defines.
        source: the path as the user gave it.

    Raises:
        UsageError: the file does not load, has no such model, or `name` is None and it has several.
    """
    module = _load(path, source)
    return _named(module, name, source) if name else _only(module, source)


def models_of_file(path: Path, *, source: str) -> list[type[BaseModel]]:
    """The models of a Python file that are no part of another one there, in the order of the file.

    Those that no answer can be made for (a base without fields, a RootModel) are left out.

    Args:
        path: an existing file.
        source: the path as the user gave it.

    Raises:
        UsageError: the file does not load.
    """
    models = list(_models(_load(path, source)).values())
    inside = {
        part for one in models for info in one.model_fields.values() for part in _parts(info.annotation)
    }
    bases = {base for one in models for base in one.__mro__[1:]}
    return [
        one
        for one in models
        if one.model_fields and not issubclass(one, RootModel) and one not in inside and one not in bases
    ]


def _parts(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for inner in get_args(annotation):
        yield from _parts(inner)


def model_from_module(module_name: str, name: str, *, cwd: Path) -> type[BaseModel]:
    """The model `name` of an importable module; `cwd` comes first on the import path.

    Raises:
        UsageError: the module cannot be found, does not load, or has no such model.
    """
    with _importing(cwd):
        importlib.invalidate_caches()
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise code_failed(error, module_name) from None
            raise UsageError(
                f"there is no module {error.name!r}",
                hint=f"a file is given by its path: {module_name}.py:{name}; "
                f"an inline description has a space after its colon: '{module_name}: {name}'",
            ) from None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise anything
            raise code_failed(error, module_name) from None
    return _named(module, name, module_name)


class _UncachedLoader(SourceFileLoader):
    """Compiles every time: a file edited twice within a second must not run as it was before."""

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        code = self.source_to_code(self.get_data(path), path)
        return code if isinstance(code, CodeType) else None


def _load(path: Path, source: str) -> ModuleType:
    path = path.resolve()
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path, loader=_UncachedLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # forward references and pickle look a class's module up by its name
    try:
        with _importing(path.parent):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise anything
        del sys.modules[name]
        raise code_failed(error, source, path) from None
    return module


def _module_name(path: Path) -> str:
    digest = hashlib.sha256(bytes(path)).hexdigest()[:8]
    return re.sub(r"\W", "_", f"llmx_schema_{path.stem}_{digest}")


@contextlib.contextmanager
def _importing(folder: Path) -> Iterator[None]:
    """What lies beside the file can be imported, as when Python runs it; prints go to stderr."""
    sys.path.insert(0, str(folder))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


def _named(module: ModuleType, name: str, source: str) -> type[BaseModel]:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise UsageError(f"{source} has no class {name!r}", hint=_classes_hint(module, source, name))
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise UsageError(
            f"{source}:{name} is not a Pydantic model but {_kind(found)}",
            hint="derive the class from pydantic.BaseModel",
        )
    return found


def _kind(found: object) -> str:
    if not isinstance(found, type):
        return f"a value of type {type(found).__name__}"
    if hasattr(found, "__dataclass_fields__"):
        return "a dataclass"
    return "a TypedDict" if hasattr(found, "__total__") else "another class"


def _models(module: ModuleType) -> dict[str, type[BaseModel]]:
    """The models that the module itself defines."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, BaseModel)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


def _only(module: ModuleType, source: str) -> type[BaseModel]:
    models = _models(module)
    if len(models) == 1:
        return next(iter(models.values()))
    if not models:
        raise UsageError(f"{source} defines no Pydantic model", hint="derive a class from pydantic.BaseModel")
    raise UsageError(
        f"{source} defines {len(models)} models: {', '.join(models)}",
        hint=f"say which: {source}:{list(models)[-1]}",
    )


def _classes_hint(module: ModuleType, source: str, name: str) -> str:
    models = list(_models(module))
    if not models:
        return "it defines no Pydantic model"
    close = nearest(name, models)
    there = f"it has {', '.join(models)}"
    return f"did you mean {source}:{close}? {there}" if close else there
