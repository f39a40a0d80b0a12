"""Standard streams that end, are closed, or whose reader goes away."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import Llmx, Mock, Running, wait_for
from rehearsal import read_rows, some_rows, write_rows

from llmx.mock import MockSettings

RUN = ("extract", "rows.jsonl", "-s", "name, age int")


def shell(llmx: Llmx, script: str) -> subprocess.CompletedProcess[str]:
    """A line of a user's own, in bash, with the real program."""
    program = f"{sys.executable} -m llmx"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", script.replace("llmx ", f"{program} ")],
        cwd=llmx.cwd,
        env=llmx.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def test_head_ends_a_run_quietly(llmx: Llmx, mock: Mock) -> None:
    """`| head -1` gets its row; the run ends with 141, without a word about it."""
    write_rows(llmx.cwd / "rows.jsonl", some_rows(3000))
    done = shell(llmx, f"llmx extract rows.jsonl -s 'name, age int' {' '.join(mock.openai)} | head -1")
    assert done.returncode == 141
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == "3,000 rows; the model sees: id, text\n"
    assert mock.calls < 3000


def test_what_was_in_flight_is_cached(llmx: Llmx, mock: Mock) -> None:
    """Answers that came after the reader had gone are not lost: the next run pays for none of them."""
    write_rows(llmx.cwd / "rows.jsonl", some_rows(200))
    read, write = os.pipe()
    with Path(os.devnull).open("rb") as source, (llmx.cwd.parent / "stderr").open("wb") as err:
        running = llmx.start((*RUN, *mock.openai), (source.fileno(), write, err.fileno()))
    os.close(write)
    os.read(read, 10)
    os.close(read)
    assert running.wait() == 141
    before = mock.calls
    assert llmx(*RUN, *mock.openai).code == 0
    assert mock.calls == 200 >= before


@contextmanager
def stalled(llmx: Llmx, mock: Mock, *argv: str, calls: int) -> Iterator[Running]:
    """A run whose reader takes nothing, as `less` does, after so many calls."""
    read, write = os.pipe()
    with Path(os.devnull).open("rb") as source, (llmx.cwd.parent / "stderr").open("wb") as err:
        running = llmx.start((*RUN, *mock.openai, *argv), (source.fileno(), write, err.fileno()))
    os.close(write)
    wait_for(lambda: mock.calls >= calls)
    time.sleep(0.3)
    yield running
    os.close(read)


@pytest.mark.parametrize(
    ("rows", "size", "argv", "calls"),
    [(2_000, 900, (), 1_000), (40, 1_200_000, (), 33), (100, 10_000, ("--output-format", "parquet"), 100)],
    ids=["many", "large", "parquet"],
)
def test_a_reader_that_stops_reading_holds_up_no_signal(
    llmx: Llmx, mock: Mock, rows: int, size: int, argv: tuple[str, ...], calls: int
) -> None:
    """The first one ends the run: what was answered is there the next time, and nothing is paid twice."""
    pad = random.Random(7).randbytes(size // 2).hex()
    write_rows(llmx.cwd / "rows.jsonl", [{"id": n, "text": "x", "_pad": f"{n}{pad}"} for n in range(rows)])
    with stalled(llmx, mock, *argv, "--input", "id", calls=calls) as running:
        running.signal(signal.SIGINT)
        assert running.wait() == 130
    assert "perhaps billed" not in (llmx.cwd.parent / "stderr").read_text()
    assert llmx(*RUN, *mock.openai, "--input", "id").code == 0
    assert mock.calls == rows


@pytest.mark.parametrize(
    "argv", [("-o", "fifo"), ("-o", "out.jsonl", "--errors", "fifo")], ids=["rows", "errors"]
)
def test_a_pipe_that_nobody_reads_yet_holds_up_no_signal(
    llmx: Llmx, mock: Mock, rows: Path, argv: tuple[str, ...]
) -> None:
    """To open it waits for its reader, before the first call."""
    os.mkfifo(llmx.cwd / "fifo")
    running, _, err = llmx.piped(*RUN, *mock.openai, *argv)
    wait_for(lambda: "the model sees" in err.read_text())
    time.sleep(0.3)
    running.signal(signal.SIGTERM)
    assert (running.wait(), mock.calls) == (143, 0)


def test_what_stopped_a_run_is_said_though_its_reader_has_gone(
    llmx: Llmx, provider: Callable[[MockSettings], Mock]
) -> None:
    """Only where nothing else has happened there is nothing to say."""
    mock = provider(MockSettings(quota_after=60))
    write_rows(llmx.cwd / "rows.jsonl", [{"id": n, "text": "x" * 2_000} for n in range(200)])
    read, write = os.pipe()
    with Path(os.devnull).open("rb") as source, (llmx.cwd.parent / "stderr").open("wb") as err:
        running = llmx.start((*RUN, *mock.openai), (source.fileno(), write, err.fileno()))
    os.close(write)
    wait_for(lambda: mock.calls > 60)
    time.sleep(0.3)
    os.close(read)
    code, said = running.wait(), (llmx.cwd.parent / "stderr").read_text()
    assert (code, said.splitlines()[-1][:7]) == (7, "resume:")


def test_a_reader_of_the_failed_rows_that_goes_away_is_told(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """That is not usual."""
    mock = provider(MockSettings(refusal_rate=1.0))
    os.mkfifo(llmx.cwd / "fifo")
    running, _, err = llmx.piped(*RUN, *mock.openai, "-c", "1", "-o", "out.jsonl", "--errors", "fifo")
    with (llmx.cwd / "fifo").open("rb"):
        pass
    assert running.wait() == 1
    assert "error: the reader of the failed rows went away" in err.read_text()


def test_a_stalled_reader_is_not_waited_for_after_a_second_signal(
    llmx: Llmx, provider: Callable[[MockSettings], Mock]
) -> None:
    """Nor are calls; and no row counts as written that nobody has taken."""
    mock = provider(MockSettings(hang_rate=0.01, seed=3))
    write_rows(llmx.cwd / "rows.jsonl", [{"id": n, "text": "x" * 9_000} for n in range(200)])
    with stalled(llmx, mock, calls=100) as running:
        running.signal(signal.SIGINT)
        time.sleep(0.2)  # or the two may come as one
        running.signal(signal.SIGINT)
        assert running.wait() == 130
    said = re.search(r"written: (\d+) of", (llmx.cwd.parent / "stderr").read_text())
    assert said is not None
    assert int(said[1]) <= 65_536 // 9_000


@pytest.mark.parametrize("argv", [("models",), ("schema", "show", "invoice"), ("schema", "list")])
def test_other_commands_end_quietly_too(argv: tuple[str, ...], llmx: Llmx) -> None:
    """A reader that goes away is nobody's error."""
    read, write = os.pipe()
    os.close(read)
    err = llmx.cwd.parent / "stderr"
    with Path(os.devnull).open("rb") as source, err.open("wb") as talk:
        running = llmx.start(argv, (source.fileno(), write, talk.fileno()))
    os.close(write)
    assert running.wait() == 141
    assert "Traceback" not in err.read_text()
    assert "Error" not in err.read_text()


def test_a_stderr_that_goes_away_stops_nothing(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Nobody listens: the rows are written all the same."""
    read, write = os.pipe()
    os.close(read)
    with Path(os.devnull).open("r+b") as null:
        argv = (*RUN, *mock.openai, "-o", "out.jsonl")
        running = llmx.start(argv, (null.fileno(), null.fileno(), write))
    os.close(write)
    assert running.wait() == 0
    assert len(read_rows(llmx.cwd / "out.jsonl")) == 10


def test_an_error_without_a_stderr_keeps_its_exit_code(llmx: Llmx, rows: Path) -> None:
    """What cannot be said is still told by the code."""
    read, write = os.pipe()
    os.close(read)
    with Path(os.devnull).open("r+b") as null:
        running = llmx.start(RUN, (null.fileno(), null.fileno(), write))
    os.close(write)
    assert running.wait() == 2


@pytest.mark.parametrize("closed", ["2>&-", "<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, llmx: Llmx, mock: Mock, rows: Path) -> None:
    """A daemon may have none of the three."""
    options = " ".join(mock.openai)
    done = shell(llmx, f"llmx extract rows.jsonl -s 'name, age int' {options} -o out.jsonl {closed}")
    assert done.returncode == 0, done.stderr
    assert len(read_rows(llmx.cwd / "out.jsonl")) == 10


def test_a_closed_input_is_not_an_empty_one(llmx: Llmx, mock: Mock) -> None:
    """A job that lost its input must not pass for one that had none."""
    done = shell(llmx, f"llmx extract -s 'name, age int' {' '.join(mock.openai)} <&-")
    assert (done.returncode, done.stderr) == (2, "error: standard input is closed\nhint: llmx extract FILE\n")


@pytest.mark.parametrize("command", ["--version", "doctor", "models", "schema list", "schema show contact"])
def test_a_closed_output_is_told(command: str, llmx: Llmx) -> None:
    """Whoever asked gets no answer."""
    done = shell(llmx, f"llmx {command} >&-")
    assert done.returncode == 1
    assert "error: cannot write 'stdout': it is closed\n" in done.stderr


def test_a_slow_writer_is_not_waited_for(llmx: Llmx, mock: Mock) -> None:
    """Rows are answered as they come; the first result is there while the input is still open."""
    read_rows_fd, write_rows_fd = os.pipe()
    read_out, write_out = os.pipe()
    with (llmx.cwd.parent / "stderr").open("wb") as err:
        argv = ("extract", "-s", "name, age int", *mock.openai)
        running = llmx.start(argv, (read_rows_fd, write_out, err.fileno()))
    os.close(read_rows_fd)
    os.close(write_out)
    with os.fdopen(write_rows_fd, "wb", buffering=0) as rows, os.fdopen(read_out, "rb") as results:
        rows.write(b'{"id": 1}\n')
        assert b'"id":1' in results.readline()
        rows.write(b'{"id": 2}\n')
        assert b'"id":2' in results.readline()
        rows.close()
        assert results.read() == b""
    assert running.wait() == 0
