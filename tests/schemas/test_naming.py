"""Attribute names for field names that Python would not take."""

from __future__ import annotations

import pytest

from llmx.schemas.naming import attribute_names


@pytest.mark.parametrize("name", ["name", "größe", "Name2", "field_"])
def test_usable_names_stay(name: str) -> None:
    """A name that can be an attribute is one."""
    assert {name: name} == attribute_names([name])


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("class", "class_"),
        ("first-name", "first_name"),
        ("model_x", "field_model_x"),
        ("json", "json_"),
        ("schema", "schema_"),
        ("_private", "private"),
        ("2nd", "field_2nd"),
        ("", "field_"),
        ("€", "field_"),
        ("a²", "a"),
        ("²", "field_"),
        ("model_config", "field_model_config"),
    ],
)
def test_other_names_are_spelled_with_underscores(name: str, attribute: str) -> None:
    """Keywords, pydantic's own names and odd characters get a name near their own."""
    assert {name: attribute} == attribute_names([name])


def test_spelled_names_are_kept_apart() -> None:
    """Two fields never share an attribute, and a usable name is never taken from its field."""
    names = attribute_names(["first-name", "first_name", "first name"])
    assert names == {"first-name": "first_name_2", "first_name": "first_name", "first name": "first_name_3"}
