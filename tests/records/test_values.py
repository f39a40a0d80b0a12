"""Values as JSON and as leaves."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import types
import uuid
from pathlib import PurePosixPath
from typing import Any

import pydantic
import pytest

from llmx.records import flatten, to_json


class Tone(enum.Enum):
    """An enum."""

    GOOD = "good"


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int


class Model(pydantic.BaseModel):
    """A pydantic model."""

    price: decimal.Decimal


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": [1, None, True], "a": "ü\u2028"}, '{"b":[1,null,true],"a":"ü\u2028"}'),
        (decimal.Decimal("1.10"), '"1.10"'),
        (datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC), '"2024-02-29T12:00:00+00:00"'),
        (datetime.date(2024, 2, 29), '"2024-02-29"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Tone.GOOD, '"good"'),
        (Point(1), '{"x":1}'),
        (Model(price=decimal.Decimal("1.10")), '{"price":"1.10"}'),
        (float("nan"), "null"),
        ({1}, "[1]"),
        (b"text", '"text"'),
        (b"\xff", '"/w=="'),
        (PurePosixPath("a/b"), '"a/b"'),
        (types.MappingProxyType({"a": 1}), '{"a":1}'),
        (
            [2**70, Tone.GOOD, datetime.date(2024, 2, 29), {2}],
            '[1180591620717411303424,"good","2024-02-29",[2]]',
        ),
        (["\ud800", "ü"], '["\\ud800","\\u00fc"]'),
        (
            {"n": 2**70, "x": [float("nan"), (1.5, float("inf"))]},
            '{"n":1180591620717411303424,"x":[null,[1.5,null]]}',
        ),
    ],
)
def test_values_have_one_json(value: Any, expected: str) -> None:
    """Compact, in UTF-8, without losing digits."""
    assert to_json(value) == expected.encode()


@pytest.mark.parametrize("value", [object(), [2**70, object()]])
def test_a_value_without_json_is_our_bug(value: Any) -> None:
    """It is told by its type."""
    with pytest.raises(TypeError):
        to_json(value)


def test_leaves_have_dotted_names() -> None:
    """Lists and empty objects are leaves."""
    row = {"a": {"b": {"c": 1}, "d": {}}, "e": [{"f": 2}]}

    assert list(flatten(row)) == [("a.b.c", 1), ("a.d", {}), ("e", [{"f": 2}])]
