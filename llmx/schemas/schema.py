"""The schema of a run: the user's Pydantic model, and what is derived from it once.

It stands before the pipeline: providers get its JSON Schema (see `llmx.schemas.wire`), every answer
is parsed by its model, every result row is its dump. It does not know where it came from.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

import pydantic
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError

from llmx.errors import InvalidAnswer, UsageError
from llmx.schemas.direct import Dump, Validate, dumper, validator
from llmx.schemas.keywords import KINDS, children, definitions, resolved
from llmx.schemas.user_code import code_failed

__all__ = ["Schema", "not_finite", "schema_from_model"]

_TOOL_NAME = re.compile(r"[^A-Za-z0-9_-]+")
"""What neither OpenAI (https://platform.openai.com/docs/api-reference/chat/create) nor Anthropic
allow in the name of a schema or tool; both take at most 64 characters."""


MAY_BE_INFINITE = frozenset({float, dict, list})


@dataclass(frozen=True, slots=True)
class Schema:
    """What one row is turned into.

    Args:
        name: 1 to 64 of `A-Za-z0-9_-`: fit to name a tool or a response format.
        model: validates every answer, whatever the provider was sent.
        json_schema: the model's JSON Schema, names by alias: what an answer must fit. Its root has
            `properties`, definitions are under `$defs`.
        source: the spec as the user gave it.
        description: what the whole object is about: the model's docstring; None when it has none.
        code: whether functions of the user's take part in validating or writing: no fingerprint can see what they do.
        made_of: a digest of the Python code that it comes of, "" where it comes of none of the user's.
        fields: names of the columns a result has, in order, computed fields included.
        fingerprint: sha256 in hex over name and JSON Schema, whose names count in their order; custom validators are not part of it.
    """

    name: str
    model: type[pydantic.BaseModel] = field(repr=False)
    json_schema: dict[str, Any] = field(repr=False)
    source: str
    description: str | None = None
    code: bool = False
    made_of: str = ""
    fields: list[str] = field(init=False)
    fingerprint: str = field(init=False, repr=False)
    _validate: Validate = field(init=False, repr=False, compare=False)
    _dump: Dump = field(init=False, repr=False, compare=False)
    _last: list[Any] = field(init=False, repr=False, compare=False, default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", _output_names(self.model))
        object.__setattr__(self, "fingerprint", _fingerprint(self.name, self.json_schema))
        object.__setattr__(self, "_validate", validator(self.model))
        object.__setattr__(self, "_dump", dumper(self.model))

    def parse(self, text: str) -> pydantic.BaseModel:
        """The validated object in an answer.

        Args:
            text: the answer, one JSON object.

        Raises:
            ValueError: it is not JSON, does not fit (pydantic.ValidationError), or has a number that is not finite.
            InvalidAnswer: it fits, but cannot be written: see `dump`.
        """
        return self.checked(self._validate(text))

    def checked(self, value: pydantic.BaseModel) -> pydantic.BaseModel:
        """A validated object that can be written, too. Raises as `parse`."""
        dumped = self._dumped(value)  # what fails here fails this row alone, not the writing of all rows
        if not MAY_BE_INFINITE.isdisjoint(map(type, dumped.values())):
            self._check_finite(dumped)
        self._last[:] = value, dumped
        return value

    @property
    def own(self) -> Schema:
        """The user's schema, where this is one around it."""
        return self

    def answer_in(self, said: Any) -> Any:
        """What stands for the user's schema in an answer's JSON."""
        return said

    @property
    def takes_null_for_absent(self) -> bool:
        """Models made from JSON Schema do; a Pydantic model has a default for what is absent instead."""
        return hasattr(self.model, "__llmx_check__")

    def _check_finite(self, dumped: dict[str, Any]) -> None:
        read = dumped.keys() - _computed_names(self.model)
        if place := next(filter(None, (not_finite(dumped[name], name) for name in read)), None):
            raise ValueError(f"{place}: not a finite number")

    def dump(self, value: pydantic.BaseModel) -> dict[str, Any]:
        """The JSON-ready form of a parsed value: every name of `fields`, None where it has no value.

        Raises:
            InvalidAnswer: a serializer or a computed field of the model fails on it, or makes no object of it.
        """
        if not self._last or self._last[0] is not value:
            return self._dumped(value)
        dumped: dict[str, Any] = self._last[1]  # the row that was read just now, as most are
        self._last.clear()  # so that it is nobody else's
        return dumped

    def _dumped(self, value: pydantic.BaseModel) -> dict[str, Any]:
        try:
            dumped = self._dump(value)
        except (Exception, SystemExit) as bug:  # the user's own code may raise anything
            raise InvalidAnswer(f"the model's serializer failed: {bug}") from bug
        if not isinstance(dumped, dict):
            raise InvalidAnswer(f"the model's serializer returns {dumped!r}, which is not an object")
        return dumped if list(dumped) == self.fields else dict.fromkeys(self.fields) | dumped


def schema_from_model(
    model: type[pydantic.BaseModel], *, source: str, name: str | None = None, description: str | None = None
) -> Schema:
    """Derive everything else from a Pydantic model.

    Args:
        model: a class whose instances are JSON objects.
        source: the spec as the user gave it: it begins every error message.
        name: the schema's name where it should not be the class's.
        description: what it is about where it should not be the model's docstring.

    Raises:
        UsageError: no JSON Schema can be made of it, or none that can be sent, it is no object, it has no
            fields, or it needs an event loop to validate.
    """
    json_schema = _json_schema(model, source)
    _check_encodable(json_schema, source)
    _check_keywords(json_schema, source)
    _check_root(model, source)
    _check_validators(model, source)
    return Schema(
        name=_tool_name(name or model.__name__),
        model=model,
        json_schema=json_schema,
        source=source,
        description=description or _docstring(model, json_schema),
    )


def _json_schema(model: type[pydantic.BaseModel], source: str) -> dict[str, Any]:
    try:
        model.model_rebuild()
        return _with_plain_root(model.model_json_schema())
    except PydanticInvalidForJsonSchema as error:
        raise UsageError(
            f"{source}: {model.__name__} cannot be written as JSON Schema: {_first_line(error)}",
            hint="give the field a type that JSON has, or annotate it with WithJsonSchema",
        ) from None
    except (PydanticUserError, PydanticSchemaGenerationError, NameError) as error:
        raise UsageError(f"{source}: {model.__name__} is not complete: {_first_line(error)}") from None
    except Exception as error:  # noqa: BLE001  the model's own hooks may raise anything
        raise code_failed(error, f"{source}: the JSON Schema of {model.__name__}") from None


def _with_plain_root(json_schema: dict[str, Any]) -> dict[str, Any]:
    """Properties at the root: pydantic leaves a reference there for a model that contains itself."""
    if "$ref" not in json_schema:
        return json_schema
    defs = definitions(json_schema)
    root = {key: value for key, value in json_schema.items() if key != "$defs"}
    return {**resolved(root, defs), "$defs": defs}


def not_finite(value: Any, place: str) -> str | None:
    """Where an infinity or NaN is, which pydantic reads and JSON has no way to write; None when nowhere."""
    if isinstance(value, float):
        return None if math.isfinite(value) else place
    if isinstance(value, dict):
        inner = (not_finite(each, f"{place}.{name}") for name, each in value.items())
    elif isinstance(value, list):
        inner = (not_finite(each, f"{place}.{position}") for position, each in enumerate(value))
    else:
        return None
    return next((found for found in inner if found), None)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _check_encodable(json_schema: dict[str, Any], source: str) -> None:
    """Refuse what no request can carry: objects, and lone surrogates, as bytes that are not UTF-8 become."""
    try:
        json.dumps(json_schema, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        shown = ascii(error.object[max(0, error.start - 20) : error.end])
        where = source if source.isprintable() else "the schema"
        raise UsageError(f"{where}: not UTF-8 after {shown}") from None
    except (TypeError, ValueError) as error:  # json_schema_extra takes whatever it is given
        raise UsageError(f"{source}: its JSON Schema is no JSON: {error}") from None


def _check_keywords(json_schema: dict[str, Any], source: str) -> None:
    """Refuse keywords whose values are of the wrong kind, which `json_schema_extra` can bring in."""
    waiting: list[Any] = [json_schema, *definitions(json_schema).values()]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, dict):
            continue
        for keyword, kinds in KINDS.items():
            if keyword in node and not isinstance(node[keyword], kinds):
                problem = f"{keyword!r} is {node[keyword]!r}, which JSON Schema does not allow"
                raise UsageError(
                    f"{source}: its JSON Schema is not valid: {problem}", hint="see json_schema_extra"
                )
        waiting += [child for _, child in children(node)]


def _check_root(model: type[pydantic.BaseModel], source: str) -> None:
    if issubclass(model, pydantic.RootModel):
        raise UsageError(
            f"{source}: {model.__name__} is a RootModel: a row must be an object with named fields",
            hint=f"wrap it: class Row(BaseModel): items: {model.__name__}; --explode items gives a row for each",
        )
    if not model.model_fields:
        raise UsageError(f"{source}: {model.__name__} has no fields", hint="give it at least one field")


def _check_validators(model: type[pydantic.BaseModel], source: str) -> None:
    """Refuse what instructor's async validators mark: nothing in a run would ever await them."""
    for owner in model.__mro__:
        for name, member in vars(owner).items():
            if any(hasattr(member, mark) for mark in ("__async_validator__", "__async_model_validator__")):
                raise UsageError(
                    f"{source}: {model.__name__}.{name} is an async validator, which is never awaited here",
                    hint="make it a pydantic field_validator or model_validator",
                )


def _tool_name(name: str) -> str:
    return _TOOL_NAME.sub("_", name).strip("_")[:64] or "Extraction"


def _docstring(model: type[pydantic.BaseModel], json_schema: dict[str, Any]) -> str | None:
    """The JSON Schema's description: pydantic leaves inherited docstrings out of it."""
    described = json_schema.get("description") or (model.__doc__ if "__doc__" in vars(model) else None)
    return described.strip() if isinstance(described, str) and described.strip() else None


def _output_names(model: type[pydantic.BaseModel]) -> list[str]:
    names = [
        info.serialization_alias or name for name, info in model.model_fields.items() if not info.exclude
    ]
    return names + _computed_names(model)


def _computed_names(model: type[pydantic.BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_computed_fields.items()]


def _fingerprint(name: str, json_schema: dict[str, Any]) -> str:
    text = json.dumps([name, json_schema], separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
