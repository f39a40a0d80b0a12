"""`kill -9` at every point that matters: the same command goes on, and pays for nothing that it had been told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGKILL

import pytest
from commands import Llmx, Mock
from faults.scene import CONCURRENCY, Scene
from faults.systems import Fault, Signalling
from rehearsal import rehearse

from llmx.mock import MockSettings
from llmx.system import installed

Provider = Callable[[MockSettings], Mock]

KEPT = MockSettings(log=True)
OLD = '{"old": true}\n'
WITHOUT_CACHE = ("--cache", "off")

POINTS: dict[str, Sequence[int]] = {
    "before send": (1, 5, 10),
    "after receive": (1, 5, 10),
    "journal half written": (1, 2, 3, 12, 23),
    "journal written": (1, 2, 3, 12, 23),
    "journal synced": (1,),
    "journal end synced": (1,),
    "output truncated": (1,),
    "output half written": (1, 3),
    "output written": (1, 3),
    "output renaming": (1,),
    "output renamed": (1,),
    "manifest half written": (1, 2, 4),
    "manifest renaming": (1, 2, 4),
    "manifest renamed": (1, 2, 4),
    "folder synced": (1, 6),
}
"""Of a run over ten rows: the first time, one in the middle and the last. Journal: who it is, start, ten answers and
ten rows, end. Manifest: at the start, before the first call, after the last, and how it ended. Folders: the first is that
of the state, the last the manifest's."""

VARYING = {"journal synced", "output half written", "output written"}
"""What is written or synced in groups, as they come."""

REASKED: dict[str, Sequence[int]] = {
    "before send": (6, 12),
    "after receive": (2, 7),
    "journal half written": (3, 9, 20),
    "journal written": (3, 9),
    "output half written": (1, 2),
}
"""Of a run over six rows, each asked twice: twelve answers, six rows."""

FAILING: dict[str, Sequence[int]] = {
    "before send": (2, 6),
    "journal half written": (4, 13),
    "journal written": (4, 14),
    "errors truncated": (1,),
    "errors half written": (1, 6),
    "errors written": (3,),
    "errors renaming": (1,),
    "errors renamed": (1,),
}
"""Of a run over six rows that all fail with their first answer, before the journal says that it has ended."""

FAILING_LATE: dict[str, Sequence[int]] = {
    "before send": (8,),
    "journal written": (5,),
    "errors written": (3,),
}
"""Of a run over six rows that all fail with the answer to a re-ask."""


def each(points: Mapping[str, Sequence[int]]) -> list[Fault]:
    """A kill at each of the points and times."""
    return [Fault(point, at) for point, times in points.items() for at in times]


def shown(fault: object) -> str | None:
    return f"{fault.point}-{fault.at}" if isinstance(fault, Fault) else None  # None: pytest's own way


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """What ten rows come to when nothing happens."""
    return rehearse(tmp_path_factory.mktemp("undisturbed"), 10).rows


@pytest.mark.parametrize("fault", each(POINTS), ids=shown)
def test_a_killed_run_goes_on(
    fault: Fault, llmx: Llmx, provider: Provider, undisturbed: list[dict[str, object]]
) -> None:
    """The output is the old one until it is the whole new one; the next run ends it and pays for what is missing."""
    scene = Scene(llmx, provider(KEPT), *WITHOUT_CACHE)
    scene.output.write_text(OLD)
    assert scene.run(fault).code == -SIGKILL
    assert scene.results in ([json.loads(OLD)], undisturbed)
    assert scene.run().code == 0
    assert scene.results == undisturbed
    assert scene.rows_noted == list(range(10))
    assert scene.ledger.paid_twice == scene.ledger.in_flight[0] <= CONCURRENCY
    assert scene.left_over() == []


def test_the_last_time_is_the_last(tmp_path: Path) -> None:
    """The table above has no time too few, but where that is another in every run."""
    counting = Signalling()
    with installed(counting):
        rehearse(tmp_path, 10, concurrency=CONCURRENCY, cache="off")
    last = {point: times[-1] for point, times in POINTS.items() if point not in VARYING}
    assert {point: counting.counts[point] for point in last} == last


@pytest.mark.parametrize(
    "fault", each({"before send": (5,), "after receive": (5,), "journal written": (9,)}), ids=shown
)
def test_with_the_cache_it_is_the_same(
    fault: Fault, llmx: Llmx, provider: Provider, undisturbed: list[dict[str, object]]
) -> None:
    """Cache and journal together lose nothing and mix nothing."""
    scene = Scene(llmx, provider(KEPT))
    assert scene.run(fault).code == -SIGKILL
    assert scene.run().code == 0
    assert scene.results == undisturbed
    assert scene.ledger.paid_twice <= CONCURRENCY


@pytest.mark.parametrize("fault", each(REASKED), ids=shown)
def test_reasks_are_answers_too(fault: Fault, llmx: Llmx, provider: Provider) -> None:
    """An answer that did not fit is not bought again, nor is that to its re-ask."""
    scene = Scene(llmx, provider(MockSettings(log=True, malformed_until=1)), *WITHOUT_CACHE, rows=6)
    assert scene.run(fault).code == -SIGKILL
    assert scene.run().code == 0
    assert [row["id"] for row in scene.results] == list(range(6))
    assert scene.rows_noted == list(range(6))
    assert scene.mock.calls == 12 + scene.ledger.in_flight[0]
    assert scene.ledger.in_flight[0] <= CONCURRENCY


@pytest.mark.parametrize(
    ("fault", "reasks"),
    [*((fault, 0) for fault in each(FAILING)), *((fault, 1) for fault in each(FAILING_LATE))],
    ids=shown,
)
def test_a_failed_row_stays_failed_until_a_run_has_ended(
    fault: Fault, reasks: int, llmx: Llmx, provider: Provider
) -> None:
    """What has failed for good is not bought again on resume; when the run has ended with 3, it is, once."""
    settings = MockSettings(log=True, malformed_rate=1.0)
    scene = Scene(llmx, provider(settings), *WITHOUT_CACHE, "--reasks", str(reasks), rows=6)
    assert scene.run(fault).code == -SIGKILL
    assert scene.run().code == 3
    assert scene.failed_ids == list(range(6))
    assert scene.results == []
    paid = scene.mock.calls
    assert paid == 6 * (1 + reasks) + scene.ledger.in_flight[0]
    assert scene.ledger.in_flight[0] <= CONCURRENCY
    assert scene.left_over(["out.errors.jsonl"]) == []
    llmx(*scene.command)
    assert scene.mock.calls == paid + 6 * (1 + reasks)
    assert scene.failed_ids == list(range(6))
