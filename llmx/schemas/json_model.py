"""A Pydantic model for a JSON Schema: attributes with types over data that JsonCheck has validated.

The check is the contract and covers every keyword; the model gives the data its shape. Where a
schema says more than Python types can, the field is `Any` and holds the checked JSON as it is.
"""

from __future__ import annotations

import copy
import re
from typing import Any, ClassVar, ForwardRef, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, create_model, model_serializer, model_validator
from pydantic_core.core_schema import SerializationInfo, SerializerFunctionWrapHandler

from llmx.schemas.json_check import JsonCheck
from llmx.schemas.keywords import Node, definitions, ref_name, resolved, types_of
from llmx.schemas.merge import merge_all_of
from llmx.schemas.naming import attribute_names

__all__ = ["JsonSchemaModel", "model_from_json_schema"]

_MORE_PROPERTIES = {
    "patternProperties",
    "unevaluatedProperties",
    "anyOf",
    "oneOf",
    "allOf",
    "if",
    "dependentSchemas",
}
_SCALARS: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "null": type(None),
}


class _JsonSchemaObject(BaseModel):
    """An object inside the data. A property that was absent stays absent when it is dumped."""

    model_config = ConfigDict(allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _only_what_is_there(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        for name, field in type(self).model_fields.items():
            if name not in self.model_fields_set and field.default is None:
                dumped.pop((info.by_alias and field.alias) or name, None)
        return dumped


class JsonSchemaModel(_JsonSchemaObject):
    """The root: validates with its check, and answers for its JSON Schema with the author's own."""

    __llmx_check__: ClassVar[JsonCheck]
    __llmx_json_schema__: ClassVar[Node]

    @model_validator(mode="before")
    @classmethod
    def _checked(cls, data: Any) -> Any:
        return cls.__llmx_check__.settled(data) if isinstance(data, dict) else data

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> Node:
        """The schema the model was built from, in normal form."""
        return copy.deepcopy(cls.__llmx_json_schema__)


def model_from_json_schema(schema: Node, name: str, check: JsonCheck) -> type[BaseModel]:
    """Build the model.

    Args:
        schema: in normal form, its root an object with properties.
        name: of the class.
        check: validates against the schema as it was written.
    """
    builder = _Builder(definitions(schema))
    root = builder.object_model(schema, name, JsonSchemaModel)
    assert issubclass(root, JsonSchemaModel)
    root.__llmx_check__ = check
    root.__llmx_json_schema__ = schema
    builder.complete()
    return root


class _Builder:
    """Makes types, one model for each object, and lets recursive ones name each other."""

    def __init__(self, defs: dict[str, Any]) -> None:
        self._defs = defs
        self._models: dict[str, type[BaseModel] | None] = {}
        self._by_definition: dict[str, Any] = {}

    def complete(self) -> None:
        """Let the models find each other by name."""
        names = {_reference(name): model for name, model in self._models.items()}
        for model in self._models.values():
            if model is not None:
                model.model_rebuild(_types_namespace=names)

    def object_model(
        self, node: Node, name: str, base: type[BaseModel] = _JsonSchemaObject
    ) -> type[BaseModel]:
        whole = merge_all_of(node, self._defs) or node
        name = self._class_name(name)
        self._models[name] = None
        # What is required is a field, though it be described nowhere.
        properties = dict(whole.get("properties", {}))
        properties |= {key: True for key in whole.get("required", ()) if key not in properties}
        names = attribute_names(properties)
        fields: dict[str, Any] = {
            names[key]: self._field(key, names[key], child, key in whole.get("required", ()))
            for key, child in properties.items()
        }
        more = whole.get("additionalProperties", False) is not False or _MORE_PROPERTIES & node.keys()
        shell = type(
            name, (base,), {"model_config": ConfigDict(extra="allow" if more else "ignore"), "__doc__": ""}
        )
        model: type[BaseModel] = create_model(
            name, __base__=shell, __module__=__name__, __doc__=whole.get("description"), **fields
        )
        self._models[name] = model
        return model

    def _class_name(self, wanted: str) -> str:
        spelled = re.sub(r"\W", "_", wanted)
        spelled = spelled if spelled.isidentifier() else f"Object_{spelled}"
        name, number = spelled, 2
        while name in self._models:
            name, number = f"{spelled}_{number}", number + 1
        return name

    def _field(self, key: str, attribute: str, node: Any, required: bool) -> tuple[Any, Any]:
        declared = self._type(node, key.title())
        plain = resolved(node, self._defs)
        about = plain if isinstance(plain, dict) else {}
        default = about.get("default")
        optional = not required and default is None
        return (
            _union([declared, type(None)]) if optional else declared,
            Field(
                default=... if required else copy.deepcopy(default),
                alias=None if attribute == key else key,
                description=about.get("description"),
            ),
        )

    def _type(self, node: Any, name: str) -> Any:
        if not isinstance(node, dict):
            return Any
        if (definition := ref_name(node)) is not None:
            return self._definition(definition)
        whole = merge_all_of(node, self._defs)
        if whole is None:
            return Any
        if "enum" in whole or "const" in whole:
            return _literal(whole.get("enum", [whole.get("const")]))
        if branches := whole.get("anyOf") or whole.get("oneOf"):
            return Any if "properties" in whole else _union([self._type(branch, name) for branch in branches])
        return _union([self._plain(one, whole, name) for one in types_of(whole)])

    def _plain(self, json_type: str, node: Node, name: str) -> Any:
        if json_type == "object":
            return self._object(node, name)
        if json_type == "array":
            tuple_like = "prefixItems" in node
            return list[Any] if tuple_like else list[self._type(node.get("items", True), name)]  # type: ignore[misc]  # run time
        return _SCALARS[json_type]

    def _object(self, node: Node, name: str) -> Any:
        if node.get("properties"):
            return self.object_model(node, name)
        values = (
            Any
            if _MORE_PROPERTIES & node.keys()
            else self._type(node.get("additionalProperties", True), name)
        )
        return dict[str, values]  # type: ignore[valid-type]  # run time

    def _definition(self, definition: str) -> Any:
        """The type of a definition, made once; inside itself it goes by its name."""
        if definition not in self._by_definition:
            node = resolved({"$ref": f"#/$defs/{definition}"}, self._defs)
            is_object = isinstance(node, dict) and bool(node.get("properties")) and "enum" not in node
            reference = ForwardRef(_reference(self._class_name(definition)))
            self._by_definition[definition] = reference if is_object else Any
            self._by_definition[definition] = self._type(node, definition)
        return self._by_definition[definition]


def _reference(name: str) -> str:
    """A class's name as annotations have it: one that no field can have, since fields are looked up first."""
    return f"_{name}"


def _union(types: list[Any]) -> Any:
    if not types or Any in types:
        return Any
    return Union[tuple(types)]  # noqa: UP007 - of types known at run time only


def _literal(values: list[Any]) -> Any:
    if all(value is None or type(value) in (str, int, bool) for value in values):
        return Literal[tuple(values)]
    return Any
