"""Two processes talk: messages over a pair of sockets, in the order in which they were sent.

All that is said in one turn of the loop is one frame: its length in four bytes, and a pickled list. Both ends are
ours and of the same version, for one is the other's fork.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import Callable
from typing import Any

__all__ = ["Channel"]

LENGTH = 4


class Channel(asyncio.Protocol):
    """One end.

    Args:
        receive: given the messages of each frame.
        gone: called when the other end is closed, or its process has ended.
    """

    def __init__(self, receive: Callable[[list[Any]], None], gone: Callable[[], None]) -> None:
        self._receive = receive
        self._gone = gone
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Any] = []
        self._read = bytearray()

    async def open(self, sock: socket.socket) -> None:
        """Talk over `sock` from here on."""
        await self._loop.create_connection(lambda: self, sock=sock)

    def send(self, message: Any) -> None:
        """Say something, with what else is said in this turn; to nobody when the other end has gone."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(message)

    def flush(self) -> None:
        """Hand on what was said."""
        messages, self._waiting = self._waiting, []
        if messages and self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._frame(messages, self._transport))

    def _frame(self, messages: list[Any], transport: asyncio.Transport) -> bytes:
        try:
            data = pickle.dumps(messages, pickle.HIGHEST_PROTOCOL)
        except Exception:
            transport.abort()  # a bug of ours: the other end must not wait for ever for what cannot be said
            raise
        return b"%s%s" % (len(data).to_bytes(LENGTH, "big"), data)

    def close(self) -> None:
        """Say the rest, and no more."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._read += data
        at = 0
        while (end := self._end_of_frame(at)) is not None:
            with memoryview(self._read) as read:
                messages = pickle.loads(read[at + LENGTH : end])  # noqa: S301  our own process wrote it
            at = end
            self._receive(messages)
        del self._read[:at]

    def _end_of_frame(self, at: int) -> int | None:
        if len(self._read) < at + LENGTH:
            return None
        end = at + LENGTH + int.from_bytes(self._read[at : at + LENGTH], "big")
        return end if end <= len(self._read) else None

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._gone()
