"""Templates: which columns they use, and what is wrong with them."""

from __future__ import annotations

import pytest

from llmx.errors import UnreadableRow, UsageError
from llmx.templates import ROW, compiled, rendered


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("{{ a }}", ["a"]),
        ('{{ row["b c"] }}{{ row.a }}', ["a", "b c"]),
        ("{{ row | tojson }}", ["a", "b c"]),
        ('{{ row["a"] }}{{ row | length }}', ["a", "b c"]),
        ("{{ row[a] }}", ["a", "b c"]),
        ("{% for name in row %}{{ name }}{% endfor %}", ["a", "b c"]),
        ("{{ row.items() | list }}", ["a", "b c"]),
        ('{{ row.get("a") }}', ["a", "b c"]),
        ('{{ row["gold"] }}', ["gold"]),
        ("{{ gold }}", ["gold"]),
    ],
)
def test_the_columns_that_a_template_uses(source: str, used: list[str]) -> None:
    """By name any, by row those that are shown; all of them where it is not to be seen which."""
    assert compiled(source, ["a", "b c", "gold"], ["a", "b c"])[1] == used


@pytest.mark.parametrize("source", ["{{ x }}", '{{ row["x"] }}', "{{ row.x }}"])
def test_a_column_that_is_not_there(source: str) -> None:
    """It is found before any call."""
    with pytest.raises(UsageError, match=r"--prompt: no column 'x'; there are a, gold"):
        compiled(source, ["a", "gold"], ["a"])


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("{{ ship-to }}", 'write {{ row["ship-to"] }}'),
        ("{{ due date }}", 'write {{ row["due date"] }}'),
        ("{{ zzz }}", ""),
    ],
)
def test_names_that_are_none_to_jinja2(source: str, hint: str) -> None:
    """How to write them is the hint."""
    with pytest.raises(UsageError) as caught:
        compiled(source, ["ship-to", "due date"], [])
    assert caught.value.hint == hint


@pytest.mark.parametrize("source", ["prompt.txt", "{% set row = 1 %}{{ row }}"])
def test_a_template_without_a_column(source: str) -> None:
    """All rows would be one."""
    with pytest.raises(UsageError, match=r"^--prompt: the template shows no column of the row$"):
        compiled(source, ["a"], ["a"])


def test_a_method_is_no_column() -> None:
    """jinja2 would show where it lies in memory."""
    with pytest.raises(UsageError, match=r"row\.items is no column") as caught:
        compiled("{{ row.items }}", ["items"], ["items"])
    assert caught.value.hint == 'write {{ row["items"] }}'
    assert compiled('{{ row["items"] }}', ["items"], ["items"])[1] == ["items"]


def test_columns_may_have_names_that_jinja2_uses() -> None:
    """A column called row is that column, and one called range no function."""
    template, used, _ = compiled("{{ row }}{{ range }}", ["row", "range"], ["row", "range"])
    assert used == ["range", "row"]
    assert rendered(template, {ROW: "a", "range": "b"}) == "ab"


def test_a_row_without_columns_has_none_to_miss() -> None:
    """Zero rows are no error, whatever a template names."""
    assert compiled('{{ a }}{{ row["b"] }}', [], [])[1] == ["a", "b"]


def test_a_row_that_fails_fails_alone() -> None:
    """Whatever a value's operators raise."""
    template, *_ = compiled("{{ 1 / a }}", ["a"], ["a"])
    with pytest.raises(UnreadableRow, match=r"^the prompt template failed on this row: division by zero$"):
        rendered(template, {"a": 0})
