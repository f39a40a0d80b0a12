"""A run that goes on skips the rows that its output has, and its output is that of a run that nobody disturbed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes import LoopClock
from rehearsal import (
    Rehearsal,
    Talk,
    in_simulated_time,
    options_for,
    read_rows,
    rehearse,
    run_to_files,
    some_rows,
    with_server,
    write_rows,
)

from llmx import checkpoints
from llmx.caches.exact import ExactCache
from llmx.environment import Environment
from llmx.errors import Interrupted
from llmx.job import execute
from llmx.journal import Journal, Prefix, read_manifest
from llmx.journal.lines import decode
from llmx.layers.stop import Stop
from llmx.mock import MockSettings
from llmx.planning import plan
from llmx.report.summary import Figures
from llmx.settings import Settings

ROWS, DONE = 10, 6
TAGS = {"schema": "tags list[str]", "explode": "tags"}
LATE = [*some_rows(3), *({**row, "late": "=1"} for row in some_rows(ROWS)[3:])]
"""Rows with a column that their header may not have."""


class Folder:
    """Where a run is stopped, and goes on.

    Args:
        rows: its input.
        options: as on the command line.
    """

    def __init__(self, path: Path, rows: Iterable[Mapping[str, Any]] | int = ROWS, **options: Any) -> None:
        self.path = path
        self.rows = list(some_rows(rows) if isinstance(rows, int) else rows)
        self.options: dict[str, Any] = {"cache": "off", "concurrency": 1, "output": "out.jsonl", **options}
        self._port = 0
        path.mkdir(exist_ok=True)

    @property
    def output(self) -> Path:
        return self.path / self.options["output"]

    @property
    def partial(self) -> Path:
        return self.output.with_name(self.output.name + ".partial")

    def run(self, mock: MockSettings | None = None, **options: Any) -> Rehearsal:
        self.options |= options
        run = rehearse(self.path, self.rows, mock, port=self._port, **self.options)
        self._port = run.port
        return run

    def stop(self, after: int = DONE) -> Rehearsal:
        """A session that is stopped when so many more rows have been answered."""
        stopped = self.run(MockSettings(quota_after=after))
        assert stopped.report.exit_code == 7
        return stopped

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """The journal's lines of a kind."""
        lines = (self.path / ".llmx" / self.output.name / "journal.jsonl").read_bytes().splitlines()
        found = [decode(line) for line in lines]
        return [entry for entry in found if entry is not None and entry["t"] == kind]

    @property
    def skipped(self) -> list[int]:
        """How many rows each session has skipped."""
        return [entry.get("skipped", 0) for entry in self.entries("start")]

    def undisturbed(self) -> bytes:
        """The output of the same rows and options when nothing happens."""
        other = Folder(self.path / "undisturbed", self.rows, **self.options)
        other.run()
        return other.output.read_bytes()


@pytest.fixture
def stopped(tmp_path: Path) -> Folder:
    """A run that was stopped when six of its ten rows were there."""
    folder = Folder(tmp_path)
    folder.stop()
    return folder


def test_what_the_output_has_is_skipped(stopped: Folder):
    """Nobody is asked about it, and it is counted as it is when it is replayed."""
    two = stopped.run()
    assert stopped.skipped == [0, DONE]
    assert stopped.output.read_bytes() == stopped.undisturbed()
    assert two.said[1:] == ["resuming: 6 of 10 rows done"]
    assert (two.stats["calls"], two.report.exit_code, two.report.written) == (ROWS - DONE, 0, ROWS)
    rows = two.figures.rows
    assert (rows["settled"], rows["total"], rows["ok"], rows["resumed"]) == (ROWS, ROWS, ROWS, DONE)
    assert two.report.manifest is not None
    assert two.report.manifest.rows == {**rows, "written": ROWS}
    assert sorted(entry["index"] for entry in stopped.entries("row")) == list(range(ROWS))
    assert stopped.partial.exists() is False


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (ROWS, {"output": "out.csv"}),
        (ROWS, {"output": "out.tsv", "keep": "none"}),
        (LATE, {"output": "out.csv", "csv_safe": True}),
        (ROWS, TAGS),
        (ROWS, {"output": "out.csv", **TAGS}),
        (ROWS, {"into": "found", "key": "id"}),
        (ROWS, {"limit": 8}),
        ([{"text": "the same"}] * ROWS, {"cache": "exact"}),
    ],
    ids=["csv", "tsv", "late columns", "explode", "explode csv", "into", "limit", "alike"],
)
def test_the_bytes_are_those_of_an_undisturbed_run(tmp_path: Path, rows: Any, options: dict[str, Any]):
    """Whatever the output looks like, and however often the run was stopped."""
    folder = Folder(tmp_path, rows, **options)
    quotas = (3, 2) if len(set(map(str, folder.rows))) > 1 else (1,)
    for after in quotas:
        folder.run(MockSettings(quota_after=after))
    three = folder.run()
    assert folder.output.read_bytes() == folder.undisturbed()
    assert three.report.exit_code == 0
    if len(quotas) == 2:
        assert folder.skipped == [0, 3, 5]


def test_a_sample_is_the_same_in_the_end(tmp_path: Path):
    """Its rows leave others out: as far as they do not, they may be skipped."""
    folder = Folder(tmp_path, 30, sample=20)
    folder.stop(12)
    assert folder.run().report.exit_code == 0
    assert folder.skipped[1] < 12
    assert folder.output.read_bytes() == folder.undisturbed()


def test_a_warning_about_skipped_rows_is_given_at_the_end(tmp_path: Path):
    """What the header lacked is told of all rows."""
    rows = [*some_rows(150), *({**row, "late": 1} for row in some_rows(10))]
    folder = Folder(tmp_path, rows, output="out.csv")
    folder.stop(155)
    two = folder.run()
    assert folder.skipped == [0, 155]
    assert [line for line in two.said if "late" in line] == [
        "warning: columns that the header lacks were left out of 10 rows: 'late'; JSON Lines keeps them"
    ]
    assert folder.output.read_bytes() == folder.undisturbed()


def test_a_failed_row_ends_what_can_be_skipped(tmp_path: Path):
    """It is looked at again, and all that comes behind it; it is there once."""
    rows = [{**row, "id": None} if row["id"] == 3 else row for row in some_rows(ROWS)]
    folder = Folder(tmp_path, rows, key="id")
    folder.stop()
    two = folder.run()
    assert folder.skipped == [0, 3]
    assert (two.stats["calls"], two.figures.ok, two.figures.failed) == (ROWS - 1 - DONE, ROWS - 1, 1)
    assert len(two.errors) == 1
    assert folder.output.read_bytes() == folder.undisturbed()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: bytes(len(data)),
        lambda data: b"X" + data[1:],
        lambda data: data[:-5] + b"edits",
        lambda data: data.replace(b'"id":2', b'"id":7'),
    ],
    ids=["cut", "halved", "emptied", "zeros", "first byte", "last bytes", "edited"],
)
def test_a_damaged_partial_is_not_gone_on_with(stopped: Folder, damage: Any):
    """The rows are replayed."""
    stopped.partial.write_bytes(damage(stopped.partial.read_bytes()))
    two = stopped.run()
    assert (stopped.skipped, two.stats["calls"]) == ([0, 0], ROWS - DONE)
    assert stopped.output.read_bytes() == stopped.undisturbed()


def test_a_partial_that_is_gone(stopped: Folder):
    """There is nothing to go on with."""
    stopped.partial.unlink()
    two = stopped.run()
    assert (stopped.skipped, two.stats["calls"]) == ([0, 0], ROWS - DONE)
    assert stopped.output.read_bytes() == stopped.undisturbed()


def test_what_lies_behind_a_checkpoint_goes(stopped: Folder):
    """Rows that were written after it, and half a row."""
    with stopped.partial.open("ab") as file:
        file.write(b'{"id":6,"text":"Row 6 is')
    stopped.run()
    assert stopped.skipped == [0, DONE]
    assert stopped.output.read_bytes() == stopped.undisturbed()


@pytest.mark.parametrize("key", [None, "id"])
def test_an_edited_row_is_found_even_if_its_file_looks_the_same(tmp_path: Path, key: str | None):
    """Size and time say nothing, its content does, beside its key."""
    folder = Folder(tmp_path, key=key)
    source = tmp_path / "in.jsonl"
    folder.stop()
    times = (source.stat().st_atime_ns, source.stat().st_mtime_ns)
    folder.rows[2]["text"] = folder.rows[2]["text"].replace("Ada", "Ida")

    async def against(server: Any) -> Any:
        os.utime(write_rows(source, folder.rows), ns=times)
        options = {"inputs": [str(source)], **options_for("openai", server.url), **folder.options}
        return await run_to_files(tmp_path, options)

    two = with_server(tmp_path, MockSettings(), against, port=folder._port)
    assert (folder.skipped, two.stats["calls"]) == ([0, 0], ROWS - DONE + 1)
    assert folder.output.read_bytes() == folder.undisturbed()


@pytest.mark.parametrize(
    ("change", "skipped"),
    [
        (lambda rows: [*rows, {"id": 10, "text": "new"}], DONE),
        (lambda rows: rows[:8], DONE),
        (lambda rows: rows[:4], 0),
        (lambda rows: rows[1:], 0),
        (lambda rows: rows[::-1], 0),
        (lambda rows: [dict(reversed(row.items())) for row in rows], 0),
    ],
    ids=["grown", "shorter", "too short", "the first gone", "reversed", "columns in another order"],
)
def test_another_input(stopped: Folder, change: Any, skipped: int):
    """Its first rows are skipped where they are the same."""
    stopped.rows = change(stopped.rows)
    stopped.run()
    assert stopped.skipped == [0, skipped]
    assert stopped.output.read_bytes() == stopped.undisturbed()


@pytest.mark.parametrize(
    "changed",
    [
        {"keep": "none"},
        {"prefix": "p_"},
        {"into": "found"},
        {"meta": True},
        {"key": "id"},
        {"csv_safe": True},
        {"temperature": 0.5},
        {"system": "Be brief."},
        {"schema": "name, age int, city"},
        {"fresh": True},
        {"order": "done"},
        {"no_store": True},
    ],
    ids=lambda value: next(iter(value)),
)
def test_other_options(stopped: Folder, changed: dict[str, Any]):
    """What is written would not be the same, or need not be: all rows are replayed."""
    two = stopped.run(**changed)
    sessions = [0] if {"fresh", "no_store"} & changed.keys() else [0, 0]
    assert (stopped.skipped, two.figures.settled) == (sessions, ROWS)
    if "meta" not in changed:  # that tells what this session did
        assert stopped.output.read_bytes() == stopped.undisturbed()


def test_another_format(tmp_path: Path):
    """Half a file of one and half of the other would be neither."""
    folder = Folder(tmp_path, output="out.data", output_format="jsonl")
    folder.stop()
    folder.run(output_format="csv")
    assert folder.skipped == [0, 0]
    assert folder.output.read_bytes() == folder.undisturbed()


@pytest.mark.parametrize(
    "changed", [{"reasks": 5}, {"rpm": 6_000}, {"limit": 9}], ids=lambda value: next(iter(value))
)
def test_what_makes_no_other_output(stopped: Folder, changed: dict[str, Any]):
    """Rows are skipped all the same."""
    stopped.run(**changed)
    assert stopped.skipped == [0, DONE]
    assert stopped.output.read_bytes() == stopped.undisturbed()


@pytest.mark.parametrize(
    "options",
    [
        {"order": "done"},
        {"output": "out.jsonl.gz"},
        {"output_format": "parquet"},
        {"output": "-"},
    ],
    ids=lambda value: "+".join(map(str, value.values())),
)
def test_where_nothing_is_noted(tmp_path: Path, options: dict[str, Any]):
    """No file has the first rows as they are, in the input's order."""
    if options.get("output_format") == "parquet":
        pytest.importorskip("pyarrow")
    folder = Folder(tmp_path, **options)
    folder.stop()
    journals = [*tmp_path.rglob("journal.jsonl")]
    assert len(journals) == 1
    assert b'"t":"written"' not in journals[0].read_bytes()


def test_a_complete_run_is_run_again_as_ever(stopped: Folder):
    """Nothing is left that could be gone on with."""
    stopped.run()
    three = stopped.run()
    assert (stopped.skipped, three.figures.resumed) == ([0, DONE, 0], ROWS)


CODE = """
import pydantic


class Model(pydantic.BaseModel):
    name: str
"""
VALIDATOR = """
    @pydantic.field_validator("name")
    @classmethod
    def checked(cls, name: str) -> str:
        return name
"""


@pytest.mark.parametrize(
    ("code", "skipped"), [(CODE, DONE), (CODE + VALIDATOR, 0)], ids=["plain", "validator"]
)
def test_a_validator_has_the_last_word(tmp_path: Path, code: str, skipped: int):
    """What it does now nobody knows, so it sees all rows again."""
    (tmp_path / "schema.py").write_text(code)
    folder = Folder(tmp_path, schema=str(tmp_path / "schema.py:Model"))
    folder.stop()
    folder.run()
    assert folder.skipped == [0, skipped]
    assert folder.output.read_bytes() == folder.undisturbed()


# Rows that are alike


def alike(*texts: str) -> list[dict[str, Any]]:
    return [{"text": text} for text in texts]


@pytest.mark.parametrize(
    ("rows", "key"),
    [
        (alike("a", "b", "a", "c", "d", "a", "c", "b", "a", "e"), None),
        ([{**row, "id": row["id"] % 4} for row in some_rows(ROWS)], "id"),
    ],
    ids=["content", "key"],
)
def test_doubles_of_skipped_rows_are_counted_as_such(
    tmp_path: Path, rows: list[dict[str, Any]], key: str | None
):
    """The journal says of every row, once, that it is done, and of those alike how many have come."""
    folder = Folder(tmp_path, rows, key=key)
    folder.stop(3)
    two = folder.run()
    other = Folder(tmp_path / "other", rows, key=key)
    other.run()
    assert folder.skipped[1] >= 3
    found, wanted = ([(row["index"], row["n"]) for row in one.entries("row")] for one in (folder, other))
    assert sorted(found) == sorted(wanted)
    assert two.stats["calls"] + 3 == len({row["text"] for row in rows})
    assert folder.output.read_bytes() == other.output.read_bytes()
    assert "resuming: 10 of 10 rows done" in folder.run().said


# Nothing is looked up


def test_nothing_is_looked_up_of_skipped_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither in the cache nor in the journal."""
    folder = Folder(tmp_path, cache="exact")
    folder.stop()
    looked_up: list[str] = []
    rows: list[int] = []
    in_cache, in_journal = ExactCache.expect, Journal.expect

    def expect_of_cache(self: ExactCache, fingerprints: Any) -> Any:
        looked_up.extend(fingerprints)
        return in_cache(self, fingerprints)

    def expect_of_journal(self: Journal, fingerprints: Any, some: Any) -> Any:
        looked_up.extend(fingerprints)
        rows.extend(row.index for row in some)
        return in_journal(self, fingerprints, some)

    monkeypatch.setattr(ExactCache, "expect", expect_of_cache)
    monkeypatch.setattr(Journal, "expect", expect_of_journal)
    folder.run()
    assert folder.skipped == [0, DONE]
    assert len(set(looked_up)) == ROWS - DONE
    assert rows == list(range(DONE, ROWS))


def test_a_skipped_row_is_a_good_one(tmp_path: Path):
    """Twenty failures behind it do not stop the run."""
    folder = Folder(tmp_path, 30, reasks=0)
    folder.stop(5)
    two = folder.run(MockSettings(malformed_rate=1.0))
    assert (folder.skipped, two.report.exit_code, two.figures.failed) == ([0, 5], 3, 25)


# While a run goes on


@contextmanager
def every(seconds: float) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "EVERY", seconds)
        yield


def test_it_is_noted_again_and_again(tmp_path: Path):
    """And each note is true of the file that there was then."""
    folder = Folder(tmp_path, output="out.csv")
    with every(0):
        folder.run()
    notes = folder.entries("written")
    assert [note["rows"] for note in notes] == sorted({note["rows"] for note in notes})
    assert len(notes) > 1
    data = folder.output.read_bytes()
    for note in notes:
        assert data[: note["bytes"]].count(b"\n") == note["rows"] + 1


def test_it_is_not_noted_with_every_row(tmp_path: Path):
    """A run that takes less than a second and comes to its end notes nothing."""
    folder = Folder(tmp_path)
    with every(60):
        folder.run()
    assert folder.entries("written") == []


def stop_while_skipping(folder: Folder) -> Figures:
    """A session that is interrupted while it reads what it skips."""

    async def main() -> Figures:
        env = Environment(variables={"LLMX_HOME": str(folder.path / "home")}, cwd=folder.path)
        clock, figures = LoopClock(), None
        figures = Figures(clock)
        stop = Stop(figures.stopped)
        given = {
            "schema": "name, age int",
            "inputs": ["in.jsonl"],
            **options_for("openai", "http://127.0.0.1:9"),
        }
        manifest = read_manifest(folder.path / ".llmx" / "out.jsonl" / "manifest.json")
        assert manifest is not None
        settings = Settings.of({**given, **folder.options, "base_url": manifest.command["base_url"]})
        add = Prefix.add

        def interrupted(self: Prefix, rows: Any) -> None:
            add(self, rows)
            stop.set(Interrupted(2))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoints, "AT_ONCE", 2)
            patch.setattr(Prefix, "add", interrupted)
            await execute(plan(settings, env), stop=stop, figures=figures, talk=Talk(), clock=clock)
        return figures

    return in_simulated_time(main)


def test_a_stop_while_rows_are_skipped_leaves_all_as_it_was(stopped: Folder):
    """Nothing has begun; the next session goes on as this one would have."""
    left = {path: path.read_bytes() for path in (stopped.partial, *stopped.path.rglob("m*.json"))}
    assert stop_while_skipping(stopped).settled == 0
    assert {path: path.read_bytes() for path in left} == left
    two = stopped.run()
    assert (stopped.skipped, two.stats["calls"]) == ([0, DONE], ROWS - DONE)
    assert stopped.output.read_bytes() == stopped.undisturbed()


def test_a_stop_right_after_shows_no_fewer_rows(stopped: Folder):
    """What was skipped is done."""
    two = stopped.stop(0)
    assert two.report.manifest is not None
    assert two.report.manifest.rows["ok"] == DONE
    assert (two.report.written, two.report.rows_left) == (DONE, stopped.partial)
    assert len(read_rows(stopped.partial)) == DONE
    stopped.run()
    assert stopped.skipped == [0, DONE, DONE]
    assert stopped.output.read_bytes() == stopped.undisturbed()


CLASS = "from pydantic import BaseModel, ConfigDict\n\nclass Row(BaseModel):\n    name: str\n"
EDITS = [
    CLASS + "    model_config = ConfigDict(str_to_upper=True)\n",
    CLASS
    + "    def model_dump(self, **how):\n        return {'name': super().model_dump(**how)['name'] + '!'}\n",
    "from beside import Row\n",
]


@pytest.mark.parametrize("edit", EDITS, ids=["config", "method", "another file"])
def test_what_an_edited_class_has_written_is_not_gone_on_with(tmp_path: Path, edit: str):
    """Though its JSON Schema is the same: it may write something else."""
    schema = tmp_path / "shape.py"
    schema.write_text(CLASS)
    (tmp_path / "beside.py").write_text(EDITS[1])
    folder = Folder(tmp_path, schema=f"{schema}:Row")
    folder.stop()
    schema.write_text(edit)
    folder.run()
    assert folder.skipped == [0, 0]
    assert folder.output.read_bytes() == folder.undisturbed()


def test_what_a_class_has_written_that_is_as_it_was_is_gone_on_with(tmp_path: Path):
    """Without functions of its own."""
    schema = tmp_path / "shape.py"
    schema.write_text(CLASS)
    folder = Folder(tmp_path, schema=f"{schema}:Row")
    folder.stop()
    folder.run()
    assert folder.skipped == [0, DONE]


def test_keys_that_stand_twice_among_skipped_rows_are_told(tmp_path: Path):
    """As in a run that nobody disturbed."""
    rows = [{**row, "id": row["id"] % 4} for row in some_rows(ROWS)]
    folder = Folder(tmp_path, rows, key="id")
    folder.stop()
    assert "6 rows with a 'id' that an earlier row has, too" in " ".join(folder.run().said)
    assert folder.skipped == [0, DONE]
