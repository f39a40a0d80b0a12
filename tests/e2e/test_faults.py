"""What a provider can do to a row, and that no row is asked more often than was configured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rehearsal import rehearse

from llmx.mock import MockSettings

WIRES = ["openai", "anthropic"]
STORMS = {
    "errors": {"error_rate": 1.0},
    "drops": {"drop_rate": 1.0},
    "hangs": {"hang_rate": 1.0},
    "malformed": {"malformed_rate": 1.0},
}
PARTIAL_STORMS: dict[str, dict[str, Any]] = {
    "errors": {"error_rate": 0.7},
    "drops": {"drop_rate": 0.7},
    "hangs": {"hang_rate": 0.5},
    "malformed": {"malformed_rate": 0.7},
    "all": {"error_rate": 0.2, "drop_rate": 0.2, "hang_rate": 0.2, "malformed_rate": 0.2},
}


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_that_stays_invalid_is_an_error_row(wire: str, tmp_path: Path) -> None:
    """After `--reasks` the row fails; it keeps the last raw answer and says how often it was asked."""
    run = rehearse(tmp_path, 3, MockSettings(malformed_until=9), wire=wire, reasks=2)
    assert run.failed_ids == [0, 1, 2]
    assert run.kinds == {"invalid_answer"}
    assert run.stats["calls"] == 9
    assert {row["_error"]["attempts"] for row in run.errors} == {3}
    assert all(row["_error"]["raw"] for row in run.errors)


def test_without_reasks_the_first_answer_is_the_last(tmp_path: Path) -> None:
    """`--reasks 0` pays for one answer and no more."""
    assert rehearse(tmp_path, 3, MockSettings(malformed_until=1), reasks=0).stats["calls"] == 3


@pytest.mark.parametrize("wire", WIRES)
def test_a_refusal_is_an_error_row_and_not_asked_again(wire: str, tmp_path: Path) -> None:
    """A model that declines has answered: one call, and the row says what became of it."""
    run = rehearse(tmp_path, 3, MockSettings(refusal_rate=1.0), wire=wire)
    assert run.kinds == {"refusal"}
    assert run.stats["calls"] == 3
    assert run.errors[0]["_error"]["message"].startswith("the model declined")


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_cut_twice_is_an_error_row(wire: str, tmp_path: Path) -> None:
    """A cut answer gets one more try with twice the room; cut again, the row fails with what was said."""
    mock = MockSettings(reasoning_tokens=100_000)
    run = rehearse(tmp_path, 2, mock, wire=wire)
    assert run.kinds == {"truncated_answer"}
    assert run.stats["calls"] == 4


def test_a_cut_answer_is_not_asked_again_when_the_user_set_the_limit(tmp_path: Path) -> None:
    """`--max-output-tokens` is a promise about money."""
    run = rehearse(tmp_path, 2, max_output_tokens=1)
    assert run.kinds == {"truncated_answer"}
    assert run.stats["calls"] == 2


@pytest.mark.parametrize("wire", WIRES)
def test_a_cut_answer_succeeds_with_twice_the_room(wire: str, tmp_path: Path) -> None:
    """4,096 tokens were not enough, 8,192 are."""
    run = rehearse(tmp_path, 2, MockSettings(reasoning_tokens=5000), wire=wire)
    assert run.ids == [0, 1]
    assert run.stats["calls"] == 4


@pytest.mark.parametrize("storm", PARTIAL_STORMS)
def test_a_storm_never_multiplies_attempts(storm: str, tmp_path: Path) -> None:
    """By the provider's own count, no row is asked more than (1 + reasks) * (1 + retries) times."""
    rows, reasks, retries = 12, 1, 2
    run = rehearse(
        tmp_path, rows, MockSettings(seed=1, **PARTIAL_STORMS[storm]), reasks=reasks, retries=retries
    )
    assert sorted(run.ids + run.failed_ids) == list(range(rows))
    assert run.stats["calls"] <= rows * (1 + reasks) * (1 + retries)
    attempts = [row["_error"]["attempts"] for row in run.errors]
    assert all(count <= (1 + reasks) * (1 + retries) for count in attempts)


@pytest.mark.parametrize("storm", ["errors", "hangs", "malformed"])
def test_a_storm_without_end_costs_each_row_its_attempts(storm: str, tmp_path: Path) -> None:
    """Every row is tried as often as was asked for: errors by --retries, hangs once more, invalid answers by --reasks."""
    run = rehearse(tmp_path, 4, MockSettings(**STORMS[storm]), reasks=1, retries=2)
    assert sorted(run.failed_ids) == [0, 1, 2, 3]
    assert run.stats["calls"] == 4 * {"errors": 3, "hangs": 2, "malformed": 2}[storm]


def test_a_call_that_hangs_ends_with_the_timeout(tmp_path: Path) -> None:
    """The time limit is ours: two attempts of 30 s, and the message says that it may have been billed."""
    run = rehearse(tmp_path, 1, MockSettings(hang_rate=1.0), timeout="30s")
    assert run.kinds == {"retries_exhausted"}
    assert "billed" in run.errors[0]["_error"]["message"]
    assert 60 <= run.seconds < 70


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("form", ["seconds", "ms", "date"])
def test_a_retry_after_is_kept_in_all_its_forms(wire: str, form: Any, tmp_path: Path) -> None:
    """Rows above the provider's limit wait as long as it asks, all of them, and all succeed."""
    mock = MockSettings(rpm=10, retry_after=form, limit_headers=False)
    run = rehearse(tmp_path, 25, mock, wire=wire, concurrency=5)
    assert run.ids == list(range(25))
    assert run.stats["busiest_60s_calls"] <= 10 + 2 * 5
    assert run.stats["statuses"]["429"] <= 2 * 5
    assert 120 <= run.seconds < 25 * 60 / 10


@pytest.mark.parametrize("wire", WIRES)
def test_a_limit_that_the_headers_tell_is_kept_before_anybody_is_refused(wire: str, tmp_path: Path) -> None:
    """What was under way when it was first told counts: then rows go out at its rate."""
    run = rehearse(tmp_path, 25, MockSettings(rpm=10), wire=wire, concurrency=5)
    assert run.ids == list(range(25))
    assert run.stats["statuses"] == {"200": 25}
    assert 120 <= run.seconds < 25 * 60 / 10


def test_a_429_holds_all_workers(tmp_path: Path) -> None:
    """One refusal with a time pauses everyone: at most the calls in flight are refused per minute."""
    run = rehearse(tmp_path, 60, MockSettings(rpm=20, limit_headers=False), concurrency=4)
    assert run.ids == list(range(60))
    assert 1 <= run.stats["statuses"]["429"] <= 2 * 4


def test_a_429_uses_up_no_retry(tmp_path: Path) -> None:
    """Pacing is not failure: with `--retries 0` every row still succeeds."""
    run = rehearse(tmp_path, 30, MockSettings(rpm=10), concurrency=4, retries=0)
    assert run.ids == list(range(30))


def test_errors_at_the_start_are_ridden_out(tmp_path: Path) -> None:
    """A provider that comes back within the retries costs no row."""
    run = rehearse(tmp_path, 10, MockSettings(fail_first=5))
    assert run.ids == list(range(10))
