"""The ready-made schemas: every provider takes them whole, and they take what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmx.schemas import DIALECTS, Dialect, lint, load_schema, ready, ready_made, wire_schema
from llmx.schemas.advice import advise

NAMES = list(ready_made())


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", NAMES)
def test_no_provider_refuses_or_weakens_them(name: str, dialect: Dialect) -> None:
    """They are made of what every provider enforces."""
    findings = wire_schema(load_schema(name, cwd=Path()), dialect).findings
    assert {one.level for one in findings} <= {"rewritten"}


@pytest.mark.parametrize("name", NAMES)
def test_they_pass_the_lint(name: str) -> None:
    """And every field is described, and so is the whole."""
    schema = load_schema(name, cwd=Path())
    assert lint(schema) == ()
    assert advise(schema) == ()
    assert schema.description
    assert all("description" in field for field in schema.json_schema["properties"].values())


@pytest.mark.parametrize("name", NAMES)
def test_each_says_in_a_line_what_it_is(name: str) -> None:
    """For `llmx schema list`."""
    line = ready.summary(ready_made()[name])
    assert line.endswith(".")
    assert len(line) < 90


@pytest.mark.parametrize("name", ["address", "contact"])
def test_everything_may_be_absent(name: str) -> None:
    """A text that holds nothing of it gives a row of nulls."""
    schema = load_schema(name, cwd=Path())
    assert schema.dump(schema.parse("{}")) == dict.fromkeys(schema.fields)


def test_an_invoice() -> None:
    """Dates, amounts and lines come out as JSON."""
    schema = load_schema("invoice", cwd=Path())
    answer = {
        "number": "7",
        "issued": "2024-02-29",
        "total": 12.5,
        "lines": [{"description": "tea", "amount": 12.5}],
    }
    dumped = schema.dump(schema.parse(json.dumps(answer)))
    assert dumped["issued"] == "2024-02-29"
    line = {"description": "tea", "quantity": None, "unit_price": None, "amount": 12.5}
    assert dumped["lines"] == [line]
