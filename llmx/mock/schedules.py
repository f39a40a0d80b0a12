"""What changes while the simulated provider runs, and when; times are seconds since its first call.

Values and how the command line writes them, no more: `limits` and `conditions` act on them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llmx.errors import UsageError

__all__ = ["BrownOut", "LimitsChange", "Outage"]


@dataclass(frozen=True, slots=True)
class LimitsChange:
    """From a time on the limits are others.

    Args:
        at: seconds, 0 or more.
        rpm, tpm: per minute, 1 or more; None leaves that limit as it is. One of them is given.
    """

    at: float
    rpm: int | None = None
    tpm: int | None = None

    @classmethod
    def parse(cls, text: str) -> LimitsChange:
        """From `"30:1500"`, `"30:1500:300000"` or `"30:-:300000"`, where `-` leaves a limit as it is.

        Raises:
            UsageError: not numbers, a number out of its range, or nothing that changes.
        """
        hint = "T:RPM or T:RPM:TPM, - for unchanged, e.g. --limits-at 30:1500 or --limits-at 30:-:300000"
        with _said("a change of limits", text, hint):
            at, rpm, *rest = text.split(":")
            (tpm,) = rest or ["-"]
            change = cls(float(at), _figure(rpm), _figure(tpm))
            _require(change.sound)
            return change

    @property
    def sound(self) -> bool:
        """Whether all is in its range."""
        figures = [figure for figure in (self.rpm, self.tpm) if figure is not None]
        return 0 <= self.at < math.inf and bool(figures) and min(figures) >= 1


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which nothing is answered but 503.

    Args:
        start: seconds, 0 or more.
        seconds: how long, above 0.
    """

    start: float
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Outage:
        """From `"30:10"`.

        Raises:
            UsageError: not two numbers, or one out of its range.
        """
        with _said("an outage", text, "START:SECONDS, e.g. --outage 30:10"):
            start, seconds = map(float, text.split(":"))
            outage = cls(start, seconds)
            _require(outage.sound)
            return outage

    @property
    def sound(self) -> bool:
        """Whether all is in its range."""
        return 0 <= self.start < math.inf and 0 < self.seconds < math.inf

    @property
    def end(self) -> float:
        """Seconds; the first moment after it."""
        return self.start + self.seconds


@dataclass(frozen=True, slots=True)
class BrownOut:
    """A time in which some calls get a 503 and the others take twice as long.

    Args:
        start: seconds, 0 or more.
        seconds: how long, above 0.
        share: of the calls that get a 503, 0 to 1.
    """

    start: float
    seconds: float
    share: float

    @classmethod
    def parse(cls, text: str) -> BrownOut:
        """From `"30:10:0.5"`.

        Raises:
            UsageError: not three numbers, or one out of its range.
        """
        with _said("a brown-out", text, "START:SECONDS:SHARE, e.g. --brown-out 30:10:0.5"):
            start, seconds, share = map(float, text.split(":"))
            brown_out = cls(start, seconds, share)
            _require(brown_out.sound)
            return brown_out

    @property
    def sound(self) -> bool:
        """Whether all is in its range."""
        return 0 <= self.start < math.inf and 0 < self.seconds < math.inf and 0 <= self.share <= 1

    def holds(self, now: float) -> bool:
        """Whether it is on at `now` seconds."""
        return self.start <= now < self.start + self.seconds


@contextmanager
def _said(what: str, text: str, hint: str) -> Iterator[None]:
    """Whatever is wrong with the text, from too few parts to a NaN, is one message with an example."""
    try:
        yield
    except ValueError as error:
        raise UsageError(f"not {what}: {text!r}", hint=hint) from error


def _require(sound: bool) -> None:
    if not sound:
        raise ValueError("out of range")


def _figure(text: str) -> int | None:
    return None if text == "-" else int(text)
