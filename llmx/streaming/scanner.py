"""Finds the fields of a JSON object while its text comes, piece by piece.

It reads each letter once and keeps none but those of the field at hand; what a field's text says is for others to parse. It
knows of JSON as much as it takes to see where a value ends: that the whole is JSON is found out when it is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

__all__ = ["FieldScanner"]

_BLANK = re.compile(r"[ \t\r\n]*+")
_IN_STRING = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_IN_NEST = re.compile(r'[^"{}\[\]]*+')
_IN_SCALAR = re.compile(r"[^,}\]\s]*+")

_Step = Callable[[str, int], int]


class FieldScanner:
    """The fields at the top of one object, or of the object in one of its fields.

    What stands before the first brace is passed over: some models put words or a code fence there. Where the text is
    no object after all, no further field is found.

    Args:
        within: the name of that field, None for the top.
    """

    def __init__(self, within: str | None = None) -> None:
        self._within = within
        self._step: _Step | None = self._seek
        self._found: list[tuple[str, str]] = []
        self._parts: list[str] = []  # of the name or value at hand
        self._name = ""
        self._named = False  # whether any name has come
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, text: str) -> list[tuple[str, str]]:
        """The names and JSON texts of the values that end with this piece, in their order."""
        at = 0
        while at < len(text) and self._step is not None:
            at = self._step(text, at)
        found, self._found = self._found, []
        return found

    # The steps: each takes what it can from a place in the text on, and returns where it stopped.

    def _seek(self, text: str, at: int) -> int:
        place = text.find("{", at)
        if place < 0:
            return len(text)
        self._step = self._before_name
        return place + 1

    def _before_name(self, text: str, at: int) -> int:
        at = _past_blanks(text, at)
        if at == len(text):
            return at
        if text[at] == '"':
            self._parts = []
            self._step = self._in_name
        elif self._named:
            self._step = None
        else:
            self._step = self._seek  # a brace in words
        return at

    def _in_name(self, text: str, at: int) -> int:
        at, closed = self._string(text, at)
        if closed:
            self._name = _said("".join(self._parts))
            self._named = True
            self._step = self._before_value
        return at

    def _before_value(self, text: str, at: int) -> int:
        at = _past_blanks(text, at)
        if at == len(text):
            return at
        self._step = self._at_value if text[at] == ":" else None
        return at + 1

    def _at_value(self, text: str, at: int) -> int:
        at = _past_blanks(text, at)
        if at == len(text):
            return at
        self._parts = []
        if text[at] == "{" and self._name == self._within:
            self._within = None
            self._step = self._before_name
            return at + 1
        self._step = {'"': self._in_text, "{": self._in_nest, "[": self._in_nest}.get(
            text[at], self._in_scalar
        )
        return at

    def _in_text(self, text: str, at: int) -> int:
        at, closed = self._string(text, at)
        if closed:
            self._end_value()
        return at

    def _in_nest(self, text: str, at: int) -> int:
        begin = at
        while at < len(text):
            if self._in_string:
                at, closed = self._string_end(text, at)
                self._in_string = not closed
                continue
            at = _run(_IN_NEST, text, at)
            if at == len(text):
                break
            sign, at = text[at], at + 1
            if sign == '"':
                self._in_string = True
            else:
                self._depth += 1 if sign in "{[" else -1
            if not self._depth:
                self._parts.append(text[begin:at])
                self._end_value()
                return at
        self._parts.append(text[begin:at])
        return at

    def _in_scalar(self, text: str, at: int) -> int:
        end = _run(_IN_SCALAR, text, at)
        self._parts.append(text[at:end])
        if end < len(text):
            self._end_value()
        return end

    def _after_value(self, text: str, at: int) -> int:
        at = _past_blanks(text, at)
        if at == len(text):
            return at
        self._step = self._before_name if text[at] == "," else None
        return at + 1

    def _end_value(self) -> None:
        if self._within is None:
            self._found.append((self._name, "".join(self._parts)))
        self._parts = []
        self._step = self._after_value

    def _string(self, text: str, at: int) -> tuple[int, bool]:
        """Take a string, or more of it, into the parts: where it ends here, and whether it does."""
        begin = at
        if not self._parts:
            at += 1  # the quote that opens it
        at, closed = self._string_end(text, at)
        self._parts.append(text[begin:at])
        return at, closed

    def _string_end(self, text: str, at: int) -> tuple[int, bool]:
        """Where the inside of a string, and its closing quote, ends here; and whether it does."""
        if self._escaped:
            self._escaped = False
            at += 1
        at = _run(_IN_STRING, text, at)
        if at >= len(text):
            return len(text), False
        self._escaped = text[at] == "\\"  # the last letter, and what it is for comes with the next piece
        return at + 1, not self._escaped


def _run(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a pattern that matches anything stops."""
    found = pattern.match(text, at)
    assert found is not None
    return found.end()


def _past_blanks(text: str, at: int) -> int:
    return _run(_BLANK, text, at)


def _said(text: str) -> str:
    """A name as its JSON says it; as it stands where that is not JSON, and so nobody's."""
    try:
        return str(json.loads(text))
    except ValueError:
        return text
