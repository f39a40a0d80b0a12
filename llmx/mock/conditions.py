"""What the time of a call makes of it: outages, brown-outs, a slow start.

`faults` decides by the number of a call, this by its time; times are seconds since the first call.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from llmx.mock.faults import Fate
from llmx.mock.settings import MockSettings

__all__ = ["Conditions"]

_COLD = 10.0  # how many times slower a cold server answers its first call


class Conditions:
    """Applies the schedules of the settings."""

    def __init__(self, settings: MockSettings) -> None:
        self._outages = sorted(settings.outages, key=lambda outage: outage.start)
        self._brown_outs = settings.brown_outs
        self._slow_start = settings.slow_start
        self._seed = settings.seed
        self._browned = 0

    def outage_left(self, now: float) -> float:
        """Seconds until the outage is over, 0 outside of one; outages that touch are one."""
        end = now
        for outage in self._outages:
            if outage.start <= end < outage.end:
                end = outage.end
        return end - now

    def met(self, fate: Fate, now: float) -> Fate:
        """What becomes of a call with this fate when it comes at `now`."""
        if now < self._slow_start:
            fate = replace(fate, latency=fate.latency * self._coldness(now))
        shares = [brown_out.share for brown_out in self._brown_outs if brown_out.holds(now)]
        return self._dimmed(fate, max(shares)) if shares else fate

    def _coldness(self, now: float) -> float:
        """How many times slower than when warm: falls linearly to 1."""
        return _COLD - (_COLD - 1) * now / self._slow_start

    def _dimmed(self, fate: Fate, share: float) -> Fate:
        self._browned += 1
        # Draws of their own, so that a brown-out changes no other fault of the run.
        rng = Random(f"{self._seed}:brown-out:{self._browned}")  # noqa: S311 - faults, no secrets
        if rng.random() < share:
            return Fate("error", 503, fate.latency)
        return replace(fate, latency=fate.latency * 2)
