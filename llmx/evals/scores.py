"""Figures of one field, from its counts.

Accuracy, precision, recall and F1 are scikit-learn's (`accuracy_score`, `precision_recall_fscore_support` with
zero_division=0 and all labels of either side; of lists over their elements, as multilabel):
https://scikit-learn.org/stable/modules/model_evaluation.html#precision-recall-and-f-measures. "Nothing" is no label: a
missing value lowers recall, a spurious one precision. What is undefined is None, never 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping

from msgspec import Struct

from llmx.evals.counts import LabelCounts

__all__ = ["LabelScore", "Rates", "macro", "micro", "per_label", "ratio"]


class Rates(Struct, frozen=True):
    """Precision, recall and F1, each from 0 to 1; None where there is no label at all."""

    precision: float | None
    recall: float | None
    f1: float | None


class LabelScore(Struct, frozen=True):
    """One label.

    Args:
        expected, predicted: how often it was either.
    """

    label: Hashable
    expected: int
    predicted: int
    precision: float
    recall: float
    f1: float


def ratio(part: int, whole: int) -> float | None:
    """None where there is no whole."""
    return part / whole if whole else None


def per_label(counts: Mapping[Hashable, LabelCounts]) -> list[LabelScore]:
    """Every label of either side, those that gold has most often first."""
    found = [_scored(label, one) for label, one in counts.items()]
    return sorted(found, key=lambda one: (-one.expected, -one.predicted, str(one.label)))


def _scored(label: Hashable, one: LabelCounts) -> LabelScore:
    precision = one.right / one.predicted if one.predicted else 0.0
    recall = one.right / one.expected if one.expected else 0.0
    f1 = 2 * one.right / (one.predicted + one.expected)
    return LabelScore(label, one.expected, one.predicted, precision, recall, f1)


def macro(labels: Iterable[LabelScore]) -> Rates:
    """The means over labels, each of which counts the same."""
    all_ = list(labels)
    if not all_:
        return Rates(None, None, None)
    sums = (
        math.fsum(one.precision for one in all_),
        math.fsum(one.recall for one in all_),
        math.fsum(one.f1 for one in all_),
    )
    return Rates(*(total / len(all_) for total in sums))


def micro(counts: Iterable[LabelCounts]) -> Rates:
    """Over all labels together, each value of which counts the same."""
    all_ = list(counts)
    right = sum(one.right for one in all_)
    expected, predicted = sum(one.expected for one in all_), sum(one.predicted for one in all_)
    if not expected + predicted:
        return Rates(None, None, None)
    # As scikit-learn with zero_division=0: nothing predicted is a precision of 0.
    return Rates(
        ratio(right, predicted) or 0.0, ratio(right, expected) or 0.0, 2 * right / (expected + predicted)
    )
