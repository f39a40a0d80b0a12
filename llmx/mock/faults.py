"""What goes wrong with a call, decided by the seed and the number of the call: runs can be repeated.

This module decides; the provider carries it out.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from llmx.mock.settings import MockSettings

__all__ = ["Conversations", "Fate", "FateKind", "Faults", "prefix_digests"]

FateKind = Literal[
    "answer", "error", "hang", "drop", "refusal", "malformed", "stall", "late_error", "uncounted"
]


@dataclass(frozen=True, slots=True)
class Fate:
    """What will happen to one call if it is admitted.

    Args:
        status: of an "error"; 200 otherwise.
        latency: seconds.
        variant: a number from which a malformed answer chooses its kind.
    """

    kind: FateKind
    status: int = 200
    latency: float = 0.0
    variant: int = 0

    def unstreamed(self) -> Fate:
        """What it comes to where the answer does not come in pieces: it has no middle."""
        match self.kind:
            case "stall":
                return replace(self, kind="hang")
            case "late_error":
                return replace(self, kind="error", status=500)
        return self


class Faults:
    """Draws the fate of one call after the other."""

    def __init__(self, settings: MockSettings) -> None:
        self._settings = settings
        self._calls = 0
        self._random = settings.fault_rate > 0 or settings.latency.p50 != settings.latency.p99
        self._usual = Fate("answer", latency=settings.latency.p50)
        self._shares: tuple[tuple[FateKind, float], ...] = (
            ("error", settings.error_rate),
            ("hang", settings.hang_rate),
            ("drop", settings.drop_rate),
            ("refusal", settings.refusal_rate),
            ("malformed", settings.malformed_rate),
            ("stall", settings.stall_rate),
            ("late_error", settings.late_error_rate),
            ("uncounted", settings.uncounted_rate),
        )

    def next(self) -> Fate:
        """The fate of the next call."""
        self._calls += 1
        if self._calls <= self._settings.fail_first:
            return Fate("error", 500, self._settings.latency.p50)
        if not self._random:
            return self._usual
        rng = Random(f"{self._settings.seed}:{self._calls}")  # noqa: S311 - faults, no secrets
        return self._draw(rng)

    def _draw(self, rng: Random) -> Fate:
        kind = self._kind(rng.random())
        status = rng.choice(self._settings.error_statuses) if kind == "error" else 200
        return Fate(kind, status, self._settings.latency.sample(rng), rng.randrange(1 << 16))

    def _kind(self, point: float) -> FateKind:
        for kind, share in self._shares:
            if point < share:
                return kind
            point -= share
        return "answer"


class Conversations:
    """How many attempts came before a call, by looking for the beginning of its messages.

    A re-ask repeats the messages of the attempt before it and adds to them. Counting assistant
    messages would be simpler, and wrong for prompts with few-shot examples.

    Args:
        remembered: conversations kept; the oldest are forgotten first.
    """

    def __init__(self, remembered: int = 100_000) -> None:
        self._remembered = remembered
        self._attempts: OrderedDict[bytes, int] = OrderedDict()

    def attempt(self, messages: Iterable[bytes]) -> int:
        """Which attempt these messages are, from 0; the same messages are the same attempt."""
        digests = prefix_digests(messages)
        if not digests:
            return 0
        before = (self._attempts[digest] for digest in reversed(digests[:-1]) if digest in self._attempts)
        number = next(before, -1) + 1
        self._attempts.setdefault(digests[-1], number)
        if len(self._attempts) > self._remembered:
            self._attempts.popitem(last=False)
        return number


def prefix_digests(messages: Iterable[bytes]) -> list[bytes]:
    """What a conversation is known by after each of its messages."""
    state = hashlib.blake2b(digest_size=16)
    digests = []
    for message in messages:
        state.update(len(message).to_bytes(8, "big") + message)
        digests.append(state.digest())
    return digests
