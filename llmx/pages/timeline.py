"""A run's journal as figures over time: rows and answers in buckets, latencies, tokens and money by endpoint.

Of the journal only whole, undamaged lines count. Rows' ends bear no time of their own; they stand right behind the
answers that settled them, so the last time before them is theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llmx.journal.entries import count
from llmx.journal.lines import Line, scan

__all__ = ["VERSION", "Timeline", "quantile"]

VERSION = 3
"""Of the journal's format, the newest that is known."""

BUCKETS = 240
"""Held at most; then two become one."""

SHARPNESS = 8
"""Bins of latencies for each doubling: a quantile is right to 9 %."""


class _Bucket:
    __slots__ = ("answers", "cached", "cost", "failed", "input", "latencies", "ok", "output", "unpriced")

    def __init__(self) -> None:
        self.ok = self.failed = self.cached = self.answers = self.input = self.output = self.unpriced = 0
        self.cost = 0.0
        self.latencies: dict[int, int] = {}

    def join(self, other: _Bucket) -> None:
        for name in ("ok", "failed", "cached", "answers", "input", "output", "unpriced", "cost"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for place, number in other.latencies.items():
            self.latencies[place] = self.latencies.get(place, 0) + number

    def as_json(self) -> list[Any]:
        quantiles = [quantile(self.latencies, share) for share in (0.5, 0.95)]
        return [
            self.ok,
            self.failed,
            self.cached,
            self.answers,
            self.input,
            self.output,
            self.cost,
            *quantiles,
        ]


def quantile(latencies: Mapping[int, int], share: float) -> float | None:
    """Seconds under which a share of all lies, None of none."""
    left = share * sum(latencies.values())
    for place in sorted(latencies):
        left -= latencies[place]
        if left <= 0:
            return round(float(2 ** ((place + 0.5) / SHARPNESS)), 4)
    return None


class Timeline:
    """See the module.

    Attributes:
        damaged: lines that are not as they were written.
        newer: the journal is by a later llmx, and nothing of it was read.
        covered: bytes of it that were read.
    """

    def __init__(self) -> None:
        self.damaged = self.covered = 0
        self.newer = False
        self._width = 1.0
        self._buckets: dict[int, _Bucket] = {}
        self._starts: list[float] = []
        self._offset = 0.0
        self._last: float | None = None
        self._base = 0.0
        self._latencies: dict[int, int] = {}
        self._endpoints: dict[tuple[str, str], dict[str, Any]] = {}
        self._sources: dict[str, int] = {}
        self._attempts: dict[str, int] = {}

    def read(self, path: Path, enough: Callable[[], bool] = lambda: False) -> bool:
        """Fold what the journal has beyond what is covered; whether there was anything. A missing one has nothing.

        Args:
            enough: asked after each line whether the rest is for the next time.
        """
        before = self.covered
        try:
            with path.open("rb", buffering=2**20) as file:
                for line in scan(file, self.covered):
                    if self.newer or enough():
                        break
                    self._fold(line)
                    self.covered = line.at + line.size
        except OSError:
            return False
        return self.covered > before

    def _fold(self, line: Line) -> None:
        entry = line.entry
        if entry is None:
            self.damaged += 1
            return
        try:
            self._take(entry)
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
            self.damaged += 1  # a checksum that fits, but not as any version of ours has written it

    def _take(self, entry: Mapping[str, Any]) -> None:
        match entry.get("t"):
            case "journal":
                self.newer = isinstance(entry.get("version"), int) and entry["version"] > VERSION
            case "start":
                self._begin(entry.get("time"))
            case "answer":
                self._answer(entry)
            case "row":
                self._row(entry)
            case "rows":
                self._now().cached += len(entry["id"])
                self._source("cache", len(entry["id"]))
            case "end":
                self._pass(entry.get("time"))

    def _begin(self, time: Any) -> None:
        """A session: what lay between it and the one before is left out of the axis."""
        if self._last is not None:
            self._offset = self._at()
        self._base = self._last = self._seconds(time) or 0.0
        self._starts.append(round(self._offset, 3))

    def _at(self) -> float:
        return self._offset + (self._last or 0.0) - self._base

    def _pass(self, time: Any) -> None:
        """A line says when it was written; clocks that go back stand still here."""
        if (seconds := self._seconds(time)) is not None:
            if self._last is None:
                self._begin(seconds)
            self._last = max(self._last or 0.0, seconds)

    @staticmethod
    def _seconds(time: Any) -> float | None:
        usable = isinstance(time, int | float) and math.isfinite(time) and 0 < time < 2**40
        return float(time) if usable else None

    def _now(self) -> _Bucket:
        place = int(self._at() / self._width)
        while place >= BUCKETS:
            self._halve()
            place = int(self._at() / self._width)
        return self._buckets.setdefault(place, _Bucket())

    def _halve(self) -> None:
        wider: dict[int, _Bucket] = {}
        for place, bucket in self._buckets.items():
            wider.setdefault(place // 2, _Bucket()).join(bucket)
        self._buckets, self._width = wider, 2 * self._width

    def _answer(self, entry: Mapping[str, Any]) -> None:
        self._pass(entry.get("time"))
        usage = entry["usage"]
        read, written, cached, reasoning = (
            count(usage.get(name, 0)) for name in ("input", "output", "cached", "reasoning")
        )
        cost = None if usage.get("cost") is None else float(usage["cost"])
        bucket = self._now()
        bucket.answers += 1
        bucket.input, bucket.output = bucket.input + read, bucket.output + written
        bucket.cost += cost or 0.0
        bucket.unpriced += cost is None
        found = self._endpoint(entry)
        for name, number in (("answers", 1), ("input", read), ("output", written), ("cached", cached)):
            found[name] += number
        found["reasoning"] += reasoning
        found["reasks"] += bool(entry.get("reask"))
        found["cut"] += entry.get("finish") == "length"
        found["refused"] += entry.get("finish") == "refusal"
        found["cost"] = None if cost is None or found["cost"] is None else found["cost"] + cost

    def _endpoint(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        key = str(entry.get("endpoint") or ""), str(entry.get("model") or "")
        names = ("answers", "input", "output", "cached", "reasoning", "reasks", "cut", "refused")
        return self._endpoints.setdefault(key, {**dict.fromkeys(names, 0), "cost": 0.0})

    def _row(self, entry: Mapping[str, Any]) -> None:
        bucket, source = self._now(), str(entry.get("source") or "model")
        attempts = count(entry.get("attempts", 0))
        self._source(source, 1)
        self._attempts[str(attempts)] = self._attempts.get(str(attempts), 0) + 1
        if not entry["ok"]:
            bucket.failed += 1
        elif attempts:
            bucket.ok += 1
        else:
            bucket.cached += 1
        if attempts and (seconds := float(entry.get("seconds") or 0.0)) > 0:
            place = round(math.log2(seconds) * SHARPNESS)
            for latencies in (bucket.latencies, self._latencies):
                latencies[place] = latencies.get(place, 0) + 1

    def _source(self, source: str, number: int) -> None:
        self._sources[source] = self._sources.get(source, 0) + number

    def as_json(self) -> dict[str, Any] | None:
        """Buckets of `width` seconds by their number, and totals; None where no line told anything."""
        if not self._buckets and not self._endpoints:
            return None
        return {
            "width": self._width,
            "seconds": round(self._at(), 3),
            "sessions": self._starts,
            "buckets": {str(place): self._buckets[place].as_json() for place in sorted(self._buckets)},
            "latency": {f"p{share}": quantile(self._latencies, share / 100) for share in (50, 90, 95, 99)},
            "latencies": list(self._spread()),
            "endpoints": [
                {"endpoint": endpoint, "model": model, **figures}
                for (endpoint, model), figures in self._endpoints.items()
            ],
            "sources": self._sources,
            "attempts": self._attempts,
        }

    def _spread(self) -> Iterator[list[float]]:
        """Latencies as [from, to, rows], two bins for each doubling."""
        wide: dict[int, int] = {}
        for place, number in self._latencies.items():
            at = math.floor(place * 2 / SHARPNESS)
            wide[at] = wide.get(at, 0) + number
        for at in range(min(wide), max(wide) + 1) if wide else ():
            yield [round(2 ** (at / 2), 4), round(2 ** ((at + 1) / 2), 4), wide.get(at, 0)]
