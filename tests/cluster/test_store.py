"""The store of jobs in Redis, against a Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis_server import needs_redis

from tests.jobs.contract import StoreContract

pytestmark = needs_redis


@pytest.fixture
def later() -> Callable[[float], Awaitable[None]]:
    """The server's clock cannot be set: these tests wait for tenths of a second."""

    async def pass_by(seconds: float) -> None:
        await asyncio.sleep(seconds + 0.02)

    return pass_by


class TestRedis(StoreContract):
    """What every store must do."""
