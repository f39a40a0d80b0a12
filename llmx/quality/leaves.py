"""The leaves of an answer, and their names: as the model wrote them, and as the output has them.

A leaf is a value that is no object and no list, or an empty one. Paths are tuples of names and positions; where people
and files see them they are dotted, as in `items.0.name`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel
from pydantic.fields import FieldInfo

__all__ = ["ABSENT", "Path", "at", "belongs", "dotted", "leaves", "read", "written_paths"]

Path = tuple[str | int, ...]

ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "ABSENT"})()
"""In place of a value that is not there."""


def read(text: str) -> Any:
    """An answer's JSON text as it was read for the schema: what an answer may have beside its fields may be NaN.

    Raises:
        ValueError: it is no JSON.
    """
    from pydantic_core import from_json

    return from_json(text)


def dotted(path: Path) -> str:
    """`items.0.name`."""
    return ".".join(map(str, path))


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every leaf of a JSON-like value with its path."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list) and value:
        for position, inner in enumerate(value):
            yield from leaves(inner, (*path, position))
    else:
        yield path, value


def at(tree: Any, path: Path) -> Any:
    """What a JSON-like value holds at a path, `ABSENT` where that is nothing."""
    for step in path:
        if isinstance(tree, Mapping) and step in tree:
            tree = tree[str(step)]
        elif isinstance(tree, list) and isinstance(step, int) and step < len(tree):
            tree = tree[step]  # the type of a step is another one here
        else:
            return ABSENT
    return tree


def written_paths(value: BaseModel, path: Path) -> Path:
    """The path in the output of what stands at `path` in an answer: fields go by other names there.

    Args:
        value: what was read of the answer.
        path: in the answer; what is in no field of a model keeps its name.
    """
    found: list[str | int] = []
    place: Any = value
    for step in path:
        name, place = _step(place, step)
        found.append(name)
    return tuple(found)


def belongs(value: BaseModel, path: Path) -> bool:
    """Whether what stands at `path` in an answer is part of what was read of it: a model may write more than was asked.

    Args:
        value: what was read of the answer.
    """
    place: Any = value
    for step in path:
        if isinstance(place, BaseModel) and not _takes(place, step):
            return False
        _, place = _step(place, step)
    return True


def _takes(place: BaseModel, step: str | int) -> bool:
    if isinstance(place, RootModel):
        return True
    return _field(place, step) is not None or step in (place.model_extra or {})


def _step(place: Any, step: str | int) -> tuple[str | int, Any]:
    """The name of a step in the output, and what is below it."""
    while isinstance(place, RootModel):
        place = place.root
    if isinstance(place, BaseModel):
        if (field := _field(place, step)) is not None:
            name, info = field
            return info.serialization_alias or name, getattr(place, name, None)
        return step, (place.model_extra or {}).get(str(step))
    if isinstance(place, Mapping):
        return step, place.get(step)
    if isinstance(place, Sequence) and isinstance(step, int) and step < len(place):
        return step, place[step]
    return step, None


def _field(place: BaseModel, step: str | int) -> tuple[str, FieldInfo] | None:
    """The field that is read of a name, by its own name."""
    for name, info in type(place).model_fields.items():
        if step in _read_names(name, info.validation_alias, info.alias):
            return name, info
    return None


def _read_names(name: str, alias: Any, plain: str | None) -> list[str]:
    """The names under which a field is read."""
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    firsts = [choice.path[0] if isinstance(choice, AliasPath) else choice for choice in choices]
    return [name, *(str(first) for first in [*firsts, plain] if first is not None)]
