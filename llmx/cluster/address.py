"""Where the queue's Redis is: an address that may hold a password, and is never shown with it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from llmx.errors import UsageError
from llmx.providers import secret

__all__ = ["EXAMPLE", "SCHEMES", "VARIABLE", "Address", "address_from", "check_listed", "parse_address"]

SCHEMES = ("redis", "rediss", "unix")
"""Plain, over TLS, and a socket of this machine."""

EXAMPLE = "redis://HOST:6379/0"
VARIABLE = "LLMX_QUEUE"


class Address:
    """An address of a Redis.

    Args:
        url: with the password, for the connection alone.
    """

    __slots__ = ("_parts", "url")

    def __init__(self, url: str, parts: SplitResult) -> None:
        self.url = url
        self._parts = parts

    @property
    def secret(self) -> bool:
        """Whether it holds a password."""
        return self._parts.password is not None or "password=" in self._parts.query

    def __str__(self) -> str:
        """Without user, password and query: what may be shown."""
        parts = self._parts
        host = (parts.netloc or "").rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}"

    __repr__ = __str__


def parse_address(text: str) -> Address:
    """An address of a Redis. Raises UsageError, without repeating what may hold a password."""
    hint = f"{EXAMPLE}, or rediss:// for TLS"
    try:
        parts = urlsplit(text.strip())
        _ = parts.port
    except ValueError:
        raise UsageError("the queue's address is not one", hint=hint) from None
    if parts.scheme not in SCHEMES:
        raise UsageError("the queue's address does not begin with redis://, rediss:// or unix://", hint=hint)
    if parts.scheme != "unix" and not parts.hostname:
        raise UsageError("the queue's address names no host", hint=hint)
    if parts.scheme != "unix" and not parts.path.strip("/").isdecimal() and parts.path.strip("/"):
        raise UsageError("the queue's address does not end with the number of a database", hint=hint)
    return Address(text.strip(), parts)


def check_listed(option: str | None) -> None:
    """Refuse an option of the command line that shows a password to whoever lists processes. Raises UsageError."""
    if option is not None and option != "sqlite" and parse_address(option).secret:
        raise UsageError(
            "--queue holds a password, which everybody on this machine could read",
            hint=f"{VARIABLE}=… in the environment, or {VARIABLE}_FILE=PATH",
        )


def address_from(option: str | None, variables: Mapping[str, str]) -> Address | None:
    """The address by an option, or else by LLMX_QUEUE or the file that LLMX_QUEUE_FILE names; None for none.

    Args:
        option: of the command line, where everybody who may list processes can read it.

    Raises:
        UsageError: it is no address, the file cannot be read, or the command line shows a password.
    """
    if option is not None:
        check_listed(option)
        return parse_address(option)
    text = secret(VARIABLE, variables)
    return parse_address(text) if text else None
