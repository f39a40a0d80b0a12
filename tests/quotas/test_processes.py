"""Several real processes and one ledger: never overshot, whoever is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import wait_for
from redis_server import RedisServer, redis_server

from llmx.quotas import KeyLimits, open_ledger

__all__ = ["redis_server"]

LIMIT = 12_000
PROCESSES = 4
MOST = 40
"""Of one call."""


@pytest.fixture(params=["file", "redis"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "ledger.db")
    return str(request.getfixturevalue("redis_server").url)


class Spender:
    """One process, and what it has written."""

    def __init__(self, where: str, log: Path) -> None:
        self.log = log
        command = [sys.executable, str(Path(__file__).with_name("spender.py")), where, str(LIMIT), str(log)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)

    @property
    def spent(self) -> int:
        """By calls that have ended, and at most by those that have not."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sum(int(line[1:]) if line[0] == "+" else -int(line[1:]) for line in lines)


@contextmanager
def spenders(where: str, folder: Path, count: int = PROCESSES) -> Iterator[list[Spender]]:
    everyone = [Spender(where, folder / f"{number}.log") for number in range(count)]
    try:
        yield everyone
    finally:
        for one in everyone:
            one.process.kill()
            one.process.communicate()


def end(everyone: list[Spender]) -> None:
    """Each has come to the end of the budget, and not to another one."""
    for one in everyone:
        _, error = one.process.communicate(timeout=60)
        assert one.process.returncode == 0, error.decode()


def total(everyone: list[Spender]) -> int:
    return sum(one.spent for one in everyone)


def spent(everyone: list[Spender], part: float) -> Callable[[], bool]:
    return lambda: total(everyone) >= LIMIT * part


async def taken(where: str) -> int:
    """By the books."""
    ledger = open_ledger(where)
    standing = await ledger.standing("k", KeyLimits("k", daily_tokens=LIMIT))
    await ledger.aclose()
    return standing.tokens


async def test_all_together_spend_what_there_is(where: str, tmp_path: Path):
    """Not a token more, nearly all of it, and the books know how much."""
    with spenders(where, tmp_path) as everyone:
        end(everyone)
        assert LIMIT - MOST <= total(everyone) <= LIMIT
        assert await taken(where) == total(everyone)


async def test_a_process_that_is_killed_has_taken_nothing_from_others(where: str, tmp_path: Path):
    """What it held counts as spent, as its calls may have been billed: the rest is spent, and no more."""
    with spenders(where, tmp_path) as everyone:
        wait_for(spent(everyone, 0.3))
        killed, *others = everyone
        killed.process.kill()
        began = time.monotonic()
        end(others)
        assert time.monotonic() - began < 50
        assert LIMIT * 0.5 < total(everyone) <= LIMIT
        assert total(everyone) <= await taken(where) <= LIMIT


async def test_a_redis_that_is_killed_and_comes_back(redis_server: RedisServer, tmp_path: Path):
    """Calls wait for it, and then the rest is spent, to the last call that fits."""
    with spenders(redis_server.url, tmp_path) as everyone:
        wait_for(spent(everyone, 0.3))
        redis_server.kill()
        before = total(everyone)
        redis_server.start()
        end(everyone)
        assert before < LIMIT
        assert LIMIT - MOST <= total(everyone) <= LIMIT
        assert await taken(redis_server.url) == total(everyone)
