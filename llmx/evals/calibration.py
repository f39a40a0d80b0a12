"""A calibration: from which confidence on an accuracy is promised, as a small JSON file that other commands read.

It is made by `llmx calibrate` (`llmx.evals.calibrating`); reading it evaluates nothing and imports no numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from llmx.errors import UsageError

__all__ = ["VERSION", "Calibration", "FieldCalibration", "Step", "load_calibration"]

VERSION = 1

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]


class Step(Struct, frozen=True):
    """One threshold.

    Args:
        threshold: of confidence.
        n: rows at or above it.
        share: of all rows that have a confidence.
        accuracy: of those rows.
        ci95: of the accuracy, two-sided (Wilson).
        promised: whether the target is promised for rows at or above it.
    """

    threshold: Share
    n: Count
    share: Share
    accuracy: Share
    ci95: tuple[Share, Share]
    promised: bool


class FieldCalibration(Struct, frozen=True):
    """One field, or whole rows.

    Args:
        n: rows that have a confidence.
        accuracy: of all of them.
        threshold: the lowest for which the target is promised; None where none is.
        share: of the rows that are at or above it; None without one.
        bound: the exact one-sided lower bound of the accuracy there, at the level at which the threshold was tested: at
            least the target, which is what is promised; None without one.
        calibration_error: expected calibration error, from 0 (confidence is accuracy) to 1.
        steps: thresholds, the highest first.
        isotonic: confidence and accuracy, points at which the best fit that never falls rises.
    """

    n: Count
    accuracy: Share
    threshold: Share | None
    share: Share | None
    bound: Share | None
    calibration_error: Share
    steps: list[Step] = field(default_factory=list)
    isotonic: list[tuple[Share, Share]] = field(default_factory=list)


class Calibration(Struct, frozen=True):
    """What may be promised at which confidence.

    Args:
        promised: the accuracy, the `--target`.
        level: how certain each promise is, the `--confidence-level`.
        rows: whole rows: right in every field, by the least confidence of the row's.
        fields: by path.
    """

    version: int
    promised: Annotated[float, Meta(gt=0, lt=1)] = field(name="target")
    level: Annotated[float, Meta(gt=0, lt=1)]
    rows: FieldCalibration
    fields: Mapping[str, FieldCalibration]

    @property
    def row_threshold(self) -> float | None:
        """Rows whose least confidence is at or above this keep the promise; None: no rows do."""
        return self.rows.threshold

    def threshold(self, path: str) -> float | None:
        """The same of one field; None also for a field that is not in it."""
        found = self.fields.get(path)
        return None if found is None else found.threshold

    def encoded(self) -> bytes:
        """As it stands in the file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def load_calibration(path: str | Path, *, shown: str | None = None) -> Calibration:
    """Read what `llmx calibrate -o` has written.

    Args:
        shown: the path as the user gave it, for messages; `path` itself when None.

    Raises:
        UsageError: it cannot be read, or is no calibration that this version knows.
    """
    name = str(path) if shown is None else shown
    try:
        found = msgspec.json.decode(Path(path).read_bytes(), type=Calibration)
    except OSError as error:
        raise UsageError(f"cannot read the calibration {name!r}: {error.strerror}", hint=_HOW) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{name!r} is no calibration: {_lower(str(error))}", hint=_HOW) from error
    if found.version != VERSION:
        raise UsageError(
            f"{name!r} is a calibration of version {found.version}, and this llmx reads {VERSION}",
            hint=_HOW,
        )
    return found


_HOW = "llmx calibrate PREDICTIONS --gold FILE -o calibration.json"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
