"""The same command again: what was paid for is not paid for again, and what has changed is said."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rehearsal import (
    Rehearsal,
    options_for,
    partial,
    read_rows,
    rehearse,
    run_to_files,
    some_rows,
    with_server,
    write_rows,
)

from llmx import survey
from llmx.journal import read_manifest
from llmx.journal.lines import decode, encode
from llmx.mock import MockSettings

Rows = Iterable[Mapping[str, Any]] | int

TEN = some_rows(10)
EDITED = [{**row, "text": "edited"} if row["id"] == 3 else row for row in TEN]
SAME = [{"text": "the same"}] * 3
BAD_FIRST = MockSettings(malformed_until=1)
"""Every first answer is bad, and every one to a re-ask is good."""


def twice(
    folder: Path,
    first: Mapping[str, Any] | None = None,
    second: Mapping[str, Any] | None = None,
    *,
    rows: tuple[Rows, Rows] = (10, 10),
    mocks: tuple[MockSettings | None, MockSettings | None] = (None, None),
) -> tuple[Rehearsal, Rehearsal]:
    """Two runs of one output at one address, without the cache unless they say so: what the journal alone does."""
    one = rehearse(folder, rows[0], mocks[0], **{"cache": "off", **(first or {})})
    again = first if second is None else second
    two = rehearse(folder, rows[1], mocks[1], port=one.port, **{"cache": "off", **(again or {})})
    return one, two


def told(run: Rehearsal) -> list[str]:
    """What is said beyond the announcement."""
    return run.said[1:]


def calls(run: Rehearsal) -> int:
    return int(run.stats["calls"])


def journal_of(folder: Path) -> Path:
    return folder / ".llmx" / "out.jsonl" / "journal.jsonl"


# Nothing has changed


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_the_same_again_asks_nobody(tmp_path: Path, wire: str):
    """The rows are the same, and said to be done."""
    one = rehearse(tmp_path, 10, wire=wire, cache="off")
    two = rehearse(tmp_path, 10, wire=wire, cache="off", port=one.port)
    assert (calls(two), told(two), two.rows) == (0, ["resuming: 10 of 10 rows done"], one.rows)
    assert (two.figures.resumed, two.figures.usage.cost, two.report.exit_code) == (10, 0, 0)


def test_a_first_run_says_nothing(tmp_path: Path):
    """There is nothing that it could go on with."""
    assert told(rehearse(tmp_path, 3)) == []


def test_a_run_that_stopped_goes_on(tmp_path: Path):
    """What it had is kept, the rest is asked about, and the output is one."""
    one, two = twice(tmp_path, mocks=(MockSettings(quota_after=6), None))
    assert (one.report.exit_code, one.figures.ok, one.rows) == (7, 6, [])
    assert (calls(two), told(two)) == (4, ["resuming: 6 of 10 rows done"])
    assert (two.ids, two.report.exit_code) == (list(range(10)), 0)
    assert partial(tmp_path) == []


def test_a_run_that_goes_on_costs_what_one_would(tmp_path: Path):
    """The manifest has the tokens of all sessions."""
    for name in ("stopped", "whole"):
        (tmp_path / name).mkdir()
    twice(tmp_path / "stopped", mocks=(MockSettings(quota_after=6), None))
    rehearse(tmp_path / "whole", 10, cache="off")
    stopped = read_manifest(journal_of(tmp_path / "stopped").with_name("manifest.json"))
    whole = read_manifest(journal_of(tmp_path / "whole").with_name("manifest.json"))
    assert stopped is not None
    assert whole is not None
    assert (stopped.usage, stopped.answers, stopped.sessions) == (whole.usage, 10, 2)


# Rows have changed


@pytest.mark.parametrize(
    ("rows", "said", "asked"),
    [
        (11, ["input rows (1 new)", "1 of 11 rows will be asked about, cost unknown"], 1),
        (9, ["input rows (1 gone)", "0 of 9 rows will be asked about"], 0),
        (TEN[::-1], ["input rows (none is new or gone)", "0 of 10 rows will be asked about"], 0),
        (EDITED, ["input rows (1 new, 1 gone)", "1 of 10 rows will be asked about, cost unknown"], 1),
    ],
    ids=["added", "removed", "reordered", "edited"],
)
def test_other_rows(tmp_path: Path, rows: Rows, said: list[str], asked: int):
    """Only those that are new are asked about, and the output is as its input."""
    _, two = twice(tmp_path, rows=(10, rows))
    assert told(two) == [f"changed since the last run: {said[0]}", said[1]]
    assert calls(two) == asked
    assert two.ids == [row["id"] for row in (some_rows(rows) if isinstance(rows, int) else rows)]


def test_an_edited_row_with_a_key_is_the_same_row(tmp_path: Path):
    """It is neither new nor gone, and asked about again."""
    _, two = twice(tmp_path, {"key": "id"}, rows=(10, EDITED))
    assert told(two) == [
        "changed since the last run: input rows (1 edited)",
        "1 of 10 rows will be asked about, cost unknown",
    ]
    assert (calls(two), two.figures.resumed) == (1, 9)


def test_another_key_makes_no_row_new(tmp_path: Path):
    """Rows go by other names, which says nothing about them; what the model sees of them has changed."""
    _, two = twice(tmp_path, {}, {"key": "id"})
    assert told(two) == [
        "changed since the last run: prompt",
        "10 of 10 rows will be asked about, cost unknown",
    ]


@pytest.mark.parametrize(
    ("first", "second", "said", "asked"),
    [
        (SAME, [*SAME, SAME[0]], ["input rows (none is new or gone)", "0 of 4 rows will be asked about"], 0),
        (
            SAME,
            [*SAME, *[{"text": "b"}] * 3],
            ["input rows (3 new)", "1 of 6 rows will be asked about, cost unknown"],
            1,
        ),
        ([*SAME, {"text": "b"}], SAME, ["input rows (1 gone)", "0 of 3 rows will be asked about"], 0),
    ],
    ids=["one more", "others", "one less"],
)
def test_rows_that_are_alike(tmp_path: Path, first: Rows, second: Rows, said: list[str], asked: int):
    """Each is a row of the output; together they are asked about once."""
    _, two = twice(tmp_path, rows=(first, second))
    assert told(two) == [f"changed since the last run: {said[0]}", said[1]]
    assert (calls(two), len(two.rows)) == (asked, len(list(second)))  # type: ignore[arg-type]


def test_an_unreadable_line_is_neither_new_nor_gone(tmp_path: Path):
    """It is a row like the others, and known again."""

    def run(port: int, more: list[dict[str, Any]]) -> Rehearsal:
        rows = write_rows(tmp_path / "in.jsonl", [*some_rows(3), *more])
        rows.write_bytes(rows.read_bytes() + b"no json\n")

        async def against(server: Any) -> Any:
            return await run_to_files(
                tmp_path, {"inputs": [str(rows)], "cache": "off", **options_for("openai", server.url)}
            )

        return with_server(tmp_path, MockSettings(), against, port=port)

    one = run(0, [])
    two = run(one.port, [{"id": 3, "text": "new"}])
    assert told(two) == [
        "changed since the last run: input rows (1 new)",
        "1 of 5 rows will be asked about, cost unknown",
    ]
    assert (calls(two), two.figures.failed) == (1, 1)


def test_a_long_input_is_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And what is said of it is said to be about."""
    monkeypatch.setattr(survey, "SURVEYED", 4)
    _, two = twice(tmp_path, {}, {"system": "Be brief."})
    assert told(two) == [
        "changed since the last run: prompt",
        "about 10 of 10 rows will be asked about, cost unknown",
    ]


# The first rows, then all


def test_a_limit_and_then_all(tmp_path: Path):
    """The trial's rows are not paid for again."""
    one, two = twice(tmp_path, {"limit": 5}, {})
    assert (calls(one), calls(two), told(two)) == (5, 5, ["resuming: 5 of 10 rows done"])
    assert two.ids == list(range(10))


def test_all_and_then_a_limit(tmp_path: Path):
    """Nobody is asked, and the output has what was asked for."""
    _, two = twice(tmp_path, {}, {"limit": 5})
    said = ["resuming: 5 of 5 rows done", "the output is of 10 rows and will be of 5"]
    assert (calls(two), told(two), two.ids) == (0, said, list(range(5)))


def test_all_and_then_none(tmp_path: Path):
    """An input that a mistake has emptied."""
    _, two = twice(tmp_path, rows=(10, 0))
    said = ["changed since the last run: input rows (10 gone)", "0 of 0 rows will be asked about"]
    assert two.said == [*said, "warning: 'out.jsonl' had 10 rows and has none now"]


def test_rows_of_other_inputs_are_not_counted(tmp_path: Path):
    """What is done of this one is what is said, whatever else the journal has."""
    one, _ = twice(tmp_path, {}, {"limit": 5})
    three = rehearse(tmp_path, 10, port=one.port, cache="off", limit=5)
    assert (calls(three), told(three)) == (0, ["resuming: 5 of 5 rows done"])


# The question has changed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"schema": "name, age int, city"}, "schema"),
        ({"prompt": "{{ text }}"}, "prompt"),
        ({"system": "Be brief."}, "prompt"),
        ({"input": "text"}, "prompt"),
        ({"model": "openai/other"}, "model"),
        ({"temperature": 0.5}, "parameters"),
        ({"mode": "tools"}, "parameters"),
        ({"temperature": 0.5, "system": "Be brief."}, "prompt, parameters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_another_question(tmp_path: Path, changed: dict[str, Any], said: str):
    """What it is that has changed, how many rows that concerns; all are asked, and no old answer is used."""
    _, two = twice(tmp_path, {}, changed)
    assert told(two) == [
        f"changed since the last run: {said}",
        "10 of 10 rows will be asked about, cost unknown",
    ]
    assert (calls(two), two.figures.resumed) == (10, 0)


def test_the_question_before_is_remembered(tmp_path: Path):
    """Changed and changed back: nobody is asked."""
    one, _ = twice(tmp_path, {}, {"temperature": 0.5})
    three = rehearse(tmp_path, 10, cache="off", port=one.port)
    assert told(three) == ["changed since the last run: parameters", "0 of 10 rows will be asked about"]
    assert (calls(three), three.rows) == (0, one.rows)


@pytest.mark.parametrize(
    "changed",
    [{"keep": "none"}, {"prefix": "p_"}, {"into": "found"}, {"meta": True}, {"rpm": 6_000}, {"reasks": 5}],
    ids=lambda value: next(iter(value)),
)
def test_what_makes_no_other_question(tmp_path: Path, changed: dict[str, Any]):
    """Another shape of the output, another pace."""
    _, two = twice(tmp_path, {}, changed)
    assert (calls(two), told(two)) == (0, ["resuming: 10 of 10 rows done"])


def test_another_version_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It may ask otherwise; what it asks as before is not asked again."""
    one = rehearse(tmp_path, 3, cache="off")
    monkeypatch.setattr("llmx.state.__version__", "99.0")
    two = rehearse(tmp_path, 3, cache="off", port=one.port)
    assert told(two) == ["changed since the last run: llmx's version", "0 of 3 rows will be asked about"]
    assert calls(two) == 0


# Rows that failed

VALIDATED = """
import pydantic


class Model(pydantic.BaseModel):
    name: str

    @pydantic.field_validator("name")
    @classmethod
    def checked(cls, name: str) -> str:
        if {condition}:
            raise ValueError("too strict")
        return name
"""


def test_a_mended_validator_makes_failed_rows_good(tmp_path: Path):
    """Without a call: what was paid for is tried first."""

    def run(condition: str, port: int = 0) -> Rehearsal:
        (tmp_path / "schema.py").write_text(VALIDATED.format(condition=condition))
        schema = str(tmp_path / "schema.py:Model")
        return rehearse(tmp_path, 4, port=port, cache="off", schema=schema, reasks=0)

    one = run("True")
    assert (one.kinds, calls(one), one.report.exit_code) == ({"invalid_answer"}, 4, 3)
    two = run("False", one.port)
    assert (two.figures.ok, calls(two), two.errors, two.report.exit_code) == (4, 0, [], 0)
    assert not (tmp_path / "out.errors.jsonl").exists()


def test_a_stricter_validator_asks_again_about_what_fails_now(tmp_path: Path):
    """Once each; rows that pass are left alone."""

    def run(condition: str, port: int = 0) -> Rehearsal:
        (tmp_path / "schema.py").write_text(VALIDATED.format(condition=condition))
        schema = str(tmp_path / "schema.py:Model")
        return rehearse(tmp_path, 4, port=port, cache="off", schema=schema, reasks=0)

    one = run("False")
    two = run(f"name == {one.rows[1]['name']!r}", one.port)
    assert calls(two) == len(two.errors) == sum(row["name"] == one.rows[1]["name"] for row in one.rows)


def test_failed_rows_of_a_finished_run_are_asked_again(tmp_path: Path):
    """Only they."""
    mock = MockSettings(malformed_rate=0.5, seed=3)
    one, two = twice(tmp_path, {"reasks": 0}, mocks=(mock, None))
    failed = len(one.errors)
    assert 0 < failed < 10
    assert told(two) == [f"resuming: {10 - failed} of 10 rows done"]
    assert (calls(two), two.figures.resumed, two.errors) == (failed, 10 - failed, [])
    assert two.ids == list(range(10))


def test_failed_rows_of_a_stopped_run_stay_failed_until_it_is_finished(tmp_path: Path):
    """Going on is one run: it asks about no row twice."""
    mock = MockSettings(malformed_until=1, quota_after=6)
    one, two = twice(tmp_path, {"reasks": 0}, mocks=(mock, None))
    assert (len(read_rows(tmp_path / "out.errors.jsonl")), one.report.exit_code) == (6, 7)
    assert (calls(two), two.figures.ok, two.figures.failed) == (4, 4, 6)
    three = rehearse(tmp_path, 10, port=one.port, cache="off", reasks=0)
    assert (calls(three), three.figures.ok) == (6, 10)


def test_more_reasks_go_on_where_it_was_left(tmp_path: Path):
    """The answers there are are shown to the model with their errors; they are not asked for again."""
    one, two = twice(tmp_path, {"reasks": 0}, {"reasks": 1}, rows=(4, 4), mocks=(BAD_FIRST, None))
    assert (calls(one), len(one.errors)) == (4, 4)
    assert (calls(two), two.figures.reasks, two.errors) == (4, 4, [])


def test_the_same_reasks_are_replayed(tmp_path: Path):
    """A row that needed one has two answers in the journal, and costs nothing."""
    one, two = twice(tmp_path, rows=(4, 4), mocks=(BAD_FIRST, BAD_FIRST))
    assert (calls(one), calls(two), two.rows, two.figures.reasks) == (8, 0, one.rows, 0)


def test_fewer_reasks_take_nothing_away_from_the_cache(tmp_path: Path):
    """A row that needed one is good, whatever is allowed now."""
    _, two = twice(
        tmp_path, {"cache": "exact"}, {"cache": "exact", "reasks": 0}, rows=(4, 4), mocks=(BAD_FIRST,) * 2
    )
    assert (calls(two), two.figures.ok) == (0, 4)


def test_fewer_reasks_take_nothing_away_from_the_journal(tmp_path: Path):
    """A re-ask that has been answered costs nothing, so its limit does not hold for it."""
    one, two = twice(tmp_path, {"reasks": 2}, {"reasks": 0}, rows=(4, 4), mocks=(BAD_FIRST,) * 2)
    assert (calls(one), calls(two), two.figures.ok, two.rows) == (8, 0, 4, one.rows)


def test_a_larger_limit_asks_again_about_answers_that_were_cut(tmp_path: Path):
    """And about no others."""
    one, two = twice(tmp_path, {"max_output_tokens": 3}, {"max_output_tokens": 400}, rows=(4, 4))
    assert (one.kinds, calls(two), two.figures.ok) == ({"truncated_answer"}, 4, 4)
    three = rehearse(tmp_path, 4, port=one.port, cache="off", max_output_tokens=3)
    assert (calls(three), three.figures.ok) == (0, 4)


# Damage


def damaged(path: Path, *numbers: int) -> None:
    """A byte is another in these answers."""
    lines = path.read_bytes().splitlines(keepends=True)
    answers = [n for n, line in enumerate(lines) if b'"t":"answer"' in line]
    for number in numbers:
        lines[answers[number]] = lines[answers[number]].replace(b'"t"', b'"T"', 1)
    path.write_bytes(b"".join(lines))
    path.with_name("index.sqlite").unlink()


def test_a_damaged_answer_is_said(tmp_path: Path):
    """Something is wrong with the disk, or somebody has been there."""
    one = rehearse(tmp_path, 10, cache="off")
    damaged(journal_of(tmp_path), 2)
    two = rehearse(tmp_path, 10, cache="off", port=one.port)
    assert told(two)[-1] == ("warning: 1 line of the journal cannot be trusted and will not be used")


@pytest.mark.parametrize("numbers", [(2,), (0, 9), tuple(range(10))], ids=["one", "two", "all"])
def test_damaged_answers_are_asked_again(tmp_path: Path, numbers: tuple[int, ...]):
    """They, and no others."""
    one = rehearse(tmp_path, 10, cache="off")
    damaged(journal_of(tmp_path), *numbers)
    two = rehearse(tmp_path, 10, cache="off", port=one.port)
    assert (calls(two), two.rows) == (len(numbers), one.rows)


@pytest.mark.parametrize("name", ["manifest.json", "index.sqlite"])
@pytest.mark.parametrize("content", [None, b"damaged"], ids=["gone", "damaged"])
def test_all_that_is_needed_is_in_the_journal(tmp_path: Path, name: str, content: bytes | None):
    """A run goes on without the rest."""
    one = rehearse(tmp_path, 10, cache="off")
    path = journal_of(tmp_path).with_name(name)
    path.unlink() if content is None else path.write_bytes(content)
    two = rehearse(tmp_path, 10, cache="off", port=one.port)
    assert (calls(two), told(two), two.rows) == (0, ["resuming: 10 of 10 rows done"], one.rows)


def test_an_answer_that_was_tampered_with_is_used_only_where_it_fits(tmp_path: Path):
    """Whoever can write the journal can write an answer; it is validated like any other."""
    one = rehearse(tmp_path, 1, cache="off")
    path = journal_of(tmp_path)
    lines = [decode(line) or {} for line in path.read_bytes().splitlines()]
    path.write_bytes(
        b"".join(
            encode({**line, **({"text": '{"name": 1}'} if line["t"] == "answer" else {})}) for line in lines
        )
    )
    path.with_name("index.sqlite").unlink()
    two = rehearse(tmp_path, 1, cache="off", port=one.port, reasks=0)
    assert (calls(two), two.rows) == (1, one.rows)


# Options


def test_fresh_starts_over(tmp_path: Path):
    """All are asked again, without a word; the journal before is set aside."""
    one, two = twice(tmp_path, {}, {"fresh": True})
    assert (calls(two), told(two)) == (10, [])
    assert journal_of(tmp_path).with_name("journal.old.jsonl").exists()
    three = rehearse(tmp_path, 10, cache="off", port=one.port)
    assert calls(three) == 0


def test_no_store_keeps_nothing(tmp_path: Path):
    """No folder, and nothing in the cache: the next run pays."""
    one, two = twice(tmp_path, {"no_store": True, "cache": "exact"}, {"cache": "exact"})
    assert calls(two) == 10
    assert told(two) == []
    rehearse(tmp_path, 10, port=one.port, no_store=True, output="other.jsonl")
    assert [path.name for path in (tmp_path / ".llmx").iterdir() if path.is_dir()] == ["out.jsonl"]


def test_no_store_leaves_the_folder_as_it_was(tmp_path: Path):
    """Beside in- and output there is nothing."""
    rehearse(tmp_path, 3, no_store=True)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == [
        "in.jsonl",
        "out.jsonl",
    ]


def test_no_store_does_not_go_on(tmp_path: Path):
    """It reads no journal either."""
    _, two = twice(tmp_path, {}, {"no_store": True})
    assert (calls(two), told(two)) == (10, [])


def test_offline_a_miss_is_an_error_row(tmp_path: Path):
    """Nobody is asked, and that is what is said."""
    _, two = twice(tmp_path, {}, {"offline": True}, rows=(10, 12))
    assert told(two) == [
        "changed since the last run: input rows (2 new)",
        "2 of 12 rows have no stored answer and fail (--offline)",
    ]
    assert (calls(two), two.figures.ok, two.failed_ids, two.kinds) == (0, 10, [10, 11], {"not_stored"})
    assert two.report.exit_code == 3
    assert two.errors[0]["_error"]["message"] == "no answer is stored for this row"


def test_offline_rows_are_asked_about_afterwards(tmp_path: Path):
    """Those that were missed, and no others."""
    one, _ = twice(tmp_path, {}, {"offline": True}, rows=(10, 12))
    three = rehearse(tmp_path, 12, port=one.port, cache="off")
    assert (calls(three), three.figures.ok, three.errors) == (2, 12, [])


def test_offline_needs_nobody(tmp_path: Path):
    """No server, no key: everything is there."""
    one = rehearse(tmp_path, 3, cache="off")
    options = {"inputs": [str(tmp_path / "in.jsonl")], "cache": "off", "offline": True}
    url = f"http://127.0.0.1:{one.port}"

    async def alone(server: Any) -> Any:
        return await run_to_files(tmp_path, {**options, **options_for("openai", url)})

    two = with_server(tmp_path, MockSettings(), alone)
    assert (two.report.exit_code, two.rows, calls(two)) == (0, one.rows, 0)


def test_offline_without_anything(tmp_path: Path):
    """A first run has nothing but misses."""
    run = rehearse(tmp_path, 3, offline=True)
    assert (calls(run), run.kinds, run.report.exit_code) == (0, {"not_stored"}, 3)


def test_a_state_dir(tmp_path: Path):
    """The run is kept there, found there, and nowhere else."""
    _, two = twice(tmp_path, {"state_dir": str(tmp_path / "state")})
    assert (calls(two), told(two)) == (0, ["resuming: 10 of 10 rows done"])
    assert (tmp_path / "state" / "out.jsonl" / "journal.jsonl").exists()
    assert not (tmp_path / ".llmx").exists()


def test_order_done(tmp_path: Path):
    """Each row comes once, whichever session it is of."""
    options = {"order": "done", "concurrency": 4}
    one, two = twice(tmp_path, options, mocks=(MockSettings(quota_after=6), None))
    assert (one.figures.ok, calls(two), sorted(two.ids)) == (6, 4, list(range(10)))


def test_csv(tmp_path: Path):
    """Its header is there once, and its rows in order."""
    options = {"output": "out.csv"}
    one, two = twice(tmp_path, options, mocks=(MockSettings(quota_after=6), None))
    assert (one.figures.ok, calls(two)) == (6, 4)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == list(range(10))
    assert list(rows[0]) == ["id", "text", "name", "age"]


def test_parquet(tmp_path: Path):
    """One file of all rows, in order."""
    parquet = pytest.importorskip("pyarrow.parquet")
    options = {"output": "out.parquet"}
    one, two = twice(tmp_path, options, mocks=(MockSettings(quota_after=6), None))
    assert (one.figures.ok, calls(two)) == (6, 4)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column("id").to_pylist() == list(range(10))


def test_explode(tmp_path: Path):
    """An answer's rows are made of it again, all of them."""
    options = {"schema": "tags list[str]", "explode": "tags"}
    one, two = twice(tmp_path, options)
    assert (calls(two), two.rows, told(two)) == (0, one.rows, ["resuming: 10 of 10 rows done"])


def test_rows_not_exploded_before(tmp_path: Path):
    """The shape of the output is no part of the question."""
    one, two = twice(tmp_path, {"schema": "tags list[str]"}, {"schema": "tags list[str]", "explode": "tags"})
    assert calls(two) == 0
    assert len(two.rows) == sum(len(row["tags"]) for row in one.rows)


def test_meta_says_where_a_row_is_from(tmp_path: Path):
    """The journal; what the row had cost is still true."""
    one, two = twice(tmp_path, {"meta": True})
    assert two.rows == [{**row, "_llmx": {**row["_llmx"], "source": "journal"}} for row in one.rows]
    assert one.rows[0]["_llmx"]["attempts"] == 1


def test_a_failed_row_says_what_all_sessions_spent_on_it(tmp_path: Path):
    """Its answers are found in the journal, and the second run's own come on top."""
    (tmp_path / "schema.py").write_text(VALIDATED.format(condition="True"))
    options = {"cache": "off", "schema": str(tmp_path / "schema.py:Model"), "reasks": 1}
    one = rehearse(tmp_path, 2, **options)
    two = rehearse(tmp_path, 2, port=one.port, **options)
    spent = [[row["_error"]["attempts"] for row in run.errors] for run in (one, two)]
    assert (spent, calls(one), calls(two)) == ([[2, 2], [4, 4]], 4, 4)
    assert (two.figures.calls, two.figures.usage.cost) == (4, one.figures.usage.cost)


# Beside the cache


def test_the_cache_answers_first(tmp_path: Path):
    """Either way nobody is asked."""
    _, two = twice(tmp_path, {"cache": "exact"})
    assert (calls(two), two.figures.cached, two.figures.resumed) == (0, 10, 0)
    assert told(two) == ["resuming: 10 of 10 rows done"]


def test_another_output_has_the_cache_and_no_journal(tmp_path: Path):
    """It is a run of its own."""
    one, two = twice(tmp_path, {"cache": "exact"}, {"cache": "exact", "output": "other.jsonl"})
    assert (calls(two), two.figures.cached, told(two)) == (0, 10, [])
    assert read_rows(tmp_path / "other.jsonl") == one.rows


def test_what_the_cache_has_is_not_said_to_be_asked_about(tmp_path: Path):
    """A question that another output has asked is answered."""
    one = rehearse(tmp_path, 10, output="other.jsonl", temperature=0.5)
    rehearse(tmp_path, 10, port=one.port)
    three = rehearse(tmp_path, 10, port=one.port, temperature=0.5)
    assert told(three) == ["changed since the last run: parameters", "0 of 10 rows will be asked about"]
    assert calls(three) == 0
