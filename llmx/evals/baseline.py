"""Two evaluations against one gold file: what got better, what got worse, and whether that may be chance.

Rows that both have are compared one by one. Nothing here reads files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from llmx.evals.evaluation import Evaluation
from llmx.evals.scores import ratio
from llmx.evals.significance import holm, mcnemar

__all__ = ["ALPHA", "BaselineComparison", "Change", "compare_with"]

ALPHA = 0.05
"""How often chance alone may make a field "significantly" better or worse, of all fields together."""


class Change(Struct, frozen=True):
    """One field, then and now.

    Args:
        before, after: accuracies over the rows that both have.
        better, worse: rows that only the later, and only the earlier, has right.
        p: of McNemar's test.
        p_holm: the same, adjusted for the number of fields.
        verdict: "better" or "worse" where `p_holm` is at most alpha, else "same".
    """

    path: str
    before: float | None
    after: float | None
    better: int
    worse: int
    p: float
    p_holm: float
    verdict: Literal["better", "worse", "same"]


class BaselineComparison(Struct, frozen=True):
    """All fields, then and now.

    Args:
        rows: that both evaluations have.
        lost: rows that only the earlier has: they were answered then, and are not now.
        gained: rows that only the later has.
    """

    rows: int
    lost: int
    gained: int
    alpha: float
    changes: Sequence[Change]

    @property
    def regressions(self) -> list[Change]:
        """Fields that got significantly worse."""
        return [one for one in self.changes if one.verdict == "worse"]

    def document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "rows": self.rows,
            "lost": self.lost,
            "gained": self.gained,
            "alpha": self.alpha,
            "fields": {
                one.path: {name: getattr(one, name) for name in Change.__struct_fields__ if name != "path"}
                for one in self.changes
            },
        }


def compare_with(earlier: Evaluation, later: Evaluation, alpha: float = ALPHA) -> BaselineComparison:
    """What has changed from one evaluation to another of the same gold.

    Args:
        alpha: between 0 and 1; see `ALPHA`.
    """
    places = {key: row for row, key in enumerate(earlier.keys)}
    shared = [(places[key], row) for row, key in enumerate(later.keys) if key in places]
    paths = dict.fromkeys([*later.fields, *earlier.fields])
    counted = [(path, *_counted(path, earlier, later, shared)) for path in paths]
    p_values = [mcnemar(better, worse) for _, _, better, worse in counted]
    changes = [
        _change(path, n_before, better, worse, len(shared), p, p_holm, alpha)
        for (path, n_before, better, worse), p, p_holm in zip(counted, p_values, holm(p_values), strict=True)
    ]
    return BaselineComparison(
        len(shared), len(earlier.keys) - len(shared), len(later.keys) - len(shared), alpha, changes
    )


def _counted(
    path: str, earlier: Evaluation, later: Evaluation, shared: Sequence[tuple[int, int]]
) -> tuple[int, int, int]:
    """Rows that were right before, that only now are, and that only then were.

    A path that one of the two has not is one of which neither its predictions nor gold say anything: all are right.
    """
    then, now = (one.fields[path].counts.wrong if path in one.fields else {} for one in (earlier, later))
    right = better = worse = 0
    for before, after in shared:
        was, is_ = before not in then, after not in now
        right += was
        better += is_ and not was
        worse += was and not is_
    return right, better, worse


def _change(
    path: str, right: int, better: int, worse: int, rows: int, p: float, p_holm: float, alpha: float
) -> Change:
    after = right + better - worse
    verdict: Literal["better", "worse", "same"] = "same"
    if p_holm <= alpha:
        verdict = "better" if better > worse else "worse"
    return Change(path, ratio(right, rows), ratio(after, rows), better, worse, p, p_holm, verdict)
