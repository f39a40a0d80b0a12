"""The timeline adds up, second by second, and stays bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmx.mock.stats import Timeline


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 100)), max_size=60), st.integers(1, 20))
def test_seconds_add_up(calls: list[tuple[float, int]], span: int) -> None:
    """Every call of the latest seconds is in the second it came in, and none of an earlier one."""
    timeline, now, seen = Timeline(span), 0.0, []
    for gap, tokens in calls:
        now += gap
        timeline.add(now, tokens)
        seen.append((int(now), tokens))
    kept = [(second, tokens) for second, tokens in seen if second > int(now) - span]
    expected = [
        [second, len(amounts), sum(amounts)]
        for second in sorted({second for second, _ in kept})
        if (amounts := [tokens for at, tokens in kept if at == second])
    ]
    assert expected == timeline.snapshot()
