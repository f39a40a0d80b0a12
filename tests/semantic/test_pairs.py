"""The shipped pairs: what docs/semantic-cache.md says of the guards is so."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from llmx.semantic.embedding import Embedding

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def semantic(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark, as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "semantic", raising=False)
    import semantic

    return semantic


@pytest.mark.parametrize(("name", "pairs", "saved"), [("development", 300, 0.70), ("held out", 330, 0.70)])
@pytest.mark.parametrize("least", [0.90, 0.97])
def test_hits_are_right(semantic: ModuleType, name: str, pairs: int, saved: float, least: float) -> None:
    """At most 1 % of the different pairs would be given a wrong answer, and most of the same ones save a call."""
    embedding = Embedding()
    found = semantic.read_pairs(semantic.FILES[name])
    scores = [semantic.guarded(pair, embedding) for pair in found]
    rates = semantic.rates(found, scores, least)
    assert len(found) >= pairs
    assert rates.wrong_of_different <= 0.01
    assert rates.saved_of_same >= saved


@pytest.mark.parametrize("least", [0.90, 0.97])
def test_few_hits_are_wrong(semantic: ModuleType, least: float) -> None:
    """At most 1 % of those on all pairs together."""
    embedding = Embedding()
    found = [pair for file in semantic.FILES.values() for pair in semantic.read_pairs(file)]
    scores = [semantic.guarded(pair, embedding) for pair in found]
    assert semantic.rates(found, scores, least).wrong_of_hits <= 0.01


def test_similarity_alone_is_wrong(semantic: ModuleType) -> None:
    """Which is why there are guards: more than half of the different pairs pass at 0.97."""
    embedding = Embedding()
    found = semantic.read_pairs(semantic.FILES["held out"])
    scores = [semantic.unguarded(pair, embedding) for pair in found]
    assert semantic.rates(found, scores, 0.97).wrong_of_different > 0.5
