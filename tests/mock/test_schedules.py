"""Schedules are written as they are documented, and nonsense is refused with an example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmx.errors import UsageError
from llmx.mock.schedules import BrownOut, LimitsChange, Outage


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (LimitsChange.parse, "30:1500", LimitsChange(30.0, 1500)),
        (LimitsChange.parse, "0.5:1500:300000", LimitsChange(0.5, 1500, 300_000)),
        (LimitsChange.parse, "30:-:300000", LimitsChange(30.0, None, 300_000)),
        (LimitsChange.parse, "30:1500:-", LimitsChange(30.0, 1500)),
        (Outage.parse, "0:2.5", Outage(0.0, 2.5)),
        (BrownOut.parse, "30:10:0.5", BrownOut(30.0, 10.0, 0.5)),
        (BrownOut.parse, "30:10:0", BrownOut(30.0, 10.0, 0.0)),
    ],
)
def test_what_is_a_schedule(parse: Callable[[str], Any], text: str, expected: Any) -> None:
    """Numbers apart by colons, in seconds, per minute, and shares."""
    assert expected == parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "30", "30:", "30:-", "30:-:-", "30:0", "30:1500:0", "30:1.5", "-1:5", "nan:5", "inf:5", "1:2:3:4"],
)
def test_what_is_no_change_of_limits(text: str) -> None:
    """The hint shows one."""
    with pytest.raises(UsageError, match="not a change of limits") as caught:
        LimitsChange.parse(text)
    assert "--limits-at 30:1500" in caught.value.hint


@pytest.mark.parametrize("text", ["", "30", "soon:10", "30:0", "30:-1", "-1:10", "30:nan", "30:inf", "1:2:3"])
def test_what_is_no_outage(text: str) -> None:
    """The hint shows one."""
    with pytest.raises(UsageError, match="not an outage") as caught:
        Outage.parse(text)
    assert "--outage 30:10" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "30:10", "30:10:1.1", "30:10:-0.1", "30:0:0.5", "30:10:nan", "1:2:0.3:4"]
)
def test_what_is_no_brown_out(text: str) -> None:
    """The hint shows one."""
    with pytest.raises(UsageError, match="not a brown-out") as caught:
        BrownOut.parse(text)
    assert "--brown-out 30:10:0.5" in caught.value.hint
