"""Who listens to one row's answer: text comes in, parts of a stream come out.

The end decides: what was told of fields is held against the whole object, and taken back where it differs.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from llmx.clock import Signal
from llmx.streaming.fields import Fields
from llmx.streaming.parts import FieldDone, ObjectDone, Part, Restarted
from llmx.streaming.scanner import FieldScanner
from llmx.types import Outcome, Restart

__all__ = ["Hearing"]


class Hearing:
    """An `Ear` that makes parts.

    Attributes:
        parts: those that have not been taken yet.
        more: happens when there is one, and at the end.
    """

    def __init__(self, fields: Fields) -> None:
        self.parts: deque[Part] = deque()
        self.more = Signal()
        self._fields = fields
        self._scanner = FieldScanner(fields.within)
        self._told: dict[str, Any] = {}

    def begin(self) -> None:
        """See `Ear.begin`."""
        self.restart("retry", "the answer begins again")

    def hear(self, text: str) -> None:
        """See `Ear.hear`."""
        for key, value in self._scanner.feed(text):
            for path, written in self._fields.completed(key, value).items():
                if path not in self._told:  # of what comes twice, the end decides
                    self._tell(path, written)

    def restart(self, reason: Restart, message: str) -> None:
        """See `Ear.restart`; where no field has been told of, there is nothing to take back."""
        self._scanner = FieldScanner(self._fields.within)
        if self._told:
            self._told = {}
            self._put(Restarted(reason, message))

    def end(self, outcome: Outcome) -> None:
        """The row has ended: the fields that nobody has heard of come now, and then the whole."""
        if outcome.error is None:
            whole = self._fields.own.dump(outcome.value)
            wrong = [path for path, value in self._told.items() if path not in whole or whole[path] != value]
            if wrong:
                self.restart("invalid", f"{', '.join(wrong)}: otherwise in the whole object")
            for path, value in whole.items():
                if path not in self._told:
                    self._tell(path, value)
        self._put(ObjectDone(outcome))

    def _tell(self, path: str, value: Any) -> None:
        self._told[path] = value
        self._put(FieldDone(path, value))

    def _put(self, part: Part) -> None:
        self.parts.append(part)
        self.more.happen()
