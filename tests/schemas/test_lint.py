"""What is questionable whatever the provider."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    Field,
    NaiveDatetime,
    SecretBytes,
    SecretStr,
    create_model,
)

from llmx.schemas import lint, schema_of


class Tree(BaseModel):
    """Contains itself."""

    children: list[Tree] = []


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, []),
        (
            dict[str, int],
            [("a", "a dictionary with free keys: which ones the model chooses differs from row to row")],
        ),
        (Any, [("a", "has no type: any value passes")]),
        (list[Any], [("a[]", "has no type: any value passes")]),
        (Tree, [("a", "Tree contains itself: answers may go deep")]),
    ],
)
def test_questions_about_models(annotation: Any, expected: list[tuple[str, str]]) -> None:
    """Each with its place."""
    found = lint(schema_of(create_model("Row", a=(annotation, ...))))
    assert expected == [(one.path, one.message) for one in found]


class Inside(BaseModel):
    """What is odd further in."""

    token: SecretBytes


class Odd(BaseModel):
    """Types that look well in JSON Schema."""

    a: str = Field(validation_alias=AliasPath("x", 0))
    b: str = Field(validation_alias=AliasChoices("b", AliasPath("y", 0)))
    c: SecretStr | None
    d: list[NaiveDatetime]
    e: dict[str, list[Inside]]
    f: datetime.datetime


def test_types_that_json_schema_does_not_give_away() -> None:
    """No answer fits, or the output shows nothing."""
    found = {one.path: one.message for one in lint(schema_of(Odd))}
    assert found.pop("a").endswith("no answer fits")
    assert (
        found.pop("c") == found.pop("e.token") == "a secret is written as asterisks: what was found is lost"
    )
    assert found.pop("d").endswith("few answers fit")
    assert list(found) == ["e"]  # a dictionary with free keys


def test_formats_that_nothing_checks() -> None:
    """The standard makes an unknown format an annotation."""
    properties = {"a": {"type": "string", "format": "iban"}, "b": {"type": "string", "format": "date"}}
    found = lint(schema_of({"type": "object", "properties": properties}))
    assert [(one.path, one.message) for one in found] == [("a", "the format 'iban' is not checked")]
