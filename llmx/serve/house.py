"""The service's composition root: everything that its routes use, as one value.

What is in it is made by `opened`, from what an operator has said, and released at its end. Routes get it and nothing else, so
that a test, or another command, can put together a house of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmx.clock import Clock
from llmx.environment import Environment
from llmx.jobs.desk import Desk
from llmx.serve.drain import Drain
from llmx.serve.engines import Engines
from llmx.serve.keys import KeyRing
from llmx.serve.limits import Limits
from llmx.serve.offers import Offers
from llmx.serve.settings import ServeSettings
from llmx.serve.turns import Turns

__all__ = ["House"]


@dataclass(frozen=True, slots=True)
class House:
    """What routes use.

    Args:
        settings: the service's.
        options: the operator's, of runs; `model` are those on offer.
        env: with secrets in place of their files.
        keys: who may ask.
        offers: what may be asked for.
        engines: of requests that are answered now.
        limits: of keys.
        desk: where jobs are handed in.
        drain: whether the service is shutting down.
        clock: monotonic; `now` is the wall's, in seconds since 1970.
        exposition: the figures, as Prometheus reads them.
        turns: of requests with the same idempotency key.
    """

    settings: ServeSettings
    options: Mapping[str, Any]
    env: Environment = field(repr=False)
    keys: KeyRing = field(repr=False)
    offers: Offers
    engines: Engines
    limits: Limits
    desk: Desk = field(repr=False)
    drain: Drain
    clock: Clock
    now: Callable[[], float]
    exposition: Callable[[], bytes]
    turns: Turns = field(default_factory=Turns)
