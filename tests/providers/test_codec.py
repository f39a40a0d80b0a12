"""Bodies, answers and corrections are what instructor's handlers make of them."""

from __future__ import annotations

import copy
from enum import Enum
from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from scripted import ANSWER, KEYS, MESSAGES, Person, chat, env_with, message

from llmx.providers import CATALOG, connect
from llmx.providers.anthropic import read_instructed as read_instructed_message
from llmx.providers.anthropic import read_message
from llmx.providers.codec import handlers_for, wire_model
from llmx.providers.openai import read_chat
from llmx.schemas import schema_of
from llmx.types import Completion, Usage

OPENAI = ("openai/gpt-4o-mini", "http://127.0.0.1:9/v1")
CLAUDE = ("anthropic/claude-haiku-4-5", "http://127.0.0.1:9")
MODES = [(OPENAI, "json_schema"), (OPENAI, "tools"), (OPENAI, "json")]
MODES += [(CLAUDE, "json_schema"), (CLAUDE, "tools"), (CLAUDE, "json")]


@pytest.fixture
async def connected(person):
    """A function that connects and, in the end, closes."""
    opened = []

    async def connect_to(where, mode, **options):
        spec, url = where
        options.setdefault("schema", person)
        schema = options.pop("schema")
        endpoint = await connect(spec, schema, env=env_with(**KEYS), base_url=url, mode=mode, **options)
        opened.append(endpoint)
        return endpoint

    yield connect_to
    for endpoint in opened:
        await endpoint.provider.aclose()


def answered(text: str, body: dict) -> Completion:
    return Completion(text, Usage(), "m", body=body)


@pytest.mark.parametrize(("where", "mode"), MODES)
async def test_a_body_is_the_handlers_own(connected, where, mode):
    """Putting a row into the form made once gives what the handler makes of all the messages."""
    codec = (await connected(where, mode)).codec
    for prefix in (MESSAGES[:-1], MESSAGES[:1], []):
        for text in ("first row", "second {row} \\ \n", ""):
            messages = [*prefix, {"role": "user", "content": text}]
            assert codec.build(copy.deepcopy(messages)) == codec.prepare(messages)


@pytest.mark.parametrize(("where", "mode"), MODES)
async def test_bodies_share_nothing_that_changes(connected, where, mode):
    """One row's body is not touched by the next row's, nor are the messages given."""
    codec = (await connected(where, mode)).codec
    given_messages = copy.deepcopy(MESSAGES)
    first = codec.prepare(given_messages)
    kept = copy.deepcopy(first)
    codec.prepare([*MESSAGES[:-1], {"role": "user", "content": "another row"}])
    assert (kept, MESSAGES) == (first, given_messages)


async def test_the_body_for_openai(connected):
    """The whole of it, once."""
    endpoint = await connected(OPENAI, "auto", temperature=0.0, max_output_tokens=99)
    properties = {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "description": "in years"},
    }
    schema = {
        "title": "Person",
        "type": "object",
        "description": "A person in the text.",
        "properties": properties,
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    expected = {
        "model": "gpt-4o-mini",
        "max_tokens": 99,
        "temperature": 0.0,
        "messages": MESSAGES,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "Person", "schema": schema, "strict": True},
        },
    }
    assert expected == endpoint.codec.prepare(MESSAGES)


@pytest.mark.parametrize(
    "text", [ANSWER, '{"name":"Ann"}', '{"name":"Ann","age":-1}', "prose", "", "[]", "null"]
)
@pytest.mark.parametrize("mode", ["json_schema", "tools"])
async def test_parsing_agrees_with_the_handlers_openai(connected, person, mode, text):
    """The same object, or both find the answer invalid."""
    body = chat(text) if mode == "json_schema" else chat(None, tool=text)
    codec = (await connected(OPENAI, mode)).codec
    handlers = handlers_for("openai", mode)
    _agree(
        lambda: codec.parse(answered(read_chat(body).text, body)),
        lambda: _parse(handlers, codec.response(body)),
    )


@pytest.mark.parametrize("mode", ["json_schema", "json"])
@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        '{"name":"Ann"}',
        f"So: {ANSWER}!",
        "prose",
        "",
        '{"name":"A\nB","age":1}',
        '{"name":1,"age":1}',
    ],
)
async def test_parsing_agrees_with_the_handlers_anthropic_text(connected, mode, text):
    """Anthropic's text answers, with and without prose around them."""
    body = message({"type": "text", "text": text})
    codec = (await connected(CLAUDE, mode)).codec
    read = read_message if mode == "json_schema" else read_instructed_message
    handlers = handlers_for("anthropic", mode)
    _agree(
        lambda: codec.parse(answered(read(body).text, body)), lambda: _parse(handlers, codec.response(body))
    )


@pytest.mark.parametrize(
    "given_input", [{"name": "Ann", "age": 41}, {"name": "Ann"}, {}, {"name": "é\u2028", "age": 1}]
)
async def test_parsing_agrees_with_the_handlers_anthropic_tools(connected, given_input):
    """Anthropic's tool calls."""
    body = message({"type": "tool_use", "id": "t", "name": "Person", "input": given_input})
    codec = (await connected(CLAUDE, "tools")).codec
    handlers = handlers_for("anthropic", "tools")
    text = read_message(body).text
    _agree(lambda: codec.parse(answered(text, body)), lambda: _parse(handlers, codec.response(body)))


class Colour(Enum):
    """An enum in a model."""

    RED = "red"


class Deep(BaseModel):
    """Lists, enums and free keys in one model."""

    people: list[Person]
    colour: Colour | None = None
    extra: dict[str, float] = {}


@settings(deadline=None)  # instructor's parsers are slow where a machine is busy
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["people", "colour", "name", "age"]), inner)
        ),
        max_leaves=8,
    )
)
def test_parsing_agrees_for_any_json(value):
    """The fast way and instructor's parser judge every JSON answer alike."""
    text = orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode() if _fits(value) else "1"
    response = SimpleNamespace(
        choices=[SimpleNamespace(message=SimpleNamespace(content=text, refusal=None), finish_reason="stop")]
    )
    handlers = handlers_for("openai", "json_schema")
    schema = schema_of(Deep)
    _agree(lambda: schema.parse(text), lambda: handlers.response_parser(response, Deep))


def _fits(value: object) -> bool:
    try:
        orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):  # integers beyond 64 bits
        return False
    return True


def _parse(handlers, response):
    return handlers.response_parser(response, Person)


def _agree(ours, theirs):
    try:
        expected = theirs()
    except (ValueError, ValidationError):
        with pytest.raises(ValueError):  # noqa: PT011  any of them is an invalid answer
            ours()
    else:
        assert expected == ours()


REASKS = {
    ("openai", "json_schema"): "Correct your JSON ONLY RESPONSE",
    ("openai", "json"): "Correct your JSON ONLY RESPONSE",
    ("openai", "tools"): "Recall the function correctly, fix the errors",
    ("anthropic", "json_schema"): "Recall the function correctly, fix the errors",
    ("anthropic", "json"): "Recall the function correctly, fix the errors",
    ("anthropic", "tools"): "Recall the function correctly, fix the errors",
}


@pytest.mark.parametrize(("where", "mode"), MODES)
async def test_a_reask_shows_answer_and_error(connected, person, where, mode):
    """In instructor's words, after the messages so far, in a new body; the old one stays as it was."""
    endpoint = await connected(where, mode)
    bad = '{"name": "Ann", "age": -1}'
    body = endpoint.codec.prepare(MESSAGES)
    before = copy.deepcopy(body)
    new = endpoint.codec.reask(body, answered(bad, _response(endpoint.name, mode, bad)), _error(person, bad))
    assert before == body
    added = orjson.dumps(new["messages"][len(body["messages"]) :]).decode()
    assert body["messages"] == new["messages"][: len(body["messages"])]
    assert {k: v for k, v in body.items() if k != "messages"} == {
        k: v for k, v in new.items() if k != "messages"
    }
    assert REASKS[endpoint.name, mode] in added
    assert "-1" in added
    assert "greater than or equal to 0" in added
    assert "errors.pydantic.dev" not in added


def _response(provider: str, mode: str, text: str) -> dict:
    if provider == "openai":
        return chat(None, tool=text) if mode == "tools" else chat(text)
    tool = {"type": "tool_use", "id": "t", "name": "Person", "input": orjson.loads(text)}
    return message(tool if mode == "tools" else {"type": "text", "text": text})


def _error(schema, text):
    with pytest.raises(ValidationError) as caught:
        schema.parse(text)
    return caught.value


@pytest.mark.parametrize("mode", ["json_schema", "tools", "json"])
@pytest.mark.parametrize(
    "response", [{}, {"choices": []}, {"choices": [{"message": {}}]}, {"content": [{"type": "x"}]}]
)
@pytest.mark.parametrize("where", [OPENAI, CLAUDE])
async def test_a_reask_copes_with_half_a_response(connected, where, mode, response):
    """Servers leave fields out: the error is told all the same."""
    codec = (await connected(where, mode)).codec
    body = codec.prepare(MESSAGES)
    new = codec.reask(body, answered("", response), ValueError("age is missing"))
    assert "age is missing" in orjson.dumps(new["messages"][len(body["messages"]) :]).decode()


async def test_a_second_reask_builds_on_the_first(connected, person):
    """The conversation grows by an answer and a correction each time."""
    codec = (await connected(OPENAI, "json_schema")).codec
    body = codec.prepare(MESSAGES)
    for _ in range(2):
        body = codec.reask(body, answered("{}", chat("{}")), _error(person, "{}"))
    assert [*("system", "user", "assistant", "user"), *("assistant", "user") * 2] == [
        m["role"] for m in body["messages"]
    ]


@pytest.mark.parametrize(("where", "mode"), MODES)
async def test_a_raised_cap(connected, where, mode):
    """Twice the room for an answer that was cut, unless the user set the limit."""
    codec = (await connected(where, mode)).codec
    body = codec.prepare(MESSAGES)
    raised = codec.raised(body)
    assert {**body, "max_tokens": 8192} == raised
    assert body["max_tokens"] == 4096
    assert (await connected(where, mode, max_output_tokens=10)).codec.raised(body) is None


def test_the_wire_model_shows_our_schema(person):
    """Instructor sees the rewritten schema under the schema's name, and cannot spoil it by writing into it."""
    sent = {"type": "object", "properties": {}}
    model = wire_model(person, sent)
    model.model_json_schema()["properties"]["x"] = 1
    shown = model.model_json_schema()
    assert (model.__name__, shown["properties"], shown["description"]) == (
        "Person",
        {},
        "A person in the text.",
    )


@pytest.mark.parametrize("name", sorted(name for name, entry in CATALOG.items() if entry.wire == "openai"))
async def test_every_openai_compatible_provider_has_a_mode(person, name):
    """Each connects with its own handlers and makes a body."""
    keys = dict.fromkeys(CATALOG[name].keys, "k")
    where = {"AZURE_OPENAI_ENDPOINT": "https://x.test", "DATABRICKS_HOST": "https://x.test"}
    endpoint = await connect(f"{name}/some-model", person, env=env_with(**keys, **where))
    body = endpoint.codec.prepare(MESSAGES)
    await endpoint.provider.aclose()
    assert "the row" in orjson.dumps(body["messages"][-1]).decode()
