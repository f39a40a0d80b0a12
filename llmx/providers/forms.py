"""A request's body as a form: all of it is written once in a run, but for the row's own text.

What instructor makes of messages is kept as JSON with gaps where their texts go. The gaps of the messages before the
row's are filled once per run, the last one for every row, by joining bytes: a body is parsed only where somebody looks
into it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import orjson
from msgspec import Struct

from llmx.records.integers import loads
from llmx.records.values import to_json

__all__ = [
    "CAPS",
    "Body",
    "Filled",
    "Form",
    "FormError",
    "Planner",
    "RequestPlan",
    "Shape",
    "caps_in",
    "encoded",
    "gaps_of",
    "planned",
    "shape_of",
    "size_of",
    "without_caps",
]

Body = dict[str, Any]

CAPS = frozenset({"max_completion_tokens", "max_tokens", "max_output_tokens"})
"""Names an output cap goes by."""

_GAP = re.compile(rb"\\u0000gap(\d+)\\u0000")


class FormError(ValueError):
    """The texts of the messages do not come up once each in the body, so that it has no such form."""


def _marks() -> Iterator[bytes]:
    """Texts, as they stand in JSON, of which one is in no form."""
    return (b"gap%d" % number for number in count())


def _gap(number: int) -> str:
    """What stands for the text of a message, so many from 0, while a body is built: no text of anybody's holds it."""
    return f"\x00gap{number}\x00"


def _escaped(text: str) -> bytes:
    """A text as it stands in JSON between its quotes. Raises UnicodeEncodeError: it holds a lone surrogate."""
    try:
        return orjson.dumps(text)[1:-1]
    except orjson.JSONEncodeError:
        text.encode()
        raise


class RequestPlan(Struct, frozen=True):
    """A body with gaps.

    Args:
        pieces: the JSON around the gaps, one more than there are of those.
        order: the messages whose texts go into the gaps.
    """

    pieces: Sequence[bytes]
    order: Sequence[int]

    @classmethod
    def of(cls, body: Mapping[str, Any], gaps: Sequence[int]) -> RequestPlan:
        """The plan of a body that was built of gaps. Raises FormError."""
        parts = _GAP.split(to_json(body))
        plan = cls(parts[::2], [int(number) for number in parts[1::2]])
        if not plan.fits(gaps):
            raise FormError("the texts of the messages do not come up once each in the body")
        return plan

    def fits(self, gaps: Sequence[int]) -> bool:
        """Whether it has one gap for each of these messages, in what is JSON when they are filled."""
        if len(self.pieces) != len(gaps) + 1 or not all(type(number) is int for number in self.order):
            return False
        try:
            filled = orjson.loads(b"x".join(self.pieces))
            return isinstance(filled, dict) and sorted(self.order) == sorted(gaps)
        except orjson.JSONDecodeError:
            return False

    def form(self, texts: Sequence[str]) -> Form:
        """The form in which the last message's text is left out, the texts of those before it are `texts`."""
        before, after = [self.pieces[0]], list[bytes]()
        last, part = len(texts), before
        for number, piece in zip(self.order, self.pieces[1:], strict=True):
            if number == last:
                part = after
            else:
                part.append(_escaped(texts[number]))
            part.append(piece)
        return Form(b"".join(before), b"".join(after))


@dataclass(frozen=True)
class Form:
    """The JSON of a body before and after the row's text."""

    before: bytes
    after: bytes

    def filled(self, text: str) -> Filled:
        """The body of one row. Raises UnicodeEncodeError: the text holds a lone surrogate."""
        return Filled(self, _escaped(text))

    @cached_property
    def caps(self) -> Mapping[str, int]:
        """The output caps, by their names."""
        return caps_in(loads(self.before + self.after))

    @cached_property
    def question(self) -> tuple[bytes, bytes]:
        """The JSON without caps, before and after the row's text: what a fingerprint is of."""
        mark = next(mark for mark in _marks() if mark not in self.before and mark not in self.after)
        body = loads(self.before + mark + self.after)
        before, after = to_json(without_caps(body)).split(mark)
        return before, after


class Filled(Mapping[str, Any]):
    """The body of one row. As a mapping it is what its JSON says.

    Args:
        text: the row's, as it stands in the JSON.
    """

    __slots__ = ("_parsed", "form", "text")

    def __init__(self, form: Form, text: bytes) -> None:
        self.form = form
        self.text = text
        self._parsed: Body | None = None

    @property
    def encoded(self) -> bytes:
        """The JSON."""
        return b"%s%s%s" % (self.form.before, self.text, self.form.after)

    @property
    def size(self) -> int:
        """Bytes of the JSON."""
        return len(self.form.before) + len(self.text) + len(self.form.after)

    def __getitem__(self, name: str) -> Any:
        return self._body()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._body())

    def __len__(self) -> int:
        return len(self._body())

    def _body(self) -> Body:
        if self._parsed is None:
            self._parsed = loads(self.encoded)
        return self._parsed


def encoded(body: Mapping[str, Any]) -> bytes:
    """A body's JSON. Raises UnicodeEncodeError: it holds a lone surrogate, which no server could be sent."""
    if isinstance(body, Filled):
        return body.encoded
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:  # an integer beyond 64 bits, or that surrogate
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def size_of(body: Mapping[str, Any]) -> int:
    """Bytes of a body's JSON."""
    return body.size if isinstance(body, Filled) else len(to_json(body))


def caps_in(body: Mapping[str, Any]) -> Mapping[str, int]:
    """A body's output caps, by their names."""
    if isinstance(body, Filled):
        return body.form.caps
    return {name: int(body[name]) for name in body if name in CAPS}


def without_caps(body: Mapping[str, Any]) -> Body:
    """A body without its output caps."""
    return {name: value for name, value in body.items() if name not in CAPS}


Shape = Sequence[tuple[str, str | None]]
"""Messages: of each its role, and its text where that is blank, which handlers leave out or join; None for a gap."""

Planner = Callable[[Shape], RequestPlan]
"""The plan for messages of a shape. Raises FormError: there is none."""


def shape_of(messages: Sequence[Mapping[str, Any]]) -> Shape:
    """The shape of messages of which the last one's text is always a gap: it is another for every row."""
    shape = [(str(m["role"]), None if str(m["content"]).strip() else str(m["content"])) for m in messages]
    return [*shape[:-1], (shape[-1][0], None)]


def gaps_of(shape: Shape) -> list[int]:
    """The numbers of the messages whose texts are gaps."""
    return [number for number, (_, text) in enumerate(shape) if text is None]


def planned(build: Callable[[list[Body]], Body], shape: Shape) -> RequestPlan:
    """The plan of the bodies that `build` makes of messages of this shape. Raises FormError."""
    messages = [
        {"role": role, "content": _gap(number) if text is None else text}
        for number, (role, text) in enumerate(shape)
    ]
    return RequestPlan.of(build(messages), gaps_of(shape))
