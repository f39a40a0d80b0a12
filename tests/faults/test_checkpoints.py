"""`kill -9` wherever it is noted how far the output has come, and while a run goes on from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from signal import SIGINT, SIGKILL

import pytest
from commands import Llmx, Mock
from faults.scene import CONCURRENCY, Scene
from faults.systems import Fault
from rehearsal import rehearse

from llmx.mock import MockSettings

Provider = Callable[[MockSettings], Mock]

KEPT = MockSettings(log=True)
WITHOUT_CACHE = ("--cache", "off")
ROWS = 10

FIRST: dict[str, Sequence[int]] = {
    "checkpoint half written": (1, 3),
    "checkpoint written": (1, 3),
    "output half written": (2, 3),
    "output written": (2, 3),
    "journal written": (15,),
}
"""Of a run over ten rows that notes with all that it writes how far that has come."""

AGAIN: dict[str, Sequence[int]] = {
    "manifest half written": (1,),
    "journal half written": (1, 2),
    "journal written": (1, 3),
    "output truncated": (1,),
    "output half written": (1,),
    "output written": (1,),
    "checkpoint half written": (1,),
    "checkpoint written": (1,),
    "output renaming": (1,),
    "output renamed": (1,),
}
"""Of the one that goes on with it, of which some are reached only where enough is left to be done."""


def each(points: Mapping[str, Sequence[int]]) -> list[Fault]:
    """A kill at each of the points and times."""
    return [Fault(point, at) for point, times in points.items() for at in times]


def shown(fault: Fault) -> str:
    return f"{fault.point}-{fault.at}"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The output of a run to which nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    rehearse(folder, ROWS)
    return (folder / "out.jsonl").read_bytes()


def check(scene: Scene, undisturbed: bytes) -> None:
    """The run has come to its end as if nothing had happened."""
    assert scene.output.read_bytes() == undisturbed
    assert scene.rows_noted == list(range(ROWS))
    assert scene.left_over() == []


@pytest.mark.parametrize("fault", each(FIRST), ids=shown)
def test_a_run_that_was_killed_as_it_noted(
    fault: Fault, llmx: Llmx, provider: Provider, undisturbed: bytes
) -> None:
    """What stands in the journal is true of the file, whichever of the two the kill was closer to."""
    scene = Scene(llmx, provider(KEPT), *WITHOUT_CACHE, rows=ROWS, often=True)
    assert scene.run(fault).code == -SIGKILL
    assert scene.run().code == 0
    check(scene, undisturbed)
    assert scene.ledger.paid_twice == scene.ledger.in_flight[0] <= CONCURRENCY


@pytest.mark.parametrize("fault", each(AGAIN), ids=shown)
def test_a_run_that_goes_on_and_is_killed(
    fault: Fault, llmx: Llmx, provider: Provider, undisturbed: bytes
) -> None:
    """The next one goes on from the same place, or from one behind it."""
    scene = Scene(llmx, provider(KEPT), *WITHOUT_CACHE, rows=ROWS, often=True)
    assert scene.run(Fault("before send", 6)).code == -SIGKILL
    assert scene.run(fault).code == -SIGKILL
    assert scene.run().code == 0
    check(scene, undisturbed)
    assert scene.skipped == sorted(scene.skipped) or "renamed" in fault.point
    assert scene.skipped[1] > 0 or fault.point == "manifest half written"
    assert scene.ledger.paid_twice <= 2 * CONCURRENCY


def test_a_run_that_is_stopped_and_killed_in_turn(llmx: Llmx, provider: Provider, undisturbed: bytes) -> None:
    """Each session goes on where the one before has left it."""
    scene = Scene(llmx, provider(KEPT), *WITHOUT_CACHE, rows=ROWS, concurrency=1, often=True)
    assert scene.run(Fault("before send", 4, SIGINT)).code == 130
    assert scene.run(Fault("before send", 3)).code == -SIGKILL
    assert scene.run(Fault("before send", 2, SIGINT)).code == 130
    assert scene.run().code == 0
    check(scene, undisturbed)
    assert scene.skipped[0] == 0
    assert scene.skipped == sorted(set(scene.skipped))


def test_rows_out_of_standard_input_are_replayed(llmx: Llmx, provider: Provider, undisturbed: bytes) -> None:
    """They cannot be read a second time."""
    scene = Scene(llmx, provider(KEPT), *WITHOUT_CACHE, rows=ROWS, concurrency=1, often=True)
    command = ("extract", "-", *scene.command[2:])
    given = (llmx.cwd / "rows.jsonl").read_bytes()
    fault = [{"checkpoints_every": 0.0}, Fault("before send", 6, SIGINT).wanted()]
    assert llmx(*command, stdin=given, fault=fault).code == 130
    assert llmx(*command, stdin=given).code == 0
    assert (scene.skipped, scene.mock.calls) == ([0, 0], ROWS)
    assert scene.output.read_bytes() == undisturbed
