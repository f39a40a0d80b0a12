"""A model that cannot be connected here, in outline: what a plan can tell of it all the same.

Its provider's package is not installed, or its weights have not been fetched, and a plan installs and fetches nothing. How
structure is asked for and what is charged is known without; the request itself is not, so that nothing stored is found by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, NoReturn

from msgspec import Struct

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.pricing import price
from llmx.providers import CATALOG, DEFAULT_CAP, CatalogEntry, Endpoint, choose, modes_of, parse_model
from llmx.records import to_json
from llmx.schemas import Schema
from llmx.settings import EndpointTable, Settings
from llmx.types import Completion, Request, Usage

__all__ = ["BESIDE", "outline"]

BESIDE = frozenset({"json_schema", "tools"})
"""Modes in which the schema is sent beside the messages, and not in their words."""


def outline(spec: str, schema: Schema, settings: Settings, env: Environment) -> Endpoint | None:
    """A model in outline; None where it can be connected.

    Raises:
        UsageError: there is no such provider, or it has no such mode.
    """
    table = settings.table(spec)
    named = parse_model(table.model)
    entry = CATALOG[named.provider]
    missing = _missing(entry, named.path, env)
    if not missing:
        return None
    plan = choose(entry, named.name, schema, table.mode or settings.mode, own_server=False, modes=modes_of)
    cap = settings.max_output_tokens or (_local_cap() if entry.wire == "local" else DEFAULT_CAP)
    words = [] if plan.mode in BESIDE else [to_json(plan.wire.schema).decode()]
    return Endpoint(
        id=f"{entry.name} in outline",
        provider=_Nobody(),
        codec=_Words({"model": named.name, "max_tokens": cap, "system": words}),
        model=named.name,
        mode=plan.mode,
        name=entry.name,
        base_url="",
        wire=plan.wire,
        price=lambda model, usage: _price(entry, table, model, usage),
        prices=entry.prices,
        concurrency=1 if entry.wire == "local" else None,
        note=f"{missing}, so that nothing stored of {spec} was looked up",
    )


def _missing(entry: CatalogEntry, path: str | None, env: Environment) -> str:
    """What keeps it from being connected, "" for nothing."""
    if entry.wire == "local":
        from llmx.providers.weights import weights_path

        there = bool(path) or weights_path(env.home).exists()
        return "" if there else "the weights of -m local are fetched by its first run"
    try:
        found = find_spec(entry.module) is not None
    except ModuleNotFoundError:
        found = False
    return "" if found else f"the package {entry.module!r} is not installed (pip install '{entry.install}')"


def _local_cap() -> int:
    from llmx.providers.local import MAX_OUTPUT_TOKENS

    return MAX_OUTPUT_TOKENS


def _price(entry: CatalogEntry, table: EndpointTable, model: str, usage: Usage) -> Decimal | None:
    if entry.wire == "local":
        return Decimal(0)
    if table.input_price is None or table.output_price is None:
        return price(model, entry.prices, None, usage)
    return (usage.input_tokens * table.input_price + usage.output_tokens * table.output_price) / 1_000_000


class _Nobody:
    """A provider that is not there."""

    async def complete(self, request: Request) -> Completion:
        """See `Provider.complete`."""
        raise _not_there(request.model)

    async def aclose(self) -> None:
        """See `Provider.aclose`."""


class _Words(Struct, frozen=True):
    """A codec that knows what the model is told, and nothing of how."""

    around: Mapping[str, Any]

    def prepare(self, messages: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """See `Codec.prepare`."""
        return {**self.around, "messages": [dict(message) for message in messages]}

    def parse(self, completion: Completion) -> NoReturn:
        """See `Codec.parse`."""
        raise _not_there(completion.model)

    def reask(self, body: Mapping[str, Any], completion: Completion, error: Exception) -> NoReturn:
        """See `Codec.reask`."""
        raise _not_there(completion.model)

    def raised(self, body: Mapping[str, Any]) -> None:
        """See `Codec.raised`."""


def _not_there(model: str) -> UsageError:
    return UsageError(f"{model!r} is known in outline only", hint="llmx estimate … --probe N connects it")
