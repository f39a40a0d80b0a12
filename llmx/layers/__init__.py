"""The call's layers: each takes a handler and returns one; `compose` stacks them.

From the outside in: coalesced, fallback, and of each endpoint cached, resembling, validated, journalled, fitting, careful,
retried, admitted (or hedged), metered, timed, provider. The reasons for this order are in docs/concepts.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from llmx.types import Handler, Layer

__all__ = ["compose"]


def compose(handler: Handler, layers: Iterable[Layer]) -> Handler:
    """Wrap `handler` in `layers`, the first of them outermost."""
    for layer in reversed(list(layers)):
        handler = layer(handler)
    return handler
