"""From a request to a job: checks, the digest by which a repeated request is known, and handing in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from llmx.errors import LlmxError
from llmx.jobs.desk import Order, submit
from llmx.jobs.store import Conflict
from llmx.jobs.types import Job
from llmx.layers.budget import Amount
from llmx.records import to_json
from llmx.serve.addresses import check_webhook
from llmx.serve.asking import JobRequest
from llmx.serve.house import House
from llmx.serve.keys import Key
from llmx.serve.problems import Problem, problem_of
from llmx.serve.uploads import Upload
from llmx.settings import MaxFailures

__all__ = ["HandedIn", "hand_in", "idempotency_key", "precheck"]

LONGEST_KEY = 255


class HandedIn(Struct, frozen=True):
    """A job, and whether an earlier request has made it."""

    job: Job
    replay: bool


def idempotency_key(text: str | None) -> str | None:
    """The header's value. Raises Problem: it is no key."""
    if text is None:
        return None
    if not 0 < len(text) <= LONGEST_KEY or not all("!" <= sign <= "~" for sign in text):
        raise Problem(
            400, "invalid_idempotency_key", f"Idempotency-Key is 1 to {LONGEST_KEY} visible ASCII characters"
        )
    return text


async def precheck(house: House, key: Key, ask: JobRequest) -> dict[str, Any]:
    """The job's options, once all is checked that needs no row. Raises Problem."""
    model = house.offers.model(ask.model, key)
    await asyncio.to_thread(house.offers.schema, ask.schema_)
    if ask.webhook is not None:
        check_webhook(ask.webhook, house.settings.webhook_hosts, private=house.settings.webhook_private)
    schema = ask.schema_.strip() if isinstance(ask.schema_, str) else ask.schema_
    return {"schema": schema, "model": model, **ask.options()}


async def hand_in(
    house: House,
    key: Key,
    ask: JobRequest,
    options: Mapping[str, Any],
    upload: Upload,
    idempotency: str | None,
) -> HandedIn:
    """The job of a request; that of an earlier one that was the same under the same key.

    Raises:
        Problem: the rows, or something that depends on them, are wrong; or the key was used for another request.
    """
    digest = _digest(options, ask, upload)
    async with house.turns.of(key.name, idempotency):
        began = house.now()
        if idempotency is not None and (earlier := await house.desk.store.earlier(key.name, idempotency)):
            return HandedIn(await _replayed(house, earlier, digest), replay=True)
        order = Order(
            key.name,
            options,
            ask.name,
            ask.webhook,
            _max_failures(ask.max_failures),
            None if idempotency is None else (idempotency, digest),
            fits=_fits(house, key),
        )
        job = await _submitted(house, order, upload)
        return HandedIn(job, replay=job.created < began)


async def _replayed(house: House, earlier: tuple[str, str], digest: str) -> Job:
    id, before = earlier
    if before != digest:
        raise _conflict()
    if (job := await house.desk.store.get(id)) is None:
        raise Problem(409, "idempotency_conflict", "the job of this Idempotency-Key has been forgotten")
    return job


def _conflict() -> Problem:
    return Problem(
        409,
        "idempotency_conflict",
        "this Idempotency-Key was used for another request",
        hint="a new key for a new job",
    )


async def _submitted(house: House, order: Order, upload: Upload) -> Job:
    try:
        # Named as its folder's, so that messages about rows tell nobody where that is.
        return await submit(house.desk, order, type(upload.path)(upload.path.name), upload.format)
    except Conflict:
        raise _conflict() from None
    except LlmxError as error:
        problem = problem_of(error)
        told = Problem(
            problem.status,
            problem.code,
            str(problem).replace(upload.path.name, upload.name),
            hint=problem.hint,
        )
        told.headers = problem.headers
        raise told from error


def _max_failures(text: str | None) -> MaxFailures:
    if text is None:
        return MaxFailures()
    return MaxFailures(float(text[:-1]), True) if text.endswith("%") else MaxFailures(int(text))


def _fits(house: House, key: Key) -> Callable[[Amount], Awaitable[None]] | None:
    """What refuses a job that is too dear for its key; None where nobody limits what it uses in a day."""
    if key.daily_tokens is None and key.daily_cost is None:
        return None
    return partial(house.limits.fits, key)


def _digest(options: Mapping[str, Any], ask: JobRequest, upload: Upload) -> str:
    """Of all that the client asks for, the file's content included."""
    more = [ask.name, ask.webhook, ask.max_failures, upload.format, upload.sha256]
    return hashlib.sha256(to_json([dict(options), more], sort_keys=True)).hexdigest()
