"""What a run has in common with other runs, of this process and of others: an account's rates, and budgets.

The composition root (`engine`) is given it, and knows nothing of who keeps it; `llmx.quotas` does, for a service.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from llmx.layers.budget import Allowance
from llmx.layers.pacing import Quota
from llmx.providers import Endpoint

__all__ = ["NOTHING_SHARED", "Commons", "Replenished"]


@runtime_checkable
class Replenished(Protocol):
    """An allowance which may have more room later, and says when."""

    def listen(self, told: Callable[[], None]) -> Callable[[], None]:
        """Have `told` called whenever there may be more room, until what is returned is called."""
        ...


class Commons(Struct, frozen=True):
    """See the module.

    Args:
        quota: of an endpoint's account, what paces all who use it; None where nobody shares it.
        allowances: asked before every call, after the run's own; one may throw the run's stop, and nothing is sent.
        dollars: one of them counts money: an endpoint whose price nobody knows is refused at the start.
    """

    quota: Callable[[Endpoint], Quota | None] | None = None
    allowances: Sequence[Allowance] = ()
    dollars: bool = False


NOTHING_SHARED = Commons()
"""Of a run that is alone."""
