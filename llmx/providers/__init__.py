"""Providers: from `--model` to something that makes calls, and their errors in our words.

`connect` is the way in. Importing this package imports no SDK: they are loaded when connecting.
"""

from __future__ import annotations

from llmx.providers.addresses import checked_address
from llmx.providers.catalog import CATALOG, CatalogEntry, ModelName, named, parse_model, suggestions
from llmx.providers.codec import Codec, modes_of
from llmx.providers.endpoints import DEFAULT_CAP, Endpoint, Prices, check_callable, connect, load_adapter
from llmx.providers.forms import caps_in, size_of
from llmx.providers.keys import has_key, secret, with_keys
from llmx.providers.modes import choose, reasons

__all__ = [
    "CATALOG",
    "DEFAULT_CAP",
    "CatalogEntry",
    "Codec",
    "Endpoint",
    "ModelName",
    "Prices",
    "caps_in",
    "check_callable",
    "checked_address",
    "choose",
    "connect",
    "has_key",
    "load_adapter",
    "modes_of",
    "named",
    "parse_model",
    "reasons",
    "secret",
    "size_of",
    "suggestions",
    "with_keys",
]
