"""Several answers to one row's question as one completion: what most of them say, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmx.errors import InvalidAnswer
from llmx.quality.leaves import Path, at, belongs, leaves, read
from llmx.quality.majority import Ballot, Majority, majority, normal
from llmx.records.values import to_json
from llmx.types import Completion, Quality, Quote, Source

__all__ = ["agreed"]

_SOURCES: tuple[Source, ...] = ("model", "coalesced", "journal", "semantic", "cache")
"""Of several, the one that comes first here says where the whole came from."""


def agreed(
    votes: Sequence[Completion], *, asked: int, parse: Callable[[str], Any], answer_in: Callable[[Any], Any]
) -> Completion:
    """The votes as one completion, each field by majority.

    Where the fields that most agree on do not go together in one object, the vote that most agree with stands as it is.

    Args:
        votes: valid answers, at least one, in their order.
        asked: how many were asked for: those that are not there agree with nobody.
        parse: makes the user's object of an answer's JSON text.
        answer_in: the answer to the user's schema in what a completion's JSON text holds.
    """
    answers = [_answer(vote, answer_in) for vote in votes]
    merged = majority(answers)
    try:
        text = to_json(merged.value).decode()
        value = parse(text)
    except (ValueError, InvalidAnswer):
        best = _most_central(answers, merged)
        merged, value = _as_is(answers, best), votes[best].value
        text = to_json(merged.value).decode()
    told = {path: ballots for path, ballots in merged.support.items() if belongs(value, path)}
    return Completion(
        text,
        votes[0].usage,
        ", ".join(dict.fromkeys(vote.model for vote in votes)),
        source=min((vote.source for vote in votes), key=_SOURCES.index),
        value=value,
        quality=Quality(_evidence(told, votes), _confidence(told, votes, asked)),
        likenesses=[likeness for vote in votes for likeness in vote.likenesses],
    )


def _answer(vote: Completion, answer_in: Callable[[Any], Any]) -> Any:
    """A vote as its model wrote it; as it was read, where a model of the user's reads what is no JSON."""
    try:
        return answer_in(read(vote.text))
    except ValueError:
        return vote.value.model_dump(mode="json", by_alias=True)


def _most_central(answers: Sequence[Any], merged: Majority) -> int:
    """The vote that supports the most of what was merged."""
    counts = [0] * len(answers)
    for ballots in merged.support.values():
        for ballot in ballots:
            counts[ballot.vote] += 1
    return counts.index(max(counts))


def _as_is(answers: Sequence[Any], vote: int) -> Majority:
    """One vote's answer, and who says the same in the same place."""
    support: dict[Path, list[Ballot]] = {}
    for path, leaf in leaves(answers[vote]):
        there = [Ballot(number, path, at(answer, path)) for number, answer in enumerate(answers)]
        same = [ballot for ballot in there if ballot.vote == vote or normal(ballot.value) == normal(leaf)]
        support[path] = same
    return Majority(answers[vote], support)


Support = Mapping[Path, Sequence[Ballot]]


def _confidence(support: Support, votes: Sequence[Completion], asked: int) -> dict[Path, float]:
    """The share of the votes that are for each value, each counted by how sure its model was of it."""
    return {
        path: sum(_weight(votes[ballot.vote].quality, ballot.path) for ballot in ballots) / asked
        for path, ballots in support.items()
    }


def _weight(quality: Quality | None, path: Path) -> float:
    known: Mapping[Path, float] = (quality.confidence if quality else None) or {}
    return known.get(path, 1.0)


def _evidence(support: Support, votes: Sequence[Completion]) -> dict[Path, Quote | None] | None:
    """What those rest on that are for a value: the first words that are in the row."""
    maps = [vote.quality.evidence if vote.quality else None for vote in votes]
    if all(found is None for found in maps):
        return None
    evidence: dict[Path, Quote | None] = {}
    for path, ballots in support.items():
        quotes = [found[b.path] for b in ballots if b.path in (found := maps[b.vote] or {})]
        if quotes:
            evidence[path] = next((quote for quote in quotes if quote is not None), None)
    return evidence
