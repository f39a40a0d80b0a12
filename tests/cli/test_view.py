"""`llmx view`, as a user gives it."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import urllib.request
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from commands import Llmx, Mock, Running, wait_for
from paged import page_env, write_lines

from llmx.cli import view as module
from llmx.mock import Latency, MockSettings


def address(err: Path) -> str:
    """What a command has said on standard error, once it has."""
    wait_for(lambda: "viewing on" in err.read_text())
    found = re.search(
        r"viewing on (http://127\.0\.0\.1:\d+/[\w-]{32}/) \(Ctrl-C ends it\)\n", err.read_text()
    )
    assert found is not None
    return found[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_view(number: int, llmx: Llmx) -> None:
    """It says where it is, answers there, and ends at once and quietly when it is told to."""
    write_lines(llmx.cwd / "out.jsonl", [{"a": 1}])
    running, out, err = llmx.piped("view", "out.jsonl")
    with urllib.request.urlopen(address(err) + "summary", timeout=30) as response:
        assert json.load(response)["rows"]["ok"] == 1
    said = err.read_text()
    running.signal(number)
    assert running.wait() == 0
    assert (out.read_text(), err.read_text()) == ("", said)


def test_a_view_of_a_run_that_goes_on(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """Rows are seen before the run has ended, and the run is not disturbed."""
    slow = provider(MockSettings(latency=Latency.parse("0.05")))
    write_lines(rows, [{"id": number, "text": f"row {number}"} for number in range(400)])
    command = ("extract", "rows.jsonl", "-s", "tone good|bad", "-o", "out.jsonl", "--key", "id", "-c", "4")
    run, _, _ = llmx.piped(*command, *slow.openai)
    wait_for(lambda: (llmx.cwd / "out.jsonl.partial").exists())
    view, err = start_view(llmx)
    url = address(err)
    states: list[tuple[str, int]] = []
    totals: set[int | None] = set()

    def looked() -> bool:
        with urllib.request.urlopen(url + "summary", timeout=30) as response:
            summary = json.load(response)
        states.append((summary["state"], summary["rows"]["ok"]))
        totals.add(summary["total"])
        return bool(summary["state"] == "complete")

    wait_for(looked)
    view.signal(signal.SIGINT)
    assert (run.wait(), view.wait()) == (0, 0)
    assert states[0][0] == "running"
    assert states[-1] == ("complete", 400)
    assert totals == {400, None}
    assert [count for _, count in states] == sorted(count for _, count in states)


def start_view(llmx: Llmx) -> tuple[Running, Path]:
    """As `Llmx.piped`, with files of its own; that of standard error."""
    out, err = llmx.cwd.parent / "view.out", llmx.cwd.parent / "view.err"
    with Path(os.devnull).open("rb") as source, out.open("wb") as rows, err.open("wb") as talk:
        return llmx.start(("view", "out.jsonl"), (source.fileno(), rows.fileno(), talk.fileno())), err


def test_a_view_in_a_terminal(llmx: Llmx) -> None:
    """Ctrl-C ends it, and the prompt begins on a line of its own."""
    write_lines(llmx.cwd / "out.jsonl", [{"a": 1}])
    screen = llmx.on_screen("view", "out.jsonl")
    screen.expect("(Ctrl-C ends it)")
    screen.type("\x03")
    assert screen.wait() == 0
    assert screen.text.endswith("^C\r\n")


def test_an_output_that_is_not_there(llmx: Llmx) -> None:
    """Exit code 2; nothing is served."""
    done = llmx("view", "out.jsonl")
    assert (done.code, done.err) == (2, "error: no such output: 'out.jsonl'\nhint: llmx runs list\n")


def test_no_browser_is_looked_for_without_a_screen(tmp_path: Path) -> None:
    """One in the terminal would take it."""
    assert not module._has_screen(page_env(tmp_path, DISPLAY=":0"))  # standard error is no terminal


def test_the_token_is_on_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser gets a file that is its owner's alone and leads to the address; it goes with the command."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    with ExitStack() as stack:
        module._open("http://127.0.0.1:1/secret-token/", stack)
        (address,) = opened
        path = Path(address.removeprefix("file://"))
        assert "secret-token" not in address
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert 'content="0; url=http://127.0.0.1:1/secret-token/"' in path.read_text()
    assert not path.exists()
