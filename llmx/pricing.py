"""What calls cost: the price lists that genai-prices ships, read offline.

An unknown model, or a server that is not the provider's own, has no price: the answer is None, never 0.
Nothing here touches the network: the package's updater is never started.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct

from llmx.types import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo as PricedModel
    from genai_prices.types import Provider as PriceList
    from genai_prices.types import TieredPrices

__all__ = [
    "ModelInfo",
    "PriceSource",
    "batch_price",
    "context_window",
    "known_models",
    "likely_provider",
    "price",
    "price_source",
]


class ModelInfo(Struct, frozen=True):
    """A model of a price list.

    Args:
        context: tokens that prompt and answer may have together; None when not known.
        input_price, output_price: US dollars per million tokens, the lowest tier; None when not known.
    """

    name: str
    context: int | None
    input_price: Decimal | None
    output_price: Decimal | None


_NOT_TEXT = re.compile(
    r"image|audio|realtime|transcri|tts|embed|moderation|whisper|live|speech|ocr|rerank|guard"
)
"""In the names of models that write no text, or only verdicts."""


_LOOPBACK = re.compile(r"https?://(localhost|127(\.\d+){3}|\[::1\])[:/]")
"""A server on this machine, which is no provider's own: the lists need not be read, which takes 0.1 s."""


def price(model: str, provider: str | None, base_url: str | None, usage: Usage) -> Decimal | None:
    """US dollars for `usage`, None when the model's price is not known.

    Args:
        model: as the provider knows it.
        provider: the id of a price list, e.g. "openai", "x-ai"; None when there is none.
        base_url: where the call went; a server that is not the provider's has no price.
    """
    found = _find(model, provider, base_url)
    return None if found is None else _priced(*found, usage)


def batch_price(model: str, provider: str | None, base_url: str | None, usage: Usage) -> Decimal | None:
    """The same of a call in the provider's batch lane; None when the list has no price of its own for that.

    Args: as `price` has them.
    """
    found = _find(model, provider, base_url)
    if found is None or not any(variant.when == _BATCH for variant in found[0].price_variants or ()):
        return None
    return _priced(*found, usage, _BATCH)


_BATCH: dict[str, str] = {"processing": "batch"}


def _priced(
    priced: PricedModel, prices: PriceList, usage: Usage, context: dict[str, str] | None = None
) -> Decimal | None:
    from genai_prices import Usage as Counts

    counts = Counts(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    try:
        return priced.calc_price(counts, prices, price_context=context).total_price
    except ValueError:
        # The list cannot price this mix of counts (a server that reports more cached than sent).
        return None


class PriceSource(Struct, frozen=True):
    """Where prices come from.

    Args:
        name, version: the package's.
        dated: ISO 8601, the newest day by now from which a price in it holds; None where none says so.
    """

    name: str
    version: str
    dated: str | None


def price_source() -> PriceSource:
    """The lists that are installed. They have no date of their own: what they say last is dated tells how old they are."""
    from genai_prices import __version__

    today = datetime.now(tz=UTC).date()
    days = {day for prices in _price_lists() for model in prices.models for day in _days(model)}
    newest = max((day for day in days if day <= today), default=None)
    return PriceSource("genai-prices", __version__, None if newest is None else newest.isoformat())


def _days(model: PricedModel) -> Iterator[date]:
    """The days from which prices of a model hold, as far as it says so."""
    prices = model.prices if isinstance(model.prices, list) else []
    for part in [*prices, *(model.price_variants or ())]:
        start = getattr(part.constraint, "start_date", None)
        if isinstance(start, date):
            yield start


def context_window(model: str, provider: str | None) -> int | None:
    """Tokens that prompt and answer may have together, None when not known."""
    found = _find(model, provider, None)
    return found[0].context_window if found else None


def known_models(provider: str | None) -> list[ModelInfo]:
    """The text models of one price list that are priced per token and not deprecated, by name."""
    listed = [prices for prices in _price_lists() if prices.id == provider]
    models = [_info(model) for prices in listed for model in prices.models if _is_listed(model)]
    return sorted((m for m in models if m.input_price and m.output_price), key=lambda m: m.name)


def likely_provider(model: str) -> str | None:
    """The id of the price list whose naming fits a model's bare name, None when none does."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        return get_snapshot().find_provider(model, None, None).id
    except LookupError:
        return None


@lru_cache(maxsize=256)
def _find(model: str, provider: str | None, base_url: str | None) -> tuple[PricedModel, PriceList] | None:
    if provider is None or (base_url is not None and _LOOPBACK.match(base_url)):
        return None
    from genai_prices.data_snapshot import get_snapshot

    try:
        prices, priced = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    foreign = base_url is not None and not _is_at(base_url, prices.api_pattern)
    return None if foreign else (priced, prices)


def _is_at(base_url: str, pattern: str) -> bool:
    """Whether an address is where a price list's pattern says; api.openai.com.example is not api.openai.com."""
    found = re.match(pattern, base_url)
    return found is not None and (
        found[0][-1:] in ("/", ".") or base_url[found.end() :][:1] in ("", "/", ":")
    )


def _price_lists() -> list[PriceList]:
    from genai_prices.data_snapshot import get_snapshot

    return list(get_snapshot().providers)


def _is_listed(model: PricedModel) -> bool:
    return not model.deprecated and not _NOT_TEXT.search(model.id)


def _info(model: PricedModel) -> ModelInfo:
    prices = model.get_prices(datetime.now(tz=UTC))
    fields = vars(prices)
    return ModelInfo(
        model.id, model.context_window, _base(fields.get("input_mtok")), _base(fields.get("output_mtok"))
    )


def _base(rate: Decimal | TieredPrices | None) -> Decimal | None:
    return rate if rate is None or isinstance(rate, Decimal) else rate.base
