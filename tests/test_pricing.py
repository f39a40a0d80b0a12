"""Prices come from genai-prices' bundled lists."""

from __future__ import annotations

import socket
from datetime import date
from decimal import Decimal
from importlib.metadata import version

import pytest

from llmx.pricing import batch_price, context_window, known_models, likely_provider, price, price_source
from llmx.types import Usage


def test_price_counts_cached_tokens_at_their_own_rate():
    """1,000 in, of which 400 cached, and 10 out of gpt-4o-mini: 0.6 * 0.15 + 0.4 * 0.075 + 0.01 * 0.6 per mille."""
    usage = Usage(input_tokens=1000, output_tokens=10, cached_tokens=400)
    assert Decimal("0.000126") == price("gpt-4o-mini", "openai", None, usage)


def test_price_counts_cache_writes():
    """Anthropic's cache writes cost more than plain input."""
    usage = Usage(input_tokens=1000, output_tokens=10, cached_tokens=400, cache_write_tokens=100)
    assert Decimal("0.002145") == price("claude-sonnet-4-5", "anthropic", "https://api.anthropic.com", usage)


@pytest.mark.parametrize(
    ("model", "provider", "base_url"),
    [
        ("no-such-model", "openai", None),
        ("gpt-4o-mini", "no-such-provider", None),
        ("gpt-4o-mini", None, None),
        ("gpt-4o-mini", "openai", "http://localhost:8000/v1"),
        ("gpt-4o-mini", "openai", "https://api.openai.com.example.org/v1"),
    ],
)
def test_unknown_is_none(model, provider, base_url):
    """Never 0: an unknown price must not look free."""
    assert None is price(model, provider, base_url, Usage(1000, 10))


def test_impossible_counts_have_no_price():
    """A server that says it read more from its cache than it was sent."""
    assert None is price("gpt-4o-mini", "openai", None, Usage(input_tokens=1, cached_tokens=5))


def test_context_window():
    """Known for a known model, None for another."""
    assert (context_window("gpt-4o-mini", "openai"), context_window("nope", "openai")) == (128_000, None)


def test_known_models():
    """A provider's models are listed by name, with prices per million tokens."""
    models = known_models("openai")
    mini = next(m for m in models if m.name == "gpt-4o-mini")
    assert (Decimal("0.15"), Decimal("0.6"), 128_000) == (mini.input_price, mini.output_price, mini.context)
    assert sorted(m.name for m in models) == [m.name for m in models]
    assert known_models(None) == []


def test_likely_provider():
    """A bare name tells its provider, or not."""
    assert tuple(map(likely_provider, ("gpt-4o-mini", "claude-opus-5", "qqq"))) == (
        "openai",
        "anthropic",
        None,
    )


def test_prices_never_touch_the_network(monkeypatch):
    """Looking one up opens no socket."""

    def refuse(*_: object) -> None:
        raise AssertionError("a price lookup opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert None is not price("gpt-4o", "openai", None, Usage(10, 10))


def test_the_batch_lane_has_prices_of_its_own():
    """Half of the others, where the list has any; None for models and servers without."""
    used = Usage(1_000_000, 1_000_000)
    assert batch_price("gpt-5-mini", "openai", None, used) == price("gpt-5-mini", "openai", None, used) / 2
    assert batch_price("deepseek-chat", "deepseek", None, used) is None
    assert batch_price("nope", "openai", None, used) is None
    assert batch_price("gpt-5-mini", "openai", "http://127.0.0.1:8000/v1", used) is None


def test_where_prices_come_from():
    """The package's version, and the newest day by now from which a price of it holds."""
    source = price_source()
    assert (source.name, source.version) == ("genai-prices", version("genai-prices"))
    assert "2026-01-01" < str(source.dated) <= date.today().isoformat()
