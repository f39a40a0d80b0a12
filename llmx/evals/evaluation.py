"""What an evaluation has found: figures per field and over all, and every value that is not right.

It is made by `llmx.evals.evaluate`, is all that tables, pages and gates are made of, and knows nothing of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

from msgspec import Struct

from llmx.evals.bootstrap import Interval, macro_f1_interval, mean_interval, micro_f1_interval
from llmx.evals.counts import FieldCounts, LabelCounts
from llmx.evals.joining import Column, Joined
from llmx.evals.matching import Comparison
from llmx.evals.scores import LabelScore, Rates, macro, micro, per_label, ratio

__all__ = ["Disagreement", "Evaluation", "FieldScore", "Overall", "RowCounts", "label_text"]

VERSION = 1
"""Of the JSON document."""

_CLASSES = 100
"""Labels beyond which a text is no choice among a few, and has no figures per label."""


class Disagreement(Struct, frozen=True):
    """One value that is not right.

    Args:
        key: of its row, as text.
        path: of its field.
        expected, predicted: as the files have them; None where nothing is there.
    """

    key: str
    path: str
    expected: Any
    predicted: Any


class RowCounts(Struct, frozen=True):
    """Rows of the two files.

    Args:
        matched: in both, and labelled: what all figures are over.
        missing: labelled, without a prediction.
        extra: predictions without a row in gold.
        unlabelled: predictions whose row in gold says nothing.
        right: of the matched ones, those right in every field.
        failed: of the missing ones, those that failed in the run, by the type of their error; None where nothing
            is known of it.
    """

    matched: int
    missing: int = 0
    extra: int = 0
    unlabelled: int = 0
    right: int = 0
    failed: Mapping[str, int] | None = None

    @property
    def coverage(self) -> float | None:
        """Share of the labelled rows that have a prediction."""
        return ratio(self.matched, self.matched + self.missing)


class FieldScore(Struct, frozen=True, dict=True, eq=False):
    """One field's figures; those that take long are made when they are asked for.

    Args:
        comparison: by what two values are the same.
        normalized: how many rows would be right if case, blanks and Unicode form of texts did not matter; None where
            they are no part of the comparison anyway.
    """

    path: str
    column: Column
    comparison: Comparison
    counts: FieldCounts
    normalized: int | None = None

    @property
    def n(self) -> int:
        """Rows that were compared."""
        return self.counts.n

    @property
    def accuracy(self) -> float | None:
        """Share of rows that are right; rows in which neither side has a value are."""
        return ratio(self.counts.right, self.counts.n)

    @cached_property
    def verdicts(self) -> Counter[str]:
        """How often values were correct, wrong, missing and spurious."""
        return self.counts.verdicts()

    @cached_property
    def label_counts(self) -> Mapping[Hashable, LabelCounts]:
        """What the figures per label are made of."""
        return self.counts.labels()

    @cached_property
    def labels(self) -> Sequence[LabelScore]:
        """Figures per label, of texts that are no choice too; those that gold has most often first."""
        return per_label(self.label_counts)

    @cached_property
    def macro(self) -> Rates:
        """Means over labels."""
        return macro(self.labels)

    @cached_property
    def micro(self) -> Rates:
        """Over all labels together."""
        return micro(self.label_counts.values())

    @cached_property
    def ci95(self) -> Interval | None:
        """Of the accuracy."""
        return mean_interval(_shares({1.0: self.counts.right, 0.0: len(self.counts.wrong)}))

    @cached_property
    def f1_macro_ci95(self) -> Interval | None:
        """See `macro_f1_interval`; None where there are no classes, or nothing is wrong."""
        return macro_f1_interval(self.counts) if self.has_classes and self.counts.wrong else None

    @cached_property
    def f1_micro_ci95(self) -> Interval | None:
        """See `micro_f1_interval`."""
        return micro_f1_interval(self.counts)

    @property
    def has_classes(self) -> bool:
        """Whether the field is a choice among a few: each label comes twice on average, and there are at most 100."""
        if self.comparison.means in ("date", "fuzzy", "list"):
            return False
        total = sum(one.expected for one in self.labels)
        return 0 < len(self.labels) <= min(_CLASSES, max(2, total // 2))

    def confusion(self) -> dict[tuple[Any, Any], int] | None:
        """(expected, predicted) -> rows, None standing for nothing; None of lists, and where there are no classes."""
        if not self.has_classes or self.comparison.lists:
            return None
        found: dict[tuple[Any, Any], int] = {}
        for cell, times in self.counts.cells.items():
            pair = next(iter(cell.expected), None), next(iter(cell.predicted), None)
            found[pair] = found.get(pair, 0) + times
        if self.counts.empty:
            found[None, None] = self.counts.empty
        return found

    def document(self) -> dict[str, Any]:
        """The figures for machines, unrounded; what is undefined is null."""
        verdicts = self.verdicts
        return {
            "n": self.n,
            "compared_by": str(self.comparison),
            "accuracy": self.accuracy,
            "ci95": self.ci95,
            "accuracy_normalized": None if self.normalized is None else ratio(self.normalized, self.n),
            "precision_macro": self.macro.precision,
            "recall_macro": self.macro.recall,
            "f1_macro": self.macro.f1,
            "f1_macro_ci95": self.f1_macro_ci95,
            "precision_micro": self.micro.precision,
            "recall_micro": self.micro.recall,
            "f1_micro": self.micro.f1,
            "f1_micro_ci95": self.f1_micro_ci95,
            **{name: verdicts[name] for name in ("correct", "wrong", "missing", "spurious")},
            "empty": self.counts.empty,
            **({"labels": self._labels(), "confusion": self._matrix()} if self.has_classes else {}),
        }

    def _labels(self) -> dict[str, dict[str, Any]]:
        return {
            label_text(one.label): {
                "expected": one.expected,
                "predicted": one.predicted,
                "precision": one.precision,
                "recall": one.recall,
                "f1": one.f1,
            }
            for one in self.labels
        }

    def _matrix(self) -> dict[str, Any] | None:
        """Rows are what is expected, columns what is predicted; the last of each, null, is nothing."""
        confusion = self.confusion()
        if confusion is None:
            return None
        labels = [*(one.label for one in self.labels), None]
        matrix = [[confusion.get((row, column), 0) for column in labels] for row in labels]
        return {
            "labels": [None if one is None else label_text(one) for one in labels],
            "matrix": matrix,
        }


def label_text(label: Any) -> str:
    """A label as a name: booleans and numbers as JSON has them."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)


def _shares(counts: Mapping[float, int]) -> dict[float, int]:
    return {share: times for share, times in counts.items() if times}


class Overall(Struct, frozen=True):
    """Figures over all fields.

    Args:
        accuracy: share of all compared values that are right; every field has the same number of them, so it is
            also the mean of the fields' accuracies.
        ci95: of it; drawn by rows, since the values of a row are right or wrong together.
        macro: the means of the fields' macro figures, of those fields that have any.
        micro: over all labels of all fields.
    """

    accuracy: float | None
    ci95: Interval | None
    macro: Rates
    micro: Rates


class Evaluation(Struct, frozen=True, dict=True, eq=False):
    """See the module.

    Args:
        joined: what was compared.
        fields: by path, in gold's order.
        failed: as in `RowCounts`.
        remarks: what the user should know of the files, each a line.
        start: what the predictions have before the path of a field: a prefix, or the column that all are in and a dot.
    """

    joined: Joined
    fields: Mapping[str, FieldScore]
    failed: Mapping[str, int] | None = None
    remarks: Sequence[str] = ()
    start: str = ""

    @property
    def keys(self) -> Sequence[str]:
        """Of the rows that were compared, in the predictions' order."""
        return self.joined.keys

    @cached_property
    def rows(self) -> RowCounts:
        """What the two files have in common."""
        joined = self.joined
        right = joined.matched - len(self.wrong_fields)
        return RowCounts(
            joined.matched, len(joined.missing), joined.extra, joined.unlabelled, right, self.failed
        )

    @cached_property
    def wrong_fields(self) -> Mapping[int, int]:
        """Per row that is not right, by its position, how many of its fields are not."""
        return Counter(chain.from_iterable(one.counts.wrong for one in self.fields.values()))

    @cached_property
    def overall(self) -> Overall:
        """Figures over all fields."""
        fields = list(self.fields.values())
        values = self.rows.matched * len(fields)
        right = values - sum(len(one.counts.wrong) for one in fields)
        shares = Counter(1 - wrong / len(fields) for wrong in self.wrong_fields.values())
        shares[1.0] += self.rows.right
        return Overall(
            ratio(right, values),
            mean_interval(_shares(shares)),
            _mean([one.macro for one in fields]),
            micro(chain.from_iterable(one.label_counts.values() for one in fields)),
        )

    def disagreements(self) -> Iterator[Disagreement]:
        """Every value that is not right, row by row, in the predictions' order."""
        for row in sorted(self.wrong_fields):
            yield from self.wrong_in(row)

    def wrong_in(self, row: int) -> Iterator[Disagreement]:
        """The values of one row that are not right.

        Args:
            row: its position, as in `keys`.
        """
        for path, one in self.fields.items():
            if (place := one.counts.wrong.get(row)) is not None:
                yield Disagreement(
                    self.keys[row], path, one.column.expected[place], one.column.predicted[place]
                )

    def worst(self, limit: int) -> Iterator[tuple[str, Sequence[Disagreement]]]:
        """The rows with the most values that are not right, each with these; first those that come first."""
        from heapq import nsmallest

        rows = nsmallest(limit, self.wrong_fields.items(), key=lambda row: (-row[1], row[0]))
        for row, _ in rows:
            yield self.keys[row], list(self.wrong_in(row))

    def document(self) -> dict[str, Any]:
        """The figures for machines, see docs/evaluation.md: unrounded; what is undefined is null."""
        rows, overall = self.rows, self.overall
        return {
            "version": VERSION,
            "rows": {
                "matched": rows.matched,
                "missing": rows.missing,
                "extra": rows.extra,
                "unlabelled": rows.unlabelled,
                "right": rows.right,
                "coverage": rows.coverage,
                "failed": None if rows.failed is None else dict(rows.failed),
            },
            "overall": {
                "accuracy": overall.accuracy,
                "ci95": overall.ci95,
                "row_accuracy": ratio(rows.right, rows.matched),
                **{f"{name}_macro": value for name, value in _named(overall.macro)},
                **{f"{name}_micro": value for name, value in _named(overall.micro)},
            },
            "fields": {path: one.document() for path, one in self.fields.items()},
            "only_in_gold": list(self.joined.only_in_gold),
            "only_in_predictions": list(self.joined.only_in_predictions),
            "remarks": list(self.remarks),
        }


def _named(rates: Rates) -> list[tuple[str, float | None]]:
    return [("precision", rates.precision), ("recall", rates.recall), ("f1", rates.f1)]


def _mean(rates: Sequence[Rates]) -> Rates:
    known = [(one.precision, one.recall, one.f1) for one in rates if one.f1 is not None]
    if not known:
        return Rates(None, None, None)
    means = [sum(part or 0.0 for part in parts) / len(known) for parts in zip(*known, strict=True)]
    return Rates(*means)
