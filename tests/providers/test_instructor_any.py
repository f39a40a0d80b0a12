"""A provider that only instructor knows, through its own SDK, over a real socket."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from scripted import ANSWER, KEYS, MESSAGES, Reply, chat, env_with

from llmx.errors import (
    AuthenticationFailed,
    RateLimited,
    RequestRejected,
    ServerError,
    UnknownModel,
    UsageError,
)
from llmx.providers import connect
from llmx.providers.catalog import CATALOG
from llmx.providers.codec import handlers_for, wire_model
from llmx.providers.instructor_any import SdkProvider, SdkWire, read_finish, read_usage, sdk_codec
from llmx.providers.modes import choose
from llmx.providers.status import Call
from llmx.types import Request, Usage


async def test_a_call(caller, server):
    """Groq's SDK sends what instructor's handler built, with the key; its answer is read as JSON."""
    server.reply = Reply(chat(None, tool=ANSWER, finish="tool_calls"))
    endpoint = await caller.connect("groq/llama-3.3-70b-versatile")
    completion = await caller.ask(endpoint)
    received = server.received[0]
    assert received.headers["authorization"] == f"Bearer {KEYS['GROQ_API_KEY']}"
    assert received.path == "/openai/v1/chat/completions"
    assert received.body["tools"][0]["function"]["name"] == "Person"
    assert [m["content"] for m in MESSAGES] == [m["content"] for m in received.body["messages"]]
    assert (endpoint.mode, completion.finish, endpoint.codec.parse(completion).age) == ("tools", "stop", 41)
    assert (f"groq {server.url}", Usage(100, 20, cost=None)) == (endpoint.id, completion.usage)


@pytest.mark.parametrize("mode", ["tools", "json_schema", "json"])
async def test_a_reask(caller, server, mode):
    """Over the SDK's own response object, in instructor's words."""
    server.reply = Reply(chat(None, tool="{}") if mode == "tools" else chat("{}"))
    endpoint = await caller.connect("groq/llama", mode=mode)
    body = endpoint.codec.prepare(MESSAGES)
    completion = await caller.ask(endpoint, body)
    with pytest.raises(ValueError, match="age") as caught:
        endpoint.codec.parse(completion)
    await caller.ask(endpoint, endpoint.codec.reask(body, completion, caught.value))
    first, second = (received.body["messages"] for received in server.received)
    assert first == second[: len(first)]
    assert "Field required" in str(second[-1]["content"])
    assert completion.text == "{}"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, AuthenticationFailed),
        (404, UnknownModel),
        (429, RateLimited),
        (500, ServerError),
        (307, RequestRejected),
    ],
)
async def test_errors(caller, server, status, expected):
    """One call, whatever the SDK's own retries and redirects would be."""
    headers = {"retry-after": "3", "location": f"{server.url}/elsewhere"}
    server.reply = Reply({"error": {"message": "no"}}, status, headers)
    with pytest.raises(expected) as caught:
        await caller.ask(await caller.connect("groq/llama"))
    assert len(server.received) == 1
    if expected in (RateLimited, ServerError):
        assert caught.value.retry_after == 3.0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({**chat(), "choices": []}, ServerError),
        ({"error": {"message": "upstream is busy", "code": 429}}, RateLimited),
    ],
)
async def test_a_200_without_a_completion(caller, server, body, expected):
    """It is no answer that a model could mend."""
    server.reply = Reply(body)
    with pytest.raises(expected):
        await caller.ask(await caller.connect("groq/llama"))


async def test_an_answer_in_prose(caller, server):
    """A model that does not call the tool: its words are the text, and do not validate."""
    server.reply = Reply(chat("I would rather not."))
    endpoint = await caller.connect("groq/llama")
    completion = await caller.ask(endpoint)
    assert completion.text == "I would rather not."
    with pytest.raises(ValueError, match="Invalid JSON"):
        endpoint.codec.parse(completion)


async def test_no_key(person):
    """It is said before any call."""
    with pytest.raises(AuthenticationFailed, match="GROQ_API_KEY is not set"):
        await connect("groq/llama", person, env=env_with())


class Native(SimpleNamespace):
    """What some SDKs want in a request: an object of their own, which is no JSON."""


class NativeHandlers:
    """Handlers as google's are: they put the messages into objects."""

    def request_handler(self, model, kwargs):
        return model, {"model": kwargs["model"], "contents": [Native(**m) for m in kwargs["messages"]]}

    def reask_handler(self, kwargs, response, error):
        kwargs["contents"].append(Native(role="user", content=f"{response['text']}: {error}"))
        return kwargs

    def response_parser(self, response, model):
        return model.model_validate_json(response["text"])


async def test_sdks_that_take_objects(person):
    """Bodies stay JSON; objects are made at the last moment, corrections included."""
    entry = CATALOG["groq"]
    plan = choose(entry, "m", person, "tools", own_server=False, modes=lambda provider: frozenset({"tools"}))
    wire = SdkWire(entry, NativeHandlers(), wire_model(person, plan.wire.schema))
    codec = sdk_codec(person, wire, plan, {"model": "m", "max_tokens": 5}, cap_is_ours=True)
    asked = []

    async def create(**arguments):
        asked.append([content.content for content in arguments["contents"]])
        return {"text": ANSWER if len(asked) > 1 else "{}", "usage": {"inputTokens": 3, "outputTokens": 1}}

    provider = SdkProvider(create, None, wire, price=lambda model, usage: None, call=Call("x", "m", "u"))
    body = codec.prepare(MESSAGES)
    first = await provider.complete(Request("x u", "m", body, "f"))
    second_body = codec.reask(body, first, ValueError("age is missing"))
    second = await provider.complete(Request("x u", "m", second_body, "f"))
    await provider.aclose()
    texts = [m["content"] for m in MESSAGES]
    assert [texts, [*texts, "{}: age is missing"]] == asked
    assert (Usage(3, 1, cost=None), 41) == (second.usage, codec.parse(second).age)
    assert "corrections" not in body


async def test_a_reask_before_the_first_call(person):
    """A resumed run has answers but no SDK object yet: the error is told in plain words."""
    entry = CATALOG["groq"]
    plan = choose(entry, "m", person, "tools", own_server=False, modes=lambda provider: frozenset({"tools"}))
    wire = SdkWire(entry, handlers_for("groq", "tools"), wire_model(person, plan.wire.schema))
    corrected = wire.corrected({"messages": []}, wire.response(chat("{}")), ValueError("age is missing"))
    assert "age is missing" in corrected["messages"][0]["content"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"choices": [{"finish_reason": "stop"}]}, "stop"),
        ({"choices": [{"finish_reason": "length"}]}, "length"),
        ({"candidates": [{"finish_reason": "STOP"}]}, "stop"),
        ({"candidates": [{"finish_reason": "MAX_TOKENS"}]}, "length"),
        ({"candidates": [{"finish_reason": "SAFETY"}]}, "refusal"),
        ({"finish_reason": "COMPLETE"}, "stop"),
        ({"stopReason": "end_turn"}, "stop"),
        ({}, "other"),
    ],
)
def test_read_finish(body, expected):
    """Every provider has its own words."""
    assert read_finish(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, None),
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 1}}, Usage(3, 1)),
        ({"usage": {"input_tokens": 3, "output_tokens": 1}}, Usage(3, 1)),
        (
            {
                "usage": {
                    "billed_units": {"input_tokens": 9},
                    "tokens": {"input_tokens": 3, "output_tokens": 1},
                }
            },
            Usage(3, 1),
        ),
        (
            {
                "usage_metadata": {
                    "prompt_token_count": 3,
                    "candidates_token_count": 1,
                    "thoughts_token_count": 4,
                    "cached_content_token_count": 2,
                }
            },
            Usage(3, 5, cached_tokens=2, reasoning_tokens=4),
        ),
        (
            {
                "usage": {
                    "prompt_tokens": 3,
                    "completion_tokens": 2,
                    "completion_tokens_details": {"reasoning_tokens": 1},
                }
            },
            Usage(3, 2, reasoning_tokens=1),
        ),
    ],
)
def test_read_usage(body, expected):
    """Every provider has its own names."""
    assert read_usage(body) == expected


async def test_base_url_where_there_is_none(person, monkeypatch):
    """An SDK whose address cannot be changed says what to do instead."""
    from llmx.providers import instructor_any

    client = SimpleNamespace()
    made = SimpleNamespace(client=client, create_fn=SimpleNamespace(__wrapped__=lambda: None))
    monkeypatch.setattr("instructor.from_provider", lambda *a, **k: made)
    with pytest.raises(UsageError, match="takes no other address"):
        instructor_any.client_for(
            CATALOG["cohere"], "m", "tools", "k", base_url="http://127.0.0.1:9", timeout=1.0
        )


async def test_coheres_own_retries_are_switched_off(person):
    """Its client has no setting for them, each call has."""
    given = []

    async def create(**arguments):
        given.append(arguments.get("request_options"))
        return {"text": ANSWER}

    wire = SdkWire(CATALOG["cohere"], NativeHandlers(), wire_model(person, {}))
    provider = SdkProvider(create, None, wire, price=lambda model, usage: None, call=Call("x", "m", "u"))
    await provider.complete(Request("x u", "m", {"messages": MESSAGES, "model": "m"}, "f"))
    assert given == [{"max_retries": 0}]
