"""A model's validator and serializer without pydantic's own methods around them, which take as long as the work itself.

A class that has methods of its own in their stead is asked by those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

__all__ = ["Dump", "Validate", "dumper", "validator"]

Validate = Callable[[str], BaseModel]
Dump = Callable[[BaseModel], Any]


def validator(model: type[BaseModel]) -> Validate:
    """What `model.model_validate_json` does. The class must be complete."""
    own: Any = model.model_validate_json
    if own.__func__ is not BaseModel.model_validate_json.__func__:  # type: ignore[attr-defined]  # a bound method
        return model.model_validate_json
    return model.__pydantic_validator__.validate_json


def dumper(model: type[BaseModel]) -> Dump:
    """What `model_dump` does for what is written, in JSON's types and by alias. The class must be complete."""
    serialize = model.__pydantic_serializer__.to_python
    overridden = model.model_dump is not BaseModel.model_dump

    def dump(value: BaseModel) -> Any:
        if overridden or type(value) is not model:  # a validator may give an instance of another class
            return value.model_dump(mode="json", by_alias=True)
        return serialize(value, mode="json", by_alias=True)

    return dump
