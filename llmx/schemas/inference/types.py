"""What a schema file is made of: the types that `decide` chooses and `written` spells. Data, and how a type is spelled."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Choices", "Either", "Field", "ListOf", "Maybe", "Model", "Pairs", "Plain", "Type", "spelled"]


class Plain(Struct, frozen=True):
    """A type by the name that Python has for it."""

    name: str


class Choices(Struct, frozen=True):
    """One of these texts; `name` is that of the alias in the file."""

    name: str
    values: tuple[str, ...]


class ListOf(Struct, frozen=True):
    """A list of elements of one type."""

    inside: Type


class Maybe(Struct, frozen=True):
    """A value or None."""

    inside: Type


class Either(Struct, frozen=True):
    """One of several types."""

    types: tuple[Type, ...]


class Pairs(Struct, frozen=True):
    """An object whose keys are data: asked for as a list of names and values.

    Args:
        name: of its alias in the file.
        pair: of the class of one name and its value.
    """

    name: str
    pair: str
    value: Type


class Field(Struct, frozen=True):
    """One field of a model.

    Args:
        key: its name in the rows.
        attribute: its name in Python.
        optional: it may be absent or None.
    """

    key: str
    attribute: str
    type: Type
    optional: bool
    description: str


class Model(Struct, frozen=True):
    """An object with named fields."""

    name: str
    fields: tuple[Field, ...]
    docstring: str


Type = Plain | Choices | ListOf | Maybe | Either | Pairs | Model


def spelled(found: Type) -> str:
    """A type as it stands in an annotation."""
    match found:
        case ListOf(inside):
            return f"list[{spelled(inside)}]"
        case Maybe(inside):
            return f"{spelled(inside)} | None"
        case Either(types):
            return " | ".join(spelled(one) for one in types)
    return found.name
