"""From the name of a ledger to the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmx.quotas.embedded import EmbeddedLedger

if TYPE_CHECKING:
    from llmx.quotas.redis import RedisLedger

__all__ = ["open_ledger"]


def open_ledger(where: str | Path) -> EmbeddedLedger | RedisLedger:
    """The books that several processes share.

    Args:
        where: a path of an SQLite file, made if it is not there; or the URL of a Redis, redis://, rediss:// or unix://.

    Raises:
        OutputFailed: the file cannot be used. Whether a Redis answers is found out by its first use.
        UsageError: the URL is none, or the package for Redis is missing.
    """
    if "://" not in str(where):
        return EmbeddedLedger(Path(where))
    from llmx.quotas.redis import RedisLedger

    return RedisLedger(str(where))
