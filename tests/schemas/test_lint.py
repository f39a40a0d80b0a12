"""What is questionable whatever the provider."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, create_model

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


def test_formats_that_nothing_checks() -> None:
    """The standard makes an unknown format an annotation."""
    properties = {"a": {"type": "string", "format": "iban"}, "b": {"type": "string", "format": "date"}}
    found = lint(schema_of({"type": "object", "properties": properties}))
    assert [(one.path, one.message) for one in found] == [("a", "the format 'iban' is not checked")]
