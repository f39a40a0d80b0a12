"""Ctrl-C, TERM and HUP at every point that matters: the run drains, and its last line is the command that goes on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from signal import SIGHUP, SIGINT, SIGTERM

import pytest
from commands import Finished, Llmx, Mock
from faults.scene import CONCURRENCY, Scene
from faults.systems import Fault

from llmx.mock import MockSettings

Provider = Callable[[MockSettings], Mock]

KEPT = MockSettings(log=True)
WITHOUT_CACHE = ("--cache", "off")
ROWS = list(range(10))

UNDER_WAY: dict[str, Sequence[int]] = {
    "folder synced": (1, 2),
    "journal half written": (1, 2, 3, 12),
    "journal written": (1, 2, 3, 12),
    "manifest half written": (1,),
    "manifest renamed": (1,),
    "before send": (1, 5, 9),
    "after receive": (1, 5, 8),
    "output truncated": (1,),
    "output half written": (1, 5),
    "output written": (1, 5),
}
"""Of a run over ten rows, while some of them are still to be asked about."""

AT_THE_END: dict[str, Sequence[int]] = {
    "output written": (10,),
    "output renaming": (1,),
    "output renamed": (1,),
    "journal half written": (23,),
    "journal end synced": (1,),
    "manifest renaming": (2,),
    "manifest renamed": (2,),
}
"""When all rows are there: then it may well end as if nobody had sent a signal."""

OTHERS: dict[str, Sequence[int]] = {"before send": (5,), "journal half written": (8,), "output written": (3,)}

SECOND: dict[str, Sequence[int]] = {
    "before send": (5,),
    "after receive": (5, 6),
    "journal half written": (12, 13),
    "journal written": (12, 14),
    "output half written": (5,),
    "output written": (5,),
    "journal end synced": (1,),
    "manifest renamed": (2,),
}
"""From the fifth call on: what is still reached while the run drains."""


def each(points: Mapping[str, Sequence[int]], *signals: int) -> list[Fault]:
    """Every signal at each of the points and times."""
    return [Fault(point, at, signal) for signal in signals for point, times in points.items() for at in times]


def shown(fault: Fault) -> str:
    return f"{fault.point}-{fault.at}-{fault.signal}"


def resume(scene: Scene, done: Finished) -> Finished:
    """Run what the last line of a stopped run says, as it stands."""
    assert "Traceback" not in done.err
    label, _, command = done.err.splitlines()[-1].partition(" ")
    assert label == "resume:"
    program, *argv = shlex.split(command)
    assert (program, argv) == ("llmx", list(scene.command))
    return scene.run()


@pytest.mark.parametrize("fault", [*each(UNDER_WAY, SIGINT), *each(OTHERS, SIGTERM, SIGHUP)], ids=shown)
def test_a_signal_under_way(fault: Fault, llmx: Llmx, provider: Provider) -> None:
    """The exit code names it, no output is there yet, and the resume command completes it; nothing is paid twice."""
    scene = Scene(llmx, provider(KEPT), *WITHOUT_CACHE)
    done = scene.run(fault)
    assert done.code == 128 + fault.signal
    assert not scene.output.exists()
    assert resume(scene, done).code == 0
    assert [row["id"] for row in scene.results] == ROWS
    assert scene.mock.calls == len(ROWS)
    assert scene.left_over() == []


@pytest.mark.parametrize("fault", each(AT_THE_END, SIGINT), ids=shown)
def test_a_signal_at_the_end(fault: Fault, llmx: Llmx, provider: Provider) -> None:
    """The run is complete and says 0, or it says that it is not, and the resume command completes it."""
    scene = Scene(llmx, provider(KEPT), *WITHOUT_CACHE)
    done = scene.run(fault)
    if done.code != 0:
        assert done.code == 128 + fault.signal
        assert resume(scene, done).code == 0
    assert [row["id"] for row in scene.results] == ROWS
    assert scene.mock.calls == len(ROWS)
    assert scene.left_over() == []


@pytest.mark.parametrize("second", each(SECOND, SIGINT), ids=shown)
def test_a_second_signal(second: Fault, llmx: Llmx, provider: Provider) -> None:
    """It ends the drain wherever that is; what was in flight may be lost, and nothing else is."""
    scene = Scene(llmx, provider(KEPT), *WITHOUT_CACHE)
    done = scene.run(Fault("before send", 5, SIGINT), second)
    assert done.code == 130
    assert not scene.output.exists()
    assert resume(scene, done).code == 0
    assert [row["id"] for row in scene.results] == ROWS
    assert scene.ledger.paid_twice <= CONCURRENCY
    assert scene.left_over() == []
