"""One field's pairs of values, compared and counted: everything that its figures are made of.

Equal pairs are compared once and counted, so a field of a few labels costs little however many rows there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from msgspec import Struct, field

from llmx.evals.joining import Column
from llmx.evals.matching import Comparison, Reading, labels_of, reader, same

__all__ = ["Cell", "FieldCounts", "LabelCounts", "count"]


class Cell(Struct, frozen=True):
    """What one kind of pair contributes each time it comes.

    Args:
        expected, predicted: labels: none where there is nothing, several of a list. A prediction that counts as right
            has the right label, however it was written.
        right: whether both are the same.
    """

    expected: tuple[Hashable, ...]
    predicted: tuple[Hashable, ...]
    right: bool

    @property
    def verdict(self) -> str:
        """`correct`, `wrong`, `missing` (gold has a value, the prediction none) or `spurious` (the reverse)."""
        if self.right:
            return "correct"
        return "wrong" if self.expected and self.predicted else "missing" if self.expected else "spurious"


class LabelCounts(Struct):
    """How often one label, or element of lists, was right, expected and predicted."""

    right: int = 0
    expected: int = 0
    predicted: int = 0


class FieldCounts(Struct):
    """What came of one field.

    Args:
        n: rows that were compared: all that both files have.
        cells: how often each kind of pair came; rows in which both sides have nothing are in none.
        wrong: positions of rows, and of the pair in its column, that are not right.
    """

    n: int
    cells: Counter[Cell] = field(default_factory=Counter)
    wrong: dict[int, int] = field(default_factory=dict)

    @property
    def empty(self) -> int:
        """Rows in which neither side has a value; they count as right."""
        return self.n - self.cells.total()

    @property
    def right(self) -> int:
        """Rows that are right."""
        return self.n - len(self.wrong)

    def verdicts(self) -> Counter[str]:
        """How often each verdict was given."""
        counted = Counter[str]()
        for cell, times in self.cells.items():
            counted[cell.verdict] += times
        return counted

    def labels(self) -> dict[Hashable, LabelCounts]:
        """Per label of either side what precision and recall are made of."""
        found: dict[Hashable, LabelCounts] = {}
        for cell, times in self.cells.items():
            common = Counter(cell.expected) & Counter(cell.predicted) if not cell.right else None
            for label in cell.expected:
                found.setdefault(label, LabelCounts()).expected += times
            for label in cell.predicted:
                found.setdefault(label, LabelCounts()).predicted += times
            for label in cell.expected if common is None else common.elements():
                found[label].right += times
        return found


def count(column: Column, comparison: Comparison, n: int) -> FieldCounts:
    """Compare all pairs of a field.

    Args:
        n: rows that both files have.
    """
    read, counts = reader(comparison), FieldCounts(n)
    known: dict[tuple[Reading, Reading], Cell] = {}
    times: Counter[tuple[Reading, Reading]] = Counter()
    matches = same(comparison)
    sides = zip(map(read, column.expected), map(read, column.predicted), strict=True)
    for place, pair in enumerate(sides):
        if pair == (None, None):  # a list of nothing but nulls
            continue
        if pair not in known:
            known[pair] = _cell(*pair, matches)
        times[pair] += 1
        if not known[pair].right:
            counts.wrong[column.rows[place]] = place
    for pair, number in times.items():
        counts.cells[known[pair]] += number
    return counts


def _cell(expected: Reading, predicted: Reading, matches: Any) -> Cell:
    right = expected == predicted or (None not in (expected, predicted) and matches(expected, predicted))
    labels: Sequence[Hashable] = labels_of(expected)
    return Cell(tuple(labels), tuple(labels) if right else labels_of(predicted), right)
