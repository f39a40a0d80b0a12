"""Schemas written on the command line: `'name, age int: in years, tone good|bad, tags list[str], due date?'`.

    schema       fields apart by commas or newlines
    field        name [type] [?] [: description]
    type         str (default) | int | float | bool | date | datetime | list[type] | choices
    choices      a|b|c, with quotes where a choice holds a space, a comma or the like: 'very good'|bad
    description  up to the next comma or newline, or in quotes

This module reads the text into fields and builds the model. Which specs are inline at all is
decided in `llmx.schemas.load`.
"""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, Literal, NoReturn, Optional

from msgspec import Struct
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from llmx.errors import UsageError
from llmx.schemas.naming import attribute_names
from llmx.schemas.schema import Schema, schema_from_model
from llmx.text import nearest

__all__ = ["InlineField", "parse_inline", "read_fields"]

GRAMMAR = "write fields like: name, age int: in years, tone good|bad|neutral, tags list[str], due date?"


def _dated(value: object) -> object:
    """Refuse a date that does not begin like one: pydantic takes bare numbers for seconds since 1970."""
    if isinstance(value, datetime.date) or (isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value)):
        return value
    raise ValueError("must be written in ISO 8601, such as 2026-01-31 or 2026-01-31T12:30:00Z")


_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "date": Annotated[datetime.date, BeforeValidator(_dated)],
    "datetime": Annotated[datetime.datetime, BeforeValidator(_dated)],
}
_KNOWN = (*_TYPES, "list")
_MEANT = {
    "array": "list[str]",
    "boolean": "bool",
    "decimal": "float",
    "double": "float",
    "integer": "int",
    "list": "list[str]",
    "number": "float",
    "string": "str",
    "text": "str",
    "timestamp": "datetime",
}
_MAX_DEPTH = 20

_SPACE = re.compile(r"[^\S\n]*")
_NAME = re.compile(r"\w[\w-]*")
_WORD = re.compile(r"[^\s,:?|\[\]\"']+")
_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_QUOTED_DESCRIPTION = re.compile(rf"({_QUOTED.pattern})[^\S\n]*(?=[,\n]|$)")
_DESCRIPTION = re.compile(r"[^,\n]*")


class InlineField(Struct, frozen=True):
    """One field as written.

    Args:
        type: a name of the grammar, `("list", type)`, or `("choices", (a, b, …))`.
    """

    name: str
    type: str | tuple[str, Any] = "str"
    optional: bool = False
    description: str | None = None


def parse_inline(spec: str) -> Schema:
    """Build the schema that an inline spec describes.

    Raises:
        UsageError: the spec does not follow the grammar; says where.
    """
    return schema_from_model(_model(read_fields(spec)), source=spec)


def read_fields(spec: str) -> list[InlineField]:
    """Read an inline spec.

    Raises:
        UsageError: the spec does not follow the grammar, is empty, names a field twice, or is not UTF-8.
    """
    try:
        spec.encode()
    except UnicodeEncodeError as error:  # bytes of the command line that are none come as lone surrogates
        raise UsageError(f"inline schema, character {error.start + 1}: not UTF-8") from error
    return _Reader(spec).fields()


class _Reader:
    """A cursor over the spec; every method leaves it behind what it has read."""

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self._at = 0

    def fields(self) -> list[InlineField]:
        found: dict[str, InlineField] = {}
        while self._skip_separators():
            start = self._at
            one = self._field()
            if one.name in found:
                self._fail(start, f"the field {one.name!r} is there twice", "give every field its own name")
            found[one.name] = one
        if not found:
            raise UsageError("the inline schema is empty", hint=GRAMMAR)
        return list(found.values())

    def _skip_separators(self) -> bool:
        while self._at < len(self._spec) and (self._spec[self._at].isspace() or self._spec[self._at] == ","):
            self._at += 1
        return self._at < len(self._spec)

    def _field(self) -> InlineField:
        name = self._take(_NAME) or self._fail(self._at, f"expected a field name, found {self._here()}")
        declared: str | tuple[str, Any] = "str"
        if self._peek() not in "?:,\n":
            declared = self._type(0)
        optional = self._accept("?")
        description = self._description() if self._accept(":") else None
        if self._peek() not in ",\n":
            self._fail(self._at, f"expected ',' after the field {name!r}, found {self._here()}")
        return InlineField(name, declared, optional, description)

    def _type(self, depth: int) -> str | tuple[str, Any]:
        self._peek()
        start = self._at
        quoted, word = self._choice()
        if not quoted and word.lower() == "list" and self._accept("["):
            return self._list(depth)
        if quoted or self._peek() == "|":
            return self._choices(start, [(quoted, word)])
        if word not in _TYPES:
            self._fail(start, f"unknown type {word!r}", _type_hint(word))
        return word

    def _list(self, depth: int) -> tuple[str, Any]:
        if depth >= _MAX_DEPTH:
            self._fail(self._at, f"lists nested deeper than {_MAX_DEPTH}")
        inside = self._type(depth + 1)
        if not self._accept("]"):
            self._fail(self._at, f"expected ']', found {self._here()}")
        return ("list", inside)

    def _choices(self, start: int, read: list[tuple[bool, str]]) -> tuple[str, Any]:
        while self._accept("|"):
            read.append(self._choice())
        words = [word for _, word in read]
        if not any(quoted for quoted, _ in read) and {*words} <= {*_TYPES, "None", "null"}:
            self._fail(start, f"{'|'.join(words)} would be choices, not types", _UNION_HINT)
        if twice := next((word for word in words if words.count(word) > 1), None):
            self._fail(start, f"the choice {twice!r} is there twice")
        return ("choices", tuple(words))

    def _choice(self) -> tuple[bool, str]:
        self._peek()
        if quoted := self._take(_QUOTED):
            if not quoted[1:-1].strip():
                self._fail(self._at - len(quoted), "a choice is empty")
            return True, quoted[1:-1]
        return False, self._take(_WORD) or self._fail(
            self._at, f"expected a type or a choice, found {self._here()}"
        )

    def _description(self) -> str | None:
        self._peek()
        if quoted := self._take(_QUOTED_DESCRIPTION):
            text = quoted.strip()[1:-1]
        else:
            text = self._take(_DESCRIPTION)
        return text.strip() or None

    def _peek(self) -> str:
        """The next character that is not blank; a newline at the end, as every line has one."""
        self._take(_SPACE)
        return self._spec[self._at] if self._at < len(self._spec) else "\n"

    def _accept(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        return True

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._spec, self._at)
        self._at = found.end() if found else self._at
        return found.group() if found else ""

    def _here(self) -> str:
        return repr(self._spec[self._at]) if self._at < len(self._spec) else "the end"

    def _fail(self, at: int, problem: str, hint: str = "") -> NoReturn:
        raise UsageError(f"inline schema, character {at + 1}: {problem}", hint=hint or GRAMMAR)


_UNION_HINT = "'?' makes a field optional; for unions write a Pydantic model and give path.py:Model"


def _type_hint(word: str) -> str:
    if word.lower() in ("dict", "object", "json"):
        return "objects are not written inline: write a Pydantic model and give path.py:Model"
    meant = _MEANT.get(word.lower()) or nearest(word.lower(), _KNOWN)
    types = "types are " + ", ".join(_TYPES) + ", list[type] and choices a|b|c"
    return f"did you mean {meant!r}? {types}" if meant else types


def _model(fields: list[InlineField]) -> type[BaseModel]:
    names = attribute_names(one.name for one in fields)
    definitions: dict[str, Any] = {names[one.name]: _definition(one, names[one.name]) for one in fields}
    return create_model(
        "Extraction", __config__=ConfigDict(allow_inf_nan=False), __module__=__name__, **definitions
    )


def _definition(one: InlineField, attribute: str) -> tuple[Any, Any]:
    python_type = _python_type(one.type)
    return (
        Optional[python_type] if one.optional else python_type,  # noqa: UP045 - built at run time
        Field(
            default=None if one.optional else ...,
            alias=None if attribute == one.name else one.name,
            description=one.description,
            title=one.name,
        ),
    )


def _python_type(declared: str | tuple[str, Any]) -> Any:
    if isinstance(declared, str):
        return _TYPES[declared]
    kind, inside = declared
    return list[_python_type(inside)] if kind == "list" else Literal[inside]  # type: ignore[misc]  # run time
