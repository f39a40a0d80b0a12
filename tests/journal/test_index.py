"""The index: folded from lines, kept on disk, thrown away when it is not of its journal."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from peak import peak_kib

from llmx.journal import index as module
from llmx.journal.index import Index, Known, Place, RowState, Totals, number, settled_so_far
from llmx.journal.lines import Line
from llmx.journal.prefix import Checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite"


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    opened = Index(path, "j")
    yield opened
    opened.close()


def a_digest(name: str) -> str:
    """A hex digest."""
    return hashlib.sha256(name.encode()).hexdigest()


def again(index: Index, journal: str = "j") -> Index:
    """The index as the next process finds it."""
    index.close()
    return Index(index.path, journal)


def answer(name: str = "f", cost: str | None = "0.01", **fields: Any) -> dict[str, Any]:
    return {
        "t": "answer",
        "fp": a_digest(name),
        "usage": {"input": 2, "output": 1, "cost": cost},
        **fields,
    }


def row(name: str = "r", n: int = 1, *, ok: bool = True) -> dict[str, Any]:
    return {"t": "row", "id": a_digest(name), "n": n, "ok": ok}


def start(config: str = "c") -> dict[str, Any]:
    return {"t": "start", "config": config}


def end(*, complete: bool = True) -> dict[str, Any]:
    return {"t": "end", "complete": complete}


def fold(index: Index, *entries: dict[str, Any] | None) -> Index:
    """Fold lines of ten bytes each."""
    for entry in entries:
        index.fold(entry, index.covered, 10)
    return index


# Answers


def test_an_answer_is_found_where_it_stands(index: Index):
    """By its request's fingerprint: offset, size, generation."""
    fold(index, start(), answer("f"), answer("g"))
    assert index.place(a_digest("g")) == Place(20, 10, 0)
    assert index.place(a_digest("h")) is None


def test_the_last_answer_counts(index: Index):
    """A request that was asked anew has the later answer."""
    fold(index, start(), answer("f"), end(), start(), answer("f"))
    assert index.place(a_digest("f")) == Place(40, 10, 1)


def test_a_run_that_ended_well_begins_a_generation(index: Index):
    """One that was stopped does not: what it has paid for is of the present one."""
    fold(index, start(), end(complete=False), start(), answer("f"), end(complete=True), answer("g"))
    assert index.place(a_digest("f")) == Place(30, 10, 0)
    assert index.place(a_digest("g")) == Place(50, 10, 1)


def test_number_is_63_bits_of_a_digest():
    """SQLite's integers are signed."""
    assert number("f" * 64) == 2**63 - 1
    assert number("0" * 15 + "2" + "f" * 48) == 1


def test_many_lines_are_folded_as_each_would_be(index: Index, monkeypatch: pytest.MonkeyPatch):
    """In batches; of two lines about the same, in one batch or in two, the later one holds."""
    monkeypatch.setattr(module, "BATCH", 3)
    entries = [start(), answer("f"), row("r"), answer("f"), row("r", 2), None, answer("g"), end()]
    for _ in index.fold_all(Line(10 * n, 10, entry) for n, entry in enumerate(entries)):
        pass
    assert index.place(a_digest("f")) == Place(30, 10, 0)
    assert (index.done("c"), index.totals.answers, index.totals.damaged) == (2, 3, 1)
    assert (index.covered, index.totals.generation) == (80, 1)


@pytest.mark.parametrize(
    "entry",
    [
        {"t": "answer"},
        {"t": "answer", "fp": "not hex", "usage": {"input": 1, "output": 1, "cost": None}},
        {"t": "answer", "fp": "00", "usage": {"input": 1, "output": 1, "cost": "much"}},
        {"t": "answer", "fp": "00", "usage": 1},
        {"t": "row", "id": "00", "ok": True, "n": "many"},
        {"t": "rows"},
        {"t": "rows", "id": ["00"], "n": [1, 1]},
        {"t": "rows", "id": ["00", "not hex"], "n": [1, 1]},
        {"t": "rows", "id": ["00", 1], "n": [1, 1]},
        {"t": "rows", "id": "00", "n": [1, 1]},
        {"t": "rows", "id": ["00"], "n": ["many"]},
        {"t": "start"},
        {"t": "end"},
    ],
)
def test_a_line_of_somebody_else_is_damage(index: Index, entry: dict[str, Any]):
    """A checksum can be made by anybody: what is not as we write it is counted and passed over."""
    for _ in index.fold_all([Line(0, 10, entry), Line(10, 10, answer("g"))]):
        pass
    assert (index.totals.damaged, index.covered, index.rows()) == (1, 20, 0)
    assert index.place(a_digest("g")) == Place(10, 10, 0)


# Totals


def test_totals_add_up(index: Index):
    """Answers, tokens and money of all sessions."""
    fold(index, start("c"), answer("f"), answer("f", cost="0.02"), end(), start("d"), None)
    assert index.totals == Totals(
        generation=1,
        session=2,
        since=2,
        config="d",
        answers=2,
        questions=2,
        input_tokens=4,
        output_tokens=2,
        cost=Decimal("0.03"),
        damaged=1,
        complete=False,
    )


def test_a_cost_that_is_unknown_makes_the_sum_unknown(index: Index):
    """And so it stays: unknown is not nothing."""
    fold(index, answer(cost=None), answer(cost="0.01"))
    assert index.totals.cost is None


@pytest.mark.parametrize("entry", [None, {}, {"t": "tomorrow's"}, {"t": None}])
def test_a_line_that_says_nothing_is_damage(index: Index, entry: dict[str, Any] | None):
    """It is counted, and passed over."""
    fold(index, entry)
    assert (index.totals.damaged, index.covered) == (1, 10)


def test_the_first_line_is_no_damage(index: Index):
    """It names the journal."""
    fold(index, {"t": "journal", "id": "j"})
    assert index.totals == Totals()


# Rows


def test_a_row_that_has_come_before_is_known(index: Index):
    """How many like it were done, and how many have come in this session."""
    fold(index, start(), row("r", 1), row("r", 2))
    assert index.meet([a_digest("r")])[0] == RowState(seen=1, done=2, failed=False)
    assert index.meet([a_digest("r")])[0] == RowState(seen=2, done=2, failed=False)
    assert index.meet([a_digest("s")])[0] == RowState(seen=1, done=0, failed=False)


def test_rows_that_stand_in_one_line(index: Index):
    """They are as good as each in a line of its own, while a run goes on and when it is caught up with."""
    line = {"t": "rows", "id": [a_digest("r"), a_digest("s"), a_digest("r")], "n": [2, 1, 3]}
    before = [start("c"), row("r", 1), row("s", ok=False)]
    fold(index, *before, line)
    states = [RowState(1, 3, failed=False), RowState(1, 1, failed=False), RowState(2, 3, failed=False)]
    assert (index.done("c"), index.rows()) == (4, 2)
    assert index.meet(line["id"]) == states
    index.begin_anew()
    for _ in index.fold_all(Line(10 * n, 10, entry) for n, entry in enumerate([*before, line])):
        pass
    assert (index.done("c"), index.rows(), index.meet(line["id"])) == (4, 2, states)


def test_a_session_counts_rows_from_one(index: Index):
    """What the one before has seen is another matter."""
    fold(index, start())
    index.meet([a_digest("r")])
    fold(index, end(complete=False), start())
    assert index.meet([a_digest("r")])[0].seen == 1


def test_a_row_that_failed(index: Index):
    """Its end is known, and it is not done."""
    fold(index, start(), row(ok=False))
    assert index.meet([a_digest("r")])[0] == RowState(seen=1, done=0, failed=True)
    assert (index.known(a_digest("r")), index.done("c")) == (Known(True, True), 0)


def test_a_row_that_failed_and_then_was_good(index: Index):
    """The last end counts."""
    fold(index, start(), row(ok=False), row(ok=True))
    assert index.meet([a_digest("r")])[0] == RowState(seen=1, done=1, failed=False)


def test_a_twin_that_failed_undoes_nothing(index: Index):
    """Of rows that are alike, those that were done stay done."""
    fold(index, start(), row(n=1), row(n=2, ok=False))
    assert index.done("c") == 1


def test_what_was_done_under_another_question_is_not_done_under_this(index: Index):
    """A row counts for the config under which it was settled last."""
    fold(index, start("c"), row("r"), row("s"), start("d"), row("r"))
    assert (index.done("c"), index.done("d"), index.rows()) == (1, 1, 2)
    assert index.meet([a_digest("s")])[0] == RowState(seen=1, done=0, failed=False)


def test_a_failure_under_another_question_undoes_the_row(index: Index):
    """It is done under neither."""
    fold(index, start("c"), row("r"), start("d"), row("r", ok=False))
    assert (index.done("c"), index.done("d")) == (0, 0)


def test_a_row_that_was_met_and_not_settled_is_unknown(index: Index):
    """It is no row of any session yet."""
    fold(index, start())
    index.meet([a_digest("r")])
    assert (index.known(a_digest("r")), index.rows()) == (None, 0)


# On disk


def test_what_was_folded_is_kept(index: Index):
    """Another process goes on where this one has closed it."""
    fold(index, start(), answer("f"), row("r"), None)
    totals, covered = index.totals, index.covered
    reopened = again(index)
    assert (reopened.totals, reopened.covered) == (totals, covered)
    assert reopened.place(a_digest("f")) == Place(10, 10, 0)
    assert reopened.done("c") == 1
    reopened.close()


def test_an_unknown_cost_is_kept(index: Index):
    """None comes back as None."""
    reopened = again(fold(index, answer(cost=None)))
    assert reopened.totals.cost is None
    reopened.close()


def test_a_killed_process_leaves_whole_commits(path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lines behind the last one are folded again: the index says up to where it knows."""
    monkeypatch.setattr(module, "COMMIT_EVERY", 2)
    killed = fold(Index(path, "j"), start(), answer("f"), answer("g"))
    killed._wait()
    killed._tables.close()
    after = Index(path, "j")
    assert (after.covered, after.totals.answers) == (20, 1)
    assert after.place(a_digest("g")) is None
    after.close()


def test_the_index_of_another_journal_is_begun_anew(index: Index):
    """What it points to stands elsewhere."""
    reopened = again(fold(index, start(), answer("f")), "k")
    assert (reopened.totals, reopened.covered, reopened.place(a_digest("f"))) == (Totals(), 0, None)
    reopened.close()


@pytest.mark.parametrize(
    "state",
    [
        "not json",
        "[]",
        "{}",
        '{"journal":"j","version":99,"covered":0,"totals":{"cost":null}}',
        '{"journal":"j","version":2,"covered":0,"totals":{"cost":"much"}}',
        '{"journal":"j","version":2,"covered":0,"totals":null}',
        '{"journal":"j","version":2,"covered":0,"totals":{"cost":null,"later":1}}',
        '{"journal":"j","version":2,"covered":null,"totals":{"cost":null}}',
    ],
)
def test_an_index_that_does_not_say_what_it_should_is_begun_anew(index: Index, state: str):
    """Damaged, or of another version: everything is in the journal."""
    fold(index, start(), answer("f"))
    index.commit()
    index._tables.db.execute("UPDATE meta SET value = ? WHERE name = 'state'", (state,))
    index._tables.db.commit()
    index._tables.db.close()
    reopened = Index(index.path, "j")
    assert (reopened.totals, reopened.covered, reopened.place(a_digest("f"))) == (Totals(), 0, None)
    reopened.close()


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"\xff" * 4_096])
def test_a_file_that_is_no_database_is_replaced(path: Path, content: bytes):
    """Nothing in it is missed."""
    path.write_bytes(content)
    index = fold(Index(path, "j"), start(), answer("f"))
    assert index.place(a_digest("f")) == Place(10, 10, 0)
    index.close()


def test_another_programs_tables_are_replaced(path: Path):
    """Even under the same names."""
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        other.execute("INSERT INTO meta VALUES ('state', '1')")
    other.close()
    index = fold(Index(path, "j"), start())
    assert index.totals.session == 1
    index.close()


def test_begin_anew_leaves_nothing(index: Index):
    """Answers, rows and totals are gone, on disk too."""
    fold(index, start(), answer("f"), row("r")).begin_anew()
    reopened = again(index)
    assert (reopened.totals, reopened.covered, reopened.rows()) == (Totals(), 0, 0)
    assert reopened.place(a_digest("f")) is None
    reopened.close()


def test_the_state_is_readable(index: Index):
    """One row of JSON, for whoever looks into it."""
    fold(index, answer())
    index.commit()
    (text,) = index._tables.db.execute("SELECT value FROM meta").fetchone()
    assert orjson.loads(text)["totals"]["cost"] == "0.01"


FOLDER = """
import sys
from pathlib import Path
from llmx.journal.index import Index
from llmx.journal.lines import Line
from llmx.journal.prefix import Checkpoint

def lines(rows):
    for n in range(rows):
        digest = f"{n * 0x9E3779B97F4A7C15 % 2**64:016x}"  # as scattered as digests are
        yield Line(n, 1, {"t": "answer", "fp": digest, "usage": {"input": 1, "output": 1, "cost": 0}})
        yield Line(n, 1, {"t": "row", "id": digest, "ok": True, "n": 1})

index = Index(Path(sys.argv[1]), "j")
for _ in index.fold_all(lines(int(sys.argv[2]))):
    pass
index.close()
"""


def test_memory_does_not_grow_with_the_index(tmp_path: Path):
    """Once its 8 MiB of pages are taken, rows cost nothing: 200,000 more, 9 MB on the disk, at most 3 MB."""
    few, many = (peak_kib(FOLDER, tmp_path / str(rows), str(rows)) for rows in (200_000, 400_000))
    assert many - few < 3_000


# How far the output has come


def written(rows: Any = 5, **fields: Any) -> dict[str, Any]:
    return {"t": "written", "rows": rows, "chain": "c", "bytes": 70, "crc32": 9, "made_by": "m", **fields}


def test_the_last_note_counts(index: Index):
    """It outlives the session, and the process."""
    fold(index, start(), written(3), written(5, encoder={"header": ["a"]}), end(complete=False), start())
    assert again(index).totals.written == Checkpoint(5, "c", 70, 9, "m", {"header": ["a"]})


def test_a_run_that_is_complete_cannot_be_gone_on_with(index: Index):
    """Its rows are in the output itself."""
    assert fold(index, start(), written(), end()).totals.written is None


@pytest.mark.parametrize(
    "fields", [{"rows": -1}, {"bytes": "x"}, {"crc32": None}, {"chain": 1}, {"encoder": []}]
)
def test_a_note_that_is_none_of_ours(index: Index, fields: dict[str, Any]):
    """It is damage, and the one before it holds."""
    fold(index, start(), written(3), written(**fields))
    assert index.totals.written == Checkpoint(3, "c", 70, 9, "m")
    assert index.totals.damaged == 1


def test_rows_that_are_skipped_are_the_last_sessions_too(index: Index):
    """As long as none begins with the first row."""
    fold(index, start())
    index.meet([a_digest("r")])
    fold(index, row("r"), end(complete=False), {**start(), "skipped": 1}, row("s"), end(complete=False))
    assert (index.known(a_digest("r")), index.last_rows()) == (Known(failed=False, last=True), 2)
    fold(index, start(), row("s"))
    assert (index.known(a_digest("r")), index.last_rows()) == (Known(failed=False, last=False), 1)


def test_what_is_settled_so_far(index: Index):
    """Rows that were skipped, and those that have come."""
    fold(index, start())
    for name in "abc":
        index.meet([a_digest(name)])
        fold(index, row(name))
    index.commit()
    assert settled_so_far(index.path) == (3, 0)
    fold(index, {**start(), "skipped": 2})
    index.commit()
    assert settled_so_far(index.path) == (2, 0)
    index.meet([a_digest("c")])
    index.commit()
    assert settled_so_far(index.path) == (3, 0)


def test_nothing_is_settled_where_nobody_knows(tmp_path: Path, index: Index):
    """No index, one without rows, and one that is none of ours."""
    assert settled_so_far(tmp_path / "none.sqlite") is None
    fold(index, start())
    index.commit()
    assert settled_so_far(index.path) is None
    index._tables.db.execute("UPDATE meta SET value = '{}'")
    index._tables.db.commit()
    assert settled_so_far(index.path) is None
