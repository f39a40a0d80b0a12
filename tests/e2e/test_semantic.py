"""`--cache semantic` over a socket: what a hit saves, what is asked, and what a killed run leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rehearsal import Rehearsal, rehearse

from llmx.mock import Latency, MockSettings

Row = Mapping[str, Any]

FIRST: list[Row] = [
    {"id": 1, "text": "The parcel 4711 from Hamburg arrived late and the box was damaged."},
    {"id": 2, "text": "Please cancel order 123-A before it is shipped to Paris."},
    {"id": 3, "text": "Fly from Paris to London on 5 May 2024."},
]
ALIKE: list[Row] = [
    {"id": 1, "text": "Hello, the parcel 4711 from Hamburg arrived late, and the box was damaged!"},
    {"id": 2, "text": "Cancel order 123-A before it is shipped to Paris, please."},
    {"id": 3, "text": "fly from paris to london on May 5, 2024"},
]
NEAR: list[Row] = [
    {"id": 1, "text": "The parcel 4712 from Hamburg arrived late and the box was damaged."},
    {"id": 2, "text": "Please cancel order 123-A after it is shipped to Paris."},
    {"id": 3, "text": "Fly from London to Paris on 5 May 2024."},
]
SEMANTIC: dict[str, Any] = {"cache": "semantic", "schema": "tone good|bad|neutral", "key": "id", "meta": True}


def twice(folder: Path, second: list[Row], **options: Any) -> Rehearsal:
    """The first rows, and then others at the same address."""
    one = rehearse(folder, FIRST, **SEMANTIC)
    return again(folder, one, second, **{**SEMANTIC, **options})


def again(folder: Path, earlier: Rehearsal, rows: list[Row], **options: Any) -> Rehearsal:
    """A run that knows nothing of an earlier one but what the caches have."""
    return rehearse(folder, rows, port=earlier.port, fresh=True, **options)


def calls(run: Rehearsal) -> int:
    return int(run.stats["calls"])


def test_rows_that_say_the_same_cost_no_call(tmp_path: Path) -> None:
    """They are said to be another row's answer, with how alike they are, in the output, the summary and the journal."""
    run = twice(tmp_path, ALIKE)
    assert (calls(run), run.figures.semantic, run.figures.cached) == (0, 3, 0)
    assert [row["_llmx"] for row in run.rows] == [
        {"model": "mock", "source": "semantic", "attempts": 0, "cost": 0.0, "similarity": 1.0}
    ] * 3
    lines = (tmp_path / ".llmx" / "out.jsonl" / "journal.jsonl").read_text().splitlines()
    entries = [json.loads(line[line.index("{") :]) for line in lines]
    likes = [entry["like"][0] for entry in entries if entry.get("source") == "semantic"]
    assert [(like["similarity"], len(like["fp"])) for like in likes] == [(1.0, 64)] * 3


def test_rows_that_are_only_similar_are_asked_about(tmp_path: Path) -> None:
    """One number, one word of time, one order."""
    run = twice(tmp_path, NEAR)
    assert (calls(run), run.figures.semantic) == (3, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"schema": "tone good|bad"},
        {"system": "Extract the name."},
        {"prompt": "Name: {{ text }}"},
        {"model": ["openai/another"]},
        {"temperature": 0.5},
        {"input": ["id", "text"]},
        {"cache": "exact"},
    ],
)
def test_another_question_is_asked(tmp_path: Path, options: dict[str, Any]) -> None:
    """Schema, prompt, model, parameters and columns have to be the same."""
    assert calls(twice(tmp_path, ALIKE, **options)) == 3


def test_a_guessed_answer_is_not_the_exact_caches(tmp_path: Path) -> None:
    """A run without the semantic cache asks about a row that one with it has answered."""
    run = twice(tmp_path, ALIKE)
    exact = again(tmp_path, run, ALIKE, **{**SEMANTIC, "cache": "exact"})
    assert (calls(run), calls(exact)) == (0, 3)


def test_rows_of_one_run_help_each_other(tmp_path: Path) -> None:
    """What has been answered is at hand when the next row's turn comes."""
    rows = [
        {"text": f"{'Hello, ' * (n % 2)}the parcel 4711 from Hamburg arrived late{'.' * n}"} for n in range(6)
    ]
    run = rehearse(tmp_path, rows, cache="semantic", concurrency=1)
    assert calls(run) == 1
    assert run.figures.semantic + run.figures.coalesced == 5


def test_rows_in_flight_wait_for_one_like_them(tmp_path: Path) -> None:
    """They are one call, as identical rows are; one that only looks alike is asked about when it has ended."""
    texts = [
        "Fly from Paris to London on 5 May 2024",
        "fly from Paris to London on May 5, 2024!",
        "Fly from London to Paris on 5 May 2024",
    ]
    rows = [{"text": text} for text in texts * 2]
    run = rehearse(
        tmp_path,
        rows,
        MockSettings(latency=Latency(0.5, 0.5)),
        cache="semantic",
        schema="tone good|bad",
        concurrency=6,
    )
    assert (calls(run), run.figures.failed, len(run.rows)) == (2, 0, 6)


def test_each_vote_is_a_sample_of_its_own(tmp_path: Path) -> None:
    """A hit for the third one is an answer to the third one."""
    run = twice(tmp_path, ALIKE, votes=3)
    assert calls(run) == 6  # of the first vote there are answers
    thankful = [{**row, "text": row["text"] + " Thanks!"} for row in FIRST]
    last = again(tmp_path, run, thankful, **SEMANTIC, votes=3)
    assert (calls(last), last.figures.semantic) == (0, 3)


def test_only_valid_answers_are_kept(tmp_path: Path) -> None:
    """Those of rows that failed are given to nobody."""
    one = rehearse(tmp_path, FIRST, MockSettings(malformed_until=9), **SEMANTIC, reasks=0)
    assert one.figures.failed == 3
    two = again(tmp_path, one, ALIKE, **SEMANTIC)
    assert (calls(two), two.figures.semantic) == (3, 0)


def test_offline_rows_are_answered(tmp_path: Path) -> None:
    """As far as there is one that says the same."""
    run = twice(tmp_path, [*ALIKE, {**NEAR[0], "id": 9}], offline=True, max_failures=1)
    assert (calls(run), run.figures.semantic, run.figures.failed) == (0, 3, 1)


def test_without_a_store_it_is_only_read(tmp_path: Path) -> None:
    """What comes is not kept."""
    run = twice(tmp_path, [*ALIKE, {**NEAR[0], "id": 9}], no_store=True)
    assert (calls(run), run.figures.semantic) == (1, 3)
    thankful = [{"id": 9, "text": NEAR[0]["text"] + " Thanks."}]
    assert calls(again(tmp_path, run, thankful, **SEMANTIC)) == 1
