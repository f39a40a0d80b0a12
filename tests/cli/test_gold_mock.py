"""`llmx extract` against `llmx mock --gold`: what comes out is right, but for what the truth names."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Llmx, Mock

from llmx.mock import GoldSettings, MockSettings

SCHEMA = "tone good|bad|mixed, stars int, city?"
TONES = ("good", "bad", "mixed")


@pytest.fixture
def gold(llmx: Llmx) -> Path:
    """Forty reviews in CSV with their answers as columns, and `rows.csv` without these."""
    names = ("id", "text", "tone", "stars", "city")
    lines = [
        (f"r{n}", f"Review no. {n}, not from City{n + 1}", TONES[n % 3], n % 5, f"City{n}" if n % 2 else "")
        for n in range(40)
    ]
    for path, columns in ((llmx.cwd / "gold.csv", 5), (llmx.cwd / "rows.csv", 2)):
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([names[:columns], *(line[:columns] for line in lines)])
    return llmx.cwd / "gold.csv"


def truth(mock: Mock) -> dict[str, Any]:
    with urllib.request.urlopen(f"{mock.url}/truth") as response:
        document: dict[str, Any] = json.load(response)
    return document


def right(gold: Path) -> dict[str, dict[str, Any]]:
    with gold.open(encoding="utf-8", newline="") as file:
        return {
            row["id"]: {"tone": row["tone"], "stars": int(row["stars"]), "city": row["city"] or None}
            for row in csv.DictReader(file)
        }


@pytest.mark.parametrize(
    "options", [(), ("--mode", "tools"), ("--mode", "json"), ("-p", "Review: {{ text | upper }}")]
)
def test_openai(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], gold: Path, options: tuple[str, ...]
) -> None:
    """In every mode, and with a template, the output differs from gold in exactly what the truth names."""
    mock = provider(MockSettings(gold=GoldSettings(gold, errors=0.3)))
    done = llmx(
        "extract", "rows.csv", "-s", SCHEMA, "--key", "id", *mock.openai, *options, OPENAI_API_KEY="mock"
    )
    assert done.code == 0, done.err
    _compare(done.rows, gold, truth(mock))


@pytest.mark.parametrize("options", [(), ("--mode", "json")])
def test_anthropic(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], gold: Path, options: tuple[str, ...]
) -> None:
    """The same in Anthropic's format."""
    mock = provider(MockSettings(gold=GoldSettings(gold, errors=0.3)))
    surroundings = {"ANTHROPIC_API_KEY": "mock", "ANTHROPIC_BASE_URL": mock.url}
    done = llmx(
        "extract", "rows.csv", "-s", SCHEMA, "--key", "id", "-m", "anthropic/mock", *options, **surroundings
    )
    assert done.code == 0, done.err
    _compare(done.rows, gold, truth(mock))


def _compare(rows: list[dict[str, Any]], gold: Path, found: dict[str, Any]) -> None:
    answers = {row["id"]: {name: row[name] for name in ("tone", "stars", "city")} for row in rows}
    wrong = {
        (key, name): answer[name]
        for key, answer in answers.items()
        for name in answer
        if answer[name] != right(gold)[key][name]
    }
    assert wrong == {(one["row"], one["path"]): one["answered"] for one in found["wrong"]}
    (model,) = found["models"].values()
    assert (40, 0) == (model["answers"], found["unknown"])
    assert {path: field["n"] for path, field in model["fields"].items()} == {
        "tone": 40,
        "stars": 40,
        "city": 40,
    }
    assert wrong


def test_re_asked_answers(llmx: Llmx, provider: Callable[[MockSettings], Mock], gold: Path) -> None:
    """What is wrong does not depend on how often a row was asked for."""
    mocks = [provider(MockSettings(gold=GoldSettings(gold, errors=0.3), malformed_until=n)) for n in (0, 1)]
    runs = [
        llmx("extract", "rows.csv", "-s", SCHEMA, "-p", "{{ text }}", *mock.openai, OPENAI_API_KEY="mock")
        for mock in mocks
    ]
    assert [(run.code, run.rows) for run in runs] == [(0, runs[0].rows)] * 2
    assert [40, 80] == [mock.calls for mock in mocks]


def test_the_command(llmx: Llmx, gold: Path) -> None:
    """It says at its end what it got wrong; rows may be in a file of their own."""
    answers = llmx.cwd / "answers.csv"
    answers.write_text("id,tone,stars,city\nr1,bad,1,City1\nr2,mixed,2,\n", encoding="utf-8")
    command = [sys.executable, "-m", "llmx", "mock", "--port", "0", "--gold", str(answers), "--gold-rows"]
    command += [
        "rows.csv",
        "--gold-errors",
        "1",
        "--model-errors",
        "openai/weak=0.5",
        "--gold-confidence",
        ".9:.1",
    ]
    with subprocess.Popen(command, cwd=llmx.cwd, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        url = server.stderr.readline().split()[3]
        done = llmx(
            "extract",
            "rows.csv",
            "-s",
            SCHEMA,
            "-n",
            "4",
            "-m",
            "openai/m",
            OPENAI_BASE_URL=url,
            OPENAI_API_KEY="m",
        )
        server.terminate()
        said = server.stderr.read()
    assert done.code == 0, done.err
    assert f"answers from {answers}; what of them is wrong: {url.removesuffix('/v1')}/truth" in said
    assert "answers.csv, so answered at random" in said
    assert "2 answers from" in said
    assert "6 of 6 values wrong; 2 answers to rows that it does not have" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--gold", "none.csv"), "none.csv"),
        (("--gold", "gold.csv", "--gold-key", "name"), "no column 'name' among id, text, tone, stars, city"),
        (("--gold", "gold.csv", "--model-errors", "weak"), "not a model and its share of errors: 'weak'"),
        (("--gold", "gold.csv", "--model-errors", "weak=2"), "--model-errors weak is 2.0"),
        (("--gold", "gold.csv", "--gold-confidence", "2:1"), "--gold-confidence is 2.0"),
        (("--gold-errors", "0.1"), "no gold file"),
    ],
)
def test_what_it_refuses(llmx: Llmx, gold: Path, options: tuple[str, ...], message: str) -> None:
    """In one line with a hint, before it listens."""
    done = llmx("mock", "--port", "0", *options)
    assert done.code == 2
    error, hint = done.err.splitlines()
    assert message in error
    assert hint.startswith("hint: ")


def _labelled(llmx: Llmx, mock: Mock, *options: str) -> dict[str, dict[str, Any]]:
    """The output's rows by their key."""
    done = llmx(
        "extract", "rows.csv", "-s", SCHEMA, "--key", "id", *mock.openai, *options, OPENAI_API_KEY="mock"
    )
    assert done.code == 0, done.err
    return {row["id"]: row for row in done.rows}


def test_votes(llmx: Llmx, provider: Callable[[MockSettings], Mock], gold: Path) -> None:
    """Each vote is a sample with errors of its own; what two of three say is the answer, as the truth has them."""
    mock = provider(MockSettings(gold=GoldSettings(gold, errors=0.3)))
    rows = _labelled(llmx, mock, "--votes", "3")
    found = truth(mock)
    wrong = {(one["row"], one["path"], one["sample"]): one["answered"] for one in found["wrong"]}
    assert found["models"]["mock"]["answers"] == mock.calls == 120
    assert {sample for *_, sample in wrong} == {0, 1, 2}
    majorities = 0
    for key, answer in right(gold).items():
        for name, value in answer.items():
            votes = [wrong.get((key, name, sample), value) for sample in range(3)]
            agreed = [vote for vote in votes if votes.count(vote) > 1]
            majorities += bool(agreed)
            assert not agreed or rows[key][name] == agreed[0]
    assert majorities > 90


def test_log_probabilities(llmx: Llmx, provider: Callable[[MockSettings], Mock], gold: Path) -> None:
    """The confidence of right values is higher than that of wrong ones, by as much as was asked for."""
    mock = provider(MockSettings(gold=GoldSettings(gold, errors=0.5, confidence=(0.9, 0.2))))
    rows = _labelled(llmx, mock, "--logprobs")
    wrong = {(one["row"], one["path"]) for one in truth(mock)["wrong"]}
    sure: dict[bool, list[float]] = {True: [], False: []}
    for key, row in rows.items():
        for path, confidence in row["_confidence"].items():
            sure[(key, path) in wrong].append(confidence)
    assert len(sure[False]) + len(sure[True]) == 120
    assert sum(sure[False]) / len(sure[False]) == pytest.approx(0.9, abs=0.06)
    assert sum(sure[True]) / len(sure[True]) == pytest.approx(0.2, abs=0.1)


def test_evidence(llmx: Llmx, provider: Callable[[MockSettings], Mock], gold: Path) -> None:
    """What the mock quotes is where it says in the row, for each value that the row has."""
    mock = provider(MockSettings(gold=GoldSettings(gold)))
    rows = _labelled(llmx, mock, "--evidence")
    places = {key: place for key, row in rows.items() if (place := row["_evidence"].get("stars")) is not None}
    assert places
    for key, place in places.items():
        assert rows[key]["text"][place["start"] : place["end"]] == place["quote"] == str(rows[key]["stars"])
