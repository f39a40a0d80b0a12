"""The journal: what was paid for is written down before anything else, found again, and never trusted when damaged."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from fakes import a_request, an_answer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from llmx.errors import InvalidAnswer, LlmxError, OutputFailed, UnreadableRow, UsageError
from llmx.journal import Journal, Known, NoJournal, identity
from llmx.journal.answers import answer_line
from llmx.journal.index import Index
from llmx.journal.journal import VERSION
from llmx.journal.lines import encode
from llmx.system import System, installed
from llmx.types import NOTHING, Completion, Outcome, Record, Request, Unreadable, Usage

F, G, H = "f" * 64, "e" * 64, "d" * 64
"""Fingerprints."""

ADA = '{"name": "Ada"}'

Open = Callable[[], Journal]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def failures() -> list[LlmxError]:
    """What the run was told of."""
    return []


@pytest.fixture
def opened(path: Path, failures: list[LlmxError]) -> Iterator[Open]:
    """Opens the journal, once more each time; a test that leaves one open is no matter."""
    with ExitStack() as stack:

        def open_journal() -> Journal:
            journal = Journal(path, on_failure=failures.append)
            stack.callback(lambda: closed(journal))
            return journal

        yield open_journal


def test_starting_over_keeps_one_earlier_journal(path: Path, opened: Open):
    """What was paid for is one file away until the next time, and not touched before the run begins."""
    for text in ("first", "second"):
        journal = Journal(path, on_failure=pytest.fail, fresh=True)
        journal.begin("c")
        assert journal.answer(a_request(F)) is None
        journal.keep(a_request(F), an_answer(text))
        journal.close()
    Journal(path, on_failure=pytest.fail, fresh=True).close()
    assert b"second" in path.read_bytes()
    assert b"first" in path.with_name("journal.old.jsonl").read_bytes()


def test_starting_over_for_nothing_loses_nothing(path: Path, opened: Open):
    """Two starts that bought no answer leave the one that did where it can be found."""
    journal = opened()
    journal.keep(a_request(F), an_answer("paid"))
    journal.close()
    for _ in range(3):
        journal = Journal(path, on_failure=pytest.fail, fresh=True)
        journal.begin("c")
        journal.close()
    assert b"paid" in path.with_name("journal.old.jsonl").read_bytes()


def test_a_body_that_cannot_be_written_again_is_left_out(opened: Open):
    """The answer itself is what was paid for."""
    body: Any = {}
    for _ in range(5_000):
        body = {"a": body}
    journal = opened()
    journal.keep(a_request(F), replace(an_answer(ADA), body=body))
    kept = journal.answer(a_request(F))
    assert kept is not None
    assert (kept.text, kept.body, journal.lost) == (ADA, {}, 0)


@pytest.mark.parametrize("change", ["at = at + 1", "size = size - 3", "generation = generation + 1"])
def test_an_index_that_is_wrong_is_made_anew(change: str, path: Path, opened: Open):
    """What was paid for is in the journal, and nobody is asked again for a number that has changed on the disk."""
    journal = opened()
    for name in (F, G):
        journal.keep(a_request(name), an_answer(name))
    journal.close()
    with closing(sqlite3.connect(path.with_name("index.sqlite"))) as db, db:
        db.execute(f"UPDATE answers SET {change}")
    again = opened()
    found = [again.answer(a_request(name)) for name in (F, G)]
    assert ([answer and answer.text for answer in found], again.distrusted) == ([F, G], 0)


def test_a_later_versions_journal_is_refused(path: Path):
    """What it means nobody knows."""
    path.write_bytes(encode({"t": "journal", "id": "x", "version": VERSION + 1}))
    with pytest.raises(UsageError, match="newer llmx"):
        Journal(path, on_failure=pytest.fail)


def closed(journal: Journal) -> None:
    """Close it unless that has been done."""
    if not getattr(journal, "was_closed", False):
        journal.was_closed = True  # type: ignore[attr-defined]
        journal.close()


def killed(journal: Journal) -> None:
    """What the kernel does with a process's files: the index loses what it had not committed."""
    journal.was_closed = True  # type: ignore[attr-defined]
    journal._sync.close()
    journal._index._wait()
    journal._index._tables.close()
    os.close(journal._file)


def ask(fingerprint: str = F, **fields: Any) -> Request:
    return a_request(fingerprint, **fields)


def entries(path: Path) -> list[dict[str, Any]]:
    """All lines, as any tool reads them."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def kinds(path: Path) -> list[str]:
    return [entry["t"] for entry in entries(path)]


def a_row(index: int = 0, key: str | None = None, **data: Any) -> Record:
    return Record(index, data or {"text": "x"}, line=index + 1, origin="in.jsonl", key=key)


def good(row: Record | None = None, attempts: int = 1) -> Outcome:
    given = row or a_row()
    usage = Usage(2, 1)
    return Outcome(
        given, value=1, model="m", endpoint="fast", attempts=attempts, usage=usage, seconds=0.12345
    )


def bad(row: Record | None = None, attempts: int = 1) -> Outcome:
    return Outcome(row or a_row(), error=InvalidAnswer("age: too low"), model="m", attempts=attempts)


def from_cache(row: Record) -> Outcome:
    return Outcome(row, value=1, usage=NOTHING, source="cache", model="m", endpoint="fast")


def text_of(completion: Completion | None) -> str | None:
    return None if completion is None else completion.text


# Answers


def test_an_answer_is_found_again(opened: Open):
    """As it was given, its usage included, which is in no sum any more."""
    journal = opened()
    journal.keep(ask(), an_answer(ADA, model="m-2026", body={"id": 7, "n": [1, None]}))
    assert journal.answer(ask()) == Completion(
        ADA, an_answer().usage, "m-2026", "stop", {"id": 7, "n": [1, None]}, "journal"
    )


def test_a_request_that_nobody_answered(opened: Open):
    """There is nothing to find."""
    assert opened().answer(ask()) is None


def test_an_answer_is_in_the_file_when_keep_returns(opened: Open, path: Path):
    """With all that it cost: a process that is killed now loses nothing."""
    usage = Usage(10, 5, 4, 3, 2, Decimal("0.0123"))
    opened().keep(ask(reask=1, sample=2), Completion(ADA, usage, "m-2026", body={"id": 7}))
    (line,) = [entry for entry in entries(path) if entry["t"] == "answer"]
    del line["crc"], line["time"]
    assert line == {
        "t": "answer",
        "fp": F,
        "endpoint": "mock http://x",
        "model": "m-2026",
        "reask": 1,
        "sample": 2,
        "finish": "stop",
        "usage": {
            "input": 10,
            "output": 5,
            "cached": 4,
            "cache_write": 3,
            "reasoning": 2,
            "cost": "0.0123",
        },
        "text": ADA,
        "body": {"id": 7},
    }


def test_an_answer_survives_the_process(opened: Open):
    """Another one finds it, and its cost in the totals."""
    first = opened()
    first.keep(ask(), an_answer(ADA))
    closed(first)
    second = opened()
    assert text_of(second.answer(ask())) == ADA
    assert (second.totals.answers, second.totals.cost) == (1, Decimal("0.01"))


def test_an_answer_survives_a_process_that_is_killed(opened: Open):
    """Which has closed nothing."""
    first = opened()
    first.keep(ask(), an_answer(ADA))
    killed(first)
    assert text_of(opened().answer(ask())) == ADA


@pytest.mark.parametrize("text", ["", "\ud800", 'Ω\u2028\n"\\', "x" * 3_000_000])
def test_any_text_comes_back_as_it_was(opened: Open, text: str):
    """Nothing, half a character, separators and megabytes."""
    journal = opened()
    journal.keep(ask(), an_answer(text, body={"text": text}))
    found = journal.answer(ask())
    assert found is not None
    assert (found.text, found.body) == (text, {"text": text})


@pytest.mark.parametrize("finish", ["stop", "length", "refusal", "other"])
def test_why_the_model_stopped_is_kept(opened: Open, finish: Any):
    """A refusal is an answer, too, and was paid for."""
    journal = opened()
    journal.keep(ask(), an_answer(finish=finish))
    found = journal.answer(ask())
    assert found is not None
    assert found.finish == finish


def test_the_later_answer_counts(opened: Open):
    """A request that was asked again has the new one."""
    journal = opened()
    journal.keep(ask(), an_answer("old"))
    journal.keep(ask(), an_answer("new"))
    assert text_of(journal.answer(ask())) == "new"


def test_fingerprints_that_share_their_beginning_are_told_apart(opened: Open):
    """What the index confuses, the line itself does not."""
    journal = opened()
    other = "f" * 63 + "0"
    journal.keep(ask(other), an_answer(ADA))
    assert journal.answer(ask(F)) is None
    assert text_of(journal.answer(ask(other))) == ADA


def test_holds_says_whether_there_is_an_answer(opened: Open):
    """Without reading it."""
    journal = opened()
    journal.keep(ask(), an_answer())
    assert (journal.holds(F), journal.holds(G)) == (True, False)


# Answers that were cut


def cut(limit: int) -> Request:
    return ask(body={"max_completion_tokens": limit})


def test_an_answer_that_was_cut_is_replayed_under_the_same_limit(opened: Open):
    """It would be cut again."""
    journal = opened()
    journal.keep(cut(10), an_answer('{"na', finish="length"))
    assert text_of(journal.answer(cut(10))) == '{"na'


@pytest.mark.parametrize("limit", [5, 20])
def test_an_answer_that_was_cut_is_not_replayed_under_another_limit(opened: Open, limit: int):
    """The limit is no part of the fingerprint, and it has made this answer."""
    journal = opened()
    journal.keep(cut(10), an_answer('{"na', finish="length"))
    assert journal.answer(cut(limit)) is None
    assert cut(limit).tally.outdated == 0


def test_a_whole_answer_is_replayed_whatever_the_limit(opened: Open):
    """Raising it must not buy every answer again."""
    journal = opened()
    journal.keep(cut(10), an_answer(ADA))
    assert text_of(journal.answer(cut(20))) == ADA


# Runs and generations


def finished(journal: Journal) -> None:
    journal.begin("c")
    journal.keep(ask(), an_answer("old"))
    journal.end(complete=True)


def test_a_session_has_a_beginning_and_an_end(opened: Open, path: Path):
    """They say what was asked, who has asked, and whether it came to its end."""
    finished(opened())
    assert kinds(path) == ["journal", "start", "answer", "end"]
    start, end = entries(path)[1], entries(path)[3]
    assert (start["config"], start["pid"]) == ("c", os.getpid())
    assert end["complete"] is True


def test_an_answer_of_a_finished_run_is_outdated(opened: Open):
    """It is used, and noted: if it does not fit it is worth asking again."""
    journal = opened()
    finished(journal)
    request = ask()
    assert text_of(journal.answer(request)) == "old"
    assert request.tally.outdated == 1


def test_an_answer_of_an_interrupted_run_is_of_this_one(opened: Open):
    """What goes on is one run: nothing in it is asked about twice."""
    journal = opened()
    journal.begin("c")
    journal.keep(ask(), an_answer("old"))
    journal.end(complete=False)
    journal.begin("c")
    request = ask()
    assert text_of(journal.answer(request)) == "old"
    assert request.tally.outdated == 0


def test_an_answer_of_a_killed_run_is_of_this_one(opened: Open):
    """So is one that did not get to say how it ended."""
    first = opened()
    first.begin("c")
    first.keep(ask(), an_answer("old"))
    killed(first)
    second = opened()
    second.begin("c")
    assert text_of(second.answer(ask(anew=True))) == "old"


def test_a_request_anew_leaves_a_finished_runs_answers_aside(opened: Open):
    """They have been found wanting."""
    journal = opened()
    finished(journal)
    request = ask(anew=True)
    assert journal.answer(request) is None
    assert request.tally.outdated == 0


def test_a_request_anew_has_what_was_answered_since(opened: Open):
    """What the second run has paid for, its own continuation replays."""
    first = opened()
    finished(first)
    first.begin("c")
    first.keep(ask(anew=True), an_answer("new"))
    killed(first)
    second = opened()
    second.begin("c")
    assert text_of(second.answer(ask(anew=True))) == "new"


# How rows ended


def test_how_a_row_ended_is_written(opened: Open, path: Path):
    """Which row, by what model, what it cost; its values are in the answer."""
    journal = opened()
    journal.begin("c")
    journal.settle(good(a_row(4, key="k")))
    line = entries(path)[-1]
    del line["crc"]
    usage = {"input": 2, "output": 1, "cached": 0, "cache_write": 0, "reasoning": 0, "cost": "0"}
    assert line == {
        "t": "row",
        "id": identity(a_row(4, key="k")),
        "key": "k",
        "n": 1,
        "index": 4,
        "line": 5,
        "origin": "in.jsonl",
        "ok": True,
        "source": "model",
        "model": "m",
        "endpoint": "fast",
        "attempts": 1,
        "usage": usage,
        "seconds": 0.123,
    }


def test_a_failed_row_says_why(opened: Open, path: Path):
    """By type and message."""
    journal = opened()
    journal.begin("c")
    journal.settle(bad())
    line = entries(path)[-1]
    assert (line["ok"], line["error"]) == (False, {"type": "invalid_answer", "message": "age: too low"})


def test_an_unreadable_line_is_a_row(opened: Open, path: Path):
    """It ends like the others; by what stands in it, it is known again."""
    journal = opened()
    journal.begin("c")
    line = Unreadable(0, 1, "in.jsonl", UnreadableRow("in.jsonl:1: no JSON"), raw="{\ud800")
    journal.settle(Outcome(line, error=line.error, raw=line.raw))
    journal.settle(Outcome(line, error=line.error, raw=line.raw))
    assert kinds(path) == ["journal", "start", "row"]


def test_rows_that_are_done_are_counted(opened: Open):
    """Those that failed are not, and those of another question are not."""
    journal = opened()
    journal.begin("c")
    journal.settle(good(a_row(n=1)))
    journal.settle(good(a_row(n=2)))
    journal.settle(bad(a_row(n=3)))
    assert (journal.done("c"), journal.done("d"), journal.rows()) == (2, 0, 3)
    assert [journal.known(a_row(n=n)) for n in (1, 3, 4)] == [Known(False, True), Known(True, True), None]


def test_rows_that_are_alike_are_each_one(opened: Open, path: Path):
    """Two of three are done when the run is killed; the third is still to come."""
    first = opened()
    first.begin("c")
    for _ in range(2):
        first.settle(good())
    assert [entry["n"] for entry in entries(path)[2:]] == [1, 2]
    killed(first)
    second = opened()
    second.begin("c")
    assert second.done("c") == 2
    for _ in range(3):
        second.settle(good(attempts=0))
    assert [entry["n"] for entry in entries(path) if entry["t"] == "row"] == [1, 2, 3]


@pytest.mark.parametrize("outcome", [good, bad])
def test_a_replayed_row_adds_nothing(opened: Open, path: Path, outcome: Callable[..., Outcome]):
    """A journal does not grow by being read."""
    journal = opened()
    journal.begin("c")
    journal.settle(outcome())
    journal.end(complete=True)
    journal.begin("c")
    journal.settle(outcome(attempts=0))
    assert kinds(path) == ["journal", "start", "row", "end", "start"]


def test_a_row_that_ends_otherwise_is_written_again(opened: Open):
    """A mended validator makes a failed row good without a call."""
    journal = opened()
    journal.begin("c")
    journal.settle(bad())
    journal.end(complete=True)
    journal.begin("c")
    journal.settle(good(attempts=0))
    assert (journal.done("c"), journal.known(a_row())) == (1, Known(False, True))


def test_a_row_that_was_good_and_fails_is_written_again(opened: Open):
    """And is not done any more."""
    journal = opened()
    journal.begin("c")
    journal.settle(good())
    journal.end(complete=True)
    journal.begin("d")
    journal.settle(bad(attempts=0))
    assert (journal.done("c"), journal.done("d"), journal.known(a_row())) == (0, 0, Known(True, True))


def test_rows_that_the_cache_answered_are_one_line(opened: Open, path: Path):
    """As many as are noted together; of what they have in common it says one thing."""
    journal = opened()
    journal.begin("c")
    rows = [a_row(n, n=n % 2) for n in range(3)]
    journal.settle(*map(from_cache, rows))
    line = entries(path)[-1]
    del line["crc"]
    assert line == {
        "t": "rows",
        "id": [identity(row) for row in rows],
        "n": [1, 1, 2],
        "index": [0, 1, 2],
        "line": [1, 2, 3],
        "origin": "in.jsonl",
        "source": "cache",
        "model": "m",
        "endpoint": "fast",
    }
    assert (journal.done("c"), journal.rows()) == (3, 2)


def test_rows_of_one_line_keep_their_keys(opened: Open, path: Path):
    """And a key that has come twice is counted."""
    journal = opened()
    journal.begin("c")
    journal.settle(*(from_cache(a_row(n, key=key)) for n, key in enumerate("aba")))
    assert entries(path)[-1]["key"] == ["a", "b", "a"]
    assert journal.doubles == 1


def test_rows_that_differ_are_no_line(opened: Open, path: Path):
    """Those of another file or model begin one of their own, and whoever paid for something stands alone."""
    journal = opened()
    journal.begin("c")
    first, second, third = (from_cache(a_row(n, n=n)) for n in range(3))
    other = replace(second, record=replace(a_row(1, n=1), origin="other.jsonl"))
    paid = replace(third, attempts=1, usage=Usage(2, 1))
    failed = replace(from_cache(a_row(4, n=4)), value=None, error=InvalidAnswer("no row can be made"))
    journal.settle(first, other, replace(third, model="n"), paid, from_cache(a_row(3, n=3)), failed)
    assert kinds(path)[2:] == ["rows", "rows", "rows", "row", "rows", "row"]


def test_rows_of_one_line_are_known_after_a_kill(opened: Open, path: Path):
    """By the next process, which notes of them only what is new."""
    first = opened()
    first.begin("c")
    first.settle(*(from_cache(a_row(n, n=n % 3)) for n in range(4)))
    killed(first)
    second = opened()
    second.begin("c")
    assert (second.done("c"), second.damaged) == (4, 0)
    second.settle(*(from_cache(a_row(n, n=n % 3)) for n in range(5)))
    assert [line["index"] for line in entries(path) if line["t"] == "rows"] == [[0, 1, 2, 3], [4]]


# Who a row is


def test_a_key_is_a_rows_identity():
    """Whatever else is in it."""
    assert identity(a_row(0, key="k", text="a")) == identity(a_row(7, key="k", text="b"))
    assert identity(a_row(key="k")) != identity(a_row(key="l"))


def test_without_a_key_a_rows_content_is():
    """Wherever it stands, and in whatever order its columns come."""
    assert identity(a_row(0, a=1, b=2)) == identity(a_row(5, b=2, a=1))
    assert identity(a_row(a=1)) != identity(a_row(a="1"))


def test_key_content_and_raw_line_are_no_namesakes():
    """Of the same text, they are three rows."""
    raw = Unreadable(0, 1, "-", UnreadableRow("x"), raw='{"a":1}')
    assert len({identity(raw), identity(a_row(key='{"a":1}')), identity(a_row(a=1))}) == 3


@pytest.mark.parametrize("value", ["\ud800", float("nan"), 2**70, {1, 2}])
def test_whatever_is_in_a_row_it_has_an_identity(value: object):
    """What no JSON can hold too: it fails before it is asked about, and is a row all the same."""
    assert identity(a_row(a=value)) == identity(a_row(a=value))


# The file, as it is found


def test_the_first_line_names_the_journal(opened: Open, path: Path):
    """It is written when there is none, and once."""
    closed(opened())
    closed(opened())
    (first,) = entries(path)
    assert (first["t"], first["version"], len(first["id"])) == ("journal", VERSION, 32)


def test_its_files_are_private(opened: Open, path: Path):
    """Whatever the umask: answers quote people's data."""
    previous = os.umask(0)
    try:
        opened()
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("kept", [1, 60, -1], ids=["begun", "half", "all but its newline"])
def test_a_torn_tail_is_cut(opened: Open, path: Path, kept: int):
    """What was being written when the process was killed; the lines before it hold, and others follow."""
    journal = opened()
    journal.keep(ask(F), an_answer("whole"))
    whole = path.read_bytes()
    journal.keep(ask(G), an_answer("torn"))
    torn = path.read_bytes()[len(whole) :]
    closed(journal)
    path.write_bytes(whole + torn[:kept])
    after = opened()
    assert (text_of(after.answer(ask(F))), after.answer(ask(G))) == ("whole", None)
    assert (path.read_bytes(), after.totals.damaged) == (whole, 0)
    after.keep(ask(G), an_answer("again"))
    assert text_of(after.answer(ask(G))) == "again"


def test_a_torn_tail_of_megabytes_is_cut(opened: Open, path: Path):
    """However far back the last newline is."""
    closed(opened())
    whole = path.read_bytes()
    path.write_bytes(whole + b"x" * 200_000)
    opened()
    assert path.read_bytes() == whole


def test_a_torn_first_line_is_written_again(opened: Open, path: Path):
    """A process that was killed while it began leaves no journal without a name."""
    path.write_bytes(b'{"crc":"0000')
    opened()
    assert kinds(path) == ["journal"]


@given(st.floats(0, 1), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cut_at_any_byte_the_lines_before_hold(tmp_path: Path, share: float, indexed: bool):
    """Every answer whose line is whole is found, no other is, and nothing counts as damage."""
    path = Path(mkdtemp(dir=tmp_path), "journal.jsonl")
    ends = {}
    journal = Journal(path, on_failure=pytest.fail)
    for fingerprint in (F, G, H):
        journal.keep(ask(fingerprint), an_answer(fingerprint))
        ends[fingerprint] = path.stat().st_size
    journal.close()
    at = round(share * ends[H])
    os.truncate(path, at)
    if not indexed:
        path.with_name("index.sqlite").unlink()
    after = Journal(path, on_failure=pytest.fail)
    assert {name for name in ends if after.answer(ask(name))} == {n for n, end in ends.items() if end <= at}
    assert after.totals.damaged == 0
    after.close()


def test_a_damaged_answer_is_not_used(opened: Open, path: Path):
    """It is counted, and the others are as good as ever."""
    journal = opened()
    journal.keep(ask(F), an_answer("Ada"))
    journal.keep(ask(G), an_answer("Bob"))
    closed(journal)
    path.with_name("index.sqlite").unlink()
    path.write_bytes(path.read_bytes().replace(b"Ada", b"Eve"))
    after = opened()
    assert (after.answer(ask(F)), text_of(after.answer(ask(G)))) == (None, "Bob")
    assert after.totals.damaged == 1


def test_an_answer_that_is_damaged_behind_the_indexs_back_is_not_used(opened: Open, path: Path):
    """The index has seen it whole; the line is checked again when it is read."""
    journal = opened()
    journal.keep(ask(), an_answer("Ada"))
    closed(journal)
    path.write_bytes(path.read_bytes().replace(b"Ada", b"Eve"))
    assert opened().answer(ask()) is None


@pytest.mark.parametrize("without", [{"text"}, {"model"}, {"finish"}, {"body"}])
def test_an_answer_that_lacks_something_is_not_used(opened: Open, path: Path, without: set[str]):
    """Whoever has written it: a row is asked about again, and no run ends for it."""
    closed(opened())
    entry = {
        "t": "answer",
        "fp": F,
        "usage": {"input": 1, "output": 1, "cost": None},
        **{name: value for name, value in _WHOLE.items() if name not in without},
    }
    path.write_bytes(path.read_bytes() + encode(entry))
    assert opened().answer(ask()) is None


_WHOLE = {"text": "{}", "model": "m", "finish": "stop", "body": {}}


# The index, as it is found


def test_an_index_that_is_gone_is_made_again(opened: Open, path: Path):
    """All that is in it is in the journal."""
    first = opened()
    first.begin("c")
    first.keep(ask(), an_answer(ADA))
    first.settle(good())
    closed(first)
    path.with_name("index.sqlite").unlink()
    second = opened()
    assert (text_of(second.answer(ask())), second.done("c"), second.totals.session) == (ADA, 1, 1)


def test_the_index_of_another_journal_is_not_used(opened: Open, path: Path, tmp_path: Path):
    """As after a journal was copied in from elsewhere."""
    first = opened()
    first.keep(ask(), an_answer(ADA))
    closed(first)
    other = Journal(tmp_path / "other.jsonl", on_failure=pytest.fail)
    other.keep(ask(G), an_answer("Bob"))
    other.close()
    path.write_bytes((tmp_path / "other.jsonl").read_bytes())
    second = opened()
    assert (second.answer(ask(F)), text_of(second.answer(ask(G)))) == (None, "Bob")


def test_an_index_that_is_ahead_of_its_journal_is_not_used(opened: Open, path: Path):
    """A power cut may have cost lines that the index has seen."""
    journal = opened()
    first = path.read_bytes()
    journal.keep(ask(F), an_answer("Ada"))
    closed(journal)
    path.write_bytes(first)
    after = opened()
    assert (after.answer(ask(F)), after.totals.answers) == (None, 0)
    after.keep(ask(G), an_answer("Bob"))
    assert text_of(after.answer(ask(G))) == "Bob"


def test_a_journal_without_a_name_is_read_whole(opened: Open, path: Path):
    """Its first line is damaged: nobody can say whose index that is."""
    journal = opened()
    journal.keep(ask(), an_answer(ADA))
    closed(journal)
    path.write_bytes(path.read_bytes().replace(b'"t":"journal"', b'"t":"jxxrnal"', 1))
    for _ in range(2):
        after = opened()
        assert (text_of(after.answer(ask())), after.totals.damaged, after.totals.answers) == (ADA, 1, 1)
        closed(after)


# A disk that fails


class Failing(System):
    """Refuses what it is told to, a write after half of it was done."""

    def __init__(self, number: int, *, truncating: bool = False, syncing: bool = False) -> None:
        self.error = OSError(number, os.strerror(number))
        self.truncating = truncating
        self.syncing = syncing
        self.halves = 0

    def write(self, file: int, data: bytes | memoryview) -> int:
        if self.syncing:
            return super().write(file, data)
        self.halves += 1
        if self.halves % 2:
            return super().write(file, data[: len(data) // 2])
        raise self.error

    def truncate(self, file: int, size: int) -> None:
        if self.truncating:
            raise self.error
        super().truncate(file, size)

    def sync(self, file: int) -> None:
        if self.syncing:
            raise self.error


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "make room, then run the same command again"),
        (errno.EDQUOT, "make room, then run the same command again"),
        (errno.EFBIG, "make room, then run the same command again"),
        (errno.EIO, "--state-dir DIR, or --no-store"),
    ],
)
def test_a_write_that_fails_is_told_once(
    opened: Open, path: Path, failures: list[LlmxError], number: int, hint: str
):
    """What is wrong and what helps; each answer that could not be kept is counted."""
    journal = opened()
    with installed(Failing(number)):
        journal.keep(ask(F), an_answer())
        journal.keep(ask(G), an_answer())
        journal.settle(good())
        journal.end(complete=False)
    assert (journal.lost, journal.unkept.total_tokens) == (2, 2 * an_answer().usage.total_tokens)
    (failure,) = failures
    assert isinstance(failure, OutputFailed)
    assert str(failure) == f"cannot keep the run in {str(path.parent)!r}: {os.strerror(number)}"
    assert failure.hint == hint


def test_half_a_line_is_taken_back(opened: Open, path: Path):
    """The file is as it was, and once there is room again the next line stands where it should."""
    journal = opened()
    journal.keep(ask(F), an_answer("before"))
    before = path.read_bytes()
    with installed(Failing(errno.ENOSPC)):
        journal.keep(ask(G), an_answer("lost"))
    assert path.read_bytes() == before
    journal.keep(ask(H), an_answer("after"))
    assert [text_of(journal.answer(ask(name))) for name in (F, G, H)] == ["before", None, "after"]
    assert kinds(path) == ["journal", "answer", "answer"]


class Tight(System):
    """Has room for so many bytes of a file."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, file: int, data: bytes | memoryview) -> int:
        if os.fstat(file).st_size + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(file, data)


def test_of_answers_that_come_together_those_are_kept_that_there_is_room_for(opened: Open, path: Path):
    """Not all of them are lost for the one that is too much."""
    journal = opened()
    lines = [answer_line(ask(name), an_answer("x" * size)) for name, size in ((F, 1), (G, 5_000), (H, 2))]
    with installed(Tight(path.stat().st_size + 2_500)):
        journal.keep_lines(lines)
    assert (journal.lost, journal.unkept) == (1, an_answer().usage)
    assert [text_of(journal.answer(ask(name))) for name in (F, G, H)] == ["x", None, "xx"]


def test_half_a_line_that_cannot_be_taken_back_costs_no_other(opened: Open):
    """The next one comes behind it, and is told apart of it, by this process and the next."""
    journal = opened()
    with installed(Failing(errno.EIO, truncating=True)):
        journal.keep(ask(F), an_answer("lost"))
    journal.keep(ask(G), an_answer("after"))
    assert (journal.answer(ask(F)), text_of(journal.answer(ask(G)))) == (None, "after")
    closed(journal)
    after = opened()
    assert (after.answer(ask(F)), text_of(after.answer(ask(G)))) == (None, "after")


def test_a_kernel_that_takes_a_line_in_pieces(opened: Open):
    """A write may take less than it was given."""

    class Sipping(System):
        def write(self, file: int, data: bytes | memoryview) -> int:
            return super().write(file, data[:7])

    journal = opened()
    with installed(Sipping()):
        journal.keep(ask(), an_answer(ADA))
    assert text_of(journal.answer(ask())) == ADA


def test_a_disk_that_does_not_sync_is_told(path: Path, failures: list[LlmxError]):
    """At the end at the latest: what the kernel has may never reach the disk."""
    journal = Journal(path, on_failure=failures.append)
    with installed(Failing(errno.EIO, syncing=True)):
        journal.keep(ask(), an_answer())
        journal.close()
    assert [str(failure) for failure in failures] == [
        f"cannot keep the run in {str(path.parent)!r}: {os.strerror(errno.EIO)}"
    ]


def test_closing_brings_everything_to_the_disk(path: Path):
    """The last thing that is done with the file is a sync."""

    class Noting(System):
        def __init__(self) -> None:
            self.done: list[str] = []

        def write(self, file: int, data: bytes | memoryview) -> int:
            self.done.append("write")
            return super().write(file, data)

        def sync(self, file: int) -> None:
            self.done.append("sync")
            super().sync(file)

    noting = Noting()
    with installed(noting):
        journal = Journal(path, on_failure=pytest.fail)
        for n in range(5):
            journal.keep(ask(f"{n}" * 64), an_answer())
        journal.close()
    assert (noting.done.count("write"), noting.done[-1]) == (6, "sync")


def test_an_index_that_fails_is_told_and_loses_nothing(
    opened: Open, path: Path, failures: list[LlmxError], monkeypatch: pytest.MonkeyPatch
):
    """The line was written before: the next process has it."""
    journal = opened()
    monkeypatch.setattr("llmx.journal.index.COMMIT_EVERY", 1)
    journal._index._tables.db.execute("DROP TABLE answers")
    journal.keep(ask(), an_answer(ADA))
    assert journal._index._writing.exception() is not None  # the disk is behind: the next one hears of it
    journal.keep(ask(), an_answer(ADA))
    assert [str(failure) for failure in failures] == [
        f"cannot keep the run in {str(path.parent)!r}: no such table: answers"
    ]
    closed(journal)
    assert text_of(opened().answer(ask())) == ADA


def test_a_journal_that_cannot_be_opened(tmp_path: Path):
    """Before the first call: where it is and why."""
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(OutputFailed) as caught:
        Journal(tmp_path / "journal.jsonl", on_failure=pytest.fail)
    assert str(caught.value) == f"cannot keep the run in {str(tmp_path)!r}: {os.strerror(errno.EISDIR)}"
    assert caught.value.hint == "--state-dir DIR, or --no-store"


def test_an_index_that_cannot_be_read_stops_the_run(opened: Open, monkeypatch: pytest.MonkeyPatch):
    """A look-up raises nothing; what the survey counts is refused."""
    told: list[LlmxError] = []
    journal = opened()
    journal._on_failure = told.append
    journal.keep(ask(), an_answer())

    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    for name in ("place", "known", "rows", "last_rows", "done"):
        monkeypatch.setattr(Index, name, fails)
    assert journal.answer(ask()) is None
    assert [str(error).endswith("disk I/O error") for error in told] == [True]
    for count in (journal.rows, journal.last_rows, lambda: journal.done("c"), lambda: journal.holds(F)):
        with pytest.raises(OutputFailed):
            count()


def test_each_answer_that_cannot_be_trusted_is_counted(opened: Open, path: Path):
    """The first makes the index anew, which then does not know the others any more."""
    first = opened()
    for fingerprint in (F, G, H):
        first.keep(ask(fingerprint), an_answer(ADA))
    first.close()
    data = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([data[0], *(line.replace(b"Ada", b"Eve") for line in data[1:3]), *data[3:]]))
    journal = opened()
    assert [journal.answer(ask(fingerprint)) is None for fingerprint in (F, G, H)] == [True, True, False]
    assert journal.distrusted == 2


def test_what_an_answer_cost_is_told_of_one_row(opened: Open):
    """Rows that are alike have it from the one that came first, in every session."""
    first = opened()
    first.begin("c")
    first.keep(ask(), an_answer())
    for _ in range(2):
        first.begin("c")
        rows = [ask(), ask()]
        for request in rows:
            first.answer(request)
        assert [list(request.tally.replayed.values()) for request in rows] == [[Decimal("0.01")], []]


# Nothing kept


def test_no_journal_remembers_the_last_answers():
    """Rows that are alike are one call with `--no-store`, too, unless too many come in between."""
    journal = NoJournal(most=2)
    journal.settle(good())
    for fingerprint in (F, G):
        journal.keep(ask(fingerprint), an_answer())
    found = journal.answer(ask(F))
    assert found is not None
    assert (found.source, found.usage, journal.lost) == ("coalesced", an_answer().usage, 0)
    journal.keep(ask("0" * 64), an_answer())
    assert journal.answer(ask(F)) is None
    assert journal.answer(ask(G)) is not None


def test_no_journal_has_no_answer_that_was_cut_for_another_limit():
    """As a journal has none."""
    journal = NoJournal()
    journal.keep(ask(body={"max_tokens": 5}), an_answer(finish="length"))
    assert journal.answer(ask(body={"max_tokens": 10})) is None
    assert journal.answer(ask(body={"max_tokens": 5})) is not None
