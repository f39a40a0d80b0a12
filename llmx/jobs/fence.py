"""The switch of a run that holds a lease: it is thrown when the lease has run out, whoever notices first.

A process that was paused, or cut off from the store, must send nothing once its shard may be another worker's. Its own clock
says when that is: it counts from before the lease was asked for, and goes on while the process sleeps. Every wait of the engine asks
the switch, so the first thing that such a run does when it wakes up is to stop.
"""

from __future__ import annotations

from collections.abc import Callable

from llmx.clock import Clock
from llmx.errors import LlmxError
from llmx.layers.stop import Stop

__all__ = ["Cancelled", "Fenced", "HandedOver", "LeaseLost"]


class LeaseLost(LlmxError):
    """The shard may be another worker's: what is under way here counts no more."""


class HandedOver(LlmxError):
    """The worker shuts down: another one goes on with the shard."""

    exit_code = 143


class Cancelled(LlmxError):
    """The job has ended, by its owner's will or by another shard."""

    exit_code = 143


class Fenced(Stop):
    """A stop switch that is thrown when a lease runs out.

    Args:
        until: when that is, by `clock`; `hold` puts it off.
    """

    def __init__(
        self, clock: Clock, until: float, on_stop: Callable[[LlmxError], None] = lambda reason: None
    ) -> None:
        super().__init__(on_stop)
        self._clock = clock
        self._until = until

    def hold(self, until: float) -> None:
        """The lease was renewed."""
        self._until = max(self._until, until)

    @property
    def reason(self) -> LlmxError | None:
        """See `Stop.reason`."""
        if not self.reasons and self._clock.now() >= self._until:
            self.set(LeaseLost("the lease of the shard has run out"))
        return self.reasons[0] if self.reasons else None
