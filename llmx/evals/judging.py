"""An evaluation with its verdict: the gates, and the comparison with an earlier run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.evals.baseline import ALPHA, BaselineComparison, Change, compare_with
from llmx.evals.evaluating import Options, evaluated
from llmx.evals.evaluation import Evaluation
from llmx.evals.layout import top
from llmx.evals.matching import Comparison
from llmx.evals.minimums import Checked, Minimum, check_minimums

__all__ = ["Judged", "judge"]


class Judged(Struct, frozen=True, dict=True, eq=False):
    """What is shown of an evaluation, and what its exit code is made of.

    Args:
        comparison: with the baseline; None without one.
        worst: how many of the worst rows are shown.
    """

    evaluation: Evaluation
    minimums: Sequence[Checked] = ()
    comparison: BaselineComparison | None = None
    worst: int = 0

    @property
    def passed(self) -> bool:
        """Whether every gate is."""
        return not list(self.failures())

    @cached_property
    def regressions(self) -> list[Change]:
        """Fields that are significantly worse than in the baseline."""
        return self.comparison.regressions if self.comparison else []

    def failures(self) -> Iterator[str]:
        """What is below its threshold, each a line."""
        yield from (str(one) for one in self.minimums if not one.passed)
        for one in self.regressions:
            yield (
                f"{one.path} is significantly worse than in the baseline: {one.worse:,} rows that were right are "
                f"wrong, {one.better:,} the other way (p = {one.p_holm:.2g})"
            )

    def document(self) -> dict[str, Any]:
        """For machines, see docs/evaluation.md."""
        document = self.evaluation.document()
        document["passed"] = self.passed
        document["minimums"] = [
            {
                "name": one.minimum.name,
                "minimum": one.minimum.least,
                "figure": one.figure,
                "passed": one.passed,
            }
            for one in self.minimums
        ]
        document["baseline"] = None if self.comparison is None else self.comparison.document()
        document["worst"] = [
            {
                "key": key,
                "wrong": [{"path": d.path, "expected": d.expected, "predicted": d.predicted} for d in wrong],
            }
            for key, wrong in self.evaluation.worst(self.worst)
        ]
        return document


def judge(
    predictions: str | Path,
    gold: str | Path,
    options: Options,
    env: Environment,
    *,
    minimums: Sequence[Minimum] = (),
    baseline: str | Path | None = None,
    alpha: float = ALPHA,
    worst: int = 0,
) -> Judged:
    """Evaluate, check the gates, and compare with a baseline.

    Args:
        baseline: earlier predictions for the same gold.

    Raises:
        UsageError: the files cannot be compared, or a gate names no figure.
    """
    if baseline is None:
        evaluation = evaluated(predictions, gold, options, env)
        return Judged(evaluation, check_minimums(evaluation, minimums), None, worst)
    earlier = _baseline(baseline, gold, options, env)
    # A field that only the earlier predictions have has not gone away: it is missing in every row.
    evaluation = evaluated(predictions, gold, replace(options, also=_tops(earlier)), env)
    checked = check_minimums(evaluation, minimums)
    evaluation = replace(evaluation, remarks=[*evaluation.remarks, *_new_fields(earlier, evaluation)])
    if _how(earlier) != _how(evaluation):
        key, compare = _how(evaluation)
        same = replace(options, key=key, compare=compare, also=_tops(evaluation), lenient=True)
        earlier = _baseline(baseline, gold, same, env)
    if not set(earlier.keys) & set(evaluation.keys):
        raise UsageError(f"--baseline: {str(baseline)!r} and the predictions have no row in common")
    return Judged(evaluation, checked, compare_with(earlier, evaluation, alpha), worst)


def _new_fields(earlier: Evaluation, later: Evaluation) -> Iterator[str]:
    """What only the later predictions have looks mended wherever it is right."""
    new = [name for name in earlier.joined.only_in_gold if name in _tops(later)]
    if new:
        yield f"in no prediction of the baseline, where it counts as missing: {', '.join(map(repr, new[:8]))}"


def _baseline(path: str | Path, gold: str | Path, options: Options, env: Environment) -> Evaluation:
    try:
        return evaluated(path, gold, replace(options, format=None, errors=None), env)
    except UsageError as error:
        raise UsageError(f"--baseline: {error}", hint=error.hint) from error


def _how(evaluation: Evaluation) -> tuple[str, dict[str, Comparison]]:
    """By which key and in which way two files were compared; a baseline's has to be the same."""
    return evaluation.joined.key, {path: one.comparison for path, one in evaluation.fields.items()}


def _tops(evaluation: Evaluation) -> list[str]:
    return list(dict.fromkeys(map(top, evaluation.fields)))
