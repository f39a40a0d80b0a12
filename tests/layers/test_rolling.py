"""Amounts of the last minute."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmx.layers.rolling import CELL, Rolling


def test_nothing_was_added():
    """No amount is 0, and of no age."""
    assert (Rolling().total(5.0), Rolling().age(5.0)) == (0.0, 0.0)


def test_amounts_are_forgotten_after_a_minute():
    """Each by itself."""
    rolling = Rolling()
    rolling.add(0.0, 5)
    rolling.add(30.0, 7)
    assert [rolling.total(at) for at in (30.0, 59.5, 60.5, 89.5, 90.5)] == [12, 12, 7, 7, 0]


def test_memory_does_not_grow_with_time():
    """Nobody need ask for the total."""
    rolling = Rolling()
    for second in range(10_000):
        rolling.add(second / 2)
    assert len(rolling._cells) <= 241


def test_a_correction_takes_back():
    """What was counted too much."""
    rolling = Rolling()
    rolling.add(0.0, 256)
    rolling.add(1.0, -200)
    assert rolling.total(2.0) == 56


def test_its_age_is_at_most_its_span():
    """Seconds since the first amount, of which it knows all."""
    rolling = Rolling(10.0)
    rolling.add(100.0)
    assert [rolling.age(at) for at in (100.0, 104.0, 150.0)] == [0, 4, 10]


def test_its_memory_is_constant():
    """A cell for every quarter second, whatever the traffic."""
    rolling = Rolling()
    for n in range(100_000):
        rolling.add(n / 200)
        rolling.total(n / 200)
    assert len(rolling._cells) <= 241
    assert rolling.total(500) == 60 * 200 - 50


steps = st.lists(st.tuples(st.floats(0, 20), st.integers(-50, 100)), min_size=1, max_size=60)


@given(steps=steps, span=st.sampled_from([1.0, 10.0, 60.0]), later=st.floats(0, 90))
def test_the_total_is_that_of_the_window_to_a_quarter_second(steps, span, later):
    """Only amounts between a window's end and a cell more may be in or out."""
    rolling, now, added = Rolling(span), 0.0, []
    for after, amount in steps:
        now += after
        rolling.add(now, amount)
        added.append((now, amount))
    now += later
    total = rolling.total(now)
    certain = sum(amount for at, amount in added if at >= now - span + CELL)
    unsure = [amount for at, amount in added if now - span - CELL < at < now - span + CELL]
    low, high = sum(a for a in unsure if a < 0), sum(a for a in unsure if a > 0)
    assert certain + low <= total <= certain + high


def test_an_excess_over_a_rate():
    """A burst counts for what it is, an even pace for nothing but its last one; both fade with time."""
    burst, even = Rolling(), Rolling()
    for n in range(10):
        burst.add(0.0)
        even.add(float(n))
    assert burst.excess(0.0, 1.0) == 10
    assert burst.excess(4.0, 1.0) == 6
    assert burst.excess(20.0, 1.0) == 0
    assert even.excess(9.0, 1.0) == 1
    assert Rolling().excess(9.0, 1.0) == 0
