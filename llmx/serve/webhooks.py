"""Webhooks: whoever wants to know of a job's end is told at least once, for a day, signed.

Events come from the outbox, which was written with the end itself. Signatures are those of Standard Webhooks:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from llmx.environment import Environment
from llmx.errors import LlmxError, UsageError
from llmx.jobs.document import document
from llmx.jobs.store import Outbox
from llmx.jobs.types import Event, Job
from llmx.providers.keys import read_key_file, secret
from llmx.records import to_json
from llmx.serve.addresses import check_webhook
from llmx.serve.posting import NotPosted, post
from llmx.serve.problems import Problem
from llmx.serve.settings import ServeSettings
from llmx.serve.together import together

__all__ = ["TOLERANCE", "Deliverer", "backoff", "body_of", "secret_of", "signed", "verified"]

log = logging.getLogger("llmx.serve")

LOOK = 1.0
"""Seconds between two looks into the outbox."""

HELD = 60.0
"""Seconds for which an event that is being told is nobody else's."""

AT_ONCE = 8

FIRST, LONGEST = 5.0, 3_600.0
"""Seconds before the second attempt, and between two at most."""

GIVEN_UP = 86_400.0
"""Seconds after which nobody is told any more."""

TOLERANCE = 300.0
"""Seconds by which a receiver's clock may be off, as Standard Webhooks recommends."""


class _Desk(Outbox, Protocol):
    async def get(self, id: str) -> Job | None:
        """See `Jobs.get`."""
        ...


def secret_of(env: Environment, settings: ServeSettings, options: Mapping[str, Any]) -> bytes | None:
    """The key of signatures; None where no webhooks are allowed.

    Raises:
        UsageError: hosts are listed, and there is no secret, or none that is worth the name.
    """
    if not settings.webhook_hosts:
        return None
    name = settings.webhook_secret_name
    text = secret(name, env.variables)
    if not text and options.get("key_file"):
        text = read_key_file(Path(options["key_file"])).get(name, "")
    if not text:
        hint = f"set {name}, or {name}_FILE to the path of a file that holds it"
        raise UsageError("webhook-hosts are listed, but there is no secret to sign with", hint=hint)
    try:
        key = (
            base64.b64decode(text.removeprefix("whsec_"), validate=True)
            if text.startswith("whsec_")
            else text.encode()
        )
    except (binascii.Error, ValueError):
        raise UsageError(f"{name}: what follows whsec_ is not base64") from None
    if len(key) < 16:
        raise UsageError(f"{name} is too short: a secret has 24 to 64 bytes", hint="openssl rand -hex 32")
    return key


def signed(secret: bytes, id: str, timestamp: int, body: bytes) -> str:
    """The value of `Webhook-Signature`."""
    content = f"{id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()


def verified(secret: bytes, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether a webhook is this service's and of now: what a receiver does.

    Args:
        headers: by lower-case name.
        now: seconds since 1970.
    """
    id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not stamp.isascii() or not stamp.isdigit() or abs(now - int(stamp)) > TOLERANCE:
        return False
    wanted = signed(secret, id, int(stamp), body).encode()
    given = headers.get("webhook-signature", "").encode().split()
    return any(hmac.compare_digest(wanted, one) for one in given)


def backoff(attempts: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds before the next attempt: doubled each time, and half of it by chance, so that nobody is asked by all at once.

    Source: "equal jitter", https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """
    most = min(LONGEST, FIRST * 2.0 ** min(attempts, 30))
    return most / 2 + most / 2 * chance()


def body_of(event: Event, job: Job) -> bytes:
    """What is told."""
    moment = (
        datetime.fromtimestamp(event.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
    return to_json({"type": f"job.{event.state}", "timestamp": moment, "data": document(job)})


class Deliverer:
    """Tells the events of an outbox.

    Args:
        secret: of signatures; nobody is told without one.
        now: seconds since 1970.
    """

    def __init__(
        self,
        store: _Desk,
        settings: ServeSettings,
        secret: bytes | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._settings = settings
        self._secret = secret
        self._now = now

    async def run(self) -> None:
        """Tell events as they become due, until cancelled."""
        if self._secret is None:
            return
        while True:
            try:
                told = await self.round(self._secret)
            except LlmxError as error:
                log.warning("the outbox cannot be read: %s", error)
                told = 0
            if not told:
                await asyncio.sleep(LOOK)

    async def round(self, secret: bytes) -> int:
        """Tell those that are due; how many there were."""
        due = await self._store.due(HELD, AT_ONCE)
        await together(self._tell(event, secret) for event in due)
        return len(due)

    async def _tell(self, event: Event, secret: bytes) -> None:
        job = await self._store.get(event.job)
        if job is None:  # it has been forgotten
            await self._store.told(event)
            return
        try:
            status = await self._posted(event, body_of(event, job), secret)
        except (NotPosted, Problem) as error:
            await self._later(event, str(error))
            return
        except Exception as error:  # one event that cannot be told must not keep the others from being told
            log.exception("webhook %s of %s", event.id, event.job)
            await self._later(event, type(error).__name__)
            return
        if 200 <= status < 300 or status == 410:  # gone for good
            await self._store.told(event)
            log.info("webhook %s of %s: told, %d", event.id, event.job, status)
        else:
            await self._later(event, f"answered with {status}")

    async def _posted(self, event: Event, body: bytes, secret: bytes) -> int:
        private = self._settings.webhook_private
        target = check_webhook(
            event.url, self._settings.webhook_hosts, private=private
        )  # the list may have changed
        stamp = int(self._now())
        headers = {
            "User-Agent": "llmx",
            "Webhook-Id": event.id,
            "Webhook-Timestamp": str(stamp),
            "Webhook-Signature": signed(secret, event.id, stamp, body),
        }
        return await post(target, body, headers, private=private)

    async def _later(self, event: Event, why: str) -> None:
        if self._now() - event.created > GIVEN_UP:
            await self._store.told(event)
            log.error("webhook %s of %s: given up: %s", event.id, event.job, why)
            return
        seconds = backoff(event.attempts)
        await self._store.postpone(event, seconds)
        log.warning("webhook %s of %s: %s; again in %.0f s", event.id, event.job, why, seconds)
