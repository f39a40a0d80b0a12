"""What a run that ends leaves: rows on stdout or in a file, talk on stderr, errors, the summary, the exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Llmx, Mock
from rehearsal import read_rows

from llmx.mock import MockSettings

RUN = ("extract", "rows.jsonl", "-s", "name, age int")
BROKEN = MockSettings(malformed_rate=1.0)


def test_rows_go_to_stdout_and_talk_to_stderr(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Standard output is JSON Lines and nothing else; stderr is three plain lines."""
    done = llmx(*RUN, *mock.openai)
    assert done.code == 0
    assert [row["id"] for row in done.rows] == list(range(10))
    assert re.fullmatch(
        r"10 rows; the model sees: id, text\n"
        r"10 rows: 10 ok, 0 failed · \d+\.\d s · [\d,.]+ rows/s\n"
        r"10 calls · [\d,]+ \+ [\d,]+ tokens · cost unknown · p50 [\d.e-]+ s, p95 [\d.e-]+ s\n",
        done.err,
    ), done.err


def test_with_a_file_stdout_is_empty(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """`-o` takes all the rows."""
    done = llmx(*RUN, *mock.openai, "-o", "out.jsonl")
    assert (done.code, done.out) == (0, "")
    assert len(read_rows(llmx.cwd / "out.jsonl")) == 10


def test_a_complete_run_leaves_only_its_output(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """No partial file, no errors file; what is kept of the run is out of the way."""
    llmx(*RUN, *mock.openai, "-o", "out.jsonl")
    assert sorted(path.name for path in llmx.cwd.iterdir()) == [".llmx", "out.jsonl", "rows.jsonl"]


def test_stdin_to_stdout(llmx: Llmx, mock: Mock) -> None:
    """Without INPUT, rows are read from a pipe."""
    done = llmx("extract", "-s", "name, age int", *mock.openai, stdin=b'{"id": 7}\n{"id": 8}\n')
    assert [row["id"] for row in done.rows] == [7, 8]


def test_a_dash_is_stdin(llmx: Llmx, mock: Mock) -> None:
    """`-` says so, and the format can be named."""
    argv = ("extract", "-", "--input-format", "csv", "-s", "name, age int", *mock.openai)
    assert [row["id"] for row in llmx(*argv, stdin=b"id,text\r\n7,x\r\n").rows] == ["7"]


def test_csv_on_stdout(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """`--output-format csv` writes a header and lines to stdout."""
    done = llmx(*RUN, *mock.openai, "--output-format", "csv", "--keep", "id", "-n", "1")
    assert done.out.splitlines()[0] == "id,name,age"
    assert done.out.splitlines()[1].startswith("0,")


def test_a_second_run_is_free(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """The same command again calls nobody and says so."""
    first = llmx(*RUN, *mock.openai)
    again = llmx(*RUN, *mock.openai)
    assert again.out == first.out
    assert mock.calls == 10
    assert "10 ok (10 cached), 0 failed" in again.err
    assert "0 calls · 0 + 0 tokens · $0\n" in again.err


def test_a_dry_run_needs_no_key(llmx: Llmx, rows: Path) -> None:
    """A request can be looked at where there are no secrets."""
    done = llmx(*RUN, "-m", "openai/gpt-5-mini", "--dry-run")
    assert done.code == 0, done.err
    assert json.loads(done.out)["model"] == "gpt-5-mini"


def test_a_dry_run_calls_nobody(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """It shows the first request as it would be sent, and writes nothing."""
    done = llmx(*RUN, *mock.openai, "-o", "out.jsonl", "--dry-run")
    assert done.code == 0
    assert mock.calls == 0
    assert not (llmx.cwd / "out.jsonl").exists()
    body = json.loads(done.out)
    assert body["model"] == "mock"
    assert "Row 0 is by Ada" in body["messages"][-1]["content"]
    assert done.err.startswith("10 rows; the model sees: id, text\n10 rows: 10 to ask about\n")
    assert done.err.endswith("\nthe first request, as it would be sent:\n")


def test_a_dry_run_shows_what_is_sent(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """The body that is shown is, to the last field, the body that the provider gets."""
    mock = provider(MockSettings(log=True))
    shown = json.loads(llmx(*RUN, *mock.openai, "--dry-run").out)
    llmx(*RUN, *mock.openai, "-n", "1")
    provider_log = mock.server._provider._log.snapshot()
    assert provider_log[0]["body"] == shown


def test_the_hidden_columns_are_named(llmx: Llmx, mock: Mock) -> None:
    """Before the first call, what the model does not see."""
    (llmx.cwd / "rows.jsonl").write_text('{"id": 1, "text": "x", "gold": "y", "_n": 1}\n')
    done = llmx(*RUN, *mock.openai, "--key", "id")
    assert done.err.startswith("1 row; the model sees: text (not: id, gold, _n)\n")


def test_cells_that_are_apart_by_something_else(llmx: Llmx, mock: Mock) -> None:
    """Every row is one cell then, and is paid for."""
    (llmx.cwd / "semicolons.csv").write_text("id;text\n1;a\n")
    done = llmx("extract", "semicolons.csv", "-s", "name, age int", *mock.openai)
    assert done.code == 0
    assert "warning: there is one column, 'id;text': are its cells apart by semicolons?\n" in done.err


def test_the_summary_as_json(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """`--summary` says in numbers what stderr says in words."""
    llmx(*RUN, *mock.openai, "-o", "out.jsonl", "--summary", "summary.json")
    summary = json.loads((llmx.cwd / "summary.json").read_text())
    stats = mock.server.stats()
    assert summary["rows"] == {
        "settled": 10,
        "total": 10,
        "ok": 10,
        "failed": 0,
        "cached": 0,
        "coalesced": 0,
        "semantic": 0,
        "resumed": 0,
    }
    assert (summary["calls"], summary["exit_code"], summary["stopped"]) == (10, 0, None)
    assert summary["tokens"]["input"] == stats["input_tokens"]
    assert summary["cost"] is None
    assert (summary["output"], summary["written"]) == ("out.jsonl", summary["rows"]["ok"])
    assert 0 < summary["latency"]["p50"] <= summary["latency"]["p95"]


def test_the_summary_of_failures(llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path) -> None:
    """Errors are counted by kind, with an example and its line."""
    mock = provider(BROKEN)
    llmx(*RUN, *mock.openai, "-o", "out.jsonl", "--reasks", "0", "--summary", "summary.json")
    summary = json.loads((llmx.cwd / "summary.json").read_text())
    assert summary["exit_code"] == 3
    assert summary["errors"]["invalid_answer"]["count"] == 10
    assert summary["errors"]["invalid_answer"]["line"] == 1
    assert summary["errors_file"] == "out.errors.jsonl"


def test_the_errors_are_valid_input(
    llmx: Llmx, mock: Mock, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """The failed rows of one run are the input of the next."""
    llmx(*RUN, *provider(BROKEN).openai, "-o", "out.jsonl", "--reasks", "0")
    done = llmx("extract", "out.errors.jsonl", "-s", "name, age int", *mock.openai)
    assert done.code == 0
    assert [row["id"] for row in done.rows] == list(range(10))
    assert "the model sees: id, text\n" in done.err


def test_a_stale_errors_file_is_removed(
    llmx: Llmx, mock: Mock, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """After a run without failures there are no errors of an earlier one."""
    llmx(*RUN, *provider(BROKEN).openai, "-o", "out.jsonl", "--reasks", "0")
    assert (llmx.cwd / "out.errors.jsonl").exists()
    llmx(*RUN, *mock.openai, "-o", "out.jsonl")
    assert not (llmx.cwd / "out.errors.jsonl").exists()


@pytest.mark.parametrize("again", [(), ("--fresh",)], ids=["again", "fresh"])
@pytest.mark.parametrize("output", [(), ("-o", "out.jsonl")], ids=["stdout", "file"])
def test_errors_that_the_run_itself_has_left_are_removed(
    llmx: Llmx,
    provider: Callable[[MockSettings], Mock],
    rows: Path,
    output: tuple[str, ...],
    again: tuple[str, ...],
) -> None:
    """By the name that the user gave; what is not its own stays, and that is said."""
    mock = provider(MockSettings(fail_first=1))
    command = (*RUN, *mock.openai, "--retries", "0", "-c", "1", *output)
    errors, notes = llmx.cwd / "e.jsonl", llmx.cwd / "notes.jsonl"
    assert llmx(*command, "--errors", "e.jsonl").code == 3
    assert errors.exists()
    assert llmx(*command, "--errors", "e.jsonl", *again).code == 0
    assert errors.exists() is bool(
        again and not output
    )  # a run of standard output that starts over is another
    notes.write_text("{}\n")
    for _ in range(2):
        done = llmx(*command, "--errors", "notes.jsonl")
        assert (done.code, notes.read_text()) == (0, "{}\n")
        assert "is of no earlier run of this output: it stays as it is" in done.err


def test_each_output_has_its_own_errors_file(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """`a.train.jsonl` and `a.test.csv.gz` do not share one."""
    mock = provider(BROKEN)
    for output in ("a.train.jsonl", "a.test.csv.gz"):
        llmx(*RUN, *mock.openai, "-o", output, "--reasks", "0")
    names = sorted(path.name for path in llmx.cwd.glob("*errors*"))
    assert names == ["a.test.csv.gz.errors.jsonl", "a.train.errors.jsonl"]


def test_failures_with_stdout_are_kept_and_named(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """Without `-o` the failed rows lie in a folder of the run, which stderr names."""
    done = llmx(*RUN, *provider(BROKEN).openai, "--reasks", "0")
    match = re.search(r"^failed rows: (.*)$", done.err, re.MULTILINE)
    assert match is not None
    assert len(read_rows(Path(match[1]))) == 10
    assert Path(match[1]).is_relative_to(llmx.env["LLMX_HOME"])


@pytest.mark.parametrize(("allowed", "code"), [("9", 3), ("10", 0), ("99%", 3), ("100%", 0)])
def test_max_failures(
    allowed: str, code: int, llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """At or under it the exit code is 0, with a warning; above it 3."""
    argv = (*RUN, *provider(BROKEN).openai, "-o", "out.jsonl", "--reasks", "0", "--max-failures", allowed)
    done = llmx(*argv)
    assert done.code == code
    warned = done.err.endswith("warning: 10 rows failed, within --max-failures\n")
    assert warned == (code == 0)


def test_an_output_that_cannot_be_written(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """A full device is exit code 1, a clear error, and no rows that were not written."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = llmx(*RUN, *mock.openai, "-o", "/dev/full", "--output-format", "jsonl")
    assert done.code == 1
    assert "error: cannot write '/dev/full': No space left on device\n" in done.err
    assert "\nwritten: 0 of " in done.err


def test_files_of_the_home_are_private(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """The cache holds what rows say: nobody else may read it."""
    llmx(*RUN, *mock.openai)
    home = Path(llmx.env["LLMX_HOME"])
    modes = {path: path.stat().st_mode & 0o077 for path in [home, *home.rglob("*")]}
    assert {path for path, mode in modes.items() if mode} == set()


def test_no_key_is_told_anywhere(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Neither streams nor files hold it."""
    done = llmx(*RUN, *mock.openai, "--summary", "s.json", "-o", "out.jsonl", OPENAI_API_KEY="sk-canary-1")
    folder = llmx.cwd.parent
    held = [path for path in folder.rglob("*") if path.is_file() and b"sk-canary-1" in path.read_bytes()]
    assert held == []
    assert "sk-canary-1" not in done.err
