"""From what an operator has said to a house, and the work that goes on in it beside requests."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import shlex
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from llmx.clock import SystemClock
from llmx.environment import Environment
from llmx.errors import LlmxError, UsageError
from llmx.jobs.janitor import sweeping
from llmx.jobs.worker import Worker
from llmx.serve.drain import Drain
from llmx.serve.engines import Engines
from llmx.serve.house import House
from llmx.serve.keys import KeyRing
from llmx.serve.limits import open_limits
from llmx.serve.observing import observed
from llmx.serve.offers import Offers, load_schemas_on_offer, models_on_offer
from llmx.serve.queues import open_desk
from llmx.serve.settings import ServeSettings
from llmx.serve.uploads import incoming, swept
from llmx.serve.webhooks import Deliverer, secret_of

__all__ = ["at_work", "opened"]

LEDGER = "ledger.db"
"""What keys have used, beside the jobs."""

RESTART = 5.0
"""Seconds after which work that an error has ended is begun again."""

log = logging.getLogger("llmx.serve")


@asynccontextmanager
async def opened(
    settings: ServeSettings, options: Mapping[str, Any], env: Environment
) -> AsyncIterator[House]:
    """A house, released at the end.

    Args:
        options: the operator's, of runs; `model` are those on offer.

    Raises:
        UsageError: a schema, a key file or the address is wrong.
        OutputFailed: the service's folder cannot be used.
    """
    endpoints = options.get("endpoints", {})
    keys = KeyRing(settings.key_file, required=not _is_loopback(settings.host), say=log.error)
    _check_host(settings, keys)
    offered = load_schemas_on_offer(settings.schemas, env.cwd)
    offers = Offers(models_on_offer(options["model"], endpoints, options.get("base_url")), offered)
    clock = SystemClock()
    specs = {name: _absolute(spec, env.cwd) for name, spec in settings.schemas.items()}
    ledger = settings.data / LEDGER if settings.queue == "sqlite" else settings.queue
    incoming(settings.data)  # which the ledger is made in
    async with AsyncExitStack() as held:
        told = held.enter_context(observed(env.variables, log.warning))
        limits = await held.enter_async_context(open_limits(ledger, keys))
        desk = await held.enter_async_context(
            open_desk(
                settings.queue,
                settings.data,
                env=replace(env, cwd=incoming(settings.data)),
                base=options,
                offered=specs,
                shard_rows=settings.shard_rows,
                max_rows=settings.max_rows,
                observing=told.shard,
            )
        )
        engines = Engines(options, env, clock=clock, observer=told.standing, warn=log.warning)
        held.push_async_callback(engines.aclose)
        drain = Drain(clock)
        yield House(
            settings, options, env, keys, offers, engines, limits, desk, drain, clock, time.time, told
        )


def _absolute(spec: str, cwd: Path) -> str:
    """A spec whose path, if it is one, is no more relative: jobs are run in folders of their own."""
    from llmx.config import anchored

    return str(anchored("schema", spec, cwd))


def _check_host(settings: ServeSettings, keys: KeyRing) -> None:
    from llmx.serve.keys import read_keys

    if not _is_loopback(settings.host) and not read_keys(settings.key_file):
        raise UsageError(
            f"--host {settings.host}: other machines are let in only with API keys, and there are none",
            hint=f"llmx keys create NAME --keys {shlex.quote(str(settings.key_file))}",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@asynccontextmanager
async def at_work(house: House) -> AsyncIterator[Callable[[], None]]:
    """What goes on beside requests: shards, webhooks, sweeping. Yields what begins its end; it has ended at the end."""
    worker = Worker(house.desk, shared=house.limits.of_owner)
    deliverer = Deliverer(
        house.desk.store, house.settings, secret_of(house.env, house.settings, house.options)
    )
    swept(incoming(house.settings.data))
    beside = (deliverer.run, lambda: sweeping(house.desk, house.settings.keep, house.clock))
    tasks = [asyncio.create_task(_kept_up(work, house)) for work in beside]
    at_once = house.settings.shards
    shards = [asyncio.create_task(_kept_up(lambda: worker.run(at_once), house))] if at_once else []
    try:
        yield worker.drain
    finally:
        worker.drain()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *shards, return_exceptions=True)


async def _kept_up(work: Callable[[], Coroutine[Any, Any, None]], house: House) -> None:
    """Work that is begun again when an error has ended it, be it the disk's or ours: the service goes on."""
    while not house.drain.begun.is_set():
        try:
            await work()
            return
        except LlmxError as error:
            log.error("%s", error)
        except Exception:
            log.exception("a task of the service has ended")
        await house.clock.sleep(RESTART)
