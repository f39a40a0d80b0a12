"""Engines of requests that are answered at once, kept for the next request that asks the same.

A request that has to make one takes eleven times as long as one that has not, and new connections to the provider; so requests of one key with one
schema and the same options share one. It is let go when nobody has used it for a while, or when an error has ended it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct

from llmx.clock import Clock
from llmx.commons import Commons
from llmx.connecting import Quiet
from llmx.demands import check_demands, wrapped
from llmx.engine import Engine, engine
from llmx.environment import Environment
from llmx.errors import AuthenticationFailed, LlmxError, QuotaSpent, UnknownModel
from llmx.events import Observer, RunStarted
from llmx.layers.stop import Stop
from llmx.planning import make_prompt
from llmx.presenting import FlatRows
from llmx.records import Shape, to_json
from llmx.schemas import Schema, list_fields
from llmx.settings import Settings
from llmx.streaming import Fields

__all__ = ["Engines", "Question", "Running"]

MOST = 64
"""Engines that are kept; the one that was used longest ago goes first."""

IDLE = 300.0
"""Seconds after which one that nobody uses is let go."""


HELD = 5.0
"""Seconds for which what a provider has said of a key, a model or an account is not asked about again, whatever the schema:
each new engine would find it out anew, by several calls."""


class Question(Struct, frozen=True):
    """What tells one engine from another.

    Args:
        owner: whose it is: limits are per key.
        schema: as the request has it.
        options: of the run, the model among them.
    """

    owner: str
    schema: Any
    options: Mapping[str, Any]

    @property
    def id(self) -> str:
        """A digest of it; names count in their order, as they do in what a model is sent."""
        return hashlib.sha256(to_json([self.owner, self.schema, dict(self.options)])).hexdigest()

    @property
    def asked(self) -> str:
        """Who asks which models, whatever the question: owners do not share it, lest one can close a model to others."""
        return to_json([self.owner, self.options["model"]]).decode()


class Running(Struct, frozen=True, eq=False):
    """An engine, and how what it yields is shown.

    Args:
        stop: thrown when no further row can succeed.
        settings: of the run.
        schema: of answers, the user's own.
        fields: of what is asked for, one by one.
    """

    parts: Engine
    stop: Stop
    settings: Settings
    schema: Schema
    fields: Fields


class _Kept:
    """One engine in a task of its own, for what it opens must be closed by whoever has opened it."""

    def __init__(self, opened: Callable[[], Any]) -> None:
        self.users = 0
        self.used = 0.0
        self.noted = False
        self.close = asyncio.Event()
        self.running: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._live(opened))

    async def _live(self, opened: Callable[[], Any]) -> None:
        try:
            async with opened() as running:
                if not self.running.done():
                    self.running.set_result(running)
                await self.close.wait()
        except Exception as error:
            if self.running.done():
                raise
            self.running.set_exception(error)
            self.running.exception()  # whoever waited may have gone

    @property
    def reason(self) -> BaseException | None:
        """Why nothing comes of it any more, None while something does."""
        if not self.running.done():
            return None
        if self.running.cancelled():
            return asyncio.CancelledError()
        return self.running.exception() or self.running.result().stop.reason


class Engines:
    """The engines that there are.

    Args:
        base: the operator's options; those of a question stand before them.
        observer: told of all that happens.
        warn: takes what a run would say to a person.
    """

    def __init__(
        self,
        base: Mapping[str, Any],
        env: Environment,
        *,
        clock: Clock,
        observer: Observer,
        warn: Callable[[str], None],
    ) -> None:
        self._base = {name: value for name, value in base.items() if name != "model"}
        self._env = env
        self._clock = clock
        self._observer = observer
        self._warn = warn
        self._kept: dict[str, _Kept] = {}
        self._refused: dict[str, tuple[LlmxError, float]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def using(
        self, question: Question, load: Callable[[], Schema], commons: Commons | None
    ) -> AsyncIterator[Running]:
        """The engine of a question, for as long as the context lasts.

        Args:
            load: makes the schema, where it is not at hand.
            commons: what it shares with others, of which there is one for an owner.

        Raises:
            LlmxError: it cannot be made, or one like it has just been refused by the provider.
        """
        self._check(question)
        kept = self._find(question, load, commons)
        kept.users += 1
        try:
            yield await asyncio.shield(kept.running)
        finally:
            kept.users -= 1
            self._note(question, kept)
            kept.used = self._clock.now()
            self._sweep()

    def _check(self, question: Question) -> None:
        """Raises what the provider has said to this owner of the same model a moment ago."""
        reason, until = self._refused.get(question.asked, (None, 0.0))
        if reason is not None and self._clock.now() < until:
            raise reason.with_traceback(None)

    def _note(self, question: Question, kept: _Kept) -> None:
        """Remember for a while what no other engine would be told otherwise."""
        if (
            isinstance(reason := kept.reason, AuthenticationFailed | UnknownModel | QuotaSpent)
            and not kept.noted
        ):
            kept.noted = True
            self._refused[question.asked] = reason, self._clock.now() + HELD

    def _find(self, question: Question, load: Callable[[], Schema], commons: Commons | None) -> _Kept:
        """In the order of their use, the last one at the end."""
        id = question.id
        kept = self._kept.pop(id, None)
        if kept is None or kept.reason is not None:
            if kept is not None:
                self._let_go(kept)
            kept = _Kept(lambda: self._opened(question, load, commons))
        self._kept[id] = kept
        return kept

    @asynccontextmanager
    async def _opened(
        self, question: Question, load: Callable[[], Schema], commons: Commons | None
    ) -> AsyncIterator[Running]:
        schema = await asyncio.to_thread(load)
        settings = Settings.of({**self._base, **question.options, "schema": schema})
        check_demands(settings)
        stop = Stop()
        prompt = make_prompt(settings, schema, (), self._env)
        asked = wrapped(settings, schema) or schema
        async with engine(
            settings,
            asked,
            prompt,
            self._env,
            clock=self._clock,
            stop=stop,
            observer=self._observer,
            talk=Quiet(self._warn),
            presenter=_presenter(settings, schema),
            commons=commons,
            first_rows=None,  # many requests share it: bad rows of one of them are no verdict on the others
        ) as parts:
            self._observer(RunStarted(None, parts.label, parts.concurrency, endpoints=parts.names))
            yield Running(parts, stop, settings, schema, Fields(asked))

    def _sweep(self) -> None:
        """Let go of those that are over, or too many, or not used for long."""
        idle = [id for id, kept in self._kept.items() if not kept.users]
        old = self._clock.now() - IDLE
        surplus = len(self._kept) - MOST
        for number, id in enumerate(idle):
            if self._kept[id].reason is not None or self._kept[id].used < old or number < surplus:
                self._let_go(self._kept.pop(id))

    def _let_go(self, kept: _Kept) -> None:
        """Close it once its last user has left, which hears of a stop by itself."""
        task = asyncio.create_task(self._closed(kept))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _closed(self, kept: _Kept) -> None:
        while kept.users:
            await self._clock.sleep(0.05)
        kept.close.set()
        await asyncio.wait([kept.task])
        if not kept.task.cancelled() and (error := kept.task.exception()) is not None:
            self._warn(f"an engine was not closed: {error}")

    async def aclose(self) -> None:
        """Close all of them."""
        for kept in self._kept.values():
            self._let_go(kept)
        self._kept.clear()
        await asyncio.gather(*self._leaving)


def _presenter(settings: Settings, schema: Schema) -> FlatRows:
    """What makes of an outcome the object, and what is known of how far it can be trusted."""
    shape = Shape(keep="none", evidence=settings.evidence, confidence=settings.votes > 1 or settings.logprobs)
    shape.check((), schema.fields, list_fields(schema))
    return FlatRows(shape, schema, list_fields(schema))
