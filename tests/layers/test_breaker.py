"""The circuit breaker: its state table, and random histories against a model of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from llmx.layers.breaker import COOL_DOWN, Breaker


def a_breaker(drawn: float = 0.5) -> Breaker:
    return Breaker(random=lambda: drawn)


def opened(at: float = 100.0, *, retry_after: float | None = None, drawn: float = 0.5) -> Breaker:
    """A circuit that five failures have opened, the last of them at `at`; they were sent a second before."""
    breaker = a_breaker(drawn)
    for _ in range(4):
        assert not breaker.failed(at, at - 1)
    assert breaker.failed(at, at - 1, retry_after=retry_after)
    return breaker


def probed(breaker: Breaker, now: float) -> Breaker:
    """The same after its cool-down, with the probe out."""
    assert breaker.state(now) == "half-open"
    assert breaker.sent()
    return breaker


# Closed


def test_it_is_closed_at_first():
    """Every request passes, and none is a probe."""
    breaker = a_breaker()
    assert (breaker.state(0), breaker.admits(0), breaker.wait(0), breaker.down_since) == (
        "closed",
        True,
        0.0,
        None,
    )
    assert not breaker.sent()


def test_five_failures_in_a_row_open_it():
    """The fifth does, whatever was answered before."""
    breaker = a_breaker()
    for _ in range(30):
        assert not breaker.succeeded(9, 8)
    ends = [breaker.failed(10 + n, 9 + n) for n in range(5)]
    assert ends == [False] * 4 + [True]
    assert (breaker.state(14), breaker.admits(14), breaker.down_since) == ("open", False, 14)


def test_an_answer_between_ends_a_row_of_failures():
    """Four failures, an answer and four more are no five in a row."""
    breaker = a_breaker()
    for _ in range(4):
        breaker.failed(1, 0)
    breaker.succeeded(1, 0)
    assert not any(breaker.failed(1, 0) for _ in range(4))
    assert breaker.state(1) == "closed"


def test_ten_of_the_last_twenty_open_it():
    """Every second one of twenty is enough, without any two in a row."""
    breaker = a_breaker()
    ends = []
    for n in range(10):
        breaker.succeeded(n, n)
        ends.append(breaker.failed(n, n))
    assert ends == [False] * 9 + [True]


def test_nine_of_the_last_twenty_do_not():
    """Failures that twenty attempts lie behind count no more."""
    breaker = a_breaker()
    for n in range(300):
        breaker.failed(n / 100, 0) if n % 20 in range(0, 18, 2) else breaker.succeeded(n / 100, 0)
    assert breaker.state(3) == "closed"


def test_failures_count_for_a_minute():
    """Four of a minute ago and one now are one failure; four of 59 s ago and one now are five."""
    for age, is_open in [(60.0, False), (59.9, True)]:
        breaker = a_breaker()
        for _ in range(4):
            breaker.failed(0, 0)
        assert breaker.failed(age, age) is is_open


def test_ten_failures_count_for_a_minute_each():
    """A failure every seven seconds among answers never opens it, however many there are."""
    breaker = a_breaker()
    for n in range(200):
        assert not breaker.failed(7.0 * n, 7.0 * n)
        breaker.succeeded(7.0 * n + 1, 7.0 * n)
    assert breaker.state(1400) == "closed"


@pytest.mark.parametrize("seed", range(20))
def test_five_percent_of_errors_open_nothing_in_1500_rows(seed: int):
    """A healthy provider's random errors are no outage."""
    chance, breaker = random.Random(seed), a_breaker()
    for n in range(1500):
        now = n / 25  # 1,500 rows a minute, each a second long
        if chance.random() < 0.05:
            assert not breaker.failed(now, now - 1)
        else:
            breaker.succeeded(now, now - 1)


# Open


def test_nobody_passes_while_it_is_open():
    """For the whole of its cool-down, whose rest is told."""
    breaker = opened(100)
    assert breaker.wait(100) == pytest.approx(COOL_DOWN)
    assert breaker.wait(110) == pytest.approx(COOL_DOWN - 10)
    assert not any(breaker.admits(100 + n) for n in range(30))


@pytest.mark.parametrize(("drawn", "seconds"), [(0.0, 27.0), (0.5, 30.0), (1.0, 33.0)])
def test_a_cool_down_is_ten_percent_longer_or_shorter(drawn: float, seconds: float):
    """By chance, so that many clients do not come back at once."""
    breaker = opened(100, drawn=drawn)
    assert breaker.wait(100) == pytest.approx(seconds)
    assert breaker.state(100 + seconds - 0.01) == "open"
    assert breaker.state(100 + seconds + 0.01) == "half-open"


def test_by_default_cool_downs_differ():
    """The jitter is there without being asked for, and within its bounds."""
    waits = set()
    for _ in range(50):
        breaker = Breaker()
        for _ in range(5):
            breaker.failed(0, 0)
        waits.add(breaker.wait(0))
    assert len(waits) > 40
    assert 27 <= min(waits) <= max(waits) <= 33


def test_a_server_names_a_shorter_time():
    """It is asked again when it said; a longer one than ours is left to the pause."""
    assert opened(100, retry_after=2.0).wait(100) == 2.0
    assert opened(100, retry_after=300.0).wait(100) == pytest.approx(COOL_DOWN)


def test_late_answers_of_before_change_nothing():
    """What was sent before the failures began says nothing, be it answered or not."""
    breaker = opened(100)
    for n in range(50):
        assert not breaker.succeeded(101, 98.9)
        assert not breaker.failed(101, 98.9)
        assert breaker.state(101 + n / 10) == "open"
    assert breaker.wait(101) == pytest.approx(COOL_DOWN - 1)


def test_a_late_answer_does_not_close_it():
    """Not even one that was sent with those that failed: one alone shows nothing, and two only end the cool-down."""
    breaker = opened(100)
    assert not breaker.succeeded(101, 99.5)
    assert breaker.state(101) == "open"
    assert not breaker.succeeded(102, 99.5)
    assert breaker.state(102) == "half-open"
    assert breaker.down_since == 100


def test_late_failures_weigh_against_late_answers():
    """Bad luck is where at least twice as many were answered as failed."""
    breaker = opened(100)
    breaker.failed(101, 99.5)
    breaker.failed(101, 99.5)
    for n in range(3):
        breaker.succeeded(102 + n, 99.5)
        assert breaker.state(102 + n) == "open"
    breaker.succeeded(105, 99.5)
    assert breaker.state(105) == "half-open"


# Half-open, and the probe


def test_exactly_one_probe_passes():
    """The others wait without an end in sight until it has come back."""
    breaker = probed(opened(100), 131)
    assert (breaker.state(131), breaker.admits(131), breaker.wait(131)) == ("probing", False, float("inf"))
    assert not breaker.admits(1e6)


def test_a_probe_that_is_answered_closes_it_with_a_clean_slate():
    """Failures from before do not count any more: it takes five new ones."""
    breaker = probed(opened(100), 131)
    assert breaker.succeeded(132, 131, probe=True)
    assert (breaker.state(132), breaker.down_since) == ("closed", None)
    assert breaker.failing(132) == pytest.approx(5 / 6)  # retries stay few until more is answered than fails
    assert [breaker.failed(133, 132) for _ in range(5)] == [False] * 4 + [True]
    assert breaker.down_since == 133


def test_a_probe_that_fails_opens_it_again():
    """For a cool-down of its own; it has been down since the first time."""
    breaker = probed(opened(100), 131)
    assert breaker.failed(135, 131, probe=True)
    assert (breaker.state(135), breaker.wait(135), breaker.down_since) == ("open", COOL_DOWN, 100)
    assert breaker.state(165) == "half-open"


def test_a_probe_that_fails_may_name_a_time():
    """A probe's failure counts like the failures before."""
    breaker = probed(opened(100), 131)
    assert breaker.failed(135, 131, probe=True, retry_after=1.5)
    assert breaker.wait(135) == 1.5


def test_a_time_that_turns_out_wrong_grows():
    """A server that says one second again and again is not asked every second."""
    breaker = Breaker(random=lambda: 0.5)
    for _ in range(5):
        breaker.failed(100, 99, retry_after=1.0)
    now, waits = 100.0, []
    for _ in range(7):
        waits.append(breaker.wait(now))
        now += waits[-1]
        assert breaker.sent()
        breaker.failed(now, now, probe=True, retry_after=1.0)
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_a_probe_that_says_nothing_lets_another_go():
    """One that was cancelled, for example; without another cool-down."""
    breaker = probed(opened(100), 131)
    breaker.released()
    assert breaker.state(131) == "half-open"
    assert breaker.sent()


def test_late_answers_do_not_pass_for_the_probes():
    """While the probe is out, only its own end counts."""
    breaker = probed(opened(100), 131)
    for _ in range(10):
        assert not breaker.succeeded(132, 99.5)
        assert not breaker.failed(132, 99.5)
        assert breaker.state(132) == "probing"


def test_what_was_sent_before_it_closed_does_not_open_it_again():
    """Calls that hung through the outage and fail after it say nothing of the time since."""
    breaker = probed(opened(100), 131)
    breaker.succeeded(132, 131, probe=True)
    assert not any(breaker.failed(160, 99) for _ in range(20))
    assert breaker.state(160) == "closed"


def test_the_share_that_fails():
    """Of the attempts of the last minute; nothing without any."""
    breaker = a_breaker()
    assert breaker.failing(0) == 0.0
    breaker.failed(0, 0)
    breaker.succeeded(30, 29)
    assert breaker.failing(30) == 0.5
    assert breaker.failing(61) == 0.0


# Against a model


@dataclass
class Model:
    """The breaker as its table is written: attempts in a list, nothing clever."""

    closed: list[tuple[float, float, bool]] = field(default_factory=list)
    until: float | None = None
    began: float = 0.0
    late: tuple[int, int] = (0, 0)
    probing: bool = False
    closed_at: float = float("-inf")

    def state(self, now: float) -> str:
        if self.until is None:
            return "closed"
        return "probing" if self.probing else "half-open" if now >= self.until else "open"

    def ended(self, now: float, sent: float, *, failed: bool, probe: bool) -> None:
        if self.until is not None and not probe:
            self._late(now, sent, failed)
        elif failed and not probe and sent < self.closed_at:
            pass
        elif not failed and probe:
            self.closed, self.until, self.probing, self.closed_at = [], None, False, now
        else:
            self.closed.append((now, sent, failed))
            self._count(now, sent, failed=failed, probe=probe)

    def _late(self, now: float, sent: float, failed: bool) -> None:
        if sent >= self.began:
            self.late = (self.late[0] + (not failed), self.late[1] + failed)
        if self.late[0] >= 2 and self.late[0] >= 2 * self.late[1]:
            self.until = min(self.until or 0.0, now)

    def _count(self, now: float, sent: float, *, failed: bool, probe: bool) -> None:
        last = [attempt for attempt in self.closed[-20:] if now - attempt[0] < 60]
        row = last[-5:]
        failures = [attempt for attempt in last if attempt[2]]
        in_a_row = len(row) == 5 and all(attempt[2] for attempt in row)
        if probe or (failed and (in_a_row or len(failures) >= 10)):
            self.began = sent if probe else min(sent for _, sent, _ in (row if in_a_row else failures))
            self.until, self.late, self.probing = now + 30, (0, 0), False


class Circuit(RuleBasedStateMachine):
    """Requests go out as the breaker lets them, and come back in any order and in any way."""

    @initialize()
    def begin(self) -> None:
        self.now, self.out = 1000.0, list[tuple[float, bool]]()
        self.breaker, self.model = a_breaker(), Model()

    @rule(seconds=st.one_of(st.floats(0, 3), st.floats(0, 90)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(count=st.integers(1, 8))
    def requests_come(self, count: int) -> None:
        for _ in range(count):
            if self.breaker.admits(self.now):
                probe = self.breaker.sent()
                assert probe == (self.model.until is not None)
                self.model.probing = probe
                self.out.append((self.now, probe))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), failed=st.booleans(), count=st.integers(1, 6))
    def some_end(self, data: st.DataObject, failed: bool, count: int) -> None:
        for _ in range(min(count, len(self.out))):
            sent, probe = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
            if failed:
                self.breaker.failed(self.now, sent, probe=probe)
            else:
                assert self.breaker.succeeded(self.now, sent, probe=probe) == probe
            self.model.ended(self.now, sent, failed=failed, probe=probe)

    @precondition(lambda self: any(probe for _, probe in self.out))
    @rule()
    def the_probe_is_cancelled(self) -> None:
        self.out = [(sent, probe) for sent, probe in self.out if not probe]
        self.breaker.released()
        self.model.probing = False

    @invariant()
    def they_agree(self) -> None:
        assert self.breaker.state(self.now) == self.model.state(self.now)
        assert self.breaker.admits(self.now) == (self.breaker.wait(self.now) == 0.0)
        assert (self.breaker.down_since is None) == (self.breaker.state(self.now) == "closed")

    @invariant()
    def at_most_one_probe_is_out(self) -> None:
        assert sum(probe for _, probe in self.out) == (self.breaker.state(self.now) == "probing")


TestCircuit = Circuit.TestCase
TestCircuit.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
