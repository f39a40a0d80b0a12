"""A schema's fields one by one: each is validated and written as in the whole object, without the others.

What a field's own type, constraints and validators say is held to; what validators of the whole model, or those that look at
other fields, say is not known before the whole is there. A field that cannot be judged by itself is simply not told of early.
Nothing here decides about an answer: that is for the schema's own `parse`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from pydantic import BaseModel
from pydantic_core import SchemaValidator

from llmx.quality.envelope import ANSWER
from llmx.schemas import Schema
from llmx.schemas.json_check import JsonCheck
from llmx.schemas.keywords import definitions, property_schemas
from llmx.schemas.schema import not_finite

__all__ = ["Fields"]


class _Field(Struct):
    """One field of a model.

    Args:
        name: the attribute's.
        written: the name by which it is written.
        schema: pydantic-core's, of this field in its model.
        validate: made when it is first asked for.
    """

    name: str
    written: str
    schema: Mapping[str, Any]
    validate: SchemaValidator | None = None


class Fields:
    """The fields at the top of a schema; made once for all its rows.

    Args:
        schema: of answers: the user's own, or one around it.
    """

    def __init__(self, schema: Schema) -> None:
        self.own = schema.own
        self.within = None if schema.own is schema else ANSWER
        self._model = self.own.model
        self._core = _model_fields(self._model)
        self._check = _property_check(self.own) if self.own.takes_null_for_absent else None
        self._required = frozenset(self.own.json_schema.get("required", ()))
        self._by_key = self._keyed() if self._model.model_dump is BaseModel.model_dump else {}

    def completed(self, key: str, text: str) -> dict[str, Any]:
        """What is written of a property that an answer has: by the names of the fields, and in JSON's types.

        Args:
            key: its name in the answer.
            text: its value's JSON.

        Returns:
            None of those that do not fit, or of which that cannot be told yet.
        """
        values: dict[str, Any] = {}
        for field in self._by_key.get(key, ()):
            try:
                written = self._written(field, *self._validated(field, key, text))
                if field.written in written and not not_finite(written[field.written], key):
                    values[field.written] = written[field.written]
            except (Exception, SystemExit):  # noqa: BLE001, S112  # a user's validator may raise anything: the whole decides
                continue
        return values

    def _keyed(self) -> dict[str, list[_Field]]:
        """The fields that each property of an answer may be for."""
        core, fields = self._core, dict[str, list[_Field]]()
        by_name = any(self._model.model_config.get(name) for name in ("populate_by_name", "validate_by_name"))
        for name, schema in {} if core is None else core.fields.items():
            written = self._model.model_fields[name].serialization_alias or name
            if written not in self.own.fields:
                continue
            keys = set(_first_steps(schema.get("validation_alias", name))) | ({name} if by_name else set())
            one = _Field(name, written, schema)
            for key in keys:
                fields.setdefault(key, []).append(one)
        return fields

    def _validated(self, field: _Field, key: str, text: str) -> tuple[Any, bool]:
        """The field's value, and whether it was set. Raises what the schema's own `parse` may."""
        assert self._core is not None
        if field.validate is None:
            field.validate = self._core.validator(field)
        if self._check is None:
            values, _, given = field.validate.validate_json(f"{{{json.dumps(key)}:{text}}}")
            if field.name not in given:
                raise ValueError("it may come of another property")
            return values[field.name], True
        data = self._check.settled({key: json.loads(text)})
        if key not in data and key in self._required:
            raise ValueError("null where there must be a value")
        values, _, given = field.validate.validate_python(data)
        return values[field.name], field.name in given

    def _written(self, field: _Field, value: Any, is_set: bool) -> dict[str, Any]:
        """What is written of a model with this value alone."""
        partial = self._model.__new__(self._model)
        object.__setattr__(partial, "__dict__", {field.name: value})
        object.__setattr__(partial, "__pydantic_fields_set__", {field.name} if is_set else set())
        object.__setattr__(partial, "__pydantic_extra__", None)
        object.__setattr__(partial, "__pydantic_private__", None)
        serialize = self._model.__pydantic_serializer__.to_python
        written = serialize(partial, mode="json", by_alias=True, include={field.name})
        absent = {} if is_set else {field.written: None}  # as `Schema.dump` has it
        return {**absent, **written}


class _Core(Struct, frozen=True):
    """What pydantic-core knows of a model's fields.

    Args:
        fields: by the attributes' names.
        definitions: that they may refer to.
        config: of the model.
    """

    fields: Mapping[str, Mapping[str, Any]]
    definitions: list[Any]
    config: Any

    def validator(self, field: _Field) -> SchemaValidator:
        """A validator of objects with this field alone; it gives the values, what is beside them, and what was set."""
        alone: Any = {
            "type": "model-fields",
            "fields": {field.name: field.schema},
            "extra_behavior": "ignore",
        }
        whole: Any = {"type": "definitions", "schema": alone, "definitions": self.definitions}
        return SchemaValidator(whole if self.definitions else alone, self.config)


def _model_fields(model: type[BaseModel]) -> _Core | None:
    """The fields in a model's core schema, below what validates the model as a whole; None where they are not found.

    The schema's form is pydantic-core's (`pydantic_core.core_schema`).
    """
    node: Any = model.__pydantic_core_schema__
    known: list[Any] = []
    config: Any = None
    for _ in _layers():
        match node.get("type"):
            case "definitions":
                known = node["definitions"]
            case "definition-ref":
                node = next((one for one in known if one.get("ref") == node["schema_ref"]), {})
                continue
            case "model":
                config = node.get("config")
            case "model-fields":
                return _Core(node["fields"], known, config)
        if not isinstance(node.get("schema"), Mapping):
            return None
        node = node["schema"]
    return None


def _layers() -> Iterator[int]:
    """More than any model has validators around its fields."""
    return iter(range(1_000))


def _first_steps(alias: Any) -> Iterator[str]:
    """The properties in which a field's value may be: of an alias, of a path, or of several."""
    if isinstance(alias, str):
        yield alias
    elif alias and isinstance(alias[0], list):
        yield from (str(path[0]) for path in alias)
    elif alias:
        yield str(alias[0])


def _property_check(schema: Schema) -> JsonCheck:
    """Checks objects against the schemas of their properties alone."""
    from jsonschema import Draft202012Validator

    parts = {
        "$defs": definitions(schema.json_schema),
        "title": schema.name,
        "properties": property_schemas(schema.json_schema),
    }
    return JsonCheck(parts, Draft202012Validator)
