"""A journal's lines as figures over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmx.journal import journal
from llmx.journal.lines import encode
from llmx.pages.timeline import BUCKETS, VERSION, Timeline


def answer(time: float, **more: Any) -> dict[str, Any]:
    usage = {"input": 100, "output": 10, "cached": 40, "cache_write": 0, "reasoning": 2, "cost": "0.001"}
    return {"t": "answer", "fp": "f", "endpoint": "e", "model": "m", "usage": usage, "time": time, **more}


def row(**more: Any) -> dict[str, Any]:
    return {"t": "row", "id": "i", "ok": True, "source": "model", "attempts": 1, "seconds": 2.0, **more}


HEAD = [{"t": "journal", "id": "j", "version": VERSION}, {"t": "start", "time": 1000.0}]


def written(folder: Path, *entries: dict[str, Any] | bytes) -> Path:
    path = folder / "journal.jsonl"
    path.write_bytes(b"".join(each if isinstance(each, bytes) else encode(each) for each in entries))
    return path


def read(path: Path) -> Timeline:
    timeline = Timeline()
    timeline.read(path)
    return timeline


def told(folder: Path, *entries: dict[str, Any] | bytes) -> dict[str, Any]:
    said = read(written(folder, *entries)).as_json()
    assert said is not None
    return said


def test_the_newest_format_is_known() -> None:
    """What journals are written as can be read."""
    assert VERSION == journal.VERSION


def test_rows_come_when_their_answers_did(tmp_path: Path) -> None:
    """A row's end has no time of its own: it is that of the line before."""
    said = told(
        tmp_path, *HEAD, answer(1003.5), row(), answer(1010.2), row(ok=False), row(source="cache", attempts=0)
    )
    assert {place: bucket[:4] for place, bucket in said["buckets"].items()} == {
        "3": [1, 0, 0, 1],
        "10": [0, 1, 1, 1],
    }
    assert said["sources"] == {"model": 2, "cache": 1}


def test_tokens_and_money_by_model(tmp_path: Path) -> None:
    """Sums of all answers; one without a price makes the sum unknown, and of another model it does not."""
    unpriced = answer(1003, model="n")
    unpriced["usage"] = {**unpriced["usage"], "cost": None}
    said = told(tmp_path, *HEAD, answer(1001), answer(1002, reask=1, finish="length"), unpriced)
    first, second = said["endpoints"]
    assert (first["answers"], first["input"], first["cached"], first["reasks"], first["cut"]) == (
        2,
        200,
        80,
        1,
        1,
    )
    assert first["cost"] == pytest.approx(0.002)
    assert second["cost"] is None


def test_the_time_between_sessions_is_left_out(tmp_path: Path) -> None:
    """A run that went on a day later is drawn as one."""
    later = {"t": "start", "time": 90_000.0}
    said = told(tmp_path, *HEAD, answer(1010.0), row(), later, answer(90_005.0), row())
    assert said["sessions"] == [0.0, 10.0]
    assert said["seconds"] == 15.0


def test_a_long_run_has_wider_buckets(tmp_path: Path) -> None:
    """However long it goes on, few are held, and no row is lost."""
    entries = [each for at in range(0, 100_000, 50) for each in (answer(1000.0 + at), row())]
    said = told(tmp_path, *HEAD, *entries)
    assert len(said["buckets"]) <= BUCKETS
    assert sum(bucket[0] for bucket in said["buckets"].values()) == 2_000
    assert said["width"] * BUCKETS >= 100_000


def test_latencies(tmp_path: Path) -> None:
    """Quantiles are right to a tenth; rows that cost no call have none."""
    rows = [row(seconds=float(number)) for number in range(1, 101)]
    said = told(tmp_path, *HEAD, answer(1001.0), *rows, row(attempts=0, seconds=900.0))
    assert said["latency"]["p50"] == pytest.approx(50, rel=0.1)
    assert said["latency"]["p99"] == pytest.approx(99, rel=0.1)
    assert sum(count for _, _, count in said["latencies"]) == 100


def test_damaged_lines_are_counted_and_not_used(tmp_path: Path) -> None:
    """A flipped byte, a line of something else, and one whose checksum fits but whose content does not."""
    flipped = encode(answer(1001.0)).replace(b'"input":100', b'"input":900')
    odd = {"t": "answer", "usage": {"input": -1}, "time": 1001.0}
    timeline = read(written(tmp_path, *HEAD, flipped, b"garbage\n", odd, answer(1002.0)))
    said = timeline.as_json()
    assert timeline.damaged == 3
    assert said is not None
    assert said["endpoints"][0]["input"] == 100


def test_a_journal_of_a_newer_version_is_not_read(tmp_path: Path) -> None:
    """Nothing of it is guessed."""
    timeline = read(written(tmp_path, {"t": "journal", "version": VERSION + 1}, answer(1001.0)))
    assert timeline.newer
    assert timeline.as_json() is None


def test_a_journal_of_an_older_version_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """Answers without a time, usage without some kinds of tokens, rows without seconds."""
    old = {"t": "answer", "model": "m", "usage": {"input": 7, "output": 3, "cost": None}}
    said = told(tmp_path, {"t": "journal", "id": "j"}, old, {"t": "row", "ok": True, "attempts": 1})
    assert said["endpoints"][0]["input"] == 7
    assert sum(bucket[0] for bucket in said["buckets"].values()) == 1


def test_clocks_that_go_back_stand_still(tmp_path: Path) -> None:
    """A line that says an earlier time than the one before is taken to be as late."""
    said = told(tmp_path, *HEAD, answer(1010.0), row(), answer(900.0), row())
    assert said["buckets"]["10"][0] == 2


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Whole lines are read once; half a line waits for its end."""
    path = written(tmp_path, *HEAD, answer(1001.0))
    timeline = read(path)
    half = encode(answer(1002.0))
    with path.open("ab") as file:
        file.write(half[:30])
    assert not timeline.read(path)
    with path.open("ab") as file:
        file.write(half[30:])
    assert timeline.read(path)
    said = timeline.as_json()
    assert said is not None
    assert said["endpoints"][0]["answers"] == 2
    assert not timeline.read(tmp_path / "nothing")
