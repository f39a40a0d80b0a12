"""Gates: figures that must not be below a minimum, `--min FIELD.METRIC=X`.

What is undefined passes no gate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from llmx.errors import UsageError
from llmx.evals.evaluation import Evaluation, FieldScore
from llmx.evals.scores import ratio
from llmx.text import nearest

__all__ = ["Checked", "Minimum", "check_minimums", "parse_minimum"]

_FIELD: Mapping[str, Callable[[FieldScore], float | None]] = {
    "accuracy": lambda one: one.accuracy,
    "accuracy_normalized": lambda one: (
        one.accuracy if one.normalized is None else ratio(one.normalized, one.n)
    ),
    "precision_macro": lambda one: one.macro.precision,
    "recall_macro": lambda one: one.macro.recall,
    "f1_macro": lambda one: one.macro.f1,
    "precision_micro": lambda one: one.micro.precision,
    "recall_micro": lambda one: one.micro.recall,
    "f1_micro": lambda one: one.micro.f1,
}

_OVERALL: Mapping[str, Callable[[Evaluation], float | None]] = {
    "accuracy": lambda one: one.overall.accuracy,
    "row_accuracy": lambda one: ratio(one.rows.right, one.rows.matched),
    "coverage": lambda one: one.rows.coverage,
    "precision_macro": lambda one: one.overall.macro.precision,
    "recall_macro": lambda one: one.overall.macro.recall,
    "f1_macro": lambda one: one.overall.macro.f1,
    "precision_micro": lambda one: one.overall.micro.precision,
    "recall_micro": lambda one: one.overall.micro.recall,
    "f1_micro": lambda one: one.overall.micro.f1,
}

_SHORT = {"f1": "f1_macro", "precision": "precision_macro", "recall": "recall_macro"}
"""What a name without an average means."""

_SLACK = 1e-12
"""By how much a figure may be below its minimum: a mean of nine tenths is not always 0.9 in floats."""


class Minimum(Struct, frozen=True):
    """One gate as the user wrote it.

    Args:
        name: what is before the equals sign.
        least: from 0 to 1.
    """

    name: str
    least: float


class Checked(Struct, frozen=True):
    """A gate and the figure that it is for, None where that is undefined."""

    minimum: Minimum
    figure: float | None

    @property
    def passed(self) -> bool:
        """Whether the figure is there and not below the minimum."""
        return self.figure is not None and self.figure >= self.minimum.least - _SLACK

    def __str__(self) -> str:
        if self.figure is None:
            return f"{self.minimum.name} is undefined: there is nothing to count; its minimum is {self.minimum.least:g}"
        verb = "reaches" if self.passed else "is below"
        return f"{self.minimum.name} is {_digits(self.figure, self.minimum.least)}, which {verb} the minimum {self.minimum.least:g}"


def _digits(figure: float, least: float) -> str:
    """To four digits, or as many as show on which side of the minimum it is."""
    short = f"{figure:.4f}"
    return short if (float(short) >= least) == (figure >= least) else f"{figure:.12g}"


def parse_minimum(text: str) -> Minimum:
    """`label.f1=0.85`.

    Raises:
        UsageError: it has no such form, or the number is not from 0 to 1.
    """
    name, equals, number = text.rpartition("=")
    name = name.strip()
    try:
        least = float(number)
    except ValueError:
        least = math.nan
    if not equals or not name or math.isnan(least):
        raise UsageError(f"--min: {text!r} is no minimum", hint="--min accuracy=0.9 or --min FIELD.f1=0.85")
    if not 0 <= least <= 1:
        hint = f"--min {name}={least / 100:g}" if 1 < least <= 100 else ""
        raise UsageError(f"--min: {number.strip()!r} in {text!r} is not from 0 to 1", hint=hint)
    return Minimum(name, least)


def check_minimums(evaluation: Evaluation, minimums: Sequence[Minimum]) -> list[Checked]:
    """Each minimum with its figure.

    Raises:
        UsageError: there is no such field or metric.
    """
    return [Checked(one, _figure(evaluation, one.name)) for one in minimums]


def _figure(evaluation: Evaluation, name: str) -> float | None:
    if (full := _SHORT.get(name, name)) in _OVERALL:
        return _OVERALL[full](evaluation)
    path, _, metric = name.rpartition(".")
    metric = _SHORT.get(metric, metric)
    if path in evaluation.fields and metric in _FIELD:
        return _FIELD[metric](evaluation.fields[path])
    if path in evaluation.fields or not path:
        raise _unknown_metric(name, path, evaluation)
    raise _unknown_field(name, path, evaluation)


def _unknown_metric(name: str, path: str, evaluation: Evaluation) -> UsageError:
    metric = name.rpartition(".")[2]
    known = [*_SHORT, *(_FIELD if path else _OVERALL)]
    if not path and name in evaluation.fields:
        return UsageError(f"--min: {name!r} is a field, not a metric", hint=f"--min {name}.accuracy=X")
    close = nearest(metric, known)
    hint = f"did you mean {close}? " if close else ""
    return UsageError(f"--min: no metric {metric!r}", hint=f"{hint}one of {', '.join(known)}")


def _unknown_field(name: str, path: str, evaluation: Evaluation) -> UsageError:
    if name in evaluation.fields:
        return UsageError(f"--min: {name!r} is a field, not a metric", hint=f"--min {name}.accuracy=X")
    if path in evaluation.joined.only_in_gold:
        return UsageError(
            f"--min: the field {path!r} was not compared: no prediction has it",
            hint=f"--fields {path} compares it all the same",
        )
    close = nearest(path, evaluation.fields)
    hint = f"did you mean {close!r}? " if close else ""
    return UsageError(
        f"--min: no field {path!r}", hint=f"{hint}the fields are {', '.join(evaluation.fields)}"
    )
