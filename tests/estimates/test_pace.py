"""How long a run takes at known limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehearsal import rehearse

from llmx.estimates.pace import Pace, RunTime, run_time
from llmx.mock import Latency, MockSettings


@pytest.mark.parametrize(
    ("pace", "expected"),
    [
        (Pace(None, None, 10, 2.0), RunTime(22.0, "concurrency")),
        (Pace(100, None, 10, 2.0), RunTime(62.0, "rpm")),
        (Pace(100, 1_000, 10, 2.0), RunTime(302.0, "tpm")),
        (Pace(100, 1_000, 10, None), RunTime(None, "")),
    ],
    ids=["calls in flight", "rpm", "tpm", "latency unknown"],
)
def test_the_slowest_limit(pace: Pace, expected: RunTime) -> None:
    """100 calls of 50 tokens take what the slowest limit takes, and one call."""
    assert run_time(100, 5_000, pace) == expected


def test_nothing_to_do() -> None:
    """It takes no time, whoever knows what."""
    assert run_time(0, 0, Pace(1, 1, 1, None)) == RunTime(0.0, "")


amounts = st.floats(1, 1e6)


@given(amounts, amounts, amounts, amounts, st.integers(1, 1000), st.floats(0.001, 100))
def test_no_limit_makes_a_run_shorter(
    calls: float, tokens: float, rpm: float, tpm: float, concurrency: int, latency: float
) -> None:
    """And no run is shorter than its calls one by one in as many places."""
    free = run_time(calls, tokens, Pace(None, None, concurrency, latency)).seconds
    held = run_time(calls, tokens, Pace(rpm, tpm, concurrency, latency)).seconds
    assert free is not None
    assert held is not None
    assert held >= free >= calls * latency / concurrency
    assert held >= max(calls / rpm, tokens / tpm) * 60


@pytest.mark.parametrize(
    ("rpm", "tpm", "concurrency", "bottleneck"),
    [(None, None, 4, "concurrency"), (60, None, 16, "rpm"), (None, 6_000, 16, "tpm")],
    ids=["calls in flight", "rpm", "tpm"],
)
def test_a_run_takes_as_long(
    tmp_path: Path, rpm: int | None, tpm: int | None, concurrency: int, bottleneck: str
) -> None:
    """A simulated run at these limits, by a tenth or so: what it waits for is what was said."""
    mock = MockSettings(latency=Latency(1.0, 1.0), limit_headers=False)
    limits = {name: value for name, value in (("rpm", rpm), ("tpm", tpm)) if value is not None}
    run = rehearse(tmp_path, 80, mock, concurrency=concurrency, **limits)
    tokens = run.stats["input_tokens"] + run.stats["output_tokens"]
    found = run_time(80, tokens, Pace(rpm, tpm, concurrency, 1.0))
    assert found.bottleneck == bottleneck
    assert run.seconds == pytest.approx(found.seconds, rel=0.12)
