"""Events and who is told."""

from __future__ import annotations

import typing

from fakes import Log

from llmx import events
from llmx.events import AttemptStarted, Event, Paused, RowSettled, RowsSettled, fan_out, one_by_one
from llmx.types import Outcome, Record


def test_all_observers_are_told_in_order():
    """Each observer hears each event; the first one first."""
    heard: list[str] = []
    tell = fan_out(lambda event: heard.append("first"), lambda event: heard.append("second"))
    tell(Paused("mock", 1.0))
    assert heard == ["first", "second"]


def test_events_come_as_they_were():
    """Nothing is changed on the way."""
    log = Log()
    event = AttemptStarted("mock")
    fan_out(log)(event)
    assert log.events == [event]


def test_rows_that_ended_together_are_told_one_by_one():
    """To whoever wants it so; other events come as they were."""
    log = Log()
    outcomes = [Outcome(Record(n, {}), value=n) for n in range(2)]
    tell = one_by_one(log)
    tell(RowsSettled(outcomes))
    tell(AttemptStarted("mock"))
    assert log.events == [*map(RowSettled, outcomes), AttemptStarted("mock")]


def test_no_observers():
    """Telling nobody is no error."""
    fan_out()(Paused("mock", 1.0))


def test_the_union_is_complete():
    """`Event` has every event class of the module."""
    classes = {
        name
        for name, cls in vars(events).items()
        if isinstance(cls, type) and cls.__module__ == events.__name__
    }
    assert {cls.__name__ for cls in typing.get_args(Event)} == classes - {"Observer"}
