"""The time of a call decides: out, browned out, cold, or as usual."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.mock.conditions import Conditions
from llmx.mock.faults import Fate
from llmx.mock.schedules import BrownOut, Outage
from llmx.mock.settings import MockSettings

FATE = Fate("answer", latency=0.5)
MOMENTS = st.integers(0, 400).map(lambda tenths: tenths / 8)  # exact in binary, so that sums are
OUTAGES = st.lists(st.builds(Outage, MOMENTS, MOMENTS.filter(bool)), max_size=6)


@given(OUTAGES, MOMENTS)
def test_an_outage_is_over_when_it_is_told_to_be(outages: list[Outage], now: float) -> None:
    """It lasts as long as any of them does, and the time that is told is the first without one."""
    conditions = Conditions(MockSettings(outages=tuple(outages)))
    left = conditions.outage_left(now)
    assert (left > 0) == any(outage.start <= now < outage.end for outage in outages)
    assert conditions.outage_left(now + left) == 0
    assert left == 0 or conditions.outage_left(now + left - 0.0625) > 0


def test_a_brown_out_fails_its_share() -> None:
    """Those get a 503 in the usual time, the others take twice as long."""
    conditions = Conditions(MockSettings(brown_outs=(BrownOut(10, 5, 0.3),)))
    fates = [conditions.met(FATE, 12.0) for _ in range(5000)]
    assert {Fate("error", 503, 0.5), Fate("answer", latency=1.0)} == set(fates)
    assert pytest.approx(sum(fate.kind == "error" for fate in fates) / 5000, abs=0.03) == 0.3


def test_a_seed_repeats_a_brown_out() -> None:
    """Another seed fails others."""
    brown_outs = (BrownOut(0, 5, 0.5),)
    runs = [Conditions(MockSettings(brown_outs=brown_outs, seed=seed)) for seed in (1, 1, 2)]
    one, again, other = ([run.met(FATE, 1.0).kind for _ in range(50)] for run in runs)
    assert one == again != other


@pytest.mark.parametrize(("now", "out"), [(9.99, False), (10.0, True), (14.99, True), (15.0, False)])
def test_a_brown_out_has_its_time(now: float, out: bool) -> None:
    """Before and after it calls meet their usual fate."""
    conditions = Conditions(MockSettings(brown_outs=(BrownOut(10, 5, 1.0),)))
    assert out == (conditions.met(FATE, now) != FATE)


def test_the_worse_of_two_brown_outs_holds() -> None:
    """Where they overlap, latency is doubled once."""
    conditions = Conditions(MockSettings(brown_outs=(BrownOut(0, 9, 0.0), BrownOut(3, 9, 0.0))))
    assert conditions.met(FATE, 5.0).latency == 1.0


@given(st.floats(0.1, 600), st.floats(0, 1))
def test_a_cold_server_warms_up_linearly(seconds: float, share: float) -> None:
    """From 10 times the latency at the first call to once at the end, and so it stays."""
    conditions = Conditions(MockSettings(slow_start=seconds))
    assert math.isclose(conditions.met(FATE, share * seconds).latency, 0.5 * (10 - 9 * share), rel_tol=1e-9)
    assert conditions.met(FATE, seconds * 1.01) == FATE
