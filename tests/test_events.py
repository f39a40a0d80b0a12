"""Events and who is told."""

from __future__ import annotations

import typing

from fakes import Log

from llmx import events
from llmx.events import AttemptStarted, Event, Paused, fan_out


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
