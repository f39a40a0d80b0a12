"""The confidences of predictions, the column `_confidence`, beside what an evaluation has found right.

In a flat file they are JSON in that column, or columns `_confidence.…`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.evals.evaluation import Evaluation
from llmx.evals.layout import Layout
from llmx.evals.reading import File, keyed_rows, open_file
from llmx.evals.values import as_number, is_blank

__all__ = ["COLUMN", "Confidences", "confidences"]

COLUMN = "_confidence"

_HOW = "llmx extract … --votes 5 adds confidences"


class Confidences(Struct):
    """Per field, and for whole rows, pairs of a confidence and whether it was right.

    Args:
        rows: the least confidence of each row, and whether all that was compared of it is right.
        fields: by path.
        without: compared rows that have no confidence at all.
    """

    rows: list[tuple[float, bool]] = field(default_factory=list)
    fields: dict[str, list[tuple[float, bool]]] = field(default_factory=dict)
    without: int = 0


def confidences(
    predictions: str | Path, evaluation: Evaluation, env: Environment, format: str | None = None
) -> Confidences:
    """Read the predictions once more, for what they say of themselves.

    Args:
        evaluation: of these predictions.

    Raises:
        UsageError: there is no confidence, or one that is no number from 0 to 1.
    """
    file = open_file(predictions, "predictions", env=env, format=format)
    layout = Layout(COLUMN, texts=file.texts)
    places = {key: row for row, key in enumerate(evaluation.keys)}
    found = Confidences(fields={path: [] for path in evaluation.fields})
    for key, row in keyed_rows(file, evaluation.joined.key):
        if key in places:
            given = _checked(file, key, layout.leaves(row))
            _take(found, evaluation, places[key], _by_field(given, evaluation.start))
    if not found.rows:
        raise UsageError(
            f"no row of {file.name!r} has a confidence: no column {COLUMN!r} with a number per field",
            hint=_HOW,
        )
    for pairs in (found.rows, *found.fields.values()):
        pairs.sort()
    return found


def _checked(file: File, key: str, leaves: Mapping[str, Any]) -> dict[str, float]:
    """The confidences of one row by path; what is blank is none."""
    checked = {}
    for path, value in leaves.items():
        if is_blank(value):
            continue
        number = as_number(value)
        if number is None or not 0 <= number <= 1:
            raise UsageError(
                f"predictions: the confidence of {path!r} in the row {key!r} of {file.name!r} is {value!r}, "
                "not a number from 0 to 1"
            )
        checked[path] = float(number)
    return checked


def _by_field(given: Mapping[str, float], start: str) -> dict[str, float]:
    """By the fields' own paths: in the file they are those of the output, with `--prefix` and `--into`."""
    return {path.removeprefix(start): confidence for path, confidence in given.items()}


def _take(found: Confidences, evaluation: Evaluation, row: int, given: Mapping[str, float]) -> None:
    if not given:
        found.without += 1
        return
    found.rows.append((min(given.values()), row not in evaluation.wrong_fields))
    for path, one in evaluation.fields.items():
        confidence = _of_field(path, given)
        if confidence is not None:
            found.fields[path].append((confidence, row not in one.counts.wrong))


def _of_field(path: str, given: Mapping[str, float]) -> float | None:
    """That of the field; of a list or object the least of what is in it; else that of what it is in."""
    if path in given:
        return given[path]
    below = f"{path}."
    inner = [confidence for one, confidence in given.items() if one.startswith(below)]
    return min(inner) if inner else _above(path, given)


def _above(path: str, given: Mapping[str, float]) -> float | None:
    while "." in path:
        path = path.rpartition(".")[0]
        if path in given:
            return given[path]
    return None
