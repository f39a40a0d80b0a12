"""How far figures would move with other rows: percentile bootstrap intervals, from counts.

Rows that contribute the same are alike, so to draw n of n rows with replacement is to draw how often each kind of row
comes: one multinomial, whatever n is. B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", 1993,
section 13.3. numpy is imported here alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from llmx.evals.counts import Cell, FieldCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LEVEL", "RESAMPLES", "Interval", "macro_f1_interval", "mean_interval", "micro_f1_interval"]

Interval = tuple[float, float]
"""From, to; both from 0 to 1."""

RESAMPLES = 2000
"""How many times rows are drawn anew; the ends of a 95 % interval are the 50th from below and from above."""

LEVEL = 0.95

_SEED = 20_240_229

_MOST_CELLS = 2000
_MOST_WORK = 200_000
"""Kinds of pairs, and times labels, beyond which a macro F1 has no interval: such a field has no classes."""


def mean_interval(shares: Mapping[float, int]) -> Interval | None:
    """Of a mean over rows; None where all rows contribute the same, and that is neither all nor nothing.

    Where all rows are right, or none is, resampling cannot tell, and the bound is exact: of n rows that are all right,
    `0.025 ** (1 / n)`, which is the interval of C. J. Clopper and E. S. Pearson, Biometrika 26, 1934,
    https://doi.org/10.1093/biomet/26.4.404.

    Args:
        shares: what a row contributes, from 0 to 1, with the number of rows that do.
    """
    rows = sum(shares.values())
    if not rows:
        return None
    if set(shares) in ({0.0}, {1.0}):
        far = ((1 - LEVEL) / 2) ** (1 / rows)
        return (far, 1.0) if 1.0 in shares else (0.0, 1 - far)
    if len(shares) == 1:
        return None
    import numpy as np

    kinds = sorted(shares.items())  # or the order of rows would decide what is drawn
    drawn = _drawn([times for _, times in kinds])
    return _percentiles(drawn @ np.array([share for share, _ in kinds], dtype=float) / rows)


def micro_f1_interval(counts: FieldCounts) -> Interval | None:
    """Of the F1 over all labels together; None where it does not vary."""
    import numpy as np

    kinds: Counter[tuple[int, int]] = Counter()
    for cell, times in counts.cells.items():
        kinds[_common(cell), len(cell.expected) + len(cell.predicted)] += times
    kinds[0, 0] += counts.empty
    if len(+kinds) < 2:
        return None
    there = sorted((+kinds).items())
    drawn = _drawn([times for _, times in there])
    right, both = (np.array([kind[side] for kind, _ in there]) for side in (0, 1))
    return _percentiles(_f1(drawn @ right, drawn @ both))


def macro_f1_interval(counts: FieldCounts) -> Interval | None:
    """Of the mean F1 of labels; None where it does not vary, or where there are too many labels to be classes."""
    # Sorted, or the order of rows would decide what is drawn.
    labels, cells = sorted(counts.labels(), key=repr), sorted(counts.cells, key=repr)
    if len(cells) < 2 or len(cells) > _MOST_CELLS or len(cells) * len(labels) > _MOST_WORK:
        return None
    import numpy as np

    right, both = _by_label(cells, labels)
    drawn = _drawn([*(counts.cells[cell] for cell in cells), counts.empty])[:, :-1]
    scores = _f1(drawn @ right, drawn @ both)[drawn.any(axis=1)]  # rows with nothing in them have no label
    return _percentiles(np.nanmean(scores, axis=1))


def _by_label(cells: list[Cell], labels: list[Hashable]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Per cell and label, how often it is right, and how often it is expected or predicted."""
    import numpy as np

    place = {label: number for number, label in enumerate(labels)}
    right, both = (np.zeros((len(cells), len(labels))) for _ in range(2))
    for row, cell in enumerate(cells):
        expected, predicted = Counter(cell.expected), Counter(cell.predicted)
        for label in expected | predicted:
            right[row, place[label]] = min(expected[label], predicted[label])
            both[row, place[label]] = expected[label] + predicted[label]
    return right, both


def _common(cell: Cell) -> int:
    if cell.right:
        return len(cell.expected)
    return (Counter(cell.expected) & Counter(cell.predicted)).total()


def _drawn(times: list[int]) -> NDArray[Any]:
    """How often each kind of row comes when as many rows are drawn as there are: one line per resample."""
    import numpy as np

    weights = np.array(times, dtype=float)
    rows = int(weights.sum())
    return np.random.default_rng(_SEED).multinomial(rows, weights / rows, size=RESAMPLES)


def _f1(right: NDArray[Any], both: NDArray[Any]) -> NDArray[Any]:
    """NaN for a label that has not been drawn."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(2 * right / both)


def _percentiles(figures: NDArray[Any]) -> Interval:
    import numpy as np

    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(figures, [tail, 100 - tail])
    return float(low), float(high)
