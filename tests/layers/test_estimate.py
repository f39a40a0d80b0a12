"""Tokens of a request, guessed from those before."""

from __future__ import annotations

import random

import pytest

from llmx.layers.estimate import TokenEstimate
from llmx.types import Usage


def taught(*answers: tuple[int, int, int]) -> TokenEstimate:
    """An estimate that has seen answers: bytes, input tokens, output tokens."""
    estimate = TokenEstimate()
    for size, used_in, used_out in answers:
        estimate.learn(size, Usage(used_in, used_out))
    return estimate


def test_the_first_guess():
    """A token for four bytes, and 256 of answer; nothing is usual yet."""
    assert TokenEstimate().guess(400) == (100, 256)
    assert TokenEstimate().usual() == (0, 0)


def test_a_guess_follows_what_was_used():
    """Input by the bytes, output as that of the last answers."""
    estimate = taught((400, 150, 28))
    assert estimate.guess(400) == (150, 28)
    assert estimate.guess(800) == (300, 28)
    assert estimate.usual() == (150, 28)


def test_two_answers_are_averaged():
    """Almost alike: the later one counts a little more."""
    assert taught((400, 100, 10), (400, 200, 30)).guess(400) == pytest.approx((150, 20), rel=0.02)


def test_old_answers_fade():
    """After 200 of another kind the first ones are forgotten."""
    estimate = taught(*[(400, 100, 10)] * 200, *[(400, 300, 500)] * 200)
    assert estimate.guess(400) == pytest.approx((300, 500), rel=0.03)


def test_half_is_from_the_last_34():
    """As the module says of its fading."""
    estimate = taught(*[(400, 100, 0)] * 500, *[(400, 200, 0)] * 34)
    assert estimate.guess(400)[0] == pytest.approx(150, rel=0.02)


def test_a_server_that_does_not_count_teaches_nothing():
    """No usage is not a usage of nothing."""
    assert taught((400, 0, 0)).guess(400) == (100, 256)


def test_an_empty_body():
    """It has no bytes to learn from, and divides nothing by zero."""
    assert taught((0, 5, 5)).guess(0) == (0, 5)


def test_noise_averages_out():
    """The guess stays within a tenth or so of the mean of noisy answers."""
    chance, estimate = random.Random(1), TokenEstimate()
    for _ in range(2000):
        estimate.learn(400, Usage(chance.randint(50, 250), chance.randint(0, 100)))
    used_in, used_out = estimate.guess(400)
    assert used_in == pytest.approx(150, rel=0.15)
    assert used_out == pytest.approx(50, rel=0.25)
