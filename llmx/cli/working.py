"""What `llmx worker` does once its options are known: checks, logs, signals; the work itself is `llmx.cluster.working`."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmx.environment import Environment
from llmx.errors import UsageError

if TYPE_CHECKING:
    from llmx.cluster.address import Address
    from llmx.cluster.working import Working
    from llmx.events import Observer
    from llmx.jobs.types import ShardRef
    from llmx.serve.limits import Limits

    Observing = Callable[[ShardRef], AbstractContextManager[Observer | None]]

__all__ = ["run_worker"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_worker(own: Mapping[str, Any], options: Mapping[str, Any], env: Environment) -> int:
    """Work until told to end; returns the exit code.

    Args:
        own: options of the worker, by name.
        options: those of runs.

    Raises:
        UsageError: an option is wrong, or the extra is missing.
    """
    if find_spec("redis") is None:
        raise UsageError("a worker needs redis", hint="install the extra: llmx-extract[redis]")
    from llmx.cluster.working import Working
    from llmx.config import anchored
    from llmx.serve.keys import KeyRing
    from llmx.serve.limits import open_limits
    from llmx.serve.settings import serve_settings
    from llmx.telemetry.logs import configure_logs

    settings = serve_settings({name: own.get(name) for name in ("data", "shards")}, env)
    if not settings.shards:
        raise UsageError("--shards 0: a worker that runs none", hint="--shards 2")
    health = own.get("health_file")
    address = _address(own.get("queue"), settings.queue, env)
    make = partial(
        Working,
        address=address,
        data=settings.data,
        shards=settings.shards,
        base=options,
        offered={name: str(anchored("schema", spec, env.cwd)) for name, spec in settings.schemas.items()},
        env=env,
        health=None if health is None else env.cwd / Path(health).expanduser(),
    )
    configure_logs(env.stderr, settings.log_level, settings.log_format)
    log = logging.getLogger("llmx.worker")
    keys = KeyRing(settings.key_file, say=log.error)
    with _telling(env, log.warning) as observing:
        return asyncio.run(_work(partial(make, observing=observing), open_limits(address.url, keys)))


@contextmanager
def _telling(env: Environment, say: Callable[[str], None]) -> Iterator[Observing]:
    """Shards whose runs OpenTelemetry hears of, where its variables ask for it, and whose lines in the log name them."""
    from llmx.telemetry.logs import bound
    from llmx.telemetry.telling import opened

    telemetry = opened(env.variables, say)

    @contextmanager
    def observing(ref: ShardRef) -> Iterator[Observer | None]:
        with bound(job_id=ref.job, shard=ref.number):
            run = None if telemetry is None else telemetry.run("llmx shard", say)
            try:
                yield run
            finally:
                if run is not None:
                    run.end()

    try:
        yield observing
    finally:
        if telemetry is not None:
            telemetry.close()


def _address(option: str | None, configured: str, env: Environment) -> Address:
    """Where the queue is, by the option, the variables or the config file. Raises UsageError."""
    from llmx.cluster.address import EXAMPLE, address_from, parse_address

    address = None if option == "sqlite" else address_from(option, env.variables)
    if address is None and option is None and configured != "sqlite":
        address = parse_address(configured)
    if address is None:
        problem = "a worker needs a queue that it shares with `llmx serve`; sqlite is that of one process"
        raise UsageError(problem, hint=f"--queue {EXAMPLE}, here and there")
    return address


async def _work(make: Callable[..., Working], opened: AbstractAsyncContextManager[Limits]) -> int:
    """Work until a signal, within the limits of keys; the second one ends it at once."""
    async with opened as limits:
        return await _until_told(make(shared=limits.of_owner))


async def _until_told(working: Working) -> int:
    task = asyncio.create_task(working.run())
    received: list[int] = []

    def receive(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            working.drain()
        else:
            task.cancel()

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, receive, number)
    with suppress(asyncio.CancelledError):
        await task
    return 0 if len(received) < 2 else 128 + received[-1]
