"""A journal cut at every byte, and with every byte changed: no wrong answer, and no more than one line is lost."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fakes import a_request
from faults.evidence import answers, entries, journal_of
from faults.systems import Flushless
from rehearsal import in_simulated_time, read_rows, run_to_files, some_rows, write_rows
from scripted import ANSWER, Received, Reply, Scripted, chat

from llmx.journal import Journal
from llmx.system import installed

ROWS = 3
UNFIT = "no JSON"


@dataclass
class Original:
    """A folder in which a run has ended: its journal, and what it must still say when that is damaged.

    Args:
        lines: where each line begins and ends, its newline included.
        answers: what was answered, by fingerprint: the line's number and the answer.
    """

    folder: Path
    data: bytes = b""
    lines: list[tuple[int, int]] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)

    @property
    def journal(self) -> Path:
        return journal_of(self.folder)

    def read(self) -> Original:
        self.data = self.journal.read_bytes()
        ends = [n + 1 for n, byte in enumerate(self.data) if byte == 10]
        self.lines = list(zip([0, *ends], ends, strict=False))
        for number, entry in enumerate(entries(self.journal)):
            if entry["t"] == "answer":
                self.answers[entry["fp"]] = (number, entry)
        return self

    def line_at(self, place: int) -> int:
        """The number of the line that a byte is in."""
        return next(n for n, (start, end) in enumerate(self.lines) if start <= place < end)


def stubborn(request: Received) -> Reply:
    """A model that needs to be asked twice about the first row."""
    messages = request.body["messages"]
    first_time = "ada0@" in messages[-1]["content"]
    return Reply(chat(UNFIT if first_time else ANSWER))


async def run(folder: Path, server: Scripted) -> int:
    """The run; its exit code."""
    options = {"inputs": ["in.jsonl"], "model": "openai/mock", "base_url": server.url, "concurrency": 1}
    report, _ = await run_to_files(folder, {**options, "cache": "off"})
    return report.exit_code


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one: tens of thousands of journals are opened here."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def original(memory: Path) -> Original:
    """A run over three rows, one of which needed a re-ask: four answers."""
    folder = memory / "original"
    folder.mkdir()
    write_rows(folder / "in.jsonl", some_rows(ROWS))

    async def main() -> int:
        async with Scripted.listening() as server:
            server.reply = stubborn
            return await run(folder, server)

    assert in_simulated_time(main) == 0
    assert len(answers(journal_of(folder))) == ROWS + 1
    return Original(folder).read()


@dataclass
class Opener:
    """Opens journals of given bytes.

    Args:
        index: the one that lies beside them, None for none.
    """

    folder: Path
    original: Original
    index: Path | None

    @property
    def path(self) -> Path:
        return self.folder / "journal.jsonl"

    def __call__(self, data: bytes) -> tuple[set[int], int]:
        """The lines whose answers a journal has lost, and how many it finds damaged."""
        self.path.write_bytes(data)
        for stale in self.folder.glob("index*"):
            stale.unlink()
        if self.index is not None:
            shutil.copyfile(self.index, self.folder / self.index.name)
        return lost_of(self.path, self.original)


@pytest.fixture(params=["with the index", "without the index"])
def damaged(request: pytest.FixtureRequest, memory: Path, original: Original) -> Iterator[Opener]:
    """An opener in a folder of its own."""
    folder = memory / "damaged"
    folder.mkdir()
    index = original.journal.with_name("index.sqlite") if request.param == "with the index" else None
    with installed(Flushless()):
        yield Opener(folder, original, index)
    shutil.rmtree(folder)


def lost_of(path: Path, original: Original) -> tuple[set[int], int]:
    """Open a journal and ask it for every answer: what it has must be what was answered."""
    failures: list[Exception] = []
    journal = Journal(path, on_failure=failures.append)
    lost = set()
    for fingerprint, (number, entry) in original.answers.items():
        completion = journal.answer(a_request(fingerprint))
        if completion is None:
            lost.add(number)
        else:
            found = (completion.text, completion.model, completion.finish, completion.body)
            assert found == (entry["text"], entry["model"], entry["finish"], entry["body"])
    journal.close()
    assert failures == []
    return lost, journal.totals.damaged


def test_nothing_is_lost_of_a_whole_one(damaged: Opener, original: Original) -> None:
    """The instrument is right."""
    assert damaged(original.data) == (set(), 0)


def test_a_journal_cut_at_any_byte(damaged: Opener, original: Original) -> None:
    """All lines that are whole are there, and nothing else is, behind which the next one would come."""
    for place in range(len(original.data)):
        lost, _ = damaged(original.data[:place])
        whole = max((end for _, end in original.lines if end <= place), default=0)
        assert not whole or damaged.path.read_bytes() == original.data[:whole], place
        assert lost == {n for n, _ in original.answers.values() if original.lines[n][1] > place}, place


@pytest.mark.parametrize("change", [0x01, 0x20, 0x80, "newline"])
def test_a_journal_with_any_byte_changed(change: int | str, damaged: Opener, original: Original) -> None:
    """The damaged line alone is lost; nobody is told what it said, and who reads all lines says that one is damaged."""
    silent = len(original.data) - 1  # without its newline it is a line that was never finished
    for place, byte in enumerate(original.data):
        other = 10 if isinstance(change, str) else byte ^ change
        lost, noticed = damaged(original.data[:place] + bytes([other]) + original.data[place + 1 :])
        assert lost <= {original.line_at(place)}, (place, other)
        assert noticed or damaged.index or other == byte or place == silent, (place, other)


def samples(original: Original) -> Iterator[tuple[str, bytes, int]]:
    """Damages of every kind in every kind of line: a name, the journal, the answers that are lost with it."""
    numbers = {number for number, _ in original.answers.values()}
    for number, (start, end) in enumerate(original.lines):
        for place in (start, start + 10, (start + end) // 2, end - 1):
            data = bytearray(original.data)
            data[place] ^= 0x20
            yield f"flip at {place}", bytes(data), len(numbers & {number})
        for place in ((start + end) // 2, end):
            whole = numbers & set(range(number + (place == end)))
            yield f"cut at {place}", original.data[:place], len(numbers) - len(whole)


@pytest.mark.parametrize("index", [True, False])
def test_a_run_over_a_damaged_journal(index: bool, tmp_path: Path) -> None:
    """It ends well, its output is right, and it asks for the damaged answers and no others."""
    found: list[tuple[str, int, int, list[dict[str, Any]]]] = []
    wanted: list[tuple[str, int, int, list[dict[str, Any]]]] = []
    write_rows(tmp_path / "in.jsonl", some_rows(ROWS))
    state, kept = tmp_path / ".llmx", tmp_path / "kept"

    async def main() -> None:
        async with Scripted.listening() as server:
            server.reply = stubborn
            await run(tmp_path, server)
            right = read_rows(tmp_path / "out.jsonl")
            shutil.copytree(state, kept)
            for name, data, lost in samples(Original(tmp_path).read()):
                shutil.rmtree(state)
                shutil.copytree(kept, state, ignore=None if index else shutil.ignore_patterns("index*"))
                journal_of(tmp_path).write_bytes(data)
                asked = len(server.received)
                code = await run(tmp_path, server)
                found.append((name, code, len(server.received) - asked, read_rows(tmp_path / "out.jsonl")))
                wanted.append((name, 0, lost, right))

    with installed(Flushless()):
        in_simulated_time(main)
    assert found == wanted
