"""What calls cost, from the least to the worst."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmx.estimates.money import Call, CostRange, costs
from llmx.pricing import price
from llmx.providers import CATALOG, Endpoint
from llmx.types import Usage

CALL = Call(
    input=2_000,
    least_input=1_800,
    most_input=8_000,
    prefix=1_500,
    short=10,
    output=50,
    cap=4_096,
    raised=True,
    calls=1.0,
    reasks=2,
)


def an_endpoint(provider: str, model: str) -> Endpoint:
    """An endpoint at its provider's own address and price, with nobody behind it."""
    prices, nobody = CATALOG[provider].prices, Any
    return Endpoint(
        id=provider,
        provider=nobody,
        codec=nobody,
        model=model,
        mode="json_schema",
        name=provider,
        base_url="",
        wire=nobody,
        price=lambda model, usage: price(model, prices, None, usage),
        prices=prices,
    )


def million(read: str, written: str) -> Decimal:
    """US dollars by gpt-5-mini's list price of tokens in and out."""
    return (Decimal(read) * Decimal("0.25") + Decimal(written) * 2) / 1_000_000


def test_a_listed_model() -> None:
    """Cached prefix and short answers; what is expected; every call at its cap and every re-ask; half in a batch."""
    found = costs(an_endpoint("openai", "gpt-5-mini"), 10, CALL, listed=True)
    kept = Decimal("1500") * Decimal("0.225") / 1_000_000
    assert found.expected == 10 * million("2000", "50")
    assert found.low == 10 * (million("1800", "10") - kept)
    assert found.prefix_cached == 10 * (million("2000", "50") - kept)
    assert found.batch == found.expected / 2
    assert found.set_aside == million("8000", "4096")
    assert found.worst == 10 * (million("8000", "4096") + million("24384", "8192") + million("40768", "8192"))


def test_an_unknown_price() -> None:
    """It is unknown all along."""
    assert costs(an_endpoint("openai", "nope"), 10, CALL, listed=True) == CostRange(None, None, None)


def test_a_provider_that_keeps_no_prefix_by_itself() -> None:
    """Nothing is taken off for it."""
    found = costs(an_endpoint("anthropic", "claude-haiku-4-5"), 10, CALL, listed=True)
    assert found.prefix_cached is None
    assert found.low == 10 * (Decimal(1_800) + 10 * 5) / 1_000_000


def test_no_rows() -> None:
    """They cost nothing."""
    assert costs(an_endpoint("openai", "gpt-5-mini"), 0, CALL, listed=True).worst == 0


@given(
    st.integers(1, 10**6),
    st.floats(1, 1e5),
    st.floats(0, 1),
    st.floats(1, 4_000),
    st.integers(0, 5),
    st.booleans(),
)
def test_the_bounds_are_in_order(
    rows: int, read: float, share: float, written: float, reasks: int, raised: bool
) -> None:
    """Whatever is expected, less is not expected to be cheaper, nor the worst dearer."""
    call = Call(
        read, 0.8 * read, 4 * read, share * read, share * written, written, 4_096, raised, 1.0, reasks
    )
    found = costs(an_endpoint("openai", "gpt-5-mini"), rows, call, listed=True)
    assert found.low is not None
    assert found.expected is not None
    assert found.worst is not None
    assert found.low <= found.expected <= found.worst


def test_the_worst_call_is_no_guess() -> None:
    """A model that the user has capped is not asked for more."""
    capped = Call(2_000, 1_600, 8_000, 0, 10, 50, 100, raised=False, calls=1.0, reasks=1)
    assert capped.worst == [Usage(8_000, 100), Usage(8_200, 100)]
