"""Several answers to one question as one completion."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, model_validator

from llmx.quality.votes import agreed
from llmx.schemas import schema_of
from llmx.types import Completion, Quality, Quote, Source, Usage

HERE = Quote("x", "text", 0, 1, "exact")


class Span(BaseModel):
    """Two numbers in order."""

    low: int
    high: int

    @model_validator(mode="after")
    def _is_in_order(self) -> Span:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


SCHEMA = schema_of(Span)


def vote(low: int, high: int, *, model: str = "m", source: Source = "model", **quality: Any) -> Completion:
    text = json.dumps({"low": low, "high": high})
    known = Quality(**quality) if quality else None
    return Completion(text, Usage(), model, source=source, value=SCHEMA.parse(text), quality=known)


def merged(*votes: Completion, asked: int | None = None) -> Completion:
    return agreed(votes, asked=asked or len(votes), parse=SCHEMA.parse, answer_in=lambda answer: answer)


def test_the_value_is_made_by_the_schema() -> None:
    """Of the merged answer, not of any vote's."""
    completion = merged(vote(1, 9), vote(1, 5), vote(2, 5))
    assert completion.value == Span(low=1, high=5)
    assert json.loads(completion.text) == {"low": 1, "high": 5}
    assert completion.quality is not None
    assert completion.quality.confidence == pytest.approx({("low",): 2 / 3, ("high",): 2 / 3})


def test_fields_that_do_not_go_together_are_not_put_together() -> None:
    """The vote that most agree with stands as it is, as sure as others say the same."""
    completion = merged(
        vote(6, 9), vote(6, 8), vote(1, 3), vote(2, 3), vote(3, 3)
    )  # 6 and 3 are what most say
    assert completion.value == Span(low=6, high=9)
    assert completion.quality is not None
    assert completion.quality.confidence == pytest.approx({("low",): 2 / 5, ("high",): 1 / 5})


def test_votes_that_are_missing_agree_with_nobody() -> None:
    """Two of five is not all of two."""
    completion = merged(vote(1, 2), vote(1, 2), asked=5)
    assert completion.quality is not None
    assert completion.quality.least == pytest.approx(0.4)


def test_each_vote_counts_by_how_sure_its_model_was() -> None:
    """What is not known of a value counts as sure."""
    completion = merged(
        vote(1, 2, confidence={("low",): 0.5}), vote(1, 2, confidence={("low",): 0.9, ("high",): 0.3})
    )
    assert completion.quality is not None
    assert completion.quality.confidence == pytest.approx({("low",): 0.7, ("high",): 0.65})


def test_evidence_is_that_of_votes_for_the_value() -> None:
    """The first that is there; of a value for which all have none, none; of others it is not known."""
    votes = [
        vote(1, 2, evidence={("low",): None, ("high",): None}),
        vote(1, 2, evidence={("low",): HERE, ("high",): None}),
        vote(1, 3, evidence={("low",): None, ("high",): HERE}),
    ]
    completion = merged(*votes)
    assert completion.quality is not None
    assert completion.quality.evidence == {("low",): HERE, ("high",): None}


def test_who_answered_and_whence() -> None:
    """All models, each once; a call counts before a journal, a journal before the cache."""
    completion = merged(vote(1, 2, source="cache"), vote(1, 2, model="n", source="journal"), vote(1, 2))
    assert (completion.model, completion.source) == ("m, n", "model")
    assert merged(vote(1, 2, source="cache"), vote(1, 2, source="journal")).source == "journal"
    assert merged(vote(1, 2, source="cache")).source == "cache"


def test_what_was_not_asked_for_is_not_told() -> None:
    """Votes may have more than the schema, even what is no JSON: nobody is less sure for that."""
    texts = ['{"low": 1, "high": 2, "note": NaN}', '{"low": 1, "high": 2, "note": "x"}']
    completion = merged(*(Completion(text, Usage(), "m", value=SCHEMA.parse(text)) for text in texts))
    assert completion.value == Span(low=1, high=2)
    assert completion.quality is not None
    assert completion.quality.confidence == {("low",): 1, ("high",): 1}


class Fenced(Span):
    """A model that reads its answers by itself."""

    @classmethod
    def model_validate_json(cls, json_data: Any, **options: Any) -> Any:
        return super().model_validate_json(json_data.strip("`"), **options)


def test_votes_that_only_the_users_model_can_read() -> None:
    """They count as they were read."""
    schema = schema_of(Fenced)
    votes = [
        Completion(text, Usage(), "m", value=schema.parse(text))
        for text in ('```{"low": 1, "high": 2}```', '```{"low": 1, "high": 3}```')
    ]
    completion = agreed(votes, asked=2, parse=schema.parse, answer_in=lambda answer: answer)
    assert completion.value == Fenced(low=1, high=2)
    assert completion.quality is not None
    assert completion.quality.confidence == {("low",): 1, ("high",): 0.5}
