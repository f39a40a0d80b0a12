"""What a run says to a person beside its progress: before it, while it goes on, and at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmx.connecting import Talk
from llmx.events import CircuitClosed, CircuitOpened, EndpointEnded, Event, Paused
from llmx.outputs import Outputs
from llmx.planning import Plan
from llmx.providers import Endpoint
from llmx.state import NoState, State
from llmx.text import plural

__all__ = ["notes", "tell", "warnings"]

WORTH_A_LINE = 5.0
"""Seconds of a pause for errors, which is no pacing, from which on it is told."""


def tell(talk: Talk, event: Event) -> None:
    """Say what a person should know of the endpoints while the run goes on."""
    match event:
        case EndpointEnded():
            talk.say(f"warning: {event.endpoint} is asked no more, the others go on: {event.error}")
        case CircuitOpened():
            how = f"has failed for {event.down:.0f} s" if event.down else "keeps failing"
            talk.say(f"{event.endpoint} {how} ({event.problem}): next try in {event.seconds:.0f} s")
        case CircuitClosed():
            talk.say(f"{event.endpoint} is back")
        case Paused(reason="failed") if event.seconds >= WORTH_A_LINE:
            talk.say(f"{event.endpoint} fails and asks to wait for {event.seconds:.0f} s")


def warnings(plan: Plan, state: State | NoState, outputs: Outputs | None) -> Iterator[str]:
    """What a person should know of a run that has ended."""
    yield from outputs.warnings if outputs else ()
    yield from plan.source.warnings
    if found := state.journal.distrusted:
        yield f"{plural(found, 'answer')} in the journal could not be trusted, and the rows were asked about again"
    if doubles := state.journal.doubles:
        yield f"{plural(doubles, 'row')} with a {plan.settings.key!r} that an earlier row has, too"
    if state.emptied and outputs is not None and outputs.rows_left:
        yield f"{plan.settings.output!r} had {plural(state.emptied, 'row')} and has none now"


def notes(plan: Plan, endpoints: Sequence[Endpoint]) -> Iterator[str]:
    """What may not be as it was meant."""
    settings = plan.settings
    yield from (f"note: {endpoint.note}" for endpoint in endpoints if endpoint.note)
    if plan.doubt:
        yield f"warning: {plan.doubt}"
    if settings.no_store and (settings.max_cost is not None or settings.max_tokens is not None):
        yield "note: nothing is kept (--no-store): the cap is for this run alone"
