"""`llmx schema infer` as a user has it: files in, a file out, the reasons on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Llmx, forking, mocked, surroundings

ROWS = [
    {
        "id": n,
        "text": f"review {n}",
        "gold": {"tone": tone, "stars": n % 5 + 1, "due": None if n else "2024-02-29"},
    }
    for n, tone in enumerate(["good"] * 5 + ["bad"] * 4)
]
SOURCE = '''\
"""Proposed by `llmx schema infer` from 9 rows; the descriptions are what a model reads."""

import datetime
from typing import Literal

from pydantic import BaseModel, Field

Tone = Literal[
    "good",
    "bad",
]


class Review(BaseModel):
    """What one row says, field by field; nothing is guessed."""

    tone: Tone = Field(description="tone; one of: good, bad")
    stars: int = Field(description="stars; 1 to 5 in the examples")
    due: datetime.date | None = Field(
        default=None,
        description="due; as YYYY-MM-DD; null if not stated",
    )
'''
TALK = """\
9 rows in the column 'gold'
  tone: 2 choices in 9 values: good, bad
  stars: whole number, 1 to 5 in the examples
  due: date; in 1 of 9, so it may be absent
"""


@pytest.fixture(scope="module")
def zygote_socket():
    with forking() as path:
        yield path


@pytest.fixture
def llmx(tmp_path: Path, zygote_socket: str) -> Llmx:
    work = tmp_path / "work"
    work.mkdir()
    (work / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return Llmx(zygote_socket, work, surroundings(tmp_path))


def test_the_file_is_on_stdout_and_the_reasons_on_stderr(llmx: Llmx) -> None:
    """So that it can be looked at, or written by the shell."""
    done = llmx("schema", "infer", "rows.jsonl", "--name", "Review")
    assert (done.code, done.out, done.err) == (0, SOURCE, TALK)


def test_a_file_is_written_once(llmx: Llmx) -> None:
    """Another is refused before a row is read, unless --force is given."""
    first = llmx("schema", "infer", "rows.jsonl", "--name", "Review", "-o", "schema.py")
    assert (first.code, first.out) == (0, "")
    assert first.err.endswith(
        "next: read it, mend the descriptions, then: llmx schema check schema.py:Review\n"
    )
    (llmx.cwd / "schema.py").write_text("mine")
    again = llmx("schema", "infer", "rows.jsonl", "-o", "schema.py")
    assert (again.code, again.err) == (
        2,
        "error: 'schema.py' is there already\nhint: --force overwrites it\n",
    )
    assert (llmx.cwd / "schema.py").read_text() == "mine"
    forced = llmx("schema", "infer", "rows.jsonl", "--name", "Review", "-o", "schema.py", "--force")
    assert (forced.code, (llmx.cwd / "schema.py").read_text()) == (0, SOURCE)
    assert [path.name for path in llmx.cwd.iterdir() if path.name.startswith(".")] == []


def test_it_can_be_extracted_with_at_once(llmx: Llmx) -> None:
    """The simulated provider's answers fit it, under the names that the rows have."""
    odd = [
        {"text": f"t{n}", "gold": {"Brand Name": "x", "class": "a", "size": {"w/h": 1.5}}} for n in range(4)
    ]
    (llmx.cwd / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in odd))
    assert llmx("schema", "infer", "odd.jsonl", "-o", "schema.py").code == 0
    with mocked() as mock:
        done = llmx("extract", "odd.jsonl", "-s", "schema.py:Row", *mock.openai, OPENAI_API_KEY="mock")
    assert (done.code, len(done.rows)) == (0, 4), done.err
    assert set(done.rows[0]) == {"text", "gold", "Brand Name", "class", "size"}
    assert set(done.rows[0]["size"]) == {"w/h"}


def test_csv_from_stdin(llmx: Llmx) -> None:
    """The format is named, numbers are found in the texts."""
    done = llmx("schema", "infer", "-", "--input-format", "csv", "--columns", "n", stdin=b"n,t\n1,a\n2,b\n")
    assert done.code == 0, done.err
    assert "    n: int = Field(" in done.out


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("nowhere.jsonl",), "no such file: 'nowhere.jsonl'", ""),
        (("rows.jsonl", "--gold", "gold", "--columns", "id"), "--gold and --columns exclude each other", ""),
        (
            ("rows.jsonl", "--columns", "txt"),
            "no row has a column 'txt'",
            "did you mean 'text'? columns: id, text, gold",
        ),
        (("rows.jsonl", "-o", "schema.json"), "'schema.json' is no Python file", "-o schema.py"),
        (("rows.jsonl", "-o", "."), "'.' is a folder", "-o ./schema.py"),
    ],
)
def test_mistakes(llmx: Llmx, arguments: tuple[str, ...], message: str, hint: str) -> None:
    """Exit 2, one line, and what to do."""
    done = llmx("schema", "infer", *arguments)
    assert done.code == 2
    assert message in done.err
    assert hint in done.err
    assert "Traceback" not in done.err


def test_a_file_of_which_nothing_can_be_read(llmx: Llmx) -> None:
    """Its first line is told, rather than that it has none."""
    (llmx.cwd / "odd.jsonl").write_text('{"a": NaN}\n')
    done = llmx("schema", "infer", "odd.jsonl")
    assert (
        done.code,
        done.err.startswith("error: there is no row that can be read: odd.jsonl:1: not JSON"),
    ) == (
        2,
        True,
    )


def test_rows_that_cannot_be_read_are_counted(llmx: Llmx) -> None:
    """They are no reason to stop."""
    with (llmx.cwd / "rows.jsonl").open("a") as file:
        file.write("not json\n")
    done = llmx("schema", "infer", "rows.jsonl")
    assert done.code == 0
    assert done.err.startswith("9 rows in the column 'gold'; 1 row without an answer\n")
