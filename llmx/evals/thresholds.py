"""A calibration as lines and tables of text; how they are drawn is `llmx.evals.table`'s business."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_FLOOR, Context

from llmx.evals.calibration import Calibration, FieldCalibration
from llmx.evals.presenting import Section, percent
from llmx.text import plural

__all__ = ["calibration_lines", "calibration_sections"]

_DOWN = Context(prec=4, rounding=ROUND_FLOOR)


def calibration_lines(calibration: Calibration) -> Iterator[str]:
    """What is promised, in a sentence; it is of rows like those that were labelled."""
    rows = calibration.rows
    yield (
        f"{plural(rows.n, 'row')} with a confidence, {percent(rows.accuracy)} of them right in every field that was compared"
    )
    if rows.threshold is None or rows.bound is None:
        yield f"{percent(calibration.promised)} can be promised for no threshold, at a confidence level of {percent(calibration.level)}"
        return
    yield (
        f"rows whose least confidence is {_short(rows.threshold)} or more ({percent(rows.share)} of them): at least "
        f"{percent(calibration.promised)} are right, at a confidence level of {percent(calibration.level)}"
    )


def calibration_sections(calibration: Calibration) -> list[Section]:
    """The thresholds in short, then all that were tried."""
    several = {"whole rows": calibration.rows, **calibration.fields}
    head = ["", "rows", "accuracy", "calibration error", "threshold", "share", "lower bound"]
    rows = [_summary(name, one) for name, one in several.items()]
    found = [Section("Lowest thresholds that keep the promise", head, rows)]
    return found + [_steps(name, one) for name, one in several.items()]


def _summary(name: str, one: FieldCalibration) -> list[str]:
    cells = [name, f"{one.n:,}", percent(one.accuracy), f"{one.calibration_error:.3f}"]
    if one.threshold is None:
        return [*cells, "none", "–", "–"]
    return [*cells, _short(one.threshold), percent(one.share), percent(one.bound)]


def _steps(name: str, one: FieldCalibration) -> Section:
    rows = [
        [
            _short(step.threshold),
            "yes" if step.promised else "",
            f"{step.n:,}",
            percent(step.share),
            percent(step.accuracy),
            f"{100 * step.ci95[0]:.1f}–{100 * step.ci95[1]:.1f}",
        ]
        for step in one.steps
    ]
    head = ["at or above", "promised", "rows", "share", "accuracy", "95 %"]
    return Section(f"By confidence: {name}", head, rows, 2)


def _short(threshold: float) -> str:
    """Four digits, never rounded up: who copies it as a limit shall get the rows that are at it."""
    return f"{float(_DOWN.create_decimal(repr(threshold))):.4g}"
