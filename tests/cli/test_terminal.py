"""What a person sees: the progress block in a terminal, and nothing that data could do to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from commands import Llmx, Mock

from llmx.mock import Latency, MockSettings

RUN = ("extract", "rows.jsonl", "-s", "name, age int")
SLOW = MockSettings(latency=Latency(0.3, 0.3))
SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_])")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def test_no_input_and_a_terminal(llmx: Llmx) -> None:
    """Nobody is left waiting for rows that are not typed: usage, one line, exit code 2."""
    screen = llmx.on_screen("extract", "-s", "name, age int", "-m", "local")
    assert screen.wait() == 2
    assert screen.text == (
        "Usage: llmx extract [OPTIONS] [INPUT|-]...\r\n"
        "error: no INPUT, and standard input is a terminal\r\n"
        "hint: llmx extract --help\r\n"
    )


def test_the_block_shows(llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path) -> None:
    """Rows, rate, model, calls in flight, tokens and cost are seen while the run goes on."""
    screen = llmx.on_screen(*RUN, *provider(SLOW).openai, "-o", "out.jsonl", "-c", "2")
    screen.expect("of 10 rows")
    screen.expect("2 in flight")
    screen.expect("4 of 10 rows")
    screen.expect("rows/s")
    screen.expect("left")
    assert screen.wait() == 0
    assert "openai/mock" in screen.text


def test_the_block_is_gone_at_the_end(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """The terminal is left clean: the cursor is there again, and the last lines are the summary's alone."""
    screen = llmx.on_screen(*RUN, *provider(SLOW).openai, "-o", "out.jsonl", "-c", "5")
    screen.wait()
    assert screen.text.count(HIDE) == screen.text.count(SHOW) > 0
    last = screen.text[screen.text.rindex(SHOW) + len(SHOW) :]
    erased = last[last.rindex("\x1b[2K") + 4 :]
    assert SEQUENCE.search(erased) is None
    assert erased.startswith("10 rows: 10 ok, 0 failed")
    assert len(erased.splitlines()) == 2


def test_ctrl_c_drains_and_leaves_the_terminal_clean(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """The block says that it is stopping; then the cursor is back and the command that resumes is last."""
    mock = provider(MockSettings(latency=Latency(0.8, 0.8)))
    screen = llmx.on_screen(*RUN, *mock.openai, "-o", "out.jsonl", "-c", "2")
    screen.expect("2 in flight")
    screen.type("\x03")
    screen.expect("stopping (interrupted)")
    assert screen.wait() == 130
    assert screen.text.count(HIDE) == screen.text.count(SHOW)
    assert screen.text.rstrip().splitlines()[-1].startswith("resume: llmx extract rows.jsonl")


def test_ctrl_c_twice_leaves_the_terminal_clean(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """The block is gone, and the command that resumes is one line, however long it is."""
    screen = llmx.on_screen(*RUN, *provider(MockSettings(hang_rate=1.0)).openai, "-o", "out.jsonl")
    screen.expect("3 in flight")
    screen.type("\x03")
    screen.expect("Ctrl-C stops at once")
    screen.type("\x03")
    assert screen.wait() == 130
    assert screen.text.count(HIDE) == screen.text.count(SHOW)
    *_, resume = screen.text.rstrip().split("\r\n")
    assert resume.startswith("resume: llmx extract rows.jsonl")
    assert resume.endswith("/v1 -o out.jsonl")


def test_rows_on_the_terminal_are_their_own_progress(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """No block is drawn among rows, and no control code is sent."""
    screen = llmx.on_screen(*RUN, *mock.openai)
    assert screen.wait() == 0
    assert SEQUENCE.search(screen.text) is None
    assert screen.text.count('"name":') == 10


def test_plain_talk_has_no_control_codes(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """In a pipe, stderr is text."""
    done = llmx(*RUN, *provider(SLOW).openai, "-o", "out.jsonl", TERM="xterm", FORCE_COLOR="1")
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f]", done.err) is None


def test_a_dumb_terminal_gets_no_block(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """TERM=dumb cannot move a cursor."""
    screen = llmx.on_screen(*RUN, *provider(SLOW).openai, "-o", "out.jsonl", "-c", "5", TERM="dumb")
    assert screen.wait() == 0
    assert SEQUENCE.search(screen.text) is None


def test_escapes_in_data_do_not_reach_the_terminal(llmx: Llmx, mock: Mock) -> None:
    """A column's name with an escape, a bidi control and markup is told without them, and crashes nothing."""
    (llmx.cwd / "rows.jsonl").write_text('{"a\\u001b[31m[/oops]\\u202e": "x"}\n', encoding="utf-8")
    screen = llmx.on_screen(*RUN, *mock.openai, "-o", "out.jsonl")
    assert screen.wait() == 0
    said = next(line for line in screen.text.splitlines() if "the model sees" in line)
    assert SEQUENCE.search(said) is None
    assert "[/oops]" in said
    assert "\u202e" not in said


def test_escapes_in_an_error_do_not_reach_the_terminal(llmx: Llmx, mock: Mock) -> None:
    """So is an error that quotes a row's column."""
    (llmx.cwd / "rows.jsonl").write_text('{"a\\u001b[31m": "x"}\n', encoding="utf-8")
    screen = llmx.on_screen(*RUN, *mock.openai, "--input", "b")
    assert screen.wait() == 2
    assert "\x1b" not in screen.text


def test_escapes_in_a_providers_error_do_not_reach_the_terminal(llmx: Llmx, mock: Mock) -> None:
    """What a row could make a model say is told as text."""
    (llmx.cwd / "schema.py").write_text(
        "import pydantic\n"
        "class Model(pydantic.BaseModel):\n"
        "    name: str\n"
        "    @pydantic.field_validator('name')\n"
        "    @classmethod\n"
        "    def no(cls, value): raise ValueError('\\x1b[31mred\\x1b[0m [/oops]')\n"
    )
    (llmx.cwd / "rows.jsonl").write_text('{"id": 1}\n')
    argv = ("extract", "rows.jsonl", "-s", "schema.py:Model", "--reasks", "0", *mock.openai)
    screen = llmx.on_screen(*argv, "-o", "out.jsonl")
    assert screen.wait() == 3
    said = next(line for line in screen.text.splitlines() if "invalid_answer" in line)
    assert "\x1b" not in said
    assert "[/oops]" in said
