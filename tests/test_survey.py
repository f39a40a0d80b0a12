"""What an earlier run has left to do, in words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llmx.survey import Survey


def test_a_first_run_says_nothing():
    """There is nothing to say."""
    assert Survey().lines == []


@pytest.mark.parametrize(
    ("survey", "line"),
    [
        (Survey(done=7, total=10), "resuming: 7 of 10 rows done"),
        (Survey(done=1_234, total=None), "resuming: 1,234 rows done"),
    ],
)
def test_nothing_has_changed(survey: Survey, line: str):
    """How far it has come; of standard input nobody knows the total."""
    assert survey.lines == [line]


@pytest.mark.parametrize(
    ("survey", "lines"),
    [
        (
            Survey(["schema"], 0, 10, 10, Decimal("0.1234")),
            ["changed since the last run: schema", "10 of 10 rows will be asked about, about $0.1234"],
        ),
        (
            Survey(["prompt", "parameters"], 8, 1_000, 992, Decimal(12)),
            [
                "changed since the last run: prompt, parameters",
                "992 of 1,000 rows will be asked about, about $12.00",
            ],
        ),
        (
            Survey(["input"], 8, 10, 2, Decimal(0), new=2, gone=3),
            [
                "changed since the last run: input rows (2 new, 3 gone)",
                "2 of 10 rows will be asked about, about $0",
            ],
        ),
        (
            Survey(["input"], 9, 9, 0, Decimal(0), gone=1),
            ["changed since the last run: input rows (1 gone)", "0 of 9 rows will be asked about"],
        ),
        (
            Survey(["input"], 9, 9, 1, None, new=1),
            [
                "changed since the last run: input rows (1 new)",
                "1 of 9 rows will be asked about, cost unknown",
            ],
        ),
        (
            Survey(["model"], 1, 200_000, 150_000, Decimal("30.5"), exact=False),
            [
                "changed since the last run: model",
                "about 150,000 of 200,000 rows will be asked about, about $30.50",
            ],
        ),
        (
            Survey(["schema"], 5),
            [
                "changed since the last run: schema",
                "the input cannot be looked at beforehand: rows without a stored answer will be asked about",
            ],
        ),
    ],
    ids=["all", "many", "rows", "fewer rows", "cost unknown", "extrapolated", "stdin"],
)
def test_something_has_changed(survey: Survey, lines: list[str]):
    """What, how many rows are asked about for it, and what that may cost."""
    assert survey.lines == lines
