"""One answer that comes in pieces: events are put together to the body that the same call gives as a whole.

What is journalled, cached and validated is that body, so that nobody can tell by it how it came. How a format's events go
together is for its assembler; bytes come from a transport.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson
from msgspec import Struct

from llmx.providers.answers import Answer
from llmx.providers.forms import encoded
from llmx.providers.sse import EventDecoder, ServerEvent
from llmx.providers.wording import without_key
from llmx.records.integers import loads
from llmx.types import Ear

__all__ = ["AnswerStream", "Assembler", "Streaming"]


class Assembler(Protocol):
    """Puts one answer's events together, and lets an ear hear its text."""

    def take(self, event: ServerEvent, data: Mapping[str, Any]) -> bool:
        """One event. Raises what Python raises for data of another form.

        Returns:
            Whether nothing of the answer is to come after it.
        """
        ...

    def failure(self, event: ServerEvent, data: Mapping[str, Any]) -> Answer | None:
        """The error that an event tells of, None where it goes on with the answer."""
        ...

    def body(self) -> Mapping[str, Any] | None:
        """The answer's body as the format has it where nothing is streamed; None where it is not whole."""
        ...


class Streaming(Struct, frozen=True):
    """How a format is asked for a stream.

    Args:
        asked: what a request's body has beside that of a call for the whole.
        assembler: made for each answer, with whom it lets hear its text.
    """

    asked: Mapping[str, Any]
    assembler: Callable[[Ear], Assembler]


class AnswerStream:
    """The bytes of one response, on their way to a body.

    Args:
        secret: the key that was sent, which is not to be in what is kept.

    Attributes:
        begun: whether any of an answer has come: then the call may be billed.
        failure: what the server said in place of the answer's rest, None as long as it says nothing.
        garbled: whether it said something that is no event of the format.
    """

    def __init__(self, assembler: Assembler, secret: str) -> None:
        self.begun = False
        self.failure: Answer | None = None
        self.garbled = False
        self._assembler = assembler
        self._secret = secret
        self._decoder = EventDecoder()
        self._over = False

    def take(self, data: bytes) -> bool:
        """Some bytes; whether that was enough. Never raises: it is called in the midst of a parser."""
        for event in self._decoder.feed(data):
            self._take_event(event)
        return self._over

    def end(self) -> None:
        """No more will come."""
        for event in self._decoder.end():
            self._take_event(event)

    def body(self) -> Mapping[str, Any] | None:
        """The body, without the key; None where the answer is not whole, or no Unicode text."""
        body = self._assembler.body()
        if body is None:
            return None
        try:
            written = encoded(body)
        except UnicodeEncodeError:
            self.garbled = True
            return None
        clean = without_key(written, self._secret)
        return body if clean is written else dict(loads(clean))

    def _take_event(self, event: ServerEvent) -> None:
        if self._over:
            return
        if event.data.startswith(b"[DONE]"):
            self._over = True
            return
        try:
            data = _parsed(without_key(event.data, self._secret))
            self.failure = self._assembler.failure(event, data)
            self._over = self.failure is not None or self._assembler.take(event, data)
            self.begun = True
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
            self.garbled = self._over = True


def _parsed(data: bytes) -> Mapping[str, Any]:
    """An event's object. Raises ValueError."""
    try:
        parsed = loads(data)
    except orjson.JSONDecodeError:  # half a surrogate pair, of which the other half comes with the next event
        parsed = json.loads(data)
    if not isinstance(parsed, dict):
        raise ValueError("an event that is no object")
    return parsed
