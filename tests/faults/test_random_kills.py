"""One run that is killed again and again, at random: it ends as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable

from commands import Llmx, Mock
from faults.kills import KEPT, survive

from llmx.mock import MockSettings

KILLS = 25
CONCURRENCY = 4


def test_a_run_survives_random_kills(llmx: Llmx, provider: Callable[[MockSettings], Mock]) -> None:
    """Each row is there once, and what was paid twice is at most what was in flight when the process died."""
    survived = survive(
        llmx, provider(KEPT), kills=KILLS, rows=12 * KILLS, concurrency=CONCURRENCY, seed=20_261_125
    )
    assert max(survived.lost) <= CONCURRENCY
    assert survived.paid_twice <= sum(survived.lost) <= CONCURRENCY * KILLS
