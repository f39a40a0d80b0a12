"""What is left of a run, looked at without the product's own code: its journal, its outputs, the server's log."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import orjson
from commands import Mock

__all__ = ["answers", "asked", "entries", "journal_of", "serials"]

_LINE = re.compile(rb'\{"crc":"([0-9a-f]{8})",(.*)', re.DOTALL)
_PARTS = re.compile(rb'(?=\{"crc":")')


def journal_of(folder: Path, output: str = "out.jsonl") -> Path:
    """The journal of the run that writes `output` in a folder."""
    return folder / ".llmx" / output / "journal.jsonl"


def entries(journal: Path) -> list[dict[str, Any]]:
    """Every line of a journal that is whole and has the right checksum, those behind the remains of another too.

    Rows that stand in one line are told one by one.
    """
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    found = [_LINE.fullmatch(part) for line in lines for part in _PARTS.split(line)]
    whole = (orjson.loads(b"{" + m[2]) for m in found if m and int(m[1], 16) == zlib.crc32(m[2]))
    return [each for entry in whole for each in _apart(entry)]


def _apart(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if entry["t"] != "rows":
        yield entry
        return
    each = [name for name, value in entry.items() if isinstance(value, list)]
    for values in zip(*(entry[name] for name in each), strict=True):
        yield {**entry, "t": "row", "ok": True, "attempts": 0, **dict(zip(each, values, strict=True))}


def answers(journal: Path) -> list[dict[str, Any]]:
    """Those that are answers."""
    return [entry for entry in entries(journal) if entry["t"] == "answer"]


def serials(found: Iterable[dict[str, Any]]) -> list[int]:
    """The number of the server's call that each answer came of, from 0; the server counts in the answers' ids."""
    return [int(entry["body"]["id"].removeprefix("chatcmpl-mock"), 16) - 1 for entry in found]


def asked(mock: Mock) -> list[str]:
    """What the server was asked, call by call; it must have been started with `log`."""
    with urlopen(f"{mock.url}/log", timeout=60) as response:
        return [json.dumps(call["body"], sort_keys=True) for call in json.load(response)["requests"]]


class Ledger:
    """What was paid for when, over all sessions of one run against one server.

    Args:
        journal: of the run.
    """

    def __init__(self, mock: Mock, journal: Path) -> None:
        self._mock = mock
        self._journal = journal
        self.safe: set[str] = set()
        self.seen = 0
        self.in_flight: list[int] = []

    def session_ended(self) -> None:
        """A process has gone: see what it asked, and whether that stood in the journal when it began."""
        calls = asked(self._mock)
        asked_again = [call for call in calls[self.seen :] if call in self.safe]
        assert asked_again == [], "an answer that stood in the journal was asked for again"
        safe = {calls[n] for n in serials(answers(self._journal))}
        self.in_flight.append(len([call for call in calls[self.seen :] if call not in safe]))
        self.safe, self.seen = safe, len(calls)

    @property
    def paid_twice(self) -> int:
        """Answers that the server gave more than once."""
        return sum(count - 1 for count in Counter(asked(self._mock)).values())
