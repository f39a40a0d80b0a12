"""One pause for all: how long, and what makes it longer."""

from __future__ import annotations

from llmx.layers.pause import LONGEST, Pause


def test_there_is_none_at_first():
    """Nothing holds anybody."""
    assert Pause().left(0.0) <= 0


def test_a_longer_one_extends_it():
    """A shorter one changes nothing, nor does one that nobody waits for."""
    pause = Pause(longest=600)
    assert [pause.extend(0.0, seconds) for seconds in (30, 20, 45, 601)] == [True, False, True, False]
    assert pause.left(10.0) == 35


def test_each_refusal_doubles_it_until_an_answer():
    """Half a second at first, half a minute at most."""
    pause = Pause()
    waits = [pause.refused(now, now - 0.1) for now in range(9)]
    assert waits == [0.5, 1, 2, 4, 8, 16, LONGEST, LONGEST, LONGEST]
    pause.answered()
    assert pause.refused(10.0, 9.9) == 0.5


def test_refusals_of_one_round_trip_are_one():
    """What was sent before the last one came says nothing new."""
    pause = Pause()
    assert [pause.refused(5.0, 4.0 + n / 100) for n in range(50)] == [0.5] + [0.0] * 49
