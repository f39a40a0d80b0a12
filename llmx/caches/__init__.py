"""Caches of answers: `Cache` is the seam, `exact` the one on disk, `stored` only reads it, `NoCache` is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from msgspec import Struct

__all__ = ["Cache", "CachedAnswer", "NoCache"]


class CachedAnswer(Struct, frozen=True):
    """A valid answer.

    Args:
        text: its JSON text.
        model: the model that gave it.
        confidence: as in `Quality`, where the response has told it.
    """

    text: str
    model: str
    confidence: Mapping[tuple[str | int, ...], float] | None = None


class Cache(Protocol):
    """Answers by fingerprint. No method raises: a cache that fails is a cache that misses.

    (`expect` is a fourth method: it only makes `get` quick.)
    """

    def expect(self, fingerprints: Sequence[str]) -> Future[None] | None:
        """These will be asked for soon: done when they have been read, off this thread; None where none need be."""
        ...

    def get(self, fingerprint: str) -> CachedAnswer | None:
        """The answer, None when there is none (any more)."""
        ...

    def put(self, fingerprint: str, answer: CachedAnswer) -> None:
        """Keep the answer."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


class NoCache:
    """Remembers nothing: `--cache off`."""

    def expect(self, fingerprints: Sequence[str]) -> None:
        """See `Cache.expect`."""

    def get(self, fingerprint: str) -> CachedAnswer | None:
        """See `Cache.get`."""
        return None

    def put(self, fingerprint: str, answer: CachedAnswer) -> None:
        """See `Cache.put`."""

    def close(self) -> None:
        """See `Cache.close`."""
