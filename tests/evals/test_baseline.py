"""Two runs against one gold file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from evaluations import jsonl, pair
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.evals import Options
from llmx.evals.judging import Judged, judge
from llmx.evals.significance import holm, mcnemar
from llmx.journal import Manifest


def judged(
    folder: Path, gold: Sequence[Any], then: Sequence[Any], now: Sequence[Any], alpha: float = 0.05
) -> Judged:
    """Compare two lists of predictions."""
    ours, right = pair(folder, gold, now)
    before = jsonl(folder / "then.jsonl", [{"id": row, **fields} for row, fields in enumerate(then)])
    return judge(ours, right, Options(), Environment(), baseline=before, alpha=alpha)


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_the_exact_test_is_the_binomial_one(better: int, worse: int):
    """Of rows that differ, half are expected either way."""
    wanted = binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert mcnemar(better, worse) == pytest.approx(wanted, rel=1e-9)


@settings(deadline=None)
@given(st.integers(501, 5000), st.integers(501, 5000))
def test_the_approximation_is_the_corrected_chi_square(better: int, worse: int):
    """Where many rows differ."""
    statistic = max(0, abs(better - worse) - 1) ** 2 / (better + worse)
    assert mcnemar(better, worse) == pytest.approx(chi2.sf(statistic, 1), rel=1e-6, abs=1e-300)


def test_holm():
    """The example of three hypotheses; an adjusted value is never below an earlier one."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1))
def test_holm_is_between_none_and_bonferroni(p_values: list[float]):
    """Each is at least itself, and at most itself times their number."""
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, p * len(p_values)) + 1e-12


def test_worse_and_better(tmp_path: Path):
    """Fields are told apart; one that is significantly worse fails."""
    gold = [{"a": "x", "b": "x", "c": "x"}] * 20
    then = [{"a": "x", "b": "n", "c": "x"}] * 20
    now = [{"a": "n", "b": "x", "c": "x"}] * 19 + [{"a": "n", "b": "x", "c": "n"}]
    found = judged(tmp_path, gold, then, now)
    assert found.comparison is not None
    assert {one.path: one.verdict for one in found.comparison.changes} == {
        "a": "worse",
        "b": "better",
        "c": "same",
    }
    assert not found.passed
    assert "a is significantly worse than in the baseline: 20 rows that were right are wrong" in next(
        found.failures()
    )
    assert found.document()["baseline"]["fields"]["a"]["worse"] == 20


def test_several_fields_need_more(tmp_path: Path):
    """Six of six rows that got worse are significant for one field alone, not among three; alpha decides."""
    gold = [{"a": "x", "b": "x", "c": "x"}] * 10
    then, now = gold, [{"a": "n", "b": "x", "c": "x"}] * 6 + gold[6:]
    assert judged(tmp_path, gold, then, now).passed
    assert not judged(tmp_path, gold, then, now, alpha=0.1).passed
    alone = [[{"a": one["a"]} for one in side] for side in (gold, then, now)]
    assert not judged(tmp_path, *alone).passed


def test_a_field_that_has_gone(tmp_path: Path):
    """What the baseline had and no prediction has any more is worse, not left out."""
    gold = [{"a": "x", "b": "x"}] * 20
    found = judged(tmp_path, gold, gold, [{"a": "x"}] * 20)
    assert [one.path for one in found.regressions] == ["b"]


def test_a_field_that_is_new(tmp_path: Path):
    """What the baseline did not have was missing there, which makes it look mended: it is told."""
    gold = [{"a": "x", "b": "x"}] * 20
    found = judged(tmp_path, gold, [{"a": "x"}] * 20, gold)
    assert found.comparison is not None
    assert {one.path: one.better for one in found.comparison.changes} == {"a": 0, "b": 20}
    assert found.evaluation.remarks == ["in no prediction of the baseline, where it counts as missing: 'b'"]


def test_rows_that_have_gone(tmp_path: Path):
    """They are counted; coverage is what gates them."""
    gold = [{"a": "x"}] * 20
    found = judged(tmp_path, gold, gold, gold[:15])
    assert found.comparison is not None
    assert (found.comparison.rows, found.comparison.lost, found.comparison.gained) == (15, 5, 0)


def test_both_are_compared_in_one_way(tmp_path: Path):
    """Where the types of the predictions decide, it is the later ones'."""
    gold = [{"n": "3"}] * 5
    found = judged(tmp_path, gold, [{"n": "3.0"}] * 5, [{"n": 3}] * 5)
    assert found.comparison is not None
    assert [(one.before, one.after) for one in found.comparison.changes] == [(1.0, 1.0)]


def test_both_are_joined_by_one_key(tmp_path: Path):
    """That of the later predictions' run, even if the earlier file would be joined by `id`."""
    rows = [{"id": 9 - n, "nr": f"n{n}", "a": "x"} for n in range(10)]
    gold = jsonl(tmp_path / "gold.jsonl", [{"id": n, "nr": f"n{n}", "gold": {"a": "x"}} for n in range(10)])
    ours, then = jsonl(tmp_path / "out.jsonl", rows), jsonl(tmp_path / "then.jsonl", rows)
    folder = tmp_path / ".llmx" / "out.jsonl"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(Manifest(command={"key": "nr"}).model_dump_json())
    found = judge(ours, gold, Options(), Environment(cwd=tmp_path), baseline=then)
    assert found.evaluation.joined.key == "nr"
    assert found.comparison is not None
    assert found.comparison.rows == 10


def test_a_baseline_of_other_rows(tmp_path: Path):
    """Nothing to compare is no pass."""
    ours, gold = pair(tmp_path, [{"a": "x"}, {"a": "x"}], [{"a": "x"}])
    then = jsonl(tmp_path / "then.jsonl", [{"id": 1, "a": "x"}])
    with pytest.raises(UsageError, match="have no row in common"):
        judge(ours, gold, Options(), Environment(), baseline=then)


def test_a_baseline_that_is_none(tmp_path: Path):
    """The message says which file it is about."""
    ours, gold = pair(tmp_path, [{"a": "x"}], [{"a": "x"}])
    with pytest.raises(UsageError, match=r"--baseline: .*missing\.jsonl"):
        judge(ours, gold, Options(), Environment(), baseline=tmp_path / "missing.jsonl")
