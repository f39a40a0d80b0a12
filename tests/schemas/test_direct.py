"""Validating and dumping without pydantic's own methods in between."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field, SerializeAsAny, ValidationError, model_validator

from llmx.schemas.direct import dumper, validator


class Plain(BaseModel):
    """What most schemas are."""

    name: str = Field(serialization_alias="Name")


def test_it_is_what_pydantics_methods_do() -> None:
    """An object of an answer, its names by alias, and an error for what does not fit."""
    value = validator(Plain)('{"name": "Ada"}')
    assert value == Plain.model_validate_json('{"name": "Ada"}')
    assert dumper(Plain)(value) == value.model_dump(mode="json", by_alias=True) == {"Name": "Ada"}
    with pytest.raises(ValidationError):
        validator(Plain)("{}")


def test_methods_of_the_class_are_called() -> None:
    """Whoever has overridden them means it."""

    class Own(BaseModel):
        name: str

        @classmethod
        def model_validate_json(cls, json_data: Any, **_: Any) -> Own:
            return cls(name=f"read {json_data}")

        def model_dump(self, **_: Any) -> dict[str, Any]:
            return {"name": f"written {self.name}"}

    value = validator(Own)("x")
    assert dumper(Own)(value) == {"name": "written read x"}


def test_an_instance_of_another_class_is_dumped_as_such() -> None:
    """A validator may give one, with fields and methods of its own."""

    class Base(BaseModel):
        name: str

        @model_validator(mode="wrap")
        @classmethod
        def more(cls, data: Any, handler: Any) -> Any:
            return handler(data) if cls is not Base else Longer(name="Ada", age=36)

    class Longer(Base):
        age: int

    value = validator(Base)('{"name": "x"}')
    assert type(value) is Longer
    assert dumper(Base)(value) == value.model_dump(mode="json", by_alias=True) == {"name": "Ada", "age": 36}


def test_what_is_inside_is_dumped_as_it_says() -> None:
    """Serializers of fields are pydantic's business as before."""

    class Holder(BaseModel):
        inner: SerializeAsAny[BaseModel]

    value = Holder(inner=Plain(name="Ada"))
    assert dumper(Holder)(value) == value.model_dump(mode="json", by_alias=True)
