"""The models that a plan is made for: each connected as a run would connect it, but with no key, and asked nothing.

What makes requests of rows is the run's own code, so that fingerprints, and what is found stored by them, are the run's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct
from msgspec.structs import replace

from llmx.caches.exact import cache_folder
from llmx.connecting import Talk, connected, keyless
from llmx.engine import preparer
from llmx.errors import UsageError
from llmx.estimates.stored import Asked, Stored
from llmx.estimates.tokens import schema_bytes, text_bytes
from llmx.journal import JournalView
from llmx.lanes import Traffic, traffic
from llmx.layers.stop import Stop
from llmx.places import place_of
from llmx.planning import Plan
from llmx.providers import Endpoint, caps_in, parse_model
from llmx.settings import Settings
from llmx.types import Record, Request

__all__ = ["Candidate", "candidates", "single"]

BESIDE = frozenset({"json_schema", "tools"})
"""Modes in which the schema is sent beside the messages, and not in their words."""


class Candidate(Struct):
    """One model of a plan.

    Args:
        spec: as `-m` names it.
        plan: of a run with this model alone.
        prepare: makes a row's request; RowError where there is none.
        limits: what is asked of the endpoint.
        stored: what is known of its answers.
        journal: of the run, None where there is none.
        first: the first request that was made.
        around: bytes of text of a prompt beside the row's own.
        prefix: those of them that stand before the row in every prompt.
    """

    spec: str
    plan: Plan
    endpoint: Endpoint
    prepare: Callable[[Record], Request]
    limits: Traffic
    stored: Stored
    journal: JournalView | None
    first: Request | None = None
    around: int = 0

    def asked(self, record: Record) -> Asked:
        """What a run would ask about a row. Raises RowError."""
        request = self.prepare(record)
        if self.first is None:
            self.first, self.around = request, self._around(request)
        return Asked(record, request.fingerprint, self.around + _own(request))

    def _around(self, request: Request) -> int:
        """What all prompts have in common: the body's words without the row's, and the schema beside them."""
        prefix = sum(text_bytes({"messages": [message]}) for message in request.messages[:-1])
        beside = schema_bytes(self.endpoint.wire.schema) if self.endpoint.mode in BESIDE else 0
        return max(text_bytes(request.body) - _own(request), prefix) + beside

    @property
    def cap(self) -> int:
        """Output tokens of one call at most."""
        return 0 if self.first is None else max(caps_in(self.first.body).values(), default=0)

    @property
    def is_local(self) -> bool:
        """Whether it is a model in this process."""
        return self.endpoint.name == "local"


def _own(request: Request) -> int:
    """Bytes of a row's own message."""
    return len(str(request.messages[-1]["content"]).encode("utf-8", "replace"))


def single(settings: Settings, spec: str) -> Settings:
    """The settings of a run with one of the models alone."""
    return settings.model_copy(update={"model": [spec]})


@asynccontextmanager
async def candidates(plan: Plan, specs: Sequence[str], talk: Talk) -> AsyncIterator[list[Candidate]]:
    """The models, ready to be planned for; released at the end. Nobody is called, and nothing is written.

    Raises:
        UsageError: a name, the mode, an address or the schema is wrong, or an SDK or the local model is missing.
        OutputFailed: the journal of an earlier run cannot be read.
    """
    async with AsyncExitStack() as held:
        journal = _journal(plan)
        if journal is not None:
            held.callback(journal.close)
        made = []
        for spec in specs:
            its = replace(plan, settings=single(plan.settings, spec))
            endpoint = await held.enter_async_context(_endpoint(its, talk))
            cache = None if plan.settings.cache == "off" else cache_folder(plan.env.home)
            stored = Stored(cache, journal)
            held.callback(stored.close)
            prepare = preparer(endpoint, plan.prompt, plan.schema, plan.presenter)
            made.append(
                Candidate(spec, its, endpoint, prepare, traffic(endpoint, its.settings), stored, journal)
            )
        yield made


@asynccontextmanager
async def _endpoint(plan: Plan, talk: Talk) -> AsyncIterator[Endpoint]:
    # Told that it is offline, it keeps nothing of what instructor makes of the schema.
    settings = plan.settings.model_copy(update={"offline": True})
    _check_local(settings, plan)
    async with connected(settings, plan.schema, keyless(settings, plan.env), talk, Stop()) as endpoints:
        yield endpoints[0]


def _check_local(settings: Settings, plan: Plan) -> None:
    """Raises UsageError where the embedded model would have to be fetched first."""
    from llmx.providers.weights import weights_path

    model = parse_model(settings.table(settings.model[0]).model)
    if model.provider == "local" and not model.path and not weights_path(plan.env.home).exists():
        problem = "the weights of -m local are not here yet, and a plan fetches nothing"
        raise UsageError(problem, hint="python -m llmx.providers.weights fetches them")


def _journal(plan: Plan) -> JournalView | None:
    """The journal of the run that this one would go on with; None where there is none."""
    if plan.settings.fresh or plan.settings.no_store:
        return None
    path = place_of(plan).journal
    return JournalView(path) if path.is_file() and path.stat().st_size else None
