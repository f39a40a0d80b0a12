"""What several answers to one question agree on: the majority of every field, and who is for it.

Answers are JSON-like values, as models wrote them. Numbers are the same when they are equal, texts when they are but for
case, blanks and Unicode form (NFKC); objects are merged field by field, lists of values by what most of them hold, lists
of objects by position among those of the commonest length. Of equals the earlier vote's wins, so that it is the same every time.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from llmx.quality.leaves import ABSENT, Path

__all__ = ["Ballot", "Majority", "majority", "normal"]


class Ballot(NamedTuple):
    """One answer's value for one place.

    Args:
        vote: which answer's, from 0.
        path: where it stands in that answer.
    """

    vote: int
    path: Path
    value: Any


class Majority(Struct, frozen=True):
    """The merged answer.

    Args:
        value: of the form of the answers.
        support: of each leaf of `value`, and of each list of values, the ballots that are for it.
    """

    value: Any
    support: Mapping[Path, Sequence[Ballot]]


def majority(answers: Sequence[Any]) -> Majority:
    """Merge answers. `answers` are one or more; a value is any that JSON has."""
    support: dict[Path, Sequence[Ballot]] = {}
    ballots = [Ballot(vote, (), answer) for vote, answer in enumerate(answers)]
    return Majority(_merged(ballots, (), support), support)


def normal(value: Any) -> Hashable:
    """The same for values that count as one."""
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
    if value is ABSENT or value is None:
        return None
    if isinstance(value, bool):
        return ("truth", value)
    if isinstance(value, Mapping):
        return frozenset((name, normal(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return tuple(normal(inner) for inner in value)
    return ("number", value)


def _merged(ballots: Sequence[Ballot], path: Path, support: dict[Path, Sequence[Ballot]]) -> Any:
    alike = _most(ballots, lambda ballot: _kind(ballot.value))
    match _kind(alike[0].value):
        case "object":
            return _merged_objects(alike, path, support)
        case "list":
            return _merged_lists(alike, len(ballots), path, support)
    chosen = _most(alike, lambda ballot: normal(ballot.value))
    support[path] = chosen
    return chosen[0].value


def _kind(value: Any) -> str:
    """What can be merged with each other."""
    if isinstance(value, Mapping):
        return "object"
    return "list" if isinstance(value, list) else "value"


def _most(ballots: Sequence[Ballot], key: Callable[[Ballot], Hashable]) -> list[Ballot]:
    """The largest group of those that are the same; of groups as large the one that comes first."""
    groups: dict[Hashable, list[Ballot]] = {}
    for ballot in ballots:
        groups.setdefault(key(ballot), []).append(ballot)
    return max(groups.values(), key=len)


def _merged_objects(
    ballots: Sequence[Ballot], path: Path, support: dict[Path, Sequence[Ballot]]
) -> dict[str, Any]:
    names = dict.fromkeys(name for ballot in ballots for name in ballot.value)
    merged = {}
    for name in names:
        inner = [Ballot(b.vote, (*b.path, name), b.value.get(name, ABSENT)) for b in ballots]
        value = _merged(inner, (*path, name), support)
        if value is not ABSENT:
            merged[name] = value
        else:
            del support[(*path, name)]
    if not merged:
        support[path] = ballots
    return merged


def _merged_lists(
    ballots: Sequence[Ballot], votes: int, path: Path, support: dict[Path, Sequence[Ballot]]
) -> list[Any]:
    if all(_kind(element) == "value" for ballot in ballots for element in ballot.value):
        return _merged_sets(ballots, votes, path, support)
    alike = _most(ballots, lambda ballot: len(ballot.value))
    if not alike[0].value:
        support[path] = alike
    return [
        _merged([Ballot(b.vote, (*b.path, place), b.value[place]) for b in alike], (*path, place), support)
        for place in range(len(alike[0].value))
    ]


def _merged_sets(
    ballots: Sequence[Ballot], votes: int, path: Path, support: dict[Path, Sequence[Ballot]]
) -> list[Any]:
    """What more than half of all votes have, in the order in which most have it; where that is nothing, the list that most have."""
    holders = _holders(ballots)
    kept = [element for element, holder in holders.items() if 2 * len(holder) > votes]
    if not kept:
        kept = _elements(_most(ballots, lambda ballot: frozenset(_elements(ballot)))[0])
    same = [ballot for ballot in ballots if frozenset(_elements(ballot)) == frozenset(kept)]
    if same:
        kept = _elements(_most(same, lambda ballot: tuple(_elements(ballot)))[0])
    for place, element in enumerate(kept):
        support[(*path, place)] = holders[element]
    support[path] = same
    return [holders[element][0].value for element in kept]


def _elements(ballot: Ballot) -> list[Hashable]:
    """A list's elements, told apart from their equals before them: what a vote says twice is there twice."""
    times: Counter[Hashable] = Counter()
    found: list[Hashable] = []
    for element in map(normal, ballot.value):
        found.append((element, times[element]))
        times[element] += 1
    return found


def _holders(ballots: Sequence[Ballot]) -> dict[Hashable, list[Ballot]]:
    """By element, in the order in which they come: each ballot that has it."""
    holders: dict[Hashable, list[Ballot]] = {}
    for ballot in ballots:
        for place, element in enumerate(_elements(ballot)):
            there = Ballot(ballot.vote, (*ballot.path, place), ballot.value[place])
            holders.setdefault(element, []).append(there)
    return holders
