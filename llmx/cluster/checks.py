"""What is asked of a Redis, and of the shared folder, before a process takes part: that acknowledged jobs are not lost.

A Redis that keeps no log forgets all jobs when it ends, and one that makes room by itself drops some at any time: both are
refused. A folder that is not the one in which the jobs' files are would make every shard fail; it is told by a name that lies both in
the folder and in Redis.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from llmx.cluster.connection import UNWANTED, Connection
from llmx.environment import is_file, private
from llmx.errors import AuthenticationFailed, OutputFailed, QueueAway, UsageError

__all__ = ["MARKER", "OLDEST", "check_server", "check_storage"]

OLDEST = (6, 2)
"""The first version that has all commands of the scripts."""

MARKER = "storage-id"
"""The file, in the shared folder, that names it."""

_log = logging.getLogger(__name__)


async def check_server(connection: Connection) -> None:
    """Refuse a Redis that loses what it has acknowledged.

    Raises:
        UsageError: it keeps no log, makes room by itself, or is too old.
        QueueAway: it is not there.
        AuthenticationFailed: it wants another password.
    """
    info = await _told(connection)
    where = repr(str(connection.address))
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise UsageError(f"redis at {where} is version {version}", hint=f"version {wanted} or newer")
    _check_keeping(info, where)
    await _warn_of_sync(connection, where)


async def _told(connection: Connection) -> Mapping[str, Any]:
    try:
        return await connection.patiently(lambda: connection.redis.info())
    except QueueAway as error:
        if isinstance(error.__cause__, UNWANTED):
            raise AuthenticationFailed(str(error), hint=error.hint) from error
        raise


def _check_keeping(info: Mapping[str, Any], where: str) -> None:
    if not int(info.get("aof_enabled", 0)):
        problem = f"redis at {where} keeps no log of its writes: jobs would be lost when it ends"
        raise UsageError(problem, hint="redis-server --appendonly yes --appendfsync always")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        problem = f"redis at {where} makes room by dropping keys ({policy}): jobs would be lost"
        raise UsageError(problem, hint="redis-server --maxmemory-policy noeviction")


async def _warn_of_sync(connection: Connection, where: str) -> None:
    try:
        said = await connection.patiently(lambda: connection.redis.config_get("appendfsync"))
    except QueueAway:  # servers that others run often do not tell
        return
    if said.get("appendfsync") != "always":
        _log.warning(
            "redis at %s writes its log to the disk once a second: a power cut may lose what was acknowledged in the last "
            "two (--appendfsync always loses nothing)",
            where,
        )


class _Storage(Struct, frozen=True):
    """Which folder the jobs of a queue are in.

    Args:
        host, path: where it was first seen, for people.
    """

    id: str
    host: str
    path: str


async def check_storage(connection: Connection, data: Path) -> None:
    """Refuse a folder that is not the one in which the files of this queue's jobs are; the first one that comes is it.

    Raises:
        UsageError: it is another one.
        OutputFailed: it cannot be written to.
    """
    known = await _known(connection, b"")
    if known is not None and not is_file(data / MARKER):  # which is then left as it is, without a name
        raise _another(data, known)
    mine = _Storage(_identity(data), socket.gethostname(), str(data))
    known = await _known(connection, msgspec.json.encode(mine))
    if known is not None and known.id != mine.id:
        raise _another(data, known)


async def _known(connection: Connection, told: bytes) -> _Storage | None:
    reply = await connection.run("storage", told)
    return None if reply is None else msgspec.json.decode(reply, type=_Storage)


def _another(data: Path, known: _Storage) -> UsageError:
    return UsageError(
        f"{str(data)!r} is not the folder of this queue's jobs, which is {known.path!r} on {known.host!r}",
        hint="the same shared folder as --data of `llmx serve`; for a new service, another database: "
        "redis://HOST:6379/1",
    )


def _identity(data: Path) -> str:
    """The folder's name, which it is given where it has none. Raises OutputFailed."""
    marker = data / MARKER
    try:
        with private():
            data.mkdir(parents=True, exist_ok=True)
            if not marker.exists():
                _mark(marker)
        return marker.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise OutputFailed(f"cannot use {str(marker)!r}: {reason}", hint="--data DIR") from error


def _mark(marker: Path) -> None:
    """Name a folder in one step, whoever else does so at the same time. Raises OSError."""
    draft = marker.with_name(f".{MARKER}.{secrets.token_hex(4)}")
    draft.write_text(secrets.token_hex(16) + "\n", encoding="utf-8")
    try:
        os.link(draft, marker)
    except FileExistsError:
        return
    finally:
        draft.unlink()
