"""A journal that is only looked into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import a_request, an_answer

from llmx.errors import OutputFailed, UnreadableRow
from llmx.journal import Journal, JournalView, first_lines, identity
from llmx.types import Outcome, Record, Usage

F, G = "f" * 64, "e" * 64
ROW, OTHER = Record(0, {"a": 1}, 1, "rows"), Record(1, {"a": 2}, 2, "rows")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """One with an answer, a row that ended well, and one that failed, still open."""
    with closing(Journal(path, on_failure=lambda error: None)) as opened:
        opened.begin("config")
        opened.keep(a_request(F), an_answer('{"n": 1}', usage=Usage(10, 2, cost=Decimal("0.5"))))
        opened.settle(Outcome(ROW, value=1), Outcome(OTHER, error=UnreadableRow("no")))
        yield opened


def files(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def check(path: Path) -> None:
    with closing(JournalView(path)) as view:
        (place, missing) = view.places([F, G])
        assert missing is None
        assert place is not None
        assert (view.entry(place) or {})["text"] == '{"n": 1}'
        assert view.failed([identity(ROW), identity(OTHER), "0" * 32]) == [False, True, False]
        assert (view.totals.answers, view.totals.input_tokens, view.totals.cost) == (1, 10, Decimal("0.5"))


def test_a_run_that_goes_on(path: Path, journal: Journal) -> None:
    """What it has written is there, whether or not its index knows it."""
    check(path)


def test_a_run_that_has_ended(path: Path, journal: Journal) -> None:
    """Nothing is written beside it, and not even its index is touched."""
    journal.end(complete=True)
    journal.close()
    before = files(path.parent)
    check(path)
    assert files(path.parent) == before
    with closing(JournalView(path)) as view:
        assert view.totals.complete


@pytest.mark.parametrize("damage", ["gone", "nonsense", "another's"])
def test_an_index_that_is_of_no_use(path: Path, journal: Journal, damage: str, tmp_path: Path) -> None:
    """The journal's lines tell all, and the index is left as it is."""
    journal.close()
    index = path.with_name("index.sqlite")
    if damage == "gone":
        index.unlink()
    elif damage == "nonsense":
        index.write_bytes(b"no database")
    else:
        (tmp_path / "other").mkdir()
        with closing(Journal(tmp_path / "other" / "journal.jsonl", on_failure=lambda error: None)) as other:
            other.begin("config")
            other.keep(a_request(G), an_answer("{}"))
        (tmp_path / "other" / "index.sqlite").replace(index)
    check(path)


def test_a_damaged_line(path: Path, journal: Journal) -> None:
    """It tells nothing."""
    journal.close()
    path.with_name("index.sqlite").unlink()
    path.write_bytes(path.read_bytes().replace(b'"input":10', b'"input":11'))
    with closing(JournalView(path)) as view:
        assert view.places([F]) == [None]


def test_the_first_lines(path: Path, journal: Journal) -> None:
    """As many as are asked for, without the bodies of answers."""
    assert [entry["t"] for entry in first_lines(path, 3)] == ["journal", "start", "answer"]
    assert "body" not in list(first_lines(path, 3))[2]


def test_a_journal_that_cannot_be_read(tmp_path: Path) -> None:
    """It is an error of the disk, and says which file."""
    with pytest.raises(OutputFailed, match=r"cannot read the journal .*: No such file"):
        JournalView(tmp_path / "nowhere")
