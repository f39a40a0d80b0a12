"""What is public: `__all__` of every module is there, true and complete."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import llmx

PACKAGE = Path(llmx.__file__).parent
MODULES = ["llmx", *sorted(found.name for found in pkgutil.walk_packages([str(PACKAGE)], "llmx."))]
PUBLIC = [name for name in MODULES if not any(part.startswith("_") for part in name.split("."))]


def tree(module: str) -> ast.Module:
    path = PACKAGE.parent / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def exported(module: str) -> list[str]:
    return list(getattr(importlib.import_module(module), "__all__", []))


def definitions(module: str) -> set[str]:
    """Public classes and functions that a module defines at its top level; commands are typer's."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in tree(module).body if isinstance(node, kinds)]
    return {node.name for node in found if not node.name.startswith("_") and not is_command(node)}


def is_command(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(decorator).split("(")[0].endswith(".command") for decorator in node.decorator_list)


def borrowings(module: str) -> Iterator[tuple[str, str]]:
    """The (module, name) pairs that a module imports from others of ours."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "llmx":
            yield from ((node.module or "", alias.name) for alias in node.names)


def sort_key(name: str) -> tuple[int, str]:
    """ruff's order (RUF022): constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("module", PUBLIC)
def test_all_is_there_and_sorted(module: str):
    """A module with definitions says which of them are public, in order and once."""
    names = exported(module)
    assert names or not definitions(module)
    assert names == sorted(set(names), key=sort_key)


@pytest.mark.parametrize("module", PUBLIC)
def test_all_is_true(module: str):
    """Every name in `__all__` exists."""
    loaded = importlib.import_module(module)
    assert [name for name in exported(module) if not hasattr(loaded, name)] == []


@pytest.mark.parametrize("module", PUBLIC)
def test_all_is_complete(module: str):
    """A class or function without an underscore is in `__all__`."""
    assert sorted(definitions(module) - set(exported(module))) == []


@pytest.mark.parametrize("module", MODULES)
def test_only_public_names_are_borrowed(module: str):
    """No module of ours imports a name that another does not export."""
    private = [
        f"{source}.{name}"
        for source, name in borrowings(module)
        if source in PUBLIC and f"{source}.{name}" not in MODULES and name not in exported(source)
    ]
    assert private == []
