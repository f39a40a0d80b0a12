"""Where outcomes go, and what a failing disk or a reader that goes away does to that."""

from __future__ import annotations

import asyncio
import io
import os
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rehearsal import read_rows

from llmx.checkpoints import Checkpoints
from llmx.environment import Environment
from llmx.errors import InvalidAnswer, OutputFailed, PipeClosed, UsageError
from llmx.journal import Chain, Checkpoint
from llmx.layers.stop import Stop
from llmx.outputs import Outputs, check_outputs, errors_path
from llmx.presenting import FlatRows
from llmx.records import Shape, open_sink
from llmx.schemas import load_schema
from llmx.settings import Settings
from llmx.types import Outcome, Record, Usage

SCHEMA = load_schema("name, age int", cwd=Path())
ANSWER = SCHEMA.model(name="Ada", age=36)


def presented(data: dict[str, Any], shape: Shape | None = None, **details: Any) -> Outcome:
    """An answered row's outcome with its output rows."""
    record = Record(0, data, details.pop("line", None))
    outcome = Outcome(record, value=ANSWER, model="m", attempts=1, **details)
    return FlatRows(shape or Shape(), SCHEMA, {}).present(outcome)


GOOD = presented({"id": 1})
BAD = Outcome(Record(1, {"id": 2}, line=2), error=InvalidAnswer("no"), raw="{}", attempts=3)


class Sink:
    """A sink that raises what it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.rows: list[Any] = []
        self.warnings: list[str] = []
        self.ended = ""
        self.rows_left: Path | None = None
        self.taken = True

    async def drained(self) -> None:
        """All is taken."""

    def ending(self) -> Iterator[None]:
        yield from ()

    def write(self, row: Any) -> None:
        if self.error is not None:
            raise self.error
        self.rows.append(row)

    def close(self) -> None:
        self.ended = "closed"

    def abandon(self) -> None:
        self.ended = "abandoned"


def end(outputs: Outputs, *, complete: bool) -> None:
    """The end of a run."""
    asyncio.run(outputs.finish(complete=complete))


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    variables = {"LLMX_HOME": str(tmp_path / "home")}
    return Environment(stdin=io.BytesIO(), stdout=io.BytesIO(), variables=variables, cwd=tmp_path)


@pytest.fixture
def make(env: Environment) -> Callable[..., tuple[Outputs, Stop]]:
    """Outputs over `out.jsonl`, or over another sink."""

    def outputs(sink: Any = None) -> tuple[Outputs, Stop]:
        stop = Stop()
        results = sink or open_sink("out.jsonl", env=env)
        errors = env.cwd / "out.errors.jsonl"
        return Outputs(results, errors, env=env, stop=stop), stop

    return outputs


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("out.jsonl", "out.errors.jsonl"),
        ("out.jsonl.gz", "out.errors.jsonl"),
        ("OUT.JSONL.ZST", "OUT.errors.jsonl"),
        ("out.csv", "out.csv.errors.jsonl"),
        ("out.csv.gz", "out.csv.gz.errors.jsonl"),
        ("out.ndjson", "out.ndjson.errors.jsonl"),
        ("a.train.parquet", "a.train.parquet.errors.jsonl"),
        ("out", "out.errors.jsonl"),
        (".hidden.jsonl", ".hidden.errors.jsonl"),
        ("sub/out.tsv.zst", "sub/out.tsv.zst.errors.jsonl"),
    ],
)
def test_errors_lie_beside_the_results(output: str, expected: str, env: Environment) -> None:
    """Under the results' name, so that `out.csv` and `out.jsonl` do not share theirs."""
    assert errors_path(output, None, env) == env.cwd / expected


def test_errors_lie_where_the_user_says(env: Environment) -> None:
    """`--errors` wins."""
    assert errors_path("out.jsonl", "elsewhere.jsonl", env) == env.cwd / "elsewhere.jsonl"


def test_errors_of_a_stream_lie_in_the_home(env: Environment) -> None:
    """In the run's own folder, wherever that is."""
    assert errors_path("-", None, env) is None


@pytest.mark.parametrize("output", ["/dev/full", "/dev/stdout", "pipe"])
def test_errors_of_a_device_or_a_pipe_lie_in_the_home(output: str, env: Environment) -> None:
    """There is no place beside it."""
    os.mkfifo(env.cwd / "pipe")
    assert errors_path(output, None, env) is None
    check_outputs(Settings.of({"schema": "x", "output": output, "output_format": "jsonl"}), env)


@pytest.mark.parametrize("name", ["out.errors.jsonl", "./out.errors.jsonl"])
def test_an_input_is_never_the_errors_file(name: str, env: Environment) -> None:
    """It would be overwritten, or removed by a run without failures."""
    (env.cwd / "out.errors.jsonl").write_text("{}\n")
    settings = Settings.of({"schema": "x", "inputs": [name], "output": "out.jsonl"})
    with pytest.raises(UsageError, match="has the failed rows of") as caught:
        check_outputs(settings, env)
    assert caught.value.hint == "llmx retry out.jsonl"


def test_failed_rows_alone_never_replace_all_rows(env: Environment) -> None:
    """Under another name for those that fail again, too."""
    (env.cwd / "out.errors.jsonl").write_text("{}\n")
    given = {"schema": "x", "inputs": ["out.errors.jsonl"], "output": "out.jsonl", "errors": "more.jsonl"}
    with pytest.raises(UsageError, match="which they alone would replace"):
        check_outputs(Settings.of(given), env)


@pytest.mark.parametrize("length", [248, 300])
def test_a_name_that_is_too_long(length: int, env: Environment) -> None:
    """With what is put behind it while it is written."""
    with pytest.raises(UsageError, match="File name too long"):
        check_outputs(Settings.of({"schema": "x", "output": "x" * length, "errors": "e.jsonl"}), env)


def test_a_name_whose_errors_have_one_that_is_too_long(env: Environment) -> None:
    """The way out is a name for those."""
    settings = Settings.of({"schema": "x", "output": "x" * 239 + ".jsonl"})
    with pytest.raises(UsageError, match=r"^--errors: .*File name too long") as caught:
        check_outputs(settings, env)
    assert caught.value.hint == "--errors PATH, under another name"


@pytest.mark.parametrize("name", ["out.jsonl.partial", "out.errors.jsonl.partial"])
def test_an_input_is_never_where_rows_wait(name: str, env: Environment) -> None:
    """Neither the good ones nor the failed."""
    (env.cwd / name).write_text("{}\n")
    settings = Settings.of({"schema": "x", "inputs": [name], "output": "out.jsonl"})
    with pytest.raises(UsageError, match="is where rows wait"):
        check_outputs(settings, env)


def test_outputs_are_different_files_under_other_names_too(env: Environment) -> None:
    """A link to the results is no place for errors."""
    (env.cwd / "out.jsonl").touch()
    (env.cwd / "e.jsonl").symlink_to("out.jsonl")
    given = {"schema": "x", "output": "out.jsonl", "errors": "e.jsonl"}
    with pytest.raises(UsageError, match="is an output already"):
        check_outputs(Settings.of(given), env)


def test_outputs_are_different_files(env: Environment) -> None:
    """Summary and errors in one file would be neither."""
    given = {"schema": "x", "output": "out.jsonl", "errors": "e.jsonl", "summary": "e.jsonl"}
    with pytest.raises(UsageError, match="is an output already"):
        check_outputs(Settings.of(given), env)


@pytest.mark.parametrize("name", ["e.jsonl", "e.ndjson", "e.json", "e", "e.jsonl.gz"])
def test_errors_are_json_lines_by_these_names(name: str, env: Environment) -> None:
    """These are read as JSON Lines again."""
    check_outputs(Settings.of({"schema": "x", "errors": name}), env)


def test_a_good_row_goes_to_the_results(make: Any, env: Environment) -> None:
    """With its columns and its fields."""
    outputs, _ = make()
    outputs.write([GOOD])
    end(outputs, complete=True)
    assert read_rows(env.cwd / "out.jsonl") == [{"id": 1, "name": "Ada", "age": 36}]
    assert outputs.errors_path is None


def test_a_failed_row_goes_to_the_errors(make: Any, env: Environment) -> None:
    """With what is known of its end."""
    outputs, _ = make()
    outputs.write([BAD])
    end(outputs, complete=True)
    error = {
        "type": "invalid_answer",
        "message": "no",
        "line": 2,
        "raw": "{}",
        "attempts": 3,
        "cost": 0.0,
    }
    assert read_rows(env.cwd / "out.errors.jsonl") == [{"id": 2, "_error": error}]
    assert outputs.errors_path == env.cwd / "out.errors.jsonl"


def test_errors_exist_only_if_there_are_any(make: Any, env: Environment) -> None:
    """A good run makes no such file, nor its partial one."""
    outputs, _ = make()
    outputs.write([GOOD])
    assert list(env.cwd.glob("*errors*")) == []


def test_a_complete_run_forgets_earlier_errors(make: Any, env: Environment) -> None:
    """Both the complete and the partial ones."""
    for name in ("out.errors.jsonl", "out.errors.jsonl.partial"):
        (env.cwd / name).write_text("{}\n")
    end(make()[0], complete=True)
    assert list(env.cwd.glob("*errors*")) == []


def test_a_pipe_for_errors_is_not_taken_for_a_stale_file(env: Environment) -> None:
    """`--errors /dev/null` as root would be the end of it."""
    os.mkfifo(env.cwd / "pipe")
    outputs = Outputs(Sink(), env.cwd / "pipe", env=env, stop=Stop())
    end(outputs, complete=True)
    assert (env.cwd / "pipe").is_fifo()


@pytest.mark.parametrize("option", ["output", "errors", "summary"])
@pytest.mark.parametrize("name", [".llmx/out.jsonl/journal.jsonl", "home/runs/r/errors.jsonl"])
def test_no_output_lies_where_runs_are_kept(option: str, name: str, env: Environment) -> None:
    """It would be their end."""
    (env.cwd / name).parent.mkdir(parents=True)
    given = {"schema": "x", "output": "out.jsonl", option: name}
    with pytest.raises(UsageError, match="where runs are kept"):
        check_outputs(Settings.of(given), env)


def test_a_state_dir_has_no_outputs_in_the_runs_own_folder(env: Environment) -> None:
    """Beside it there may be some."""
    (env.cwd / "s" / "out.jsonl").mkdir(parents=True)
    given = {"schema": "x", "output": "out.jsonl", "state_dir": "s"}
    check_outputs(Settings.of({**given, "errors": "s/errors.jsonl"}), env)
    with pytest.raises(UsageError, match="where runs are kept"):
        check_outputs(Settings.of({**given, "errors": "s/out.jsonl/journal.jsonl"}), env)


def test_errors_of_somebody_else_stay(env: Environment) -> None:
    """A run without failures removes what an earlier run of its own has left, and says so of other files."""
    notes = env.cwd / "notes.jsonl"
    notes.write_text("{}\n")
    outputs = Outputs(open_sink("out.jsonl", env=env), notes, env=env, stop=Stop(), stale=False)
    outputs.write([GOOD])
    end(outputs, complete=True)
    assert notes.read_text() == "{}\n"
    assert outputs.warnings == [f"{str(notes)!r} is of no earlier run of this output: it stays as it is"]


def test_errors_that_another_run_is_writing_are_refused(make: Any, env: Environment) -> None:
    """Before anything is paid for."""
    other = open_sink("out.errors.jsonl", env=env)
    with pytest.raises(UsageError, match="is writing"):
        make()
    other.abandon()


def test_errors_that_another_run_has_begun_meanwhile_stop_this_one(make: Any, env: Environment) -> None:
    """Rows have been paid for: that is no error of the command line any more."""
    outputs, stop = make()
    other = open_sink("out.errors.jsonl", env=env)
    outputs.write([BAD])
    end(outputs, complete=True)
    assert isinstance(stop.reason, OutputFailed)
    assert "is writing" in str(stop.reason)
    other.abandon()


def test_a_column_that_came_late_is_not_overwritten(make: Any, env: Environment) -> None:
    """The row is among the errors, with what it cost and what was extracted; the others go on."""
    late = presented({"id": 7, "age": "old"}, line=8, usage=Usage(cost=Decimal("0.25")))
    outputs, stop = make()
    for outcome in (late, GOOD):
        outputs.write([outcome])
    end(outputs, complete=True)
    (row,) = read_rows(env.cwd / "out.errors.jsonl")
    error = row.pop("_error")
    assert row == {"id": 7, "age": "old"}
    assert (error["type"], error["cost"], error["attempts"], error["line"]) == ("unreadable_row", 0.25, 1, 8)
    assert error["raw"] == '{"name":"Ada","age":36}'
    assert "the column 'age' of this row is also a field of the schema; --prefix" in error["message"]
    assert read_rows(env.cwd / "out.jsonl") == [{"id": 1, "name": "Ada", "age": 36}]
    assert stop.reason is None


@pytest.mark.parametrize(("complete", "name"), [(True, "out.jsonl"), (False, "out.jsonl.partial")])
def test_outputs_know_where_the_results_are(complete: bool, name: str, make: Any, env: Environment) -> None:
    """For whoever tells it."""
    outputs, _ = make()
    outputs.write([GOOD])
    end(outputs, complete=complete)
    assert outputs.rows_left == env.cwd / name


def test_a_stopped_run_keeps_earlier_errors(make: Any, env: Environment) -> None:
    """They are true of the output that is still there."""
    (env.cwd / "out.errors.jsonl").write_text("{}\n")
    end(make()[0], complete=False)
    assert (env.cwd / "out.errors.jsonl").exists()


def test_a_stopped_run_leaves_partial_files(make: Any, env: Environment) -> None:
    """Whole lines, under another name, which is the one that is told."""
    outputs, _ = make()
    outputs.write([GOOD])
    outputs.write([BAD])
    end(outputs, complete=False)
    assert not (env.cwd / "out.jsonl").exists()
    assert len(read_rows(env.cwd / "out.jsonl.partial")) == 1
    assert outputs.errors_path == env.cwd / "out.errors.jsonl.partial"


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (BrokenPipeError(), PipeClosed),
        (OutputFailed("cannot write"), OutputFailed),
        (OSError(28, "No space left on device"), OutputFailed),
    ],
)
def test_a_write_that_fails_stops_the_run(raised: Exception, reason: type, make: Any) -> None:
    """It is not raised into the pipeline, whose calls in flight are to end."""
    outputs, stop = make(Sink(raised))
    outputs.write([GOOD])
    assert isinstance(stop.reason, reason)


def test_after_a_failed_write_nothing_more_is_written(make: Any) -> None:
    """A later row must not follow a gap."""
    sink = Sink(BrokenPipeError())
    outputs, stop = make(sink)
    outputs.write([GOOD])
    sink.error = None
    outputs.write([GOOD])
    assert sink.rows == []
    assert len(stop.reasons) == 1


def test_after_a_failed_write_the_run_is_not_complete(make: Any) -> None:
    """Whatever the caller believes."""
    sink = Sink(BrokenPipeError())
    outputs, _ = make(sink)
    outputs.write([GOOD])
    end(outputs, complete=True)
    assert sink.ended == "abandoned"


def test_provenance(make: Any) -> None:
    """`--meta` rows say who answered."""
    sink = Sink()
    outputs, _ = make(sink)
    outputs.write([presented({"id": 1}, Shape(keep="none", meta=True))])
    assert sink.rows[0]["_llmx"] == {"model": "m", "source": "model", "attempts": 1, "cost": 0.0}


def test_errors_in_a_runs_own_folder_are_private(env: Environment) -> None:
    """Rows are nobody else's business."""
    path = env.cwd / "errors.jsonl"
    outputs = Outputs(Sink(), path, env=env, stop=Stop(), ours=True)
    outputs.write([BAD])
    end(outputs, complete=True)
    assert path.stat().st_mode & 0o077 == 0


def test_failed_rows_may_be_dropped(env: Environment) -> None:
    """Of a run that keeps nothing, nowhere."""
    outputs = Outputs(Sink(), None, env=env, stop=Stop())
    outputs.write([BAD])
    end(outputs, complete=True)
    assert outputs.errors_path is None


# How far they have come


def noted(
    tmp_path: Path, *batches: Sequence[Outcome], complete: bool = False
) -> tuple[list[Checkpoint], bytes]:
    """What is noted of outcomes that are written a few at a time, and the file that there is then."""
    env = Environment(io.BytesIO(), io.BytesIO(), variables={}, cwd=tmp_path)
    notes: list[Checkpoint] = []
    results = open_sink("out.jsonl", env=env)
    assert results.growing is not None
    checkpoints = Checkpoints(notes.append, results.growing, "made by")
    outputs = Outputs(results, tmp_path / "errors.jsonl", env=env, stop=Stop(), checkpoints=checkpoints)
    for batch in batches:
        outputs.write(batch)
    asyncio.run(outputs.finish(complete=complete))
    left = outputs.rows_left
    return notes, left.read_bytes() if left else b""


def placed(*places: int, failed: Collection[int] = ()) -> list[Outcome]:
    """Rows at these places of the input."""
    return [replace(BAD if n in failed else GOOD, record=Record(n, {"id": n})) for n in places]


@pytest.mark.parametrize(
    ("batches", "rows"),
    [
        ([placed(0, 1), placed(2)], 3),
        ([placed(0, 1, 3, 4)], 2),
        ([placed(0, 1), placed(3, 4)], 2),
        ([placed(0, 1), placed(3), placed(2)], 2),
        ([placed(0, 1, 2, 3, failed=[2])], 2),
        ([placed(0, 1), placed(2, 3, failed=[2])], 2),
        ([placed(1, 2)], 0),
        ([placed(0, 1, failed=[0])], 0),
        ([], 0),
    ],
    ids=[
        "all",
        "left out",
        "left out before",
        "disorder",
        "failed",
        "failed first",
        "no first",
        "bad first",
        "none",
    ],
)
def test_how_far_it_has_come(tmp_path: Path, batches: Sequence[Sequence[Outcome]], rows: int):
    """Up to the first row that is not there, whatever comes behind it."""
    notes, data = noted(tmp_path, *batches)
    if not rows:
        assert notes == []
        return
    (note,) = notes
    size = len(b"".join(data.splitlines(keepends=True)[:rows]))
    assert (note.rows, note.size, note.crc) == (rows, size, zlib.crc32(data[:size]))
    chain = Chain()
    chain.add(outcome.record for outcome in placed(*range(rows)))
    assert note.chain == chain.digest


def test_of_what_is_complete_nothing_is_noted(tmp_path: Path):
    """The output itself says it."""
    notes, data = noted(tmp_path, placed(0, 1), complete=True)
    assert (notes, len(data.splitlines())) == ([], 2)
