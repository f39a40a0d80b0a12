"""The models that a plan is made for: each connected as a run would connect it, but with no key, and asked nothing.

What makes requests of rows is the run's own code, so that fingerprints, and what is found stored by them, are the run's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from llmx.caches.exact import cache_folder
from llmx.caches.fingerprint import rekeyed
from llmx.connecting import Talk, connected, keyless
from llmx.engine import preparer
from llmx.errors import UsageError
from llmx.estimates.outline import BESIDE, outline
from llmx.estimates.stored import Asked, Stored
from llmx.estimates.tokens import schema_bytes, text_bytes
from llmx.journal import JournalView
from llmx.lanes import Traffic, traffic
from llmx.layers.fit import check_fit
from llmx.layers.stop import Stop
from llmx.layers.votes import ballots
from llmx.places import place_of
from llmx.planning import Plan
from llmx.pricing import context_window
from llmx.providers import Endpoint, caps_in, size_of
from llmx.settings import Settings
from llmx.types import Record, Request

__all__ = ["Candidate", "candidates"]


class Candidate(Struct):
    """One model of a plan.

    Args:
        spec: as `-m` names it.
        plan: of a run with this model alone.
        prepare: makes a row's request; RowError where there is none.
        limits: what is asked of the endpoint.
        stored: what is known of its answers.
        journal: of the run, None where there is none.
        outlined: what is known of the endpoint is an outline.
        first: the first request that was made.
        around: bytes of text of a prompt beside the row's own.
        form: bytes of a body beside all text.
    """

    spec: str
    plan: Plan
    endpoint: Endpoint
    prepare: Callable[[Record], Request]
    limits: Traffic
    stored: Stored
    journal: JournalView | None
    outlined: bool = False
    first: Request | None = None
    around: int = 0
    form: int = 0

    def asked(self, record: Record) -> list[Asked]:
        """What a run would ask about a row: once, or once for each vote. Raises RowError where it would ask nothing."""
        request = self.prepare(record)
        check_fit(request, lambda: context_window(self.endpoint.model, self.endpoint.prices))
        if self.first is None:
            self.first, self.around = request, self._around(request)
            self.form = max(0, size_of(request.body) - self.around - _own(request))
        size, votes = self.around + _own(request), self.plan.settings.votes
        samples = [request] if votes == 1 else ballots(request, votes, rekeyed(self.plan.asked.fingerprint))
        return [Asked(record, sample.fingerprint, size) for sample in samples]

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
    def request(self) -> dict[str, Any] | None:
        """The body of the first request; None where there is none, or only an outline of it."""
        return None if self.first is None or self.outlined else dict(self.first.body)

    @property
    def is_local(self) -> bool:
        """Whether it is a model in this process."""
        return self.endpoint.name == "local"


def _own(request: Request) -> int:
    """Bytes of a row's own message."""
    return len(str(request.messages[-1]["content"]).encode("utf-8", "replace"))


def _single(settings: Settings, spec: str) -> Settings:
    """The settings of a run with one of the models alone; the last one of a cascade is not put to the vote."""
    votes = 1 if settings.cascade[-1:] == [spec] else settings.votes
    return settings.model_copy(update={"model": [spec], "cascade": [], "votes": votes})


@asynccontextmanager
async def candidates(plan: Plan, specs: Sequence[str], talk: Talk) -> AsyncIterator[list[Candidate]]:
    """The models, ready to be planned for; released at the end. Nobody is called, and nothing is written.

    Raises:
        UsageError: a name is given twice; it, the mode, an address or the schema is wrong.
        OutputFailed: the journal of an earlier run cannot be read.
    """
    if twice := [spec for spec in specs if specs.count(spec) > 1]:
        raise UsageError(f"-m {twice[0]} is given twice")
    async with AsyncExitStack() as held:
        journal = _journal(plan)
        if journal is not None:
            held.callback(journal.close)
        made = []
        for spec in specs:
            its = replace(plan, settings=_single(plan.settings, spec))
            sketch = outline(spec, plan.asked, its.settings, plan.env)
            connecting = nullcontext(sketch) if sketch is not None else _endpoint(its, talk)
            endpoint = await held.enter_async_context(connecting)
            cache = None if plan.settings.cache == "off" else cache_folder(plan.env.home)
            stored = Stored(cache, journal)
            held.callback(stored.close)
            prepare = preparer(endpoint, plan.prompt, plan.asked, plan.presenter)
            limits = traffic(endpoint, its.settings)
            outlined = sketch is not None
            made.append(Candidate(spec, its, endpoint, prepare, limits, stored, journal, outlined))
        yield made


@asynccontextmanager
async def _endpoint(plan: Plan, talk: Talk) -> AsyncIterator[Endpoint]:
    # Told that it is offline, it keeps nothing of what instructor makes of the schema.
    settings = plan.settings.model_copy(update={"offline": True})
    async with connected(settings, plan.asked, keyless(settings, plan.env), talk, Stop()) as endpoints:
        yield endpoints[0]


def _journal(plan: Plan) -> JournalView | None:
    """The journal of the run that this one would go on with; None where there is none."""
    if plan.settings.fresh or plan.settings.no_store:
        return None
    path = place_of(plan).journal
    return JournalView(path) if path.is_file() and path.stat().st_size else None
