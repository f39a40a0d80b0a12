"""What a server turns out to allow: a rate from refusals, a concurrency from latency and overload."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.layers.adaptive import LOWEST_RATE, AdaptiveConcurrency, AdaptiveRate

# Concurrency


def a_round(
    concurrency: AdaptiveConcurrency, seconds: float = 1.0, *, full: bool = True, overloaded: int = 0
) -> int:
    """As many calls as may be in flight have come back; how many may be then."""
    for nth in range(concurrency.limit):
        concurrency.ended(None if nth < overloaded else seconds, full=full, overloaded=nth < overloaded)
    return concurrency.limit


def test_it_doubles_while_it_is_full_and_fast():
    """Round by round, up to the most there may be."""
    concurrency = AdaptiveConcurrency(32, 256)
    assert [a_round(concurrency) for _ in range(5)] == [64, 128, 256, 256, 256]


def test_it_is_left_alone_while_nobody_waits():
    """More places would be of no use."""
    concurrency = AdaptiveConcurrency(32, 256)
    assert [a_round(concurrency, full=False) for _ in range(3)] == [32, 32, 32]


def test_it_stops_when_latency_doubles():
    """More calls would only wait in the server's own queue; it never falls below where it began."""
    concurrency = AdaptiveConcurrency(32, 256)
    assert a_round(concurrency, 1.0) == 64
    assert a_round(concurrency, 1.9) == 128
    assert a_round(concurrency, 2.5) == 102
    assert [a_round(concurrency, 10.0) for _ in range(8)][-1] == 32


def test_after_an_end_it_adds_a_few():
    """Doubling is for the beginning."""
    concurrency = AdaptiveConcurrency(32, 256)
    a_round(concurrency)
    a_round(concurrency, 3.0)
    before = concurrency.limit
    assert a_round(concurrency, 1.0) == before + 8
    assert a_round(concurrency, 1.0) == before + 16


def test_rows_that_get_longer_are_no_slow_server():
    """An old best is forgotten: latency that grows by a hundredth a round never holds it back."""
    concurrency = AdaptiveConcurrency(32, 256)
    seconds = 1.0
    for _ in range(200):
        a_round(concurrency, seconds)
        seconds *= 1.01
    assert concurrency.limit == 256


def test_it_falls_on_overload():
    """To a half, when more than half of a round failed so; below its beginning, too, and not below one."""
    concurrency = AdaptiveConcurrency(32, 256)
    assert a_round(concurrency, overloaded=17) == 16
    assert [a_round(concurrency, overloaded=1000) for _ in range(6)] == [8, 4, 2, 1, 1, 1]


def test_single_failures_are_no_overload():
    """Half of a round may fail."""
    concurrency = AdaptiveConcurrency(32, 256)
    assert a_round(concurrency, overloaded=16) == 64


def test_failures_say_nothing_of_latency():
    """A timeout after a minute does not make the answers of a round slow."""
    concurrency = AdaptiveConcurrency(32, 256)
    a_round(concurrency, 1.0)
    for nth in range(64):
        concurrency.ended(None if nth < 20 else 1.0, full=True, overloaded=nth < 20)
    assert concurrency.limit == 128


def test_a_refusal_says_nothing_of_latency():
    """It comes at once: the answers after it are not slow for that."""
    concurrency = AdaptiveConcurrency(4, 64)
    for _ in range(4):
        concurrency.ended(None, full=False)
    assert [a_round(concurrency) for _ in range(3)] == [8, 16, 32]


def test_it_falls_on_refusals_once_per_round_trip():
    """What was sent before the last fall says nothing new."""
    concurrency = AdaptiveConcurrency(32, 256)
    for _ in range(20):
        concurrency.refused(10.0, sent=9.0)
    assert concurrency.limit == 22
    concurrency.refused(11.0, sent=10.5)
    assert concurrency.limit == 15
    for second in range(12, 40):
        concurrency.refused(second, sent=second - 0.5)
    assert concurrency.limit == 1


def test_it_comes_back_after_refusals():
    """By a few a round, from one on, too."""
    concurrency = AdaptiveConcurrency(4, 64)
    for second in range(10):
        concurrency.refused(second, sent=second - 0.5)
    assert [a_round(concurrency) for _ in range(3)] == [9, 17, 25]


def test_latency_does_not_touch_a_concurrency_that_was_told():
    """Somebody has chosen it; overload and refusals still count, and it comes back as far as it was told."""
    concurrency = AdaptiveConcurrency(10, 10)
    assert [a_round(concurrency, seconds) for seconds in (1, 5, 50, 500)] == [10] * 4
    assert a_round(concurrency, overloaded=6) == 5
    assert a_round(concurrency) == 10


calls = st.tuples(
    st.floats(0.001, 100), st.booleans(), st.booleans(), st.sampled_from(["end", "end", "end", "refused"])
)


@given(start=st.integers(1, 40), more=st.integers(0, 300), history=st.lists(calls, max_size=400))
def test_it_stays_between_one_and_its_ceiling(start, more, history):
    """Whatever comes back, in whatever order."""
    concurrency = AdaptiveConcurrency(start, start + more)
    now = 0.0
    for seconds, full, overloaded, what in history:
        now += seconds
        if what == "refused":
            concurrency.refused(now, sent=now - seconds / 2)
        else:
            concurrency.ended(seconds, full=full, overloaded=overloaded)
        assert 1 <= concurrency.limit <= start + more


# Rate


def answering() -> AdaptiveRate:
    """A server that has answered."""
    rate = AdaptiveRate()
    rate.passed(math.inf, -math.inf)
    return rate


def refuse(
    rate: AdaptiveRate,
    now: float,
    *,
    sent: float,
    accepted: float = 50.0,
    lowest: float = 0.0,
    known: bool = False,
) -> bool:
    return rate.refused(now, sent=sent, accepted=accepted, lowest=lowest, known=known)


def test_there_is_no_rate_before_a_refusal():
    """Nothing holds anybody back."""
    rate = AdaptiveRate()
    for n in range(100):
        rate.take(n / 1000)
    assert (rate.rate, rate.wait(0.1)) == (math.inf, 0.0)


def test_the_first_refusal_sets_it_below_what_was_taken():
    """And sends are spaced evenly from then on."""
    rate = answering()
    assert refuse(rate, 10.0, sent=9.5)
    assert rate.rate == pytest.approx(46)
    now, times = 10.0, []
    for _ in range(46):
        now += rate.wait(now)
        rate.take(now)
        times.append(now)
    assert times[-1] == pytest.approx(11.0, abs=0.05)


def test_it_falls_once_per_round_trip():
    """A burst of refusals is one; the next one is of what was sent since."""
    rate = answering()
    for _ in range(50):
        refuse(rate, 10.0, sent=9.5)
    for _ in range(100):
        rate.passed(math.inf, 10.05)
    assert rate.rate == pytest.approx(46)
    assert not refuse(rate, 11.0, sent=9.9)
    assert refuse(rate, 11.0, sent=10.1)
    assert rate.rate == pytest.approx(46 * 0.92)


def test_it_falls_far_when_most_are_refused():
    """A limit that has become much smaller is found in a few round trips."""
    rate = answering()
    for second in range(4):
        refuse(rate, second, sent=second - 0.5)
    assert rate.rate == pytest.approx(46 / 8)


def test_it_has_a_lowest():
    """One a minute is the smallest limit per minute that there is."""
    rate = answering()
    for second in range(100):
        refuse(rate, second, sent=second - 0.5)
    assert rate.rate == LOWEST_RATE


def test_it_does_not_fall_below_what_every_limit_allows():
    """A server that lets a minute's requests through at once, and refuses for the rest of it, allows that many."""
    rate = answering()
    refuse(rate, 8.0, sent=7.5, accepted=400.0, lowest=50.0)
    for second in range(9, 60):
        refuse(rate, second, sent=second - 0.5, lowest=50.0)
    assert rate.rate == pytest.approx(46)
    refuse(rate, 60.0, sent=59.5, lowest=10.0)
    assert rate.rate == pytest.approx(23)
    refuse(rate, 61.0, sent=60.5, lowest=1000.0)
    assert rate.rate == pytest.approx(23)


def test_a_limit_that_has_become_smaller_has_no_floor():
    """Where some of what was sent since the last fall is answered, the window is not used up: the rate is too high."""
    rate = answering()
    refuse(rate, 8.0, sent=7.5, lowest=50.0)
    for second in range(9, 13):
        rate.passed(math.inf, second - 0.9)
        refuse(rate, second, sent=second - 0.9, lowest=50.0)
        refuse(rate, second, sent=second - 0.8, lowest=50.0)
    assert rate.rate < 46 / 8


def test_a_long_spell_of_refusals_leaves_a_rate_to_start_from():
    """Minutes without any answer say little of the rate after them: a tenth of what had worked is left."""
    rate = answering()
    refuse(rate, 8.0, sent=7.5)
    rate.passed(math.inf, 8.5)
    refuse(rate, 20.0, sent=19.5)
    worked = rate.rate
    for second in range(21, 3600, 30):
        refuse(rate, second, sent=second - 0.5)
    assert rate.rate == pytest.approx(worked / 10)


def test_answers_to_what_was_sent_before_the_last_fall_say_nothing():
    """They had been on their way."""
    rate = answering()
    refuse(rate, 8.0, sent=7.5, lowest=50.0)
    for _ in range(20):
        rate.passed(math.inf, 7.9)
    refuse(rate, 9.0, sent=8.5, lowest=50.0)
    assert rate.rate == pytest.approx(46)


def test_a_server_that_has_answered_nothing_has_no_rate_yet():
    """Its quota was used up before this run began: nothing tells how large it is."""
    rate = AdaptiveRate()
    assert not refuse(rate, 10.0, sent=9.5, accepted=0.01)
    assert rate.rate == math.inf


def test_it_rises_while_it_holds_back():
    """Half a percent a second, and faster when it has been quiet for long."""
    rate = answering()
    refuse(rate, 0.0, sent=-1.0)
    now, rates = 0.0, {}
    while now < 60:
        now += rate.wait(now)
        rate.take(now)
        rates[int(now)] = rate.rate
    assert rates[10] == pytest.approx(46 * 1.005**10, rel=0.01)
    assert rates[59] / rates[50] > rates[19] / rates[10] > 1.04


def test_it_does_not_rise_unused():
    """A rate that nobody needs is not known to be good."""
    rate = answering()
    refuse(rate, 0.0, sent=-1.0)
    for second in range(1, 100):
        rate.take(second)
    assert rate.rate == pytest.approx(46, rel=0.01)


def test_a_rate_that_others_limit_is_none():
    """Once it has risen beyond what a known limit allows it is of no use."""
    rate = answering()
    refuse(rate, 0.0, sent=-1.0)
    rate.passed(44.0, 0.0)
    assert rate.rate == pytest.approx(46)
    rate.passed(43.0, 0.0)
    assert (rate.rate, rate.wait(0.0)) == (math.inf, 0.0)


def test_one_refusal_of_a_known_limit_is_the_networks_jitter():
    """The second within half a minute shows that the limit does not tell all."""
    rate = answering()
    assert not refuse(rate, 10.0, sent=9.0, known=True)
    assert not refuse(rate, 10.0, sent=9.5, known=True)
    assert not refuse(rate, 50.0, sent=49.0, known=True)
    assert rate.rate == math.inf
    assert refuse(rate, 60.0, sent=59.0, known=True)
    assert rate.rate == pytest.approx(46)
