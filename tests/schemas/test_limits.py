"""How large a schema may be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import create_model

from llmx.schemas import Dialect, schema_of, supports, wire_schema
from llmx.schemas.limits import openai_limits


def refused(document: Any, dialect: Dialect) -> list[str]:
    """What is refused of a schema."""
    return [
        one.message for one in wire_schema(schema_of(document), dialect).findings if one.level == "refused"
    ]


def nested(levels: int) -> dict[str, Any]:
    """Objects within objects."""
    node: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        node = {"type": "object", "properties": {"a": node}, "required": ["a"]}
    return node


def wide(count: int) -> dict[str, Any]:
    """An object with many properties."""
    names = [f"p{number}" for number in range(count)]
    return {"type": "object", "properties": {name: {"type": "null"} for name in names}, "required": names}


def choices(count: int, length: int = 4) -> dict[str, Any]:
    """A property with many choices."""
    values = [f"{number:0{length}}" for number in range(count)]
    return {"type": "object", "properties": {"a": {"enum": values}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("fits", "too_much", "message"),
    [
        (nested(10), nested(11), "11 levels of nested objects: at most 10 are allowed"),
        (wide(5000), wide(5001), "5001 properties: at most 5000 are allowed"),
        (choices(1000), choices(1001), "1001 choices in all enums: at most 1000 are allowed"),
        (choices(250, 61), choices(251, 61), "15311 characters of choices: at most 15000 are allowed"),
        (
            choices(249, 480),
            choices(250, 480),
            "120001 characters of names and choices: at most 120000 are allowed",
        ),
    ],
)
def test_openai_limits(fits: Any, too_much: Any, message: str) -> None:
    """At the limit it passes, one more is refused."""
    assert list(openai_limits(fits)) == []
    assert [one.message for one in openai_limits(too_much)] == [message]


def test_over_a_limit_a_schema_is_refused() -> None:
    """The limits are part of what is found."""
    assert refused(nested(10), "openai-strict") == []
    assert refused(nested(11), "openai-strict") == ["11 levels of nested objects: at most 10 are allowed"]


def test_recursion_is_not_counted_without_end() -> None:
    """A definition inside itself counts once."""
    document = {
        "type": "object",
        "properties": {"a": {"$ref": "#"}, "v": {"type": "null"}},
        "required": ["v"],
    }
    assert refused(document, "openai-strict") == []


def model(nullable: int, optional: int, unions: int) -> Any:
    """A model with so many fields of each kind."""
    fields: dict[str, Any] = {f"n{number}": (str | None, None) for number in range(nullable)}
    fields |= {f"o{number}": (str, "x") for number in range(optional)}
    fields |= {f"u{number}": (str | int, ...) for number in range(unions)}
    return create_model("Row", **fields)


@pytest.mark.parametrize(
    ("nullable", "optional", "unions", "fits"),
    [
        (16, 0, 0, True),
        (40, 0, 0, True),
        (41, 0, 0, False),
        (0, 25, 0, False),
        (0, 0, 17, False),
        (30, 5, 5, True),
    ],
)
def test_anthropic_limits(nullable: int, optional: int, unions: int, fits: bool) -> None:
    """Optional properties and unions are counted; a field that is both can be made either."""
    assert fits == supports(schema_of(model(nullable, optional, unions)), "anthropic-native")


def test_within_the_limits_nothing_is_made_required() -> None:
    """Fields are spread only where there are too many."""
    assert wire_schema(schema_of(model(16, 0, 0)), "anthropic-native").findings == ()
    found = wire_schema(schema_of(model(17, 0, 0)), "anthropic-native").findings
    assert {one.level for one in found} == {"rewritten"}
