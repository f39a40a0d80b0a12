"""What the lanes of a run go by: their names, their limits, and the most that a call can use."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fakes import a_request

from llmx.lanes import ADAPTIVE, CONCURRENCY, Traffic, names_of, traffic, worst
from llmx.providers import Endpoint
from llmx.settings import Settings
from llmx.types import Usage


def an_endpoint(**fields: Any) -> Endpoint:
    """What a lane looks at of an endpoint."""
    base = {"called": "", "label": "openai/m", "concurrency": None, "model": "m", "injected": 0}
    return cast(Endpoint, SimpleNamespace(**{**base, **fields}))


def settings(**given: Any) -> Settings:
    return Settings.of({"schema": "name", "model": "openai/m", **given})


# Names


@pytest.mark.parametrize(
    ("called", "names"),
    [
        ([("", "openai/m")], ["openai/m"]),
        ([("fast", "openai/m"), ("", "anthropic/c")], ["fast", "anthropic/c"]),
        ([("", "openai/m"), ("", "openai/n"), ("", "openai/m")], ["openai/m", "openai/n", "openai/m (2)"]),
        ([("a", "openai/m"), ("b", "openai/m")], ["a", "b"]),
        ([("a", "x/m"), ("a", "x/m"), ("a", "x/m")], ["a", "a (2)", "a (3)"]),
        ([], []),
    ],
    ids=str,
)
def test_endpoints_are_called_what_the_user_calls_them(called: list[tuple[str, str]], names: list[str]):
    """By the config file, else by provider and model; what is there twice is numbered."""
    endpoints = [an_endpoint(called=name, label=label) for name, label in called]
    assert names_of(endpoints) == names


# Limits


def test_nothing_asked_for_adapts():
    """Few calls at first, many where the server keeps up; a limit per minute is the server's to tell."""
    assert traffic(an_endpoint(), settings()) == Traffic(None, None, CONCURRENCY, ADAPTIVE)


def test_a_concurrency_that_is_asked_for_is_kept():
    """Neither more nor, later, less."""
    assert traffic(an_endpoint(), settings(concurrency=500)) == Traffic(None, None, 500, 500)


@pytest.mark.parametrize(("asked", "calls"), [(None, 1), (8, 1)])
def test_an_endpoint_that_serves_few_gets_no_more(asked: int | None, calls: int):
    """Whatever is asked for: others would wait in line while their timeouts run."""
    assert traffic(an_endpoint(concurrency=1), settings(concurrency=asked)) == Traffic(
        None, None, calls, calls
    )


def test_fewer_than_it_serves_can_be_asked_for():
    """The smaller number holds."""
    assert traffic(an_endpoint(concurrency=4), settings(concurrency=2)).ceiling == 2


def test_the_runs_limits_hold_for_each_endpoint():
    """Whether or not the config file names it."""
    run = settings(rpm=60, tpm=9_000, endpoints={"fast": {"model": "openai/m"}})
    assert traffic(an_endpoint(), run) == Traffic(60, 9_000, CONCURRENCY, ADAPTIVE)
    assert traffic(an_endpoint(called="fast"), run) == Traffic(60, 9_000, CONCURRENCY, ADAPTIVE)


def test_an_endpoints_own_limits_win():
    """One by one: what its table does not say is the run's. Other endpoints have the run's."""
    table = {"model": "openai/m", "rpm": 600, "concurrency": 3}
    run = settings(rpm=60, tpm=9_000, concurrency=50, endpoints={"fast": table})
    assert traffic(an_endpoint(called="fast"), run) == Traffic(600, 9_000, 3, 3)
    assert traffic(an_endpoint(called="other"), run) == Traffic(60, 9_000, 50, 50)
    assert traffic(an_endpoint(), run) == Traffic(60, 9_000, 50, 50)


# The worst case


@pytest.mark.parametrize("cap", ["max_tokens", "max_completion_tokens"])
def test_the_most_that_a_call_can_use(cap: str):
    """As many tokens in as there are bytes, and what the provider adds; as many out as the cap allows."""

    def price(model: str, usage: Usage) -> Decimal:
        return Decimal(usage.input_tokens) + 1000 * usage.output_tokens

    request = a_request(body={"messages": "ü", cap: 7})
    size = len(f'{{"messages":"ü","{cap}":7}}'.encode())
    amount = worst(an_endpoint(price=price, injected=5))(request)
    assert (amount.tokens, amount.cost) == (size + 5 + 7, size + 5 + 7000)


def test_a_call_whose_price_nobody_knows():
    """Its tokens are bounded all the same."""
    amount = worst(an_endpoint(price=lambda model, usage: None))(a_request(body={"max_tokens": 7}))
    assert (amount.cost, amount.tokens) == (None, len(b'{"max_tokens":7}') + 7)
