"""API keys of the service: who may do what. The file holds SHA-256 of keys, never a key.

A key has 256 random bits, so that a plain digest needs no salt and no stretching: there is nothing to guess.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec import Struct

from llmx.environment import private
from llmx.errors import OutputFailed, UsageError
from llmx.system import OURS, system
from llmx.text import nearest

__all__ = ["ANONYMOUS", "SCOPES", "Key", "KeyRing", "create_key", "new_secret", "read_keys", "revoke_key"]

SCOPES = ("extract", "jobs", "admin")
"""extract: POST /v1/extract; jobs: one's own jobs; admin: everybody's jobs, and /metrics."""

_BEGIN = "llmx_"
_LARGEST = 2**24


class Key(Struct, frozen=True, forbid_unknown_fields=True):
    """One key, without the key.

    Args:
        name: what it is called; owns the jobs that are made with it. "" for a service without keys.
        digest: SHA-256 of the key in hex.
        scopes: some of `SCOPES`.
        rpm: requests per minute, None for no limit.
        daily_tokens, daily_cost: what it may spend in any 24 hours, the latter in US dollars.
        models: those on offer that it may use; all when empty.
        created, expires: seconds since 1970; None never expires.
    """

    name: str
    digest: str
    scopes: tuple[str, ...] = ("extract", "jobs")
    rpm: int | None = None
    daily_tokens: int | None = None
    daily_cost: Decimal | None = None
    models: tuple[str, ...] = ()
    created: float = 0.0
    expires: float | None = None

    def may(self, scope: str) -> bool:
        """Whether it has a scope."""
        return scope in self.scopes

    def expired(self, now: float) -> bool:
        """Whether its time has come."""
        return self.expires is not None and now >= self.expires


ANONYMOUS = Key("", "", SCOPES)
"""Whoever asks a service that has no keys."""


class _File(Struct, frozen=True):
    keys: tuple[Key, ...] = ()


def new_secret() -> str:
    """A new key: `llmx_` and 43 characters of base64url, 32 random bytes."""
    return _BEGIN + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in a file, none where there is no file.

    Raises:
        UsageError: it cannot be read, others may read it, or it is no file of keys.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_LARGEST)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise UsageError(f"the keys in {str(path)!r} cannot be read: {_reason(error)}") from None
    if mode & 0o077 and os.name == "posix":
        raise UsageError(f"the keys in {str(path)!r} can be read by others", hint=f"chmod 600 {path}")
    try:
        return msgspec.json.decode(text, type=_File).keys
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: not a file of keys: {error}") from None


def create_key(path: Path, key: Key) -> str:
    """Add a key; returns its secret, which is kept nowhere.

    Args:
        key: without digest and time.

    Raises:
        UsageError: the name is taken.
        OutputFailed: the file cannot be written.
    """
    secret = new_secret()
    with _changing(path) as keys:
        if any(other.name == key.name for other in keys):
            raise UsageError(f"there is a key named {key.name!r}", hint=f"llmx keys revoke {key.name}")
        keys.append(msgspec.structs.replace(key, digest=_digest(secret), created=time.time()))
    return secret


def revoke_key(path: Path, name: str) -> Key:
    """Remove a key; running services refuse it from their next request on.

    Raises:
        UsageError: there is none of that name.
        OutputFailed: the file cannot be written.
    """
    with _changing(path) as keys:
        found = next((key for key in keys if key.name == name), None)
        if found is None:
            close = nearest(name, [key.name for key in keys])
            hint = f"did you mean {close!r}?" if close else "llmx keys list"
            raise UsageError(f"there is no key named {name!r}", hint=hint)
        keys.remove(found)
    return found


@contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The keys, to be changed by nobody else meanwhile; written at the end, whole or not at all."""
    import fcntl

    try:
        with private():
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | OURS, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = list(read_keys(path))
            yield keys
            _write(path, keys)
        finally:
            os.close(lock)
    except OSError as error:
        raise OutputFailed(f"cannot write {str(path)!r}: {_reason(error)}") from None


def _write(path: Path, keys: Sequence[Key]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OURS, 0o600)
    try:
        data = msgspec.json.format(msgspec.json.encode(_File(tuple(keys))), indent=2) + b"\n"
        while data:
            data = data[system().write(file, data) :]
        system().sync(file)
    finally:
        os.close(file)
    system().replace(partial, path)
    system().sync_folder(path.parent)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


class KeyRing:
    """The keys of a file, read anew when it changes.

    A service that has had keys never becomes one without: a file that is gone or cannot be read lets nobody in, and so does,
    from the start, one that is there with no key left in it.

    Args:
        path: of the file, which need not be there.
        required: nobody is let in without a key even while there is none.
        say: told why the file cannot be used.

    Raises:
        UsageError: the file is there and cannot be used.
    """

    def __init__(
        self, path: Path, *, required: bool = False, say: Callable[[str], None] = lambda text: None
    ) -> None:
        self._path = path
        self._say = say
        self._seen = self._stamp()
        self._keys = read_keys(path)
        self._required = required or self._seen is not None

    @property
    def required(self) -> bool:
        """Whether requests need a key."""
        self._refresh()
        return self._required

    def find(self, secret: str, now: float) -> Key | None:
        """The key of a secret, None where there is none or its time is over.

        Every key is looked at, whichever it is: how long that takes tells nothing.
        """
        self._refresh()
        presented = _digest(secret)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, presented):
                found = key
        return None if found is None or found.expired(now) else found

    def named(self, name: str) -> Key | None:
        """The key of a name, for the limits of work that is under way."""
        self._refresh()
        return next((key for key in self._keys if key.name == name), None)

    def _refresh(self) -> None:
        if (stamp := self._stamp()) == self._seen:
            return
        self._seen = stamp
        try:
            self._keys = read_keys(self._path)
        except UsageError as error:
            self._keys = ()
            self._say(f"nobody is let in: {error}")
        self._required = self._required or stamp is not None

    def _stamp(self) -> tuple[int, int, int] | None:
        """What changes with the file; every writing makes a new one."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
