"""Which row of the gold file a request is about, by the text that the model sees.

A row that is sent as JSON between tags, as `llmx.prompts` does, is found by the values of its columns. One that
a template has written is found by its text, which must stand in the message as a whole; case and white space do
not matter. Rows that show the same are all found.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from llmx.mock.faults import prefix_digests
from llmx.mock.gold_file import GoldRow, plain_text
from llmx.mock.wire import Call, text_of

__all__ = ["Match", "Matcher"]

_ROW = re.compile(r"<(?P<tag>row-[0-9a-f]+)>\n(?P<row>.*?)\n</(?P=tag)>", re.DOTALL)
_WORD = re.compile(r"\w+")
_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class Match:
    """The gold rows that a request may be about, in the file's order, and the texts that it shows of them."""

    rows: tuple[GoldRow, ...] = ()
    texts: tuple[str, ...] = ()


class Matcher:
    """Finds the rows of one gold file."""

    def __init__(self, rows: Sequence[GoldRow]) -> None:
        self._rows = rows
        self._whole = any(row.is_whole for row in rows)
        self._cells = _Cells(rows)
        self._written: dict[frozenset[str], _Written] = {}
        self._known: OrderedDict[bytes, Match] = OrderedDict()

    def find(self, call: Call, fields: Collection[str]) -> Match:
        """The rows that this call is about, none where the gold file does not have it.

        A re-ask, whose last turn is about no row, is about that of the conversation it goes on with.

        Args:
            fields: the names of the answer's fields: where a gold file has them as columns, they are not
                what the model is shown.
        """
        answers = frozenset() if self._whole else frozenset(fields)
        turns = [text_of(message.get("content")) for message in call.messages if _is_users(message)]
        turn = turns[-1] if turns else ""
        digests = prefix_digests(map(orjson.dumps, call.messages))
        shown = _sent_row(turn)
        if shown is not None:
            match = self._cells.find(shown, answers)
        else:
            match = self._written_with(answers).find(turn)
            match = match if match.rows else self._begun(digests)
        self._remember(digests, match)
        return match

    def _written_with(self, answers: frozenset[str]) -> _Written:
        if answers not in self._written:
            self._written[answers] = _Written(self._rows, answers)
        return self._written[answers]

    def _begun(self, digests: list[bytes]) -> Match:
        known = (self._known[digest] for digest in reversed(digests) if digest in self._known)
        return next(known, Match())

    def _remember(self, digests: list[bytes], match: Match) -> None:
        if not digests:
            return
        self._known[digests[-1]] = match
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


class _Cells:
    """Rows by the value of a column: those of the rarest value are compared in full."""

    def __init__(self, rows: Sequence[GoldRow]) -> None:
        self._rows: defaultdict[tuple[str, str], list[GoldRow]] = defaultdict(list)
        for row in rows:
            for cell in row.columns.items():
                self._rows[cell].append(row)
        self._columns = {column for column, _ in self._rows}

    def find(self, shown: Mapping[str, str], answers: frozenset[str]) -> Match:
        """Rows whose columns say what is shown, as far as the file has them and they are no answers."""
        known = {name: text for name, text in shown.items() if name in self._columns - answers}
        rows = min((self._rows.get(cell, []) for cell in known.items()), key=len, default=[])
        fitting = [row for row in rows if _says(row, known)]
        return Match(tuple(fitting), tuple(shown.values())) if fitting else Match()


def _says(row: GoldRow, shown: Mapping[str, str]) -> bool:
    return all(row.columns.get(name, "") == text for name, text in shown.items())


class _Written:
    """Rows by the rarest words of their text, for messages that a template wrote.

    The text is in the column that is longest in all of the file, or else, where that is empty, in the row's longest.
    """

    def __init__(self, rows: Sequence[GoldRow], answers: frozenset[str]) -> None:
        columns = [_shown(row, answers) for row in rows]
        lengths: Counter[str] = Counter()
        for shown in columns:
            lengths.update({name: len(text) for name, text in shown.items()})
        longest = max(lengths, key=lambda name: lengths[name], default="")
        texts = [shown.get(longest) or max(shown.values(), key=len, default="") for shown in columns]
        counts = Counter(word for text in texts for word in set(_WORD.findall(text)))
        self._anchored: defaultdict[str, defaultdict[str, list[_Candidate]]]
        self._anchored = defaultdict(lambda: defaultdict(list))
        for place, (row, shown, text) in enumerate(zip(rows, columns, texts, strict=True)):
            if text:
                first, second = _anchors(text, counts)
                self._anchored[first][second].append(_Candidate(place, row, text, tuple(shown.values())))

    def find(self, message: str) -> Match:
        """The rows of which the message holds most."""
        said = _folded(message)
        candidates = sorted(self._candidates(said), key=lambda candidate: candidate.place)
        held = [(candidate.held(said), candidate.row) for candidate in candidates]
        most = max((count for count, _ in held), default=0)
        return Match(tuple(row for count, row in held if count == most), (message,)) if most else Match()

    def _candidates(self, said: str) -> Iterator[_Candidate]:
        words = {"", *_WORD.findall(said)}
        for first in self._anchored.keys() & words:
            for second in self._anchored[first].keys() & words:
                yield from self._anchored[first][second]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A row and its place in the file, the text that must be in its messages, and the texts of all columns."""

    place: int
    row: GoldRow
    text: str
    shown: tuple[str, ...]

    def held(self, message: str) -> int:
        """How many characters of the row are in the message, 0 without its text."""
        return sum(len(text) for text in self.shown if text in message) if self.text in message else 0


def _shown(row: GoldRow, answers: frozenset[str]) -> dict[str, str]:
    """What a template may show of a row, without its key and what is empty."""
    folded = {
        name: _folded(text)
        for name, text in row.columns.items()
        if name != row.key_column and name not in answers
    }
    return {name: text for name, text in folded.items() if text}


def _anchors(text: str, counts: Mapping[str, int]) -> tuple[str, str]:
    """The two rarest words, to look the text up by; "" where there is none.

    Words at its ends may run into the template's own, and are taken only where there are no others.
    """
    words = _WORD.findall(text)
    rarest = sorted(set(words[1:-1] or words), key=lambda word: (counts[word], -len(word), word))
    first, second, *_ = *rarest, "", ""
    return first, second


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _is_users(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "user"


def _sent_row(text: str) -> dict[str, str] | None:
    """The columns of the last row in tags, as text; None where there is none."""
    rows = [match["row"] for match in _ROW.finditer(text)]
    try:
        row = orjson.loads(rows[-1]) if rows else None
    except orjson.JSONDecodeError:
        return None
    if not isinstance(row, dict):
        return None
    return {name: plain_text(value) for name, value in row.items()}
