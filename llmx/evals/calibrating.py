"""Predictions with confidences, and gold, to a calibration."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.evals.calibration import VERSION, Calibration, FieldCalibration, Step
from llmx.evals.confidences import Confidences, confidences
from llmx.evals.evaluating import Options, evaluated
from llmx.evals.evaluation import Evaluation
from llmx.evals.promises import least_rows, lower_bound, promised, wilson
from llmx.evals.reliability import Pairs, calibration_error, isotonic, selections
from llmx.text import plural

__all__ = ["Calibrated", "calibrate"]


class Calibrated(Struct, frozen=True):
    """A calibration and what it was made of.

    Args:
        remarks: what the user should know, each a line.
    """

    calibration: Calibration
    evaluation: Evaluation
    remarks: list[str]


def calibrate(
    predictions: str | Path,
    gold: str | Path,
    options: Options,
    env: Environment,
    *,
    target: float = 0.95,
    level: float = 0.95,
) -> Calibrated:
    """Find the thresholds of confidence from which on an accuracy can be promised.

    Args:
        options: how the two files are compared.
        target: the accuracy to promise, between 0 and 1.
        level: how certain the promise is, between 0 and 1.

    Raises:
        UsageError: the files cannot be compared, have no confidences, or too few to promise anything.
    """
    evaluation = evaluated(predictions, gold, options, env)
    found = confidences(predictions, evaluation, env, options.format)
    _check_enough(len(found.rows), target, level)
    fields = {path: _calibrated(pairs, target, level) for path, pairs in found.fields.items() if pairs}
    calibration = Calibration(
        version=VERSION,
        promised=target,
        level=level,
        rows=_calibrated(found.rows, target, level),
        fields=fields,
    )
    return Calibrated(calibration, evaluation, [*evaluation.remarks, *_remarks(found, calibration)])


def _check_enough(rows: int, target: float, level: float) -> None:
    needed = least_rows(target, 1 - level)
    if rows < needed:
        raise UsageError(
            f"{plural(rows, 'row')} with a confidence and a right answer cannot promise {target:.4g} at a "
            f"confidence level of {level:.4g}: even if all are right it takes {needed:,}",
            hint=f"label {plural(needed - rows, 'row')} more, some of which will be wrong, so better twice as many; "
            f"or a lower --target: 0.9 takes {least_rows(0.9, 1 - level):,}, 0.8 {least_rows(0.8, 1 - level):,}",
        )


def _calibrated(pairs: Pairs, target: float, level: float) -> FieldCalibration:
    steps = selections(pairs)
    alphas = promised(steps, target, 1 - level)
    kept = [(one, alpha) for one, alpha in zip(steps, alphas, strict=True) if alpha is not None]
    lowest, alpha = kept[-1] if kept else (None, 0.0)
    return FieldCalibration(
        n=len(pairs),
        accuracy=sum(right for _, right in pairs) / len(pairs),
        threshold=lowest.threshold if lowest else None,
        share=lowest.n / len(pairs) if lowest else None,
        bound=lower_bound(lowest.right, lowest.n, alpha) if lowest else None,
        calibration_error=min(1.0, calibration_error(pairs)),
        steps=[
            Step(
                one.threshold,
                one.n,
                one.n / len(pairs),
                one.accuracy,
                wilson(one.right, one.n),
                alpha is not None,
            )
            for one, alpha in zip(steps, alphas, strict=True)
        ],
        isotonic=isotonic(pairs),
    )


def _remarks(found: Confidences, calibration: Calibration) -> list[str]:
    said = []
    if found.without:
        said.append(
            f"{plural(found.without, 'row')} without a confidence: left out, and never above a threshold"
        )
    lacking = [repr(path) for path, pairs in found.fields.items() if not pairs]
    if lacking:
        said.append(f"no row has a confidence of {', '.join(lacking[:8])}: not calibrated")
    if calibration.row_threshold is None:
        said.append(
            f"no threshold keeps the promise of {calibration.promised:.4g} for whole rows: "
            "more labelled rows, a lower --target, or a better model"
        )
    return said
