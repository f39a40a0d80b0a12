"""What is told of how far a run's answers can be trusted."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llmx.events import Escalated, Event, RowSettled, RowsSettled, RunStarted, Sufficed
from llmx.report.trust import Trust
from llmx.types import Outcome, Quality, Quote, Record

HERE = Quote("x", "text", 0, 1, "exact")


def an_outcome(quality: Quality | None = None, endpoint: str = "a") -> Outcome:
    return Outcome(Record(0, {}), value=object(), quality=quality, endpoint=endpoint)


def told(*events: Event) -> Trust:
    trust = Trust()
    for event in events:
        trust(event)
    return trust


def test_nothing_is_told_of_what_nobody_asked_for():
    """A run without any of it says nothing of it."""
    trust = told(RowSettled(an_outcome()))
    assert (trust.as_json(), trust.lines()) == ({}, [])


def test_evidence_that_is_there():
    """Every value of every row."""
    trust = told(RowSettled(an_outcome(Quality({("a",): HERE}))))
    assert trust.lines() == ["evidence: every value of 1 row rests on words of the row"]


def test_evidence_that_is_missing():
    """In rows and in values."""
    lacking = an_outcome(Quality({("a",): None, ("b",): None, ("c",): HERE}))
    trust = told(RowSettled(lacking), RowsSettled([an_outcome(Quality({("a",): HERE}))]))
    assert trust.lines() == ["evidence: 2 values in 1 of 2 rows not in the row"]
    assert trust.as_json() == {"evidence": {"rows": 2, "rows_unsupported": 1, "values_unsupported": 2}}


def test_confidence():
    """By the least sure value of each row."""
    unsure, sure = Quality(None, {("a",): 1.0, ("b",): 0.5}), Quality(None, {("a",): 1.0})
    trust = told(RowsSettled([an_outcome(unsure), an_outcome(sure)]))
    assert trust.as_json() == {"confidence": {"rows": 2, "rows_certain": 1, "mean_least": 0.75}}
    assert trust.lines() == [
        "confidence: 1 of 2 rows certain, the least sure value 0.75 on average",
    ]


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        (Decimal("0.5"), " · about $0.4000 less than the dearest model alone"),
        (Decimal("0.05"), " · about $0.0500 more than the dearest model alone"),
        (None, ""),
    ],
)
def test_what_a_cascade_has_saved(saved: Decimal | None, words: str):
    """Less what was paid for answers that would not do; nothing where a price is not known."""
    trust = told(
        RunStarted(2, "a ⇒ b", 1, endpoints=["a", "b"], cascade=True),
        Sufficed("a", Decimal(0), saved),
        RowSettled(an_outcome(endpoint="a")),
        Escalated("a", "b", "votes", Decimal("0.1")),
        RowSettled(an_outcome(endpoint="b")),
    )
    assert trust.lines() == [f"cascade: 1 row by a cheaper model, 1 passed on (1 votes){words}"]
    total = None if saved is None else float(saved - Decimal("0.1"))
    assert trust.as_json()["cascade"]["saved"] == total


def test_rows_out_of_the_cache_are_a_cheaper_models_or_the_dearest():
    """Nobody was asked about them; who answered stands beside them."""
    trust = told(
        RunStarted(2, "a ⇒ b", 1, endpoints=["a", "b"], cascade=True),
        RowsSettled([an_outcome(endpoint="a"), an_outcome(endpoint="b")]),
    )
    assert trust.as_json()["cascade"]["sufficed"] == 1
