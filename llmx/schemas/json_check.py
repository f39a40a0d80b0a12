"""Checks data against a JSON Schema: every keyword of it, formats included.

jsonschema does the work; what it would leave out or do unsafely is replaced: patterns run on
pydantic's Rust engine, which cannot be made to backtrack, equal elements of a list are found in
one pass over it, and the formats for which jsonschema needs further packages are checked here.
"""

from __future__ import annotations

import copy
import datetime
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError as JsonSchemaError
from jsonschema.exceptions import best_match
from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, SchemaError, SchemaValidator, core_schema
from referencing import Registry

__all__ = ["FORMATS", "JsonCheck", "pattern_problem"]

_MOST_PROBLEMS = 10
_STEPS, _STEPS_EACH = 2_000, 100
"""References that are followed to check a small answer, and for each value of a larger one. Alternatives of alternatives
double the work at each level: 16 of them took 24 s for one word."""
_LONGEST_PROBLEM = 400


class JsonCheck:
    """One schema's validator.

    Args:
        schema: a valid JSON Schema, as its author wrote it.
        validator: the class for its draft.
    """

    def __init__(self, schema: Mapping[str, Any], validator: type[Any]) -> None:
        safe = {
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "additionalProperties": _additional_properties,
            "uniqueItems": _unique_items,
            "$ref": _counted(validator.VALIDATORS["$ref"]),
        }
        extended: type[Any] = jsonschema.validators.extend(validator, safe)  # type: ignore[no-untyped-call]  # its stubs
        # An empty registry cannot fetch: the default one would open a $ref's URL.
        self._validator = extended(schema, registry=Registry(), format_checker=_format_checker())
        self._title = str(schema.get("title", "answer"))

    def settled(self, data: Any) -> Any:
        """The data, valid, with a null taken for an absent property where only absence is allowed.

        Models write null for what is not there, and a strict provider leaves them no other way.

        Raises:
            pydantic.ValidationError: it does not fit; one line for each problem, with its place. Or the schema has so many
                ways to fit that it cannot be told.
        """
        problems = self._problems(data)
        nulls = {path for problem in problems for path in _null_properties(problem)}
        if nulls:
            data = _without(data, nulls)
            problems = self._problems(data)
        if problems:
            lines = [_line(problem, bool(nulls)) for problem in problems[:_MOST_PROBLEMS]]
            raise ValidationError.from_exception_data(self._title, lines, "json")
        return data

    def _problems(self, data: Any) -> list[JsonSchemaError]:
        token = _steps.set(_Steps(data))
        try:
            return list(self._validator.iter_errors(data))
        except _TooMany:
            text = "the schema has more alternatives than can be tried"
            custom = PydanticCustomError("json_schema", "{problem}", {"problem": text})
            line = InitErrorDetails(type=custom, loc=(), input=None)
            raise ValidationError.from_exception_data(self._title, [line], "json") from None
        finally:
            _steps.reset(token)


class _TooMany(Exception):
    """More references would have to be followed than is sensible."""


class _Steps:
    """References that may still be followed for one answer."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._left = _STEPS
        self._counted = False

    def take(self) -> None:
        """One of them. Raises _TooMany."""
        self._left -= 1
        if self._left < 0 and not self._counted:  # most answers need so few that theirs need not be counted
            self._left += _STEPS_EACH * _size(self._data)
            self._counted = True
        if self._left < 0:
            raise _TooMany


_steps: ContextVar[_Steps] = ContextVar("_steps")


def _size(data: Any) -> int:
    """How many values there are, those within others included."""
    size, waiting = 0, [data]
    while waiting:
        value = waiting.pop()
        size += 1
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return size


def _counted(follow: Callable[..., Iterator[JsonSchemaError]]) -> Callable[..., Iterator[JsonSchemaError]]:
    """A keyword that refers to another schema; without one the work is at most that of each keyword for each value."""

    def counted(validator: Any, reference: Any, instance: Any, schema: Any) -> Iterator[JsonSchemaError]:
        _steps.get().take()
        yield from follow(validator, reference, instance, schema)

    return counted


def _null_properties(problem: JsonSchemaError) -> Iterator[tuple[str | int, ...]]:
    path = tuple(problem.absolute_path)
    if problem.instance is None and path and isinstance(path[-1], str):
        yield path
    for branch in problem.context or ():
        yield from _null_properties(branch)


def _without(data: Any, paths: set[tuple[str | int, ...]]) -> Any:
    data = copy.deepcopy(data)
    for path in paths:
        parent = data
        for step in path[:-1]:
            parent = parent[step]
        del parent[path[-1]]
    return data


def _line(problem: JsonSchemaError, had_nulls: bool) -> InitErrorDetails:
    """pydantic's form of a problem, at the place inside a union that fits best."""
    closest = best_match([problem]) or problem
    text = closest.message
    if had_nulls and closest.validator == "required":
        text += " and cannot be null"
    if len(text) > _LONGEST_PROBLEM:
        half = _LONGEST_PROBLEM // 2
        text = f"{text[:half]} … {text[-half:]}"
    custom = PydanticCustomError("json_schema", "{problem}", {"problem": text})
    return InitErrorDetails(type=custom, loc=tuple(closest.absolute_path), input=closest.instance)


def pattern_problem(pattern: str) -> str | None:
    """Why the Rust engine cannot run a pattern (it has no look-around), None when it can."""
    try:
        _matcher(pattern)
    except SchemaError as error:
        return " ".join(line.strip() for line in str(error).splitlines() if line.startswith("error:")) or str(
            error
        )
    return None


@functools.lru_cache(maxsize=1024)
def _matcher(pattern: str) -> Callable[[Any], bool]:
    return SchemaValidator(
        core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")
    ).isinstance_python


def _matches(pattern: str, text: str) -> bool:
    return _matcher(pattern)(text)


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[JsonSchemaError]:
    if isinstance(instance, str) and not _matches(pattern, instance):
        yield JsonSchemaError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _: Any) -> Iterator[JsonSchemaError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, schema in patterns.items():
        for name, value in instance.items():
            if _matches(pattern, name):
                yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, instance: Any, schema: Any
) -> Iterator[JsonSchemaError]:
    if not validator.is_type(instance, "object"):
        return
    declared, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, value in instance.items():
        if name in declared or any(_matches(pattern, name) for pattern in patterns):
            continue
        if allowed is False:
            yield JsonSchemaError(f"{name!r} is not one of the schema's properties")
        else:
            yield from validator.descend(value, allowed, path=name)


def _unique_items(validator: Any, wanted: Any, instance: Any, _: Any) -> Iterator[JsonSchemaError]:
    # jsonschema compares each element with each: 6,000 objects, which fit into one answer, took 41 s.
    if not wanted or not validator.is_type(instance, "array"):
        return
    if len({_as_key(element) for element in instance}) < len(instance):
        yield JsonSchemaError("the list has an element twice")


def _as_key(value: Any) -> Any:
    """Equal for what JSON Schema calls equal: 1 and 1.0, not 1 and true."""
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, dict):
        return "dict", frozenset((name, _as_key(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return "list", tuple(map(_as_key, value))
    return value


_DATE = r"\d{4}-\d\d-\d\d"
_TIME = r"\d\d:\d\d:\d\d(\.\d{1,9})?(Z|z|[+-]\d\d:\d\d)"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*"
_URI = r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+"

_SHAPES = {
    # RFC 3339: a time has an offset
    "date": _DATE,
    "date-time": rf"{_DATE}[Tt ]{_TIME}",
    "time": _TIME,
    "duration": r"P(?=.)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?)",
    "email": _EMAIL,
    "idn-email": _EMAIL,
    "hostname": rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*",
    "uri": _URI,
    "iri": _URI,
    "uri-reference": r"[^\s<>\"{}|\\^`]*",
    "iri-reference": r"[^\s<>\"{}|\\^`]*",
    "json-pointer": r"(/([^~/]|~[01])*)*",
}
_PARSERS: dict[str, Callable[[str], object]] = {
    "date": datetime.date.fromisoformat,
    "date-time": lambda text: datetime.datetime.fromisoformat(text.upper()),
    "time": lambda text: datetime.time.fromisoformat(text.upper()),
}
FORMATS = frozenset(_SHAPES) | {"ipv4", "ipv6", "uuid", "regex"}
"""The formats that are checked; any other is, as the standard has it, an annotation."""


def _format_checker() -> jsonschema.FormatChecker:
    checker = jsonschema.FormatChecker(formats=["ipv4", "ipv6", "uuid"])
    checker.checks("regex", raises=ValueError)(_is_regex)
    for name in _SHAPES:
        checker.checks(name, raises=ValueError)(functools.partial(_has_format, name))
    return checker


def _is_regex(value: object) -> bool:
    try:
        return not isinstance(value, str) or bool(re.compile(value))
    except (re.error, RecursionError, OverflowError):
        return False


def _has_format(name: str, value: object) -> bool:
    if not isinstance(value, str):
        return True
    if re.fullmatch(_SHAPES[name], value) is None:
        return False
    if name in _PARSERS:
        _PARSERS[name](value)
    return True
