"""What a stream is made of: data, without behaviour."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from llmx.types import Outcome, Restart

__all__ = ["FieldDone", "ObjectDone", "Part", "Restarted"]


class FieldDone(Struct, frozen=True):
    """A field of the object is there, and fits its own type and constraints.

    Those of a stream that came after its last `Restarted` are, together, the object at its end.

    Args:
        path: the field's name at the top of what is written of the object.
        value: what is written of it, in JSON's types.
    """

    path: str
    value: Any


class Restarted(Struct, frozen=True):
    """The fields so far do not hold any more: they come again, of another answer.

    Args:
        reason: "invalid", the answer does not fit as a whole; "retry", its call failed and is made again; "fallback", another
            endpoint is asked.
        message: what was wrong, for people.
    """

    reason: Restart
    message: str


class ObjectDone(Struct, frozen=True):
    """The row's end: always the last part, and the only one of a row that fails at once.

    Args:
        outcome: with the whole, validated object or the row's error, and with usage, attempts, source and seconds.
    """

    outcome: Outcome


Part = FieldDone | Restarted | ObjectDone
