"""How far answers can be trusted: votes, log-probabilities, cascades, and what a person should look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from opinions import Opinions, run
from rehearsal import in_simulated_time, read_rows, run_to_files, write_rows

from llmx.errors import UsageError
from llmx.report.summary import figures_as_json, figures_as_lines

ROWS = [{"id": n, "text": f"row {n}"} for n in range(4)]
TONE = "tone good|bad, stars int"


def torn(row: Mapping[str, Any], model: str, turn: int) -> Any:
    """Of every fourth row nobody is sure; one vote of row 2 is no answer at all."""
    number = int(row["text"].split()[-1])
    if number == 2 and turn == 1:
        return {"tone": "awful"}
    tone = "bad" if number == 1 and turn == 1 else "good"
    return {"tone": tone, "stars": turn if number == 3 else 5}


def test_each_field_is_what_most_votes_say(tmp_path: Path) -> None:
    """With the share of all votes that say it, of which those without a valid answer are some."""

    async def main() -> None:
        opinions = Opinions(torn)
        async with opinions.listening() as url:
            report, rows = await run(tmp_path, ROWS, url, schema=TONE, votes=3, reasks=0)
        assert report.exit_code == 0
        assert rows[0] == {"id": 0, "tone": "good", "stars": 5, "_confidence": {"tone": 1, "stars": 1}}
        third = pytest.approx(1 / 3, abs=1e-6)
        assert rows[1]["_confidence"] == {"tone": pytest.approx(2 / 3, abs=1e-6), "stars": 1}
        assert rows[2]["_confidence"]["tone"] == pytest.approx(2 / 3, abs=1e-6)
        assert (rows[3]["stars"], rows[3]["_confidence"]["stars"]) == (0, third)
        assert report.figures.calls == 12
        assert figures_as_json(report.figures)["confidence"]["rows_certain"] == 1

    in_simulated_time(main)


def test_votes_are_cached_each_by_itself(tmp_path: Path) -> None:
    """A run without votes has paid for the first one, one with more votes pays for those that are new."""

    async def main() -> None:
        opinions = Opinions(torn)
        async with opinions.listening() as url:
            asked = {"schema": TONE, "reasks": 0}
            alone, _ = await run(tmp_path, ROWS[:2], url, output="a.jsonl", **asked)
            three, first = await run(tmp_path, ROWS[:2], url, output="b.jsonl", votes=3, **asked)
            again, second = await run(tmp_path, ROWS[:2], url, output="c.jsonl", votes=3, **asked)
        assert [report.figures.calls for report in (alone, three, again)] == [2, 4, 0]
        assert again.figures.cached == 2
        assert first == second

    in_simulated_time(main)


def test_a_run_with_votes_goes_on_by_its_journal(tmp_path: Path) -> None:
    """All votes of a row are replayed, with the cache off, too."""

    async def main() -> None:
        opinions = Opinions(torn)
        async with opinions.listening() as url:
            asked = {"schema": TONE, "votes": 3, "reasks": 0, "cache": "off"}
            _, first = await run(tmp_path, ROWS, url, **asked)
            (tmp_path / "out.jsonl").unlink()
            again, second = await run(tmp_path, ROWS, url, **asked)
        assert again.figures.calls == 0
        assert first == second

    in_simulated_time(main)


def test_other_votes_are_a_change(tmp_path: Path) -> None:
    """A run of one vote is not gone on with by three of them."""

    async def main() -> None:
        opinions = Opinions(torn)
        async with opinions.listening() as url:
            await run(tmp_path, ROWS[:2], url, schema=TONE)
            report, rows = await run(tmp_path, ROWS[:2], url, schema=TONE, votes=3)
        assert report.figures.calls == 4
        assert all("_confidence" in row for row in rows)

    in_simulated_time(main)


def test_log_probabilities_say_how_sure_the_model_was(tmp_path: Path) -> None:
    """They are asked for, and kept with the answer in the cache."""

    async def main() -> None:
        opinions = Opinions(torn, chance=0.5)
        async with opinions.listening() as url:
            _, rows = await run(tmp_path, ROWS[:1], url, schema=TONE, logprobs=True)
            again, cached = await run(
                tmp_path, ROWS[:1], url, schema=TONE, logprobs=True, output="other.jsonl"
            )
        assert opinions.bodies[0]["logprobs"] is True
        assert rows[0]["_confidence"] == {"tone": 0.25, "stars": 0.5}  # a text ends with a token of its own
        assert again.figures.cached == 1
        assert cached == rows

    in_simulated_time(main)


def test_log_probabilities_of_answers_that_are_json_by_instruction(tmp_path: Path) -> None:
    """They are those of the answer as it stands in the response, whatever stands around it."""

    async def main() -> None:
        opinions = Opinions(lambda row, model, turn: '```json\n{"tone":"good","stars" :5}\n```')
        async with opinions.listening() as url:
            _, rows = await run(tmp_path, ROWS[:1], url, schema=TONE, logprobs=True, mode="json")
        assert rows[0]["_confidence"] == {"tone": 0.25, "stars": 0.5}

    in_simulated_time(main)


def test_votes_are_weighed_by_log_probabilities(tmp_path: Path) -> None:
    """Three that agree are as sure as they are each."""

    async def main() -> None:
        opinions = Opinions(torn, chance=0.5)
        async with opinions.listening() as url:
            _, rows = await run(tmp_path, ROWS[:1], url, schema=TONE, logprobs=True, votes=3)
        assert rows[0]["_confidence"] == {"tone": 0.25, "stars": 0.5}

    in_simulated_time(main)


def cheap_and_strong(row: Mapping[str, Any], model: str, turn: int) -> Any:
    """The strong model always knows; the cheap one has no answer to row 1 and is of two minds about row 2."""
    number = int(row["text"].split()[-1])
    if model == "gpt-5-mini":
        return {"tone": "good", "stars": 5}
    if number == 1:
        return {"tone": "none of these"}
    return {"tone": "bad" if number == 2 and turn else "good", "stars": 5}


CASCADE = ["openai/gpt-5-nano", "openai/gpt-5-mini"]


def test_a_cascade_asks_the_strong_model_where_the_cheap_one_will_not_do(tmp_path: Path) -> None:
    """Where it has no valid answer, and where its votes do not agree; what was saved is told."""

    async def main() -> None:
        opinions = Opinions(cheap_and_strong)
        async with opinions.listening() as url:
            options = {"schema": TONE, "votes": 2, "reasks": 0, "meta": True, "cascade": CASCADE}
            report, rows = await run(tmp_path, ROWS, url, **options)
            again, _ = await run(tmp_path, ROWS, url, output="again.jsonl", **options)
        assert opinions.models == {"gpt-5-nano": 8, "gpt-5-mini": 2}
        models = [row["_llmx"]["model"] for row in rows]
        assert models == ["gpt-5-nano", "gpt-5-mini", "gpt-5-mini", "gpt-5-nano"]
        assert [row["_llmx"]["attempts"] for row in rows] == [2, 3, 3, 2]
        told = figures_as_json(report.figures)["cascade"]
        assert (told["sufficed"], told["reasons"]) == (2, {"invalid_answer": 1, "votes": 1})
        assert any(
            "2 rows by a cheaper model, 2 passed on" in line for line in figures_as_lines(report.figures)
        )
        assert again.figures.calls == 0
        assert again.figures.trust.sufficed == 2

    in_simulated_time(main)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_rows_that_are_alike_are_settled_by_the_cheap_model_each(tmp_path: Path, concurrency: int) -> None:
    """Whether they share a call in flight or find its answer."""

    async def main() -> None:
        opinions = Opinions(cheap_and_strong)
        rows = [{"id": n, "text": f"row {n % 2}"} for n in range(6)]
        async with opinions.listening() as url:
            options = {"schema": TONE, "reasks": 0, "cascade": CASCADE, "concurrency": concurrency}
            report, _ = await run(tmp_path, rows, url, cache="off", **options)
        told = figures_as_json(report.figures)["cascade"]
        assert (told["sufficed"], told["escalated"]) == (3, 1)
        assert opinions.models == {"gpt-5-nano": 2, "gpt-5-mini": 1}

    in_simulated_time(main)


def test_what_a_cascade_has_saved_is_what_the_strong_model_would_have_cost(tmp_path: Path) -> None:
    """By prices that are given: 1 and 10 dollars a million tokens, 120 tokens a call."""

    async def main() -> None:
        opinions = Opinions(cheap_and_strong)
        async with opinions.listening() as url:
            tables = {
                name: {"model": model, "base-url": url, "input-price": price, "output-price": price}
                for name, model, price in (("nano", CASCADE[0], 1), ("mini", CASCADE[1], 10))
            }
            report, _ = await run(
                tmp_path,
                ROWS,
                url,
                schema=TONE,
                votes=2,
                reasks=0,
                cascade=["nano", "mini"],
                endpoints=tables,
            )
        spent = Decimal(8 * 120 * 1 + 2 * 120 * 10) / 10**6
        strong_alone = Decimal(4 * 120 * 10) / 10**6
        assert report.figures.cost == spent
        assert report.figures.trust.saved == strong_alone - spent

    in_simulated_time(main)


def test_a_cascade_by_a_confidence_that_is_given(tmp_path: Path) -> None:
    """A lower one takes what most agree on."""

    async def main() -> None:
        opinions = Opinions(cheap_and_strong)
        async with opinions.listening() as url:
            options = {"schema": TONE, "votes": 2, "reasks": 0, "cascade": CASCADE}
            await run(tmp_path, [ROWS[0], ROWS[2]], url, min_confidence=0.5, **options)
        assert opinions.models == {"gpt-5-nano": 4}

    in_simulated_time(main)


def test_rows_to_review_are_gathered(tmp_path: Path) -> None:
    """Those that failed, and those that are not sure enough, each with why; and nothing is left of the last time."""

    async def main() -> None:
        opinions = Opinions(lambda row, model, turn: cheap_and_strong(row, "", turn))
        async with opinions.listening() as url:
            options = {"schema": TONE, "votes": 2, "reasks": 0, "review": "look.jsonl"}
            report, _ = await run(tmp_path, ROWS, url, **options)
            found = read_rows(tmp_path / "look.jsonl")
            assert report.reviewed == 2
            assert [(row["id"], row["_review"].split(":")[0]) for row in found] == [
                (2, "not sure"),
                (1, "failed"),
            ]
            assert found[0]["_review"] == "not sure: tone 0.50"
            report, _ = await run(tmp_path, [ROWS[0]], url, **options)
        assert report.reviewed == 0
        assert not (tmp_path / "look.jsonl").exists()

    in_simulated_time(main)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_confidence": 0.5}, "--min-confidence needs to know how sure an answer is"),
        ({"calibration": "c.json"}, "--calibration needs to know how sure an answer is"),
        ({"cascade": ["openai/gpt-5-mini"]}, "there is nobody to turn to"),
        ({"cascade": CASCADE, "spread": True}, "--cascade and --spread exclude each other"),
        ({"review": "x.jsonl", "output": "-"}, "--review looks at the rows in a file"),
        ({"review": "x.csv"}, "rows to review are JSON Lines"),
        ({"review": "out.jsonl"}, "is an output already"),
        ({"logprobs": True, "model": "anthropic/claude-haiku-4-5"}, "tells no log-probabilities"),
        ({"logprobs": True, "mode": "tools"}, "tells no log-probabilities of a tool call"),
        ({"votes": 2, "min_confidence": 0.5, "calibration": "c.json"}, "exclude each other"),
        ({"logprobs": True, "review": "x.jsonl"}, "--review with --logprobs needs to be told"),
        ({"logprobs": True, "votes": 2, "cascade": CASCADE}, "--cascade with --logprobs needs to be told"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """They are refused before anything is sent."""

    async def main() -> None:
        opinions = Opinions(torn)
        async with opinions.listening() as url:
            with pytest.raises(UsageError, match=message):
                await run(tmp_path, ROWS[:1], url, schema=TONE, **options)
        assert not opinions.bodies

    in_simulated_time(main)


def test_several_models_vote_in_turn(tmp_path: Path) -> None:
    """With --spread each vote has another model as its first; who takes part stands beside the row."""

    async def main() -> None:
        opinions = Opinions(lambda row, model, turn: {"tone": "good", "stars": len(model)})
        async with opinions.listening() as url:
            options = {"schema": TONE, "votes": 3, "spread": True, "meta": True, "model": CASCADE}
            _, rows = await run(tmp_path, ROWS[:2], url, **options)
            again, cached = await run(tmp_path, ROWS[:2], url, output="again.jsonl", **options)
        assert opinions.models == {"gpt-5-nano": 4, "gpt-5-mini": 2}
        assert rows[0]["_llmx"]["model"] == "gpt-5-nano, gpt-5-mini"
        assert again.figures.calls == 0
        assert [row["_confidence"] for row in cached] == [row["_confidence"] for row in rows]

    in_simulated_time(main)


def test_exploded_rows_have_what_is_known_of_their_element(tmp_path: Path) -> None:
    """By the names that the values have there; with --prefix and --into, too."""
    votes = [{"who": "Ann", "items": [{"n": 1}, {"n": 2}]}, {"who": "Ann", "items": [{"n": 1}, {"n": 3}]}]
    schema = {
        "type": "object",
        "properties": {
            "who": {"type": "string"},
            "items": {
                "type": "array",
                "items": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
            },
        },
        "required": ["who", "items"],
    }

    async def main() -> None:
        opinions = Opinions(lambda row, model, turn: votes[turn])
        async with opinions.listening() as url:
            options: dict[str, Any] = {"schema": schema, "votes": 2}
            _, exploded = await run(tmp_path, ROWS[:1], url, explode="items", prefix="x_", **options)
            _, inside = await run(tmp_path, ROWS[:1], url, into="all", output="i.jsonl", **options)
        assert [row["_confidence"] for row in exploded] == [{"x_who": 1, "x_n": 1}, {"x_who": 1, "x_n": 0.5}]
        assert inside[0]["_confidence"] == {"all.who": 1, "all.items.0.n": 1, "all.items.1.n": 0.5}

    in_simulated_time(main)


def test_a_flat_file_has_what_is_known_in_one_cell(tmp_path: Path) -> None:
    """As JSON, which the gathering of rows to review reads."""

    async def main() -> None:
        opinions = Opinions(torn)
        async with opinions.listening() as url:
            options = {"schema": TONE, "votes": 3, "reasks": 0, "output": "out.csv", "review": "look.jsonl"}
            await run_to_csv(tmp_path, url, **options)
        head, first, *_ = (tmp_path / "out.csv").read_text().splitlines()
        assert head == "id,tone,stars,_confidence"
        assert first == '0,good,5,"{""tone"":1.0,""stars"":1.0}"'
        assert [row["id"] for row in read_rows(tmp_path / "look.jsonl")] == ["1", "2", "3"]

    in_simulated_time(main)


def test_parquet_has_what_is_known_in_one_cell(tmp_path: Path) -> None:
    """As JSON: a null says that the row has no words for a value, which is not the same as no value."""

    async def main() -> None:
        def say(row: Mapping[str, Any], model: str, turn: int) -> Any:
            said = quoting(tone="a disaster") if row["text"] == KETTLE["text"] else quoting()
            said["answer"]["colour"] = "leaks" if row["text"] != KETTLE["text"] else None
            return said

        opinions = Opinions(say)
        async with opinions.listening() as url:
            rows = [KETTLE, {**KETTLE, "id": 2, "text": f"{KETTLE['text']} Alas."}]
            write_rows(tmp_path / "in.jsonl", rows)
            options = {"evidence": True, "votes": 2, "output": "out.parquet", "review": "look.jsonl"}
            given = {"inputs": ["in.jsonl"], "key": "id", "base_url": url, "schema": REVIEW, **options}
            report, _ = await run_to_files(tmp_path, {**given, "model": "openai/gpt-5-mini"})
        columns = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pydict()
        first, second = map(json.loads, columns["_evidence"])
        assert first["tone"] is None
        assert "colour" not in first
        assert second["colour"]["quote"] == "leaks"
        assert json.loads(columns["_confidence"][0])["tone"] == 1
        assert [row["_review"] for row in read_rows(tmp_path / "look.jsonl")] == ["not in the row: tone"]
        assert report.exit_code == 0

    in_simulated_time(main)


def test_columns_of_the_input_are_no_doubts(tmp_path: Path) -> None:
    """What was kept of it by the names of ours, when this run was not to find that out, says nothing of its answers."""

    async def main() -> None:
        opinions = Opinions(lambda row, model, turn: quoting())
        async with opinions.listening() as url:
            rows = [{**KETTLE, "_confidence": "n/a"}, {**KETTLE, "id": 2, "_confidence": {"tone": 0.1}}]
            options = {"schema": REVIEW, "evidence": True, "review": "look.jsonl", "keep": "all"}
            report, _ = await run(tmp_path, rows, url, **options)
        assert report.reviewed == 0

    in_simulated_time(main)


async def run_to_csv(folder: Path, url: str, **options: Any) -> None:
    write_rows(folder / "in.jsonl", ROWS)
    given = {"inputs": ["in.jsonl"], "key": "id", "keep": ["id"], "base_url": url}
    await run_to_files(folder, {**given, "model": "openai/gpt-5-mini", **options})


KETTLE = {
    "id": 1,
    "text": "I bought this kettle on 3 May. It leaks, and I paid $49.90 for it.",
    "shop": "Zoë & Søn",
}
REVIEW = "product, price float, tone good|bad, seller?, colour?"


def quoting(**quotes: str) -> Any:
    """An answer about the kettle, with these quotes in the place of the usual ones."""
    answer = {"product": "kettle", "price": 49.9, "tone": "bad", "seller": None, "colour": None}
    usual = {"product": "this kettle", "price": "$49.90", "tone": "It leaks", "seller": "", "colour": ""}
    return {"evidence": {**usual, **quotes}, "answer": answer}


def test_values_come_with_the_words_that_they_rest_on(tmp_path: Path) -> None:
    """With their places in the row; what is null rests on nothing, and the schema's own fields are as ever."""

    async def main() -> None:
        opinions = Opinions(lambda row, model, turn: quoting(tone="it  LEAKS"))
        async with opinions.listening() as url:
            report, rows = await run(tmp_path, [KETTLE], url, schema=REVIEW, evidence=True)
        asked = opinions.bodies[0]["response_format"]["json_schema"]["schema"]["properties"]
        assert list(asked) == ["evidence", "answer"]
        assert list(rows[0]) == ["id", "product", "price", "tone", "seller", "colour", "_evidence"]
        found = rows[0]["_evidence"]
        assert list(found) == ["product", "price", "tone"]
        assert found["price"] == {
            "quote": "$49.90",
            "column": "text",
            "start": 52,
            "end": 58,
            "match": "exact",
        }
        assert found["tone"]["match"] == "normalized"
        assert KETTLE["text"][found["tone"]["start"] : found["tone"]["end"]] == "It leaks"
        assert figures_as_json(report.figures)["evidence"]["rows_unsupported"] == 0

    in_simulated_time(main)


def test_what_is_not_in_the_row_is_flagged(tmp_path: Path) -> None:
    """Unless the row says the value itself; and counted, and put down for review."""

    async def main() -> None:
        opinions = Opinions(
            lambda row, model, turn: quoting(tone="a disaster", price="", product="that thing")
        )
        async with opinions.listening() as url:
            report, rows = await run(
                tmp_path, [KETTLE], url, schema=REVIEW, evidence=True, review="look.jsonl"
            )
        found = rows[0]["_evidence"]
        assert found["tone"] is None
        assert found["price"]["quote"] == "49.90"
        assert found["product"]["quote"] == "kettle"
        told = figures_as_json(report.figures)["evidence"]
        assert (told["rows_unsupported"], told["values_unsupported"]) == (1, 1)
        assert read_rows(tmp_path / "look.jsonl")[0]["_review"] == "not in the row: tone"

    in_simulated_time(main)


def test_evidence_that_is_required_is_asked_for_again(tmp_path: Path) -> None:
    """The model is told which words are not there; a row without them fails in the end."""

    async def main() -> None:
        opinions = Opinions(lambda row, model, turn: quoting(tone="a disaster" if turn < 1 else "It leaks"))
        async with opinions.listening() as url:
            report, rows = await run(tmp_path, [KETTLE], url, schema=REVIEW, require_evidence=True)
            never = {"schema": REVIEW, "require_evidence": True, "reasks": 0, "fresh": True, "cache": "off"}
            failed, _ = await run(tmp_path, [{**KETTLE, "text": "Nothing."}], url, **never)
        assert rows[0]["_evidence"]["tone"]["match"] == "exact"
        assert report.figures.reasks == 1
        told = str(opinions.bodies[1]["messages"])
        assert "tone: the words 'a disaster' are not in the row" in told
        assert failed.exit_code == 3
        error = read_rows(tmp_path / "out.errors.jsonl")[0]["_error"]
        assert error["type"] == "invalid_answer"

    in_simulated_time(main)


def test_a_field_that_nobody_asked_for_needs_no_evidence(tmp_path: Path) -> None:
    """It does not come to the output, and so is neither told of nor asked again about."""

    async def main() -> None:
        answer = quoting()
        answer["answer"]["note"] = "made up"
        opinions = Opinions(lambda row, model, turn: answer)
        async with opinions.listening() as url:
            report, rows = await run(
                tmp_path, [KETTLE], url, schema=REVIEW, require_evidence=True, logprobs=True
            )
        assert report.figures.calls == 1
        assert "note" not in rows[0]
        assert list(rows[0]["_evidence"]) == ["product", "price", "tone"]
        assert "note" not in rows[0]["_confidence"]

    in_simulated_time(main)


def test_evidence_that_comes_to_be_required_is_looked_at_again(tmp_path: Path) -> None:
    """Rows that were done without are asked about again where they rest on nothing, and no others."""

    async def main() -> None:
        opinions = Opinions(
            lambda row, model, turn: quoting(
                tone="a disaster" if turn < 1 and row["shop"] == "x" else "It leaks"
            )
        )
        rows = [KETTLE, {**KETTLE, "id": 2, "shop": "x"}]
        async with opinions.listening() as url:
            await run(tmp_path, rows, url, schema=REVIEW, evidence=True)
            report, found = await run(tmp_path, rows, url, schema=REVIEW, require_evidence=True)
        assert report.figures.calls == 1
        assert found[1]["_evidence"]["tone"]["match"] == "exact"

    in_simulated_time(main)


def test_what_is_sure_enough_for_review_is_no_other_question(tmp_path: Path) -> None:
    """Another --min-confidence gathers other rows, of a run that is as done as before."""

    async def main() -> None:
        opinions = Opinions(torn)
        async with opinions.listening() as url:
            options = {"schema": TONE, "votes": 3, "reasks": 0, "review": "look.jsonl"}
            first, _ = await run(tmp_path, ROWS, url, **options)
            second, _ = await run(tmp_path, ROWS, url, min_confidence=0.5, **options)
        assert (first.reviewed, second.reviewed) == (3, 1)
        assert first.manifest is not None
        assert second.manifest is not None
        assert first.manifest.hashes == second.manifest.hashes

    in_simulated_time(main)


@pytest.mark.parametrize("cache", ["exact", "off"])
def test_rows_with_one_question_have_their_words_in_places_of_their_own(tmp_path: Path, cache: str) -> None:
    """A template shows the same of both rows, whose texts are not the same; one of them is asked about."""

    async def main() -> None:
        opinions = Opinions(lambda row, model, turn: quoting())
        shown = "<row-0>\n{{ {'id': 1, 'text': text | trim, 'shop': shop} | tojson }}\n</row-0>"
        rows = [KETTLE, {**KETTLE, "id": 2, "text": f"   {KETTLE['text']}"}]
        async with opinions.listening() as url:
            report, found = await run(
                tmp_path, rows, url, schema=REVIEW, evidence=True, prompt=shown, cache=cache
            )
        assert report.figures.calls == 1
        for row, given in zip(found, rows, strict=True):
            price = row["_evidence"]["price"]
            assert given["text"][price["start"] : price["end"]] == "$49.90"

    in_simulated_time(main)


def test_evidence_is_cached_and_replayed_with_its_answer(tmp_path: Path) -> None:
    """Nobody is asked again for it."""

    async def main() -> None:
        opinions = Opinions(lambda row, model, turn: quoting())
        async with opinions.listening() as url:
            _, first = await run(tmp_path, [KETTLE], url, schema=REVIEW, evidence=True)
            again, cached = await run(tmp_path, [KETTLE], url, schema=REVIEW, evidence=True, output="b.jsonl")
            (tmp_path / "out.jsonl").unlink()
            replay, replayed = await run(tmp_path, [KETTLE], url, schema=REVIEW, evidence=True, cache="off")
        assert (again.figures.calls, replay.figures.calls) == (0, 0)
        assert first == cached == replayed

    in_simulated_time(main)


def test_evidence_of_votes_is_that_of_those_who_agree(tmp_path: Path) -> None:
    """The first words that are in the row, of a vote for the value."""

    async def main() -> None:
        quotes = ["a disaster", "It leaks", "It leaks"]
        opinions = Opinions(lambda row, model, turn: quoting(tone=quotes[turn]))
        async with opinions.listening() as url:
            _, rows = await run(tmp_path, [KETTLE], url, schema=REVIEW, evidence=True, votes=3)
        assert rows[0]["_evidence"]["tone"]["quote"] == "It leaks"
        assert rows[0]["_confidence"]["tone"] == 1

    in_simulated_time(main)


def test_a_cascade_passes_on_what_rests_on_nothing(tmp_path: Path) -> None:
    """The cheap model's answer is valid, and will not do."""

    async def main() -> None:
        opinions = Opinions(
            lambda row, model, turn: quoting(tone="a disaster" if model == "gpt-5-nano" else "It leaks")
        )
        async with opinions.listening() as url:
            report, rows = await run(
                tmp_path, [KETTLE], url, schema=REVIEW, evidence=True, cascade=CASCADE, meta=True
            )
        assert rows[0]["_llmx"]["model"] == "gpt-5-mini"
        assert figures_as_json(report.figures)["cascade"]["reasons"] == {"evidence": 1}

    in_simulated_time(main)


def test_evidence_in_several_columns(tmp_path: Path) -> None:
    """Each quote is found in the column that has it; what the model does not see is not searched."""

    async def main() -> None:
        answer = quoting(seller="Zoë & Søn")
        answer["answer"]["seller"] = "Zoë & Søn"
        answer["answer"]["colour"] = "unseen"
        opinions = Opinions(lambda row, model, turn: answer)
        async with opinions.listening() as url:
            row = {**KETTLE, "_note": "unseen"}
            _, rows = await run(tmp_path, [row], url, schema=REVIEW, evidence=True)
        assert rows[0]["_evidence"]["seller"]["column"] == "shop"
        assert rows[0]["_evidence"]["colour"] is None

    in_simulated_time(main)


def test_examples_are_shown_with_evidence(tmp_path: Path) -> None:
    """In the form in which the model is to answer: the value's own words, where the example has them."""

    async def main() -> None:
        gold = {"product": "lamp", "price": 5, "tone": "good", "seller": None, "colour": None}
        write_rows(tmp_path / "shots.jsonl", [{"text": "A lamp for $5, and it shines.", "gold": gold}])
        opinions = Opinions(lambda row, model, turn: quoting())
        async with opinions.listening() as url:
            await run(tmp_path, [KETTLE], url, schema=REVIEW, evidence=True, examples="shots.jsonl")
        shown = json.loads(opinions.bodies[0]["messages"][2]["content"])
        assert shown["answer"] == gold
        assert shown["evidence"] == {"product": "lamp", "price": "5", "tone": "", "seller": "", "colour": ""}

    in_simulated_time(main)


def test_a_calibration_that_is_not_there(tmp_path: Path) -> None:
    """It is named as it was given, before anything is sent."""

    async def main() -> None:
        opinions = Opinions(torn)
        async with opinions.listening() as url:
            with pytest.raises(UsageError, match=r"cannot read the calibration 'none\.json'"):
                await run(tmp_path, ROWS[:1], url, schema=TONE, votes=2, calibration="none.json")
        assert not opinions.bodies

    in_simulated_time(main)


def test_a_review_that_cannot_be_written_takes_nothing_from_the_run(tmp_path: Path) -> None:
    """Its rows and figures are there; the disk's fault is told with them, and the same command tries again for nothing."""

    async def main() -> None:
        opinions = Opinions(torn)
        async with opinions.listening() as url:
            options = {"schema": TONE, "votes": 3, "reasks": 0}
            report, rows = await run(tmp_path, ROWS, url, review="/dev/full", **options)
            again, _ = await run(tmp_path, ROWS, url, review="look.jsonl", **options)
        assert (report.exit_code, len(rows), report.figures.ok) == (1, 4, 4)
        assert "No space left" in str(report.reasons[0])
        assert (again.exit_code, again.reviewed, again.figures.calls) == (0, 3, 0)

    in_simulated_time(main)
