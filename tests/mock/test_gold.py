"""Answers from a gold file over sockets: right, wrong at a known rate, and what the truth says of them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from llmx.mock import GoldSettings, MockSettings, Server, serve
from llmx.prompts import delimited

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
VERSION = {"anthropic_version": "2023-06-01"}
TONES = ("good", "bad", "mixed")

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "tone": {"enum": list(TONES)},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "city": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["tone", "stars", "city", "tags"],
    "additionalProperties": False,
}

Ask = Callable[..., Awaitable[Any]]


def gold_of(number: int) -> dict[str, Any]:
    return {
        "tone": TONES[number % 3],
        "stars": number % 5 + 1,
        "city": f"City{number}" if number % 4 else None,
        "tags": [f"tag{number}", f"tag{number + 1}"],
    }


def text_of(number: int) -> str:
    return f"Review {number} from City{number}: tag{number}, tag{number + 1}; {number % 5 + 1} stars"


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    path = tmp_path / "gold.jsonl"
    rows = [{"id": f"r{n}", "text": text_of(n), "gold": gold_of(n)} for n in range(200)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def ask(fetch: Any) -> Ask:
    """The first choice of an answer to a text in OpenAI's format."""

    async def ask(server: Server, text: str, schema: Any = SCHEMA, model: str = "mock", **more: Any) -> Any:
        form = {"type": "json_schema", "json_schema": {"name": "Row", "schema": schema}}
        messages = [{"role": "user", "content": delimited({"text": text})}]
        body = {"model": model, "messages": messages, "response_format": form} | more
        _, _, reply = await fetch(server, OPENAI, body)
        return reply["choices"][0]

    return ask


def said(choice: Any) -> Any:
    return json.loads(choice["message"]["content"])


async def test_right_answers(start: Any, ask: Ask, gold: Path) -> None:
    """Without errors every row gets its gold answer."""
    server = await start(gold=GoldSettings(gold))
    assert [gold_of(n) for n in range(9)] == [said(await ask(server, text_of(n))) for n in range(9)]
    assert server.stats()["gold"] == {"answers": 9, "values": 45, "wrong": 0, "unknown": 0}


async def test_the_truth_is_what_was_said(start: Any, fetch: Any, ask: Ask, gold: Path) -> None:
    """`GET /truth` names exactly the values that differ from gold, and counts them; the share is the rate's."""
    server = await start(gold=GoldSettings(gold, errors=0.3))
    answers = {f"r{n}": said(await ask(server, text_of(n))) for n in range(200)}
    _, _, truth = await fetch(server, "/truth")
    wrong = {(one["row"], one["path"]): one["answered"] for one in truth["wrong"]}
    for number, (key, answer) in enumerate(answers.items()):
        right = gold_of(number)
        for name in ("tone", "stars", "city"):
            assert wrong.get((key, name), right[name]) == answer[name]
            assert ((key, name) in wrong) == (answer[name] != right[name])
    fields = truth["models"]["mock"]["fields"]
    counts = Counter(path for _, path in wrong)
    assert counts == Counter({path: field["wrong"] for path, field in fields.items()})
    assert 0.2 < len(wrong) / 1000 < 0.4, "1,000 values: within seven standard deviations"
    assert fields["tone"]["accuracy"] == (200 - counts["tone"]) / 200


async def test_wrong_values_are_valid(start: Any, ask: Ask, gold: Path) -> None:
    """At a rate of 1 nothing is right, and all of it is what the schema allows."""
    server = await start(gold=GoldSettings(gold, errors=1.0))
    for number in range(20):
        answer, right = said(await ask(server, text_of(number))), gold_of(number)
        assert all(answer[name] != right[name] for name in right)
        assert answer["tone"] in TONES
        assert 1 <= answer["stars"] <= 5
        assert isinstance(answer["city"], str)
        assert len(answer["tags"]) == 2


async def test_samples_and_models_differ_and_repeat(start: Any, ask: Ask, gold: Path) -> None:
    """The nth answer to a request is the same on every server; another model, seed or sample errs elsewhere."""

    async def answers(seed: int = 0, model: str = "mock", **more: Any) -> list[Any]:
        server = await start(gold=GoldSettings(gold, errors=0.5), seed=seed)
        return [said(await ask(server, text_of(n), model=model, **more)) for n in (1, 2, 1, 2, 1, 2)]

    first = await answers()
    assert first == await answers()
    assert first[:2] != first[2:4] != first[4:]
    assert first != await answers(seed=1)
    assert first != await answers(model="other")
    cold = await answers(temperature=0)
    assert cold[:2] == cold[2:4] == cold[4:] == first[:2]


async def test_a_requests_own_seed_is_its_sample(start: Any, fetch: Any, ask: Ask, gold: Path) -> None:
    """However often it comes; the truth names it."""
    server = await start(gold=GoldSettings(gold, errors=0.5))
    nine, again, ten = [said(await ask(server, text_of(1), seed=seed)) for seed in (9, 9, 10)]
    assert nine == again != ten
    _, _, truth = await fetch(server, "/truth")
    assert {one["sample"] for one in truth["wrong"]} <= {9, 10}


async def test_a_weaker_model(start: Any, fetch: Any, ask: Ask, gold: Path) -> None:
    """Has a rate of its own."""
    settings = GoldSettings(gold, errors=0.0, model_errors=(("weak", 0.5),))
    server = await start(gold=settings)
    for model in ("strong", "weak"):
        for number in range(60):
            await ask(server, text_of(number), model=model)
    _, _, truth = await fetch(server, "/truth")
    shares = {
        name: sum(field["wrong"] for field in model["fields"].values()) / 300
        for name, model in truth["models"].items()
    }
    assert shares["strong"] == 0
    assert 0.3 < shares["weak"] < 0.7, "300 values: within seven standard deviations"


async def test_a_row_that_is_not_in_it(fetch: Any, ask: Ask, gold: Path) -> None:
    """It is answered as without a gold file, counted, and said once."""
    remarks: list[str] = []
    plain = await serve(MockSettings())
    known = await serve(MockSettings(gold=GoldSettings(gold)), remark=remarks.append)
    async with plain, known:
        texts = ("never\x1b[31m seen", "nor this")
        assert [said(await ask(plain, t)) for t in texts] == [said(await ask(known, t)) for t in texts]
        assert known.stats()["gold"] == {"answers": 0, "values": 0, "wrong": 0, "unknown": 2}
    (remark,) = remarks
    assert "gold.jsonl" in remark
    assert "\x1b" not in remark


async def test_answers_that_never_arrive_are_not_counted(
    start: Any, fetch: Any, ask: Ask, gold: Path
) -> None:
    """Spoiled ones are none of the truth, and use up no sample."""
    server = await start(gold=GoldSettings(gold, errors=0.5), malformed_until=1)
    spoiled = await ask(server, text_of(1))
    assert server.stats()["gold"]["answers"] == 0
    clean = await start(gold=GoldSettings(gold, errors=0.5))
    messages = [
        {"role": "user", "content": delimited({"text": text_of(1)})},
        {"role": "assistant", "content": spoiled["message"]["content"]},
        {"role": "user", "content": "that was invalid, again please"},
    ]
    assert said(await ask(server, "", messages=messages)) == said(await ask(clean, text_of(1)))
    assert server.stats()["gold"]["answers"] == 1


async def test_a_reset_forgets_samples_and_counts(start: Any, fetch: Any, ask: Ask, gold: Path) -> None:
    """The same calls get the same answers again."""
    server = await start(gold=GoldSettings(gold, errors=0.5))
    first = [said(await ask(server, text_of(3))) for _ in range(3)]
    await fetch(server, "/reset", {})
    assert server.stats()["gold"]["answers"] == 0
    assert first == [said(await ask(server, text_of(3))) for _ in range(3)]


async def test_no_truth_without_gold(start: Any, fetch: Any) -> None:
    """A 404 that says how to get one."""
    status, _, body = await fetch(await start(), "/truth")
    assert status == 404
    assert "--gold" in body["error"]["message"]


async def test_anthropics_format_and_tools(start: Any, fetch: Any, gold: Path) -> None:
    """Answers as text and as a tool's input are from the gold file, too."""
    server = await start(gold=GoldSettings(gold))
    base = {
        "model": "m",
        "max_tokens": 500,
        "messages": [{"role": "user", "content": delimited({"text": text_of(5)})}],
    }
    form = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    tool = {
        "tools": [{"name": "row", "input_schema": SCHEMA}],
        "tool_choice": {"type": "tool", "name": "row"},
    }
    _, _, text = await fetch(server, ANTHROPIC, base | form, **VERSION)
    _, _, used = await fetch(server, ANTHROPIC, base | tool, **VERSION)
    assert gold_of(5) == json.loads(text["content"][0]["text"]) == used["content"][0]["input"]


async def test_rows_that_look_the_same(start: Any, fetch: Any, ask: Ask, tmp_path: Path) -> None:
    """All get the first one's answer, and the truth has each of them."""
    path = tmp_path / "gold.csv"
    path.write_text("id,text,tone\na,same,good\nb,same,bad\n", encoding="utf-8")
    server = await start(gold=GoldSettings(path))
    schema = {"type": "object", "properties": {"tone": {"enum": list(TONES)}}, "required": ["tone"]}
    assert said(await ask(server, "same", schema)) == {"tone": "good"}
    _, _, truth = await fetch(server, "/truth")
    assert truth["models"]["mock"]["fields"] == {"tone": {"n": 2, "wrong": 1, "accuracy": 0.5}}
    expected = {
        "row": "b",
        "model": "mock",
        "sample": 0,
        "path": "tone",
        "expected": "bad",
        "answered": "good",
    }
    assert [expected] == truth["wrong"]


async def test_gold_that_the_schema_does_not_allow(start: Any, fetch: Any, ask: Ask, tmp_path: Path) -> None:
    """No valid answer can be right there: it is wrong in the truth, and the answer is valid."""
    path = tmp_path / "gold.jsonl"
    path.write_text('{"text": "x", "gold": {"tone": "ugly", "n": 99999999999999999999}}\n', encoding="utf-8")
    server = await start(gold=GoldSettings(path))
    properties = {"tone": {"enum": list(TONES)}, "n": {"type": "integer"}}
    schema = {"type": "object", "properties": properties, "required": ["tone", "n"]}
    answer = said(await ask(server, "x", schema))
    assert answer["tone"] in TONES
    assert answer["n"] == 99999999999999999999
    _, _, truth = await fetch(server, "/truth")
    (wrong,) = truth["wrong"]
    assert (wrong["path"], wrong["expected"], wrong["answered"]) == ("tone", "ugly", answer["tone"])


async def test_evidence(start: Any, ask: Ask, gold: Path) -> None:
    """Where the schema asks for it, the row's own words for each value that it has."""
    schema = {
        "type": "object",
        "properties": {"evidence": {"type": "object"}, "answer": {"$ref": "#/$defs/Row"}},
        "required": ["evidence", "answer"],
        "$defs": {"Row": SCHEMA},
    }
    server = await start(gold=GoldSettings(gold))
    answer = said(await ask(server, text_of(7), schema))
    assert gold_of(7) == answer["answer"]
    assert answer["evidence"] == {"tone": "", "stars": "3", "city": "City7", "tags": ["tag7", "tag8"]}
    assert server.stats()["gold"]["values"] == 5


async def test_log_probabilities(start: Any, fetch: Any, ask: Ask, gold: Path) -> None:
    """Right values are likelier than wrong ones, by the configured means."""
    server = await start(gold=GoldSettings(gold, errors=0.5, confidence=(0.9, 0.3)))
    schema = {"type": "object", "properties": {"stars": SCHEMA["properties"]["stars"]}, "required": ["stars"]}
    sure: dict[bool, list[float]] = {True: [], False: []}
    for number in range(200):
        choice = await ask(server, text_of(number), schema, logprobs=True, top_logprobs=2)
        tokens = choice["logprobs"]["content"]
        assert choice["message"]["content"] == "".join(token["token"] for token in tokens)
        right = said(choice)["stars"] == gold_of(number)["stars"]
        sure[right].append(math.exp(sum(token["logprob"] for token in tokens)))
    means = {right: sum(shares) / len(shares) for right, shares in sure.items()}
    assert means == {True: pytest.approx(0.9, abs=0.05), False: pytest.approx(0.3, abs=0.1)}


async def test_log_probabilities_without_gold(start: Any, ask: Ask) -> None:
    """They are given as a provider gives them, only when asked for."""
    server = await start()
    choice = await ask(server, "some words", logprobs=True)
    assert choice["message"]["content"] == "".join(t["token"] for t in choice["logprobs"]["content"])
    assert (await ask(server, "some words"))["logprobs"] is None


async def test_a_list_that_the_schema_does_not_allow(
    start: Any, fetch: Any, ask: Ask, tmp_path: Path
) -> None:
    """A valid one is drawn in its place, and it is one wrong value of the truth."""
    path = tmp_path / "gold.jsonl"
    path.write_text('{"text": "x", "gold": {"ages": [1, "two"]}}\n', encoding="utf-8")
    server = await start(gold=GoldSettings(path, errors=1.0))
    ages = {"type": "array", "items": {"type": "integer"}, "minItems": 1}
    answer = said(
        await ask(server, "x", {"type": "object", "properties": {"ages": ages}, "required": ["ages"]})
    )
    assert all(isinstance(age, int) for age in answer["ages"])
    _, _, truth = await fetch(server, "/truth")
    assert truth["models"]["mock"]["fields"] == {"ages": {"n": 1, "wrong": 1, "accuracy": 0.0}}
    assert truth["wrong"][0]["expected"] == [1, "two"]


async def test_recursive_schemas(start: Any, ask: Ask, tmp_path: Path) -> None:
    """A schema that refers to itself as a whole is answered, too, also where the gold file lacks a part."""
    path = tmp_path / "gold.jsonl"
    path.write_text('{"text": "x", "gold": {"name": "a", "next": {"name": "b"}}}\n', encoding="utf-8")
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}, "next": {"$ref": "#"}},
        "required": ["name", "size"],
    }
    server = await start(gold=GoldSettings(path))
    answer = said(await ask(server, "x", schema))
    assert (answer["name"], answer["next"]["name"]) == ("a", "b")
    assert isinstance(answer["next"]["size"], int)
