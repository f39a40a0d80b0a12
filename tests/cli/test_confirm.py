"""Before a changed run that is to cost more than `--confirm-above`, a person is asked; nobody else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Llmx, Mock

from llmx.journal import run_folder
from llmx.journal.lines import decode, encode

RUN = ("extract", "rows.jsonl", "-s", "name, age int", "--cache", "off", "-o", "out.jsonl")
CHANGED = ("--system", "Be brief.")
SAID = "10 of 10 rows will be asked about, about $10.00"
QUESTION = "go on? [y/N] "


@pytest.fixture
def paid(llmx: Llmx, mock: Mock, rows: Path) -> Mock:
    """A run of ten rows, each of which has cost a dollar."""
    llmx(*RUN, *mock.openai)
    journal = run_folder(llmx.cwd / "out.jsonl", None).journal
    entries = [decode(line) or {} for line in journal.read_bytes().splitlines()]
    for entry in entries:
        if entry["t"] == "answer":
            entry["usage"]["cost"] = "1"
    journal.write_bytes(b"".join(map(encode, entries)))
    journal.with_name("index.sqlite").unlink()
    return mock


@pytest.mark.parametrize("answer", ["y\n", "YES\n"])
def test_yes(llmx: Llmx, paid: Mock, answer: str) -> None:
    """The run goes on."""
    screen = llmx.on_screen(*RUN, *paid.openai, *CHANGED)
    screen.expect(QUESTION)
    assert SAID in screen.text
    screen.type(answer)
    assert (screen.wait(), paid.calls) == (0, 20)


@pytest.mark.parametrize("answer", ["n\n", "\n", "x\n", "\x04"], ids=["no", "enter", "else", "end"])
def test_no(llmx: Llmx, paid: Mock, answer: str) -> None:
    """Nobody is asked about anything, and the run before is as it was."""
    before = (llmx.cwd / "out.jsonl").read_bytes()
    screen = llmx.on_screen(*RUN, *paid.openai, *CHANGED)
    screen.expect(QUESTION)
    screen.type(answer)
    assert (screen.wait(), paid.calls) == (2, 10)
    assert "error: not confirmed: nothing was sent" in screen.text
    assert screen.text.index("\r\n", screen.text.index(QUESTION)) < screen.text.index("error: not confirmed")
    assert "hint: --confirm-above USD, the cost up to which nobody is asked" in screen.text
    assert (llmx.cwd / "out.jsonl").read_bytes() == before
    assert llmx(*RUN, *paid.openai).code == 0
    assert paid.calls == 10


def test_ctrl_c_is_no(llmx: Llmx, paid: Mock) -> None:
    """The run is interrupted before its first call."""
    screen = llmx.on_screen(*RUN, *paid.openai, *CHANGED)
    screen.expect(QUESTION)
    screen.type("\x03")
    assert (screen.wait(), paid.calls) == (130, 10)
    assert "\r\ninterrupted" in screen.text


def test_at_or_under_the_limit_nobody_is_asked(llmx: Llmx, paid: Mock) -> None:
    """The person has said so."""
    screen = llmx.on_screen(*RUN, *paid.openai, *CHANGED, "--confirm-above", "10")
    assert (screen.wait(), paid.calls) == (0, 20)
    assert QUESTION not in screen.text


def test_a_cost_that_nobody_knows_may_be_any(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """`--confirm-above 0` asks about every change that calls somebody."""
    llmx(*RUN, *mock.openai)
    screen = llmx.on_screen(*RUN, *mock.openai, *CHANGED, "--confirm-above", "0")
    screen.expect(QUESTION)
    screen.type("n\n")
    assert (screen.wait(), mock.calls) == (2, 10)
    screen = llmx.on_screen(*RUN, *mock.openai, "--confirm-above", "0", "-n", "9")
    assert (screen.wait(), mock.calls) == (0, 10)


def test_without_a_terminal_nobody_is_asked(llmx: Llmx, paid: Mock) -> None:
    """A script cannot answer; what it will cost is said all the same."""
    done = llmx(*RUN, *paid.openai, *CHANGED)
    assert (done.code, paid.calls, QUESTION in done.err) == (0, 20, False)
    assert SAID in done.err


def test_what_has_not_changed_is_not_asked_about(llmx: Llmx, paid: Mock) -> None:
    """Going on costs what was agreed to."""
    screen = llmx.on_screen(*RUN, *paid.openai)
    assert (screen.wait(), paid.calls) == (0, 10)
    assert QUESTION not in screen.text


def test_offline_costs_nothing(llmx: Llmx, paid: Mock) -> None:
    """So there is nothing to agree to."""
    screen = llmx.on_screen(*RUN, *paid.openai, *CHANGED, "--offline")
    assert (screen.wait(), paid.calls) == (3, 10)
    assert QUESTION not in screen.text
