"""Random `kill -9`s of one run, each from without or within, until it ends; the test and the benchmark of them share it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from signal import SIGKILL
from typing import Any

from commands import Llmx, Mock
from faults.scene import Scene
from faults.systems import ANY, Fault

from llmx.mock import Latency, MockSettings

__all__ = ["KEPT", "Survived", "survive"]

KEPT = MockSettings(log=True, log_size=1_000_000, latency=Latency(0.005, 0.005))
"""A provider that takes a moment, so that calls are in flight, and remembers all of them."""

PER_ROW = [("before send", 1), ("after receive", 1), ("journal half written", 2), ("journal written", 2)]
"""Points that a new row passes, and how often: sent, received, half and whole lines of its answer and its end. One that
is done passes none of them."""


@dataclass
class Survived:
    """What became of a run.

    Args:
        kills: how often it was killed.
        rows: of its input.
        paid_twice: answers that the server gave more than once.
        lost: calls of each session whose answers were not in the journal when it was killed.
    """

    rows: int
    kills: int = 0
    paid_twice: int = 0
    lost: list[int] = field(default_factory=list)


class _Assassin:
    """Kills a process as soon as the server has been called so often, in the midst of a call."""

    def __init__(self, mock: Mock) -> None:
        self._mock = mock
        self._target: tuple[int, int] | None = None
        provider: Any = mock.server._provider
        self._answer = provider.answer
        provider.answer = self.answer

    def aim(self, pid: int, calls: int) -> None:
        """Kill `pid` at the server's call number `calls`."""
        self._target = (pid, calls)

    def answer(self, request: Any) -> Any:
        """See the provider."""
        if self._target is not None and self._mock.calls + 1 >= self._target[1]:
            (pid, _), self._target = self._target, None
            os.kill(pid, SIGKILL)
        return self._answer(request)


def survive(
    llmx: Llmx,
    mock: Mock,
    *,
    kills: int,
    rows: int,
    concurrency: int,
    seed: int,
    options: Sequence[str] = (),
    codes: Sequence[int] = (-SIGKILL,),
) -> Survived:
    """Kill a run so often, at random, then let it end; what is wrong with it then fails an assertion.

    Args:
        kills, rows: a session gets a few rows further before it is killed, `rows / kills` at most.
        codes: how a session may end.
    """
    scene = Scene(llmx, mock, "--cache", "off", *options, rows=rows, concurrency=concurrency, often=True)
    assassin, rng = _Assassin(mock), Random(seed)
    while len(scene.ledger.in_flight) < kills:
        code = _killed(scene, assassin, rng, rows // kills)
        assert code in codes, f"a session ended by itself, with {code}"
    assert scene.run().code == 0
    assert [row["id"] for row in scene.results] == list(range(rows)), "a row is missing, or there twice"
    assert scene.rows_noted == list(range(rows)), (
        "the journal does not say of every row, once, that it is settled"
    )
    assert scene.left_over() == []
    return Survived(rows, kills, scene.ledger.paid_twice, scene.ledger.in_flight)


def _killed(scene: Scene, assassin: _Assassin, rng: Random, further: int) -> int:
    """One session that is killed at most `further` rows further on; its exit code."""
    if rng.random() < 0.5:
        return scene.run_until(lambda pid: assassin.aim(pid, scene.mock.calls + rng.randint(1, further)))
    if rng.random() < 0.2:  # while it opens its files, or replays what is done
        return scene.run(Fault(ANY, rng.randint(1, 10))).code
    point, per_row = rng.choice(PER_ROW)
    return scene.run(Fault(point, rng.randint(1, per_row * further))).code
