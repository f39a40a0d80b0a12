"""Streamed answers: the completion is that of the call for the whole, and whoever listens hears it come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hearing import Heard
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scripted import ANSWER, KEYS, MESSAGES, Caller, Reply, Scripted, chat, env_with, message

from llmx.errors import (
    ConnectionFailed,
    LlmxError,
    RateLimited,
    RowRefused,
    ServerError,
    TransientError,
)
from llmx.mock import MockSettings, serve
from llmx.mock.anthropic_stream import message_events
from llmx.mock.openai_stream import chat_chunks
from llmx.mock.wire import Call
from llmx.providers import Endpoint, connect
from llmx.providers.anthropic_stream import MessageAssembler
from llmx.providers.openai_stream import ChatAssembler
from llmx.providers.streams import AnswerStream
from llmx.types import Completion, Request

OPENAI = ("openai/gpt-4o-mini", "/v1")
CLAUDE = ("anthropic/claude-haiku-4-5", "")
STREAM = {"content-type": "text/event-stream"}
CALL = Call("mock", (), "", (), stream=True, stream_usage=True)


def asked(endpoint: Endpoint, heard: Heard | None) -> Request:
    body = endpoint.codec.prepare(MESSAGES)
    return Request(endpoint.id, endpoint.model, body, "fingerprint", row="the row", ear=heard)


async def thrice(endpoint: Endpoint) -> None:
    for _ in range(3):
        await endpoint.provider.complete(asked(endpoint, Heard()))


async def both(settings: MockSettings, person: Any, where: Any, **options: Any) -> Any:
    """The plain completion and the streamed one of the same call, and what was heard."""
    spec, path = where
    heard = Heard()
    async with await serve(settings) as server:
        endpoint = await connect(spec, person, env=env_with(**KEYS), base_url=server.url + path, **options)
        try:
            plain = await endpoint.provider.complete(asked(endpoint, None))
            streamed = await endpoint.provider.complete(asked(endpoint, heard))
        finally:
            await endpoint.provider.aclose()
        assert server.stats()["abandoned"] == 0
    return plain, streamed, heard


def bare(value: Any) -> Any:
    """A body without what is of one call only, and without what is empty."""
    if isinstance(value, dict):
        ours = {name: bare(inner) for name, inner in value.items() if name not in ("id", "created")}
        return {name: inner for name, inner in ours.items() if inner not in (None, [], {})}
    return [bare(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("mode", ["json_schema", "tools", "json"])
@pytest.mark.parametrize("where", [OPENAI, CLAUDE])
@pytest.mark.parametrize("transport", ["auto", "sdk"])
async def test_the_same_completion(person: Any, where: Any, mode: Any, transport: Any) -> None:
    """In every mode and over both transports; the text heard is the answer."""
    plain, streamed, heard = await both(MockSettings(), person, where, mode=mode, transport=transport)
    assert (replace(plain, body={}), bare(plain.body)) == (replace(streamed, body={}), bare(streamed.body))
    assert json.loads(heard.text) == json.loads(plain.text)
    assert len(heard.pieces) > 3


@pytest.mark.parametrize("where", [OPENAI, CLAUDE])
@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (MockSettings(refusal_rate=1.0), {}),
        (MockSettings(uncounted_rate=1.0), {}),
        (MockSettings(cached_share=0.5, reasoning_tokens=7), {}),
        (MockSettings(), {"max_output_tokens": 3}),
    ],
)
async def test_the_same_end(person: Any, where: Any, settings: MockSettings, options: Any) -> None:
    """Refusals, cut answers, usage in all its parts, and none of it."""
    plain, streamed, _ = await both(settings, person, where, **options)
    assert (replace(plain, body={}), bare(plain.body)) == (replace(streamed, body={}), bare(streamed.body))


async def test_the_same_log_probabilities(person: Any) -> None:
    """Token by token."""
    plain, streamed, _ = await both(MockSettings(), person, OPENAI, logprobs=True)
    assert bare(plain.body)["choices"] == bare(streamed.body)["choices"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (MockSettings(drop_rate=1.0), ConnectionFailed),
        (MockSettings(late_error_rate=1.0), ServerError),
        (MockSettings(error_rate=1.0), ServerError),
        (MockSettings(rpm=1), RateLimited),
    ],
)
@pytest.mark.parametrize("where", [OPENAI, CLAUDE])
@pytest.mark.parametrize("transport", ["auto", "sdk"])
async def test_faults(person: Any, where: Any, transport: Any, settings: Any, expected: Any) -> None:
    """Each is the error that it is without a stream; one in mid-answer may have been billed."""
    spec, path = where
    async with await serve(settings) as server:
        endpoint = await connect(
            spec, person, env=env_with(**KEYS), base_url=server.url + path, transport=transport
        )
        try:
            with pytest.raises(LlmxError) as caught:
                await thrice(endpoint)
        finally:
            await endpoint.provider.aclose()
    assert type(caught.value) is expected
    assert caught.value.maybe_billed is bool(settings.drop_rate or settings.late_error_rate)


# Any cut of the bytes


def streamed(kind: Any, stream: bytes, places: Sequence[int] = (), secret: str = "mock") -> tuple[Any, Heard]:
    """The body that a stream comes to, and what was heard of it."""
    heard = Heard()
    answer = AnswerStream(kind(heard), secret)
    ends = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    for begin, end in pairwise(ends):
        answer.take(stream[begin:end])
    answer.end()
    assert answer.failure is None
    return answer.body(), heard


answers = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
cuts = st.lists(st.integers(min_value=0), max_size=30)


@given(answers, cuts, st.booleans(), st.sampled_from([b"\n", b"\r\n"]))
def test_chunks_however_they_are_cut(text: str, places: list[int], tool: bool, end: bytes) -> None:
    """Within a letter of UTF-8, too."""
    whole = chat(None, tool=text) if tool else chat(text)
    stream = b"".join(chat_chunks(whole, CALL)).replace(b"\n", end)
    body, heard = streamed(ChatAssembler, stream, places)
    assert (heard.text, bare(body)) == (text, bare(whole))


@given(answers, cuts, st.booleans())
def test_events_however_they_are_cut(text: str, places: list[int], tool: bool) -> None:
    """The same for Anthropic's."""
    block = (
        {"type": "tool_use", "id": "toolu_1", "name": "Person", "input": {"name": text}}
        if tool
        else {"type": "text", "text": text}
    )
    whole = message(block)
    whole["stop_details"] = None
    whole["usage"] |= {"cache_creation_input_tokens": 1, "cache_read_input_tokens": 2}
    body, heard = streamed(MessageAssembler, b"".join(message_events(whole, CALL)), places)
    assert whole == body
    assert (json.loads(heard.text) if tool else heard.text) == ({"name": text} if tool else text)


# What servers make of the formats


def sse(*events: Any, name: str = "") -> bytes:
    frames = [
        event if isinstance(event, bytes) else b"data: %s\n\n" % orjson.dumps(event) for event in events
    ]
    return b"".join(frames)


def chunk(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


def test_without_done_and_usage() -> None:
    """An answer that says why it ended is whole, though no `[DONE]` follows; nobody has counted."""
    body, heard = streamed(ChatAssembler, sse(chunk({"content": "{}"}), chunk({}, "stop")))
    assert body["choices"][0]["message"]["content"] == heard.text == "{}"
    assert "usage" not in body


@pytest.mark.parametrize("end", [b"", b"data: [DONE]\n\n"])
def test_an_end_before_the_answer_is_whole(end: bytes) -> None:
    """What does not say why it ended is cut."""
    assert streamed(ChatAssembler, sse(chunk({"content": '{"a": 1'}), end))[0] is None


def test_words_before_a_tool_call() -> None:
    """The answer is the first call's arguments; what came before them is taken back."""
    first = {"index": 0, "id": "1", "function": {"name": "Person", "arguments": ""}}
    stream = sse(
        chunk({"role": "assistant", "content": "I will call it: {"}),
        chunk({"tool_calls": [first]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ANSWER[:5]}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "2", "function": {"name": "Person", "arguments": "{}"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ANSWER[5:]}}]}, "tool_calls"),
    )
    body, heard = streamed(ChatAssembler, stream)
    assert (ANSWER, 1) == (heard.text, heard.begun)
    assert [ANSWER, "{}"] == [c["function"]["arguments"] for c in body["choices"][0]["message"]["tool_calls"]]


def test_a_letter_in_two_halves() -> None:
    """Surrogates that come one by one are one letter in what is kept."""
    halves = [b'data: {"choices": [{"delta": {"content": "\\ud83d"}}]}\n\n']
    halves += [b'data: {"choices": [{"delta": {"content": "\\ude00"}, "finish_reason": "stop"}]}\n\n']
    assert streamed(ChatAssembler, sse(*halves))[0]["choices"][0]["message"]["content"] == "😀"
    answer = AnswerStream(ChatAssembler(Heard()), "")
    answer.take(halves[0].replace(b"}}]}", b'}, "finish_reason": "stop"}]}'))
    assert (answer.body(), answer.garbled) == (None, True)


def test_thinking_and_what_nobody_knows() -> None:
    """Thoughts are kept and not heard; unknown events and blocks are passed over."""
    start = {"type": "message_start", "message": {**message(), "content": [], "stop_reason": None}}
    events = [
        start,
        {"type": "weather", "wind": 3},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Here: "}},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": ANSWER}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "novel_delta", "novel": "x"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    body, heard = streamed(MessageAssembler, sse(*events))
    assert heard.text == ANSWER
    assert [block["type"] for block in body["content"]] == ["thinking", "text", "text"]
    assert body["content"][0] == {"type": "thinking", "thinking": "Hm", "signature": "s"}
    assert body["usage"] == {"input_tokens": 100, "output_tokens": 9}


def test_a_tool_call_that_was_cut() -> None:
    """What there is of its input is kept, as the whole answer would have it."""
    tool = {"type": "tool_use", "id": "t", "name": "Person", "input": {}}
    events = [
        {"type": "message_start", "message": {**message(), "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": tool},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": '{"name": "Ann", "a'},
        },
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 9}},
    ]
    assert streamed(MessageAssembler, sse(*events))[0]["content"][0]["input"] == {"name": "Ann"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", ServerError),
        ("rate_limit_error", RateLimited),
        ("api_error", ServerError),
        ("invalid_request_error", RowRefused),
        ("novel_error", ServerError),
    ],
)
async def test_an_error_event_is_what_its_status_would_be(
    server: Scripted, caller: Caller, kind: str, expected: type[LlmxError]
) -> None:
    """Anthropic names the kind, for which the status has gone out already."""
    start = {"type": "message_start", "message": {**message(), "content": [], "stop_reason": None}}
    error = {"type": "error", "error": {"type": kind, "message": "sorry"}}
    server.reply = Reply(sse(start, b"event: error\ndata: %s\n\n" % orjson.dumps(error)), headers=STREAM)
    endpoint = await caller.connect("anthropic/claude-haiku-4-5")
    with pytest.raises(LlmxError, match="sorry") as caught:
        await endpoint.provider.complete(asked(endpoint, Heard()))
    assert (type(caught.value), caught.value.maybe_billed) == (expected, True)


@pytest.mark.parametrize("said", [b"data: {]\n\n", b"data: 7\n\n", b'data: {"choices": 3}\n\n'])
async def test_no_stream_of_an_answer(server: Scripted, caller: Caller, said: bytes) -> None:
    """It may be paid for, and another attempt may fare better."""
    server.reply = Reply(said, headers=STREAM)
    endpoint = await caller.connect("openai/gpt-4o-mini")
    with pytest.raises(TransientError, match="no stream of an answer") as caught:
        await endpoint.provider.complete(asked(endpoint, Heard()))
    assert caught.value.maybe_billed


async def test_a_server_that_does_not_stream(server: Scripted, caller: Caller) -> None:
    """Its whole answer is taken as it is; nothing is heard before."""
    server.reply = Reply(chat())
    endpoint = await caller.connect("openai/gpt-4o-mini")
    heard = Heard()
    completion = await endpoint.provider.complete(asked(endpoint, heard))
    assert (completion.text, heard.pieces) == (ANSWER, [])


async def test_what_is_asked(server: Scripted, caller: Caller) -> None:
    """The same body and how it is to come; the request that is journalled knows nothing of that."""
    server.reply = Reply(b"".join(chat_chunks(chat(), CALL)), headers=STREAM)
    endpoint = await caller.connect("openai/gpt-4o-mini")
    request = asked(endpoint, Heard())
    await endpoint.provider.complete(request)
    asked_for = {"stream": True, "stream_options": {"include_usage": True}}
    assert server.received[0].body == {**request.body, **asked_for}
    assert request == asked(endpoint, None)


async def test_limits_are_heard_of(server: Scripted, caller: Caller) -> None:
    """A stream's headers tell them, too."""
    limits = {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "9"}
    server.reply = Reply(b"".join(chat_chunks(chat(), CALL)), headers=STREAM | limits)
    endpoint = await caller.connect("openai/gpt-4o-mini")
    told: list[Any] = []
    endpoint.listen(told.extend)
    await endpoint.provider.complete(asked(endpoint, Heard()))
    assert [state.remaining for state in told] == [9]


async def test_the_key_is_not_kept(server: Scripted, caller: Caller) -> None:
    """A server that repeats it, even in two pieces, gets stars into what is journalled."""
    key = KEYS["OPENAI_API_KEY"]
    pieces = [chunk({"content": key[:5]}), chunk({"content": key[5:]}, "stop", echo=key)]
    server.reply = Reply(sse(*pieces), headers=STREAM)
    endpoint = await caller.connect("openai/gpt-4o-mini")
    completion: Completion = await endpoint.provider.complete(asked(endpoint, Heard()))
    assert key not in json.dumps(completion.body) + completion.text


async def test_a_compressed_stream(server: Scripted, caller: Caller) -> None:
    """It comes as a whole, for it was asked not to be."""
    import gzip

    body = gzip.compress(b"".join(chat_chunks(chat(), CALL)))
    server.reply = Reply(body, headers=STREAM | {"content-encoding": "gzip"})
    endpoint = await caller.connect("openai/gpt-4o-mini")
    heard = Heard()
    completion = await endpoint.provider.complete(asked(endpoint, heard))
    assert (completion.text, heard.text) == (ANSWER, ANSWER)
