"""Server-sent events out of bytes, as they come: cut anywhere, within a line, a line's end or a letter.

What an event means is told by `streams` and the assemblers. `id` and `retry` are for clients that connect again, which
nobody does here.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

__all__ = ["EventDecoder", "ServerEvent", "is_stream"]

_BOM = b"\xef\xbb\xbf"


def is_stream(headers: Mapping[str, str]) -> bool:
    """Whether a response is one of events: who is asked for it and answers otherwise has an error to tell, or cannot stream.

    Args:
        headers: by lower-case name.
    """
    return headers.get("content-type", "").lower().startswith("text/event-stream")


class ServerEvent(Struct, frozen=True):
    """One event.

    Args:
        name: of its kind, "" where the server names none.
        data: its lines joined by line feeds, UTF-8.
    """

    name: str
    data: bytes


class EventDecoder:
    """Makes events of a response's bytes; each byte is looked at once, however they are cut."""

    def __init__(self) -> None:
        self._name = ""
        self._data: list[bytes] = []
        self._line: list[bytes] = []  # the parts of one that has no end yet
        self._begun = False
        self._after_return = False

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        """The events that these bytes end; to be exhausted before the next are fed."""
        if self._after_return and data:  # a line feed after it belongs to the same end
            self._after_return = False
            data = data[1:] if data[:1] == b"\n" else data
        if b"\r" in data:
            self._after_return = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self._line:
                line = b"".join((*self._line, line))
                self._line.clear()
            if (event := self._taken(line)) is not None:
                yield event
        if rest:
            self._line.append(rest)

    def end(self) -> Iterator[ServerEvent]:
        """What is left when the response has ended: servers leave the last blank line out."""
        yield from self.feed(b"\n\n")

    def _taken(self, line: bytes) -> ServerEvent | None:
        """The event that a line ends, None for one that adds to it."""
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatched()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
        return None

    def _dispatched(self) -> ServerEvent | None:
        """The event so far; one without data is none."""
        data, name = self._data, self._name
        self._data, self._name = [], ""
        return ServerEvent(name, b"\n".join(data)) if data else None
