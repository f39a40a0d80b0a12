"""What goes wrong is decided by the seed alone, in the shares that were asked for."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest

from llmx.errors import UsageError
from llmx.mock.faults import Conversations, Faults
from llmx.mock.schedules import BrownOut, LimitsChange, Outage
from llmx.mock.settings import Latency, MockSettings

MIXED = MockSettings(
    error_rate=0.2,
    malformed_rate=0.1,
    hang_rate=0.1,
    drop_rate=0.1,
    refusal_rate=0.1,
    latency=Latency(0.1, 1.0),
)


def test_a_seed_repeats_a_run() -> None:
    """Two providers of one seed do the same to the n-th call."""
    one, other = Faults(MIXED), Faults(MIXED)
    assert [one.next() for _ in range(200)] == [other.next() for _ in range(200)]


def test_shares_are_kept() -> None:
    """Each fault comes about as often as its rate says."""
    faults = Faults(MIXED)
    kinds = Counter(faults.next().kind for _ in range(5000))
    expected = {"error": 0.2, "malformed": 0.1, "hang": 0.1, "drop": 0.1, "refusal": 0.1, "answer": 0.4}
    assert expected == pytest.approx({kind: n / 5000 for kind, n in kinds.items()}, abs=0.03)


def test_errors_are_mixed() -> None:
    """All configured statuses come."""
    faults = Faults(MockSettings(error_rate=1.0))
    assert {500, 503, 529} == {faults.next().status for _ in range(100)}


def test_the_first_fail() -> None:
    """`fail_first` counts calls, whatever the rates are."""
    faults = Faults(MockSettings(fail_first=2))
    assert [faults.next().status for _ in range(3)] == [500, 500, 200]


def test_latency_goes_through_its_percentiles() -> None:
    """Half are below p50, one in a hundred above p99."""
    latency, rng = Latency.parse("0.2:1.5"), Random(1)
    seconds = sorted(latency.sample(rng) for _ in range(20_000))
    assert pytest.approx(seconds[10_000], rel=0.05) == 0.2
    assert pytest.approx(seconds[19_800], rel=0.15) == 1.5


@pytest.mark.parametrize("text", ["", "fast", "-1", "1:2:3", "2:1", "0:1", "nan", "inf", "1:"])
def test_what_is_no_latency(text: str) -> None:
    """It is refused with an example of one."""
    with pytest.raises(UsageError, match="not a latency") as caught:
        Latency.parse(text)
    assert "--latency 0.2" in caught.value.hint


@pytest.mark.parametrize(
    "settings",
    [
        {"error_rate": 1.1},
        {"drop_rate": -0.1},
        {"error_rate": 0.6, "hang_rate": 0.6},
        {"error_statuses": ()},
        {"rpm": 0},
        {"itpm": 0},
        {"otpm": 0},
        {"limit_window": 0.0},
        {"limit_window": math.inf},
        {"limit_window": math.nan},
        {"slow_start": -1.0},
        {"slow_start": math.nan},
        {"limits_at": (LimitsChange(30.0),)},
        {"outages": (Outage(-1.0, 10.0),)},
        {"brown_outs": (BrownOut(0.0, 10.0, 1.1),)},
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object]) -> None:
    """They are refused before anything listens."""
    with pytest.raises(UsageError):
        MockSettings(**settings)  # type: ignore[arg-type]  # a dict of several types


def test_rates_may_add_up_to_one() -> None:
    """Binary fractions included."""
    assert MockSettings(error_rate=0.1, hang_rate=0.2, drop_rate=0.7).fault_rate > 0.99


def test_a_reask_is_the_next_attempt() -> None:
    """A call that begins with the messages of another is its re-ask."""
    conversations = Conversations()
    row, reask, again = [b"row"], [b"row", b"bad", b"fix it"], [b"row", b"bad", b"fix it", b"worse", b"again"]
    assert [conversations.attempt(messages) for messages in (row, reask, again)] == [0, 1, 2]


def test_a_retry_is_the_same_attempt() -> None:
    """Messages that come again unchanged are not a re-ask."""
    conversations = Conversations()
    assert [conversations.attempt([b"row"]) for _ in range(2)] == [0, 0]


def test_examples_are_no_attempts() -> None:
    """Few-shot turns, which rows share, do not make a row look like a re-ask."""
    conversations = Conversations()
    examples = [b"example", b"its answer"]
    assert [conversations.attempt([*examples, row]) for row in (b"one", b"two")] == [0, 0]


def test_conversations_are_forgotten() -> None:
    """Memory stays bounded."""
    conversations = Conversations(remembered=1)
    for messages in ([b"one"], [b"two"], [b"one", b"more"]):
        assert conversations.attempt(messages) == 0
