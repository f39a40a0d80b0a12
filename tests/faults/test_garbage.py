"""Whatever lies where a run keeps its files: it is opened, or refused in our words, and no wrong answer comes of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from fakes import a_request, an_answer
from faults.evidence import answers, journal_of
from faults.systems import Flushless
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rehearsal import rehearse, some_rows

from llmx.errors import LlmxError, OutputFailed, UsageError
from llmx.journal import Journal, Known, Lock, read_manifest
from llmx.journal.lines import encode
from llmx.journal.lock import owner
from llmx.mock import MockSettings
from llmx.records import to_json
from llmx.system import installed
from llmx.types import Outcome, Record

law = settings(
    deadline=None,
    derandomize=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # its files are written anew each time
)

json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
digest = st.text("0123456789abcdef", min_size=16, max_size=64) | json_value
entry = st.fixed_dictionaries(
    {
        "t": st.sampled_from(["journal", "start", "answer", "row", "rows", "end", "written", "later"])
        | json_value
    },
    optional={
        "id": digest,
        "fp": digest,
        "version": json_value,
        "config": json_value,
        "complete": json_value,
        "ok": json_value,
        "n": json_value,
        "usage": st.fixed_dictionaries({}, optional=dict.fromkeys(["input", "output", "cost"], json_value))
        | json_value,
        "text": json_value,
        "model": json_value,
        "finish": json_value,
        "body": json_value,
        "skipped": json_value,
        "rows": json_value,
        "chain": digest,
        "bytes": json_value,
        "crc32": json_value,
        "made_by": digest,
        "encoder": json_value,
    },
)
line = entry.map(encode) | st.binary(max_size=60) | st.just(b"\n")
garbage = st.lists(line, max_size=6).map(b"".join)


@pytest.fixture(scope="module", autouse=True)
def _flushless() -> Iterator[None]:
    with installed(Flushless()):
        yield


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run over twenty rows has ended."""
    folder = tmp_path_factory.mktemp("ended")
    rehearse(folder, 20, MockSettings(malformed_until=1), concurrency=1, cache="off")
    return folder


def use(path: Path) -> None:
    """Do with a journal what a run does; every line of it goes well."""
    failures: list[LlmxError] = []
    journal = Journal(path, on_failure=failures.append)
    request, row = a_request("ab" * 32), Record(0, {"a": 1})
    try:
        journal.begin("config")
        journal.keep(request, an_answer('{"a": 1}'))
        journal.settle(Outcome(row, value=1, attempts=1))
        answer = journal.answer(request)
        assert answer is not None
        assert answer.text == '{"a": 1}'
        assert (journal.done("config"), journal.known(row), journal.holds(request.fingerprint)) == (
            1,
            Known(failed=False, last=True),
            True,
        )
        journal.end(complete=True)
    finally:
        journal.close()
    assert (failures, journal.lost) == ([], 0)


@law
@given(garbage)
def test_a_journal_of_anything(tmp_path: Path, content: bytes) -> None:
    """It is appended to as if the rest were not there, unless a later llmx has written it."""
    for stale in tmp_path.iterdir():
        stale.unlink()
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    with suppress(UsageError):  # by a newer llmx
        use(path)
        use(path)


@law
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=64)), max_size=4
    ),
    size=st.floats(0, 1),
)
def test_an_index_with_any_damage(
    tmp_path: Path, ended: Path, changes: list[tuple[float, bytes]], size: float
) -> None:
    """The journal is used all the same, and what it answers is what was answered."""
    source = journal_of(ended)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(source.read_bytes())
    index = bytearray(source.with_name("index.sqlite").read_bytes())
    for place, data in changes:
        at = int(place * len(index))
        index[at : at + len(data)] = data
    for suffix in ("-wal", "-shm"):
        path.with_name(f"index.sqlite{suffix}").unlink(missing_ok=True)
    path.with_name("index.sqlite").write_bytes(index[: int(size * len(index))] if size < 0.5 else index)
    use(path)
    check_answers(path, source)


cell = st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5) | st.binary(max_size=5)


@law
@given(cells=st.tuples(cell, cell, cell), state=cell)
def test_an_index_that_says_anything(
    tmp_path: Path, ended: Path, cells: tuple[object, ...], state: object
) -> None:
    """Places that are none and a state that is none of ours lead to no other answer."""
    source = journal_of(ended)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(source.read_bytes())
    index = path.with_name("index.sqlite")
    for stale in tmp_path.glob("index*"):
        stale.unlink()
    index.write_bytes(source.with_name(index.name).read_bytes())
    with closing(sqlite3.connect(index)) as db, db:
        db.execute("UPDATE answers SET at = ?, size = ?, generation = ?", cells)
        if not isinstance(state, int):  # else the places are used as they are
            db.execute("UPDATE meta SET value = ?", (state,))
    use(path)
    check_answers(path, source)


def check_answers(path: Path, source: Path) -> None:
    """No answer is another than that which was given."""
    journal = Journal(path, on_failure=lambda error: pytest.fail(str(error)))
    for given_ in answers(source):
        found = journal.answer(a_request(given_["fp"]))
        assert found is None or (found.text, found.body) == (given_["text"], given_["body"])
    journal.close()


@law
@given(st.binary(max_size=80) | json_value.map(to_json) | entry.map(encode))
def test_a_manifest_of_anything(tmp_path: Path, content: bytes) -> None:
    """It is read, or it is as good as none."""
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    read_manifest(path)


@law
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            [
                "rows",
                "usage",
                "hashes",
                "command",
                "selection",
                "inputs",
                "cost",
                "cwd",
                "pid",
                "exit_code",
                "llmx",
                "state",
            ],
            json_value,
        ),
    )
)
def test_a_manifest_with_any_fields(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Fields of a wrong type make it none; a run that goes on over it does."""
    path = tmp_path / "manifest.json"
    path.write_bytes(encode(fields))
    read_manifest(path)


@law
@given(st.binary(max_size=40))
def test_a_lock_of_anything(tmp_path: Path, content: bytes) -> None:
    """What it says is nobody's pid until somebody holds it."""
    path = tmp_path / "lock"
    path.write_bytes(content)
    assert owner(path) is None
    lock = Lock(path, "out.jsonl")
    lock.close()
    assert owner(path) is None


@pytest.mark.parametrize(
    "name", ["journal.jsonl", "index.sqlite", "manifest.json", "lock", "manifest.json.new"]
)
def test_a_folder_where_a_file_should_be(name: str, tmp_path: Path) -> None:
    """The run says in a line what is in its way, before anybody is asked."""
    (tmp_path / ".llmx" / "out.jsonl" / name).mkdir(parents=True)
    with pytest.raises(OutputFailed, match=r"cannot keep the run in '.*out\.jsonl': \w.*$"):
        rehearse(tmp_path, 3, concurrency=1)


@pytest.mark.parametrize("name", ["journal.jsonl", "index.sqlite", "manifest.json", "lock"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 5_000, b"\xff\xfe{]\n" * 300, b'{"crc":"00000000","t":"answer"}\n' * 3]
)
def test_a_run_over_garbage(name: str, content: bytes, tmp_path: Path) -> None:
    """It ends well, and its output is right."""
    folder = tmp_path / ".llmx" / "out.jsonl"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    run = rehearse(tmp_path, 3, concurrency=1, cache="off")
    assert (run.report.exit_code, run.ids, run.stats["calls"]) == (0, [row["id"] for row in some_rows(3)], 3)
