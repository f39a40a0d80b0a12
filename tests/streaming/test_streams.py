"""One row's fields as they come, over real sockets: the engine's guarantees hold for whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from commands import Mock, mocked, wait_for
from fakes import until
from pydantic import BaseModel, Field, model_validator
from scripted import Reply, Scripted, chat, message

import llmx
from llmx.errors import (
    AuthenticationFailed,
    InvalidAnswer,
    ProviderDown,
    Refusal,
    RetriesExhausted,
    UsageError,
)
from llmx.events import AttemptFailed, Event, RunEnded, RunStarted
from llmx.mock import Latency, MockSettings
from llmx.mock.anthropic_stream import message_events
from llmx.mock.openai_stream import chat_chunks
from llmx.mock.wire import Call
from llmx.streaming import FieldDone, ObjectDone, Part, Restarted, open_streams

ROW = {"text": "Ada Lovelace, 36, is delighted with her engine"}
CALL = Call("mock", (), "", (), stream=True, stream_usage=True)
GOOD = '{"name": "Ann", "age": 41, "tags": ["x"]}'
BAD = '{"name": "Bob", "age": -1, "tags": []}'


class Person(BaseModel):
    """A person in the text."""

    name: str
    age: int = Field(ge=0)
    tags: list[str]


def at(mock: Mock) -> dict[str, Any]:
    return {"model": "openai/mock", "base_url": f"{mock.url}/v1"}


@pytest.fixture
def mock() -> Iterator[Mock]:
    with mocked() as running:
        yield running


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY"):
        monkeypatch.setenv(name, "mock")


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with Scripted.listening() as scripted:
        yield scripted


def at_server(server: Scripted, **options: Any) -> dict[str, Any]:
    return {"model": "openai/mock", "base_url": server.url, "cache": "off", **options}


async def taken(schema: Any, row: Any = ROW, **options: Any) -> list[Part]:
    return [part async for part in llmx.astream(row, schema, **options)]


def fields(parts: Sequence[Part]) -> dict[str, Any]:
    """Those since the last restart; each came once."""
    last = max((at for at, part in enumerate(parts) if isinstance(part, Restarted)), default=-1)
    told = [(part.path, part.value) for part in parts[last + 1 :] if isinstance(part, FieldDone)]
    assert len(told) == len(dict(told))
    return dict(told)


def outcome(parts: Sequence[Part]) -> llmx.types.Outcome:
    (end,) = [part for part in parts if isinstance(part, ObjectDone)]
    assert parts[-1] is end
    return end.outcome


def restarts(parts: Sequence[Part]) -> list[tuple[str, str]]:
    return [(part.reason, part.message) for part in parts if isinstance(part, Restarted)]


def streamed(content: str, **more: Any) -> Reply:
    stream = b"".join(chat_chunks(chat(content, **more), CALL))
    return Reply(stream, headers={"content-type": "text/event-stream"})


def in_turn(*replies: Reply) -> Callable[[Any], Reply]:
    left = list(replies)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


# The answer


@pytest.mark.parametrize("model", ["openai/mock", "anthropic/mock"])
@pytest.mark.parametrize("mode", ["auto", "tools", "json"])
async def test_fields_are_the_object(model: str, mode: str) -> None:
    """They come in the order of the answer, and the outcome is that of a call for the whole."""
    with mocked() as mock:
        where = {"model": model, "base_url": mock.url + ("/v1" if model.startswith("openai") else "")}
        parts = await taken(Person, **where, mode=mode, cache="off")
        (plain,) = await llmx.aextract([ROW], Person, **where, mode=mode, cache="off")
    end = outcome(parts)
    assert fields(parts) == end.value.model_dump()
    assert list(fields(parts)) == ["name", "age", "tags"]
    assert (plain.value, plain.usage, plain.model, plain.attempts, plain.source) == (
        end.value,
        end.usage,
        end.model,
        end.attempts,
        end.source,
    )


async def test_fields_come_before_the_whole() -> None:
    """While the server is still writing."""
    with mocked(MockSettings(latency=Latency(0.5, 0.5))) as mock:
        async with aclosing(llmx.astream(ROW, Person, **at(mock))) as parts:
            assert isinstance(await anext(parts), FieldDone)
            assert mock.server.stats()["in_flight"] == 1


async def test_a_stored_answer_comes_at_once(mock: Mock) -> None:
    """Nobody is asked; a streamed answer is stored for whoever wants the whole, and the other way round."""
    first = await taken(Person, **at(mock))
    (plain,) = await llmx.aextract([ROW], Person, **at(mock))
    second = await taken(Person, **at(mock))
    assert mock.calls == 1
    assert (outcome(second).source, plain.source) == ("cache", "cache")
    assert fields(second) == fields(first)


async def test_what_is_added_to_the_answer() -> None:
    """Defaults of absent fields, and computed ones, come with the whole."""

    class Defaults(Person):
        note: str | None = None
        nick: str = "none"

        @llmx_computed
        def shout(self) -> str:
            return self.name.upper()

    async with Scripted.listening() as server:
        server.reply = streamed(GOOD)
        parts = await taken(Defaults, **at_server(server))
    assert fields(parts)["note"] is None
    assert fields(parts) == outcome(parts).value.model_dump()
    assert restarts(parts) == []


def llmx_computed(function: Any) -> Any:
    from pydantic import computed_field

    return computed_field(property(function))


async def test_the_whole_decides(server: Scripted) -> None:
    """Where a validator of the whole model changes a field, the fields come again as they are."""

    class Changed(Person):
        @model_validator(mode="after")
        def _renamed(self) -> Changed:
            self.name = "Zoe"
            return self

    server.reply = streamed(GOOD)
    parts = await taken(Changed, **at_server(server))
    assert restarts(parts) == [("invalid", "name: otherwise in the whole object")]
    assert fields(parts) == {"name": "Zoe", "age": 41, "tags": ["x"]}


async def test_a_name_that_comes_twice(server: Scripted) -> None:
    """The last one counts, as in any reader of JSON."""
    server.reply = streamed('{"name": "A", "name": "B", "age": 1, "tags": []}')
    parts = await taken(Person, **at_server(server))
    assert (fields(parts)["name"], len(restarts(parts))) == ("B", 1)


# What goes wrong


async def test_a_reask(server: Scripted) -> None:
    """Fields of an answer that does not fit are taken back, with why; the one that does not fit is not told of."""
    server.reply = in_turn(streamed(BAD), streamed(GOOD))
    parts = await taken(Person, **at_server(server))
    assert [part.path for part in parts[:3] if isinstance(part, FieldDone)] == ["name", "tags"]
    ((reason, words),) = restarts(parts)
    assert (reason, "age: Input should be greater than or equal to 0") == ("invalid", words)
    assert fields(parts) == {"name": "Ann", "age": 41, "tags": ["x"]}
    assert outcome(parts).attempts == 2
    assert outcome(parts).usage.input_tokens == 200


async def test_an_answer_that_never_fits(server: Scripted) -> None:
    """The row's error is its outcome."""
    server.reply = streamed(BAD)
    parts = await taken(Person, **at_server(server, reasks=1))
    assert isinstance(outcome(parts).error, InvalidAnswer)
    assert [reason for reason, _ in restarts(parts)] == ["invalid"]


async def test_a_cut_answer(server: Scripted) -> None:
    """It is asked for once more with twice the room."""
    server.reply = in_turn(streamed(GOOD[:30], finish="length"), streamed(GOOD))
    parts = await taken(Person, **at_server(server))
    assert [reason for reason, _ in restarts(parts)] == ["invalid"]
    assert fields(parts)["name"] == "Ann"


async def test_a_stream_that_breaks(server: Scripted) -> None:
    """The call is made again, and its fields come anew."""
    broken = streamed(GOOD)
    broken.cut = len(broken.body) - 400
    server.reply = in_turn(broken, streamed(GOOD))
    parts = await taken(Person, **at_server(server))
    assert [reason for reason, _ in restarts(parts)] == ["retry"]
    assert (fields(parts)["age"], outcome(parts).attempts) == (41, 2)


async def test_a_stream_that_stalls() -> None:
    """Silence for longer than `timeout` ends the call."""
    with mocked(MockSettings(stall_rate=1.0)) as mock:
        parts = await taken(Person, **at(mock), timeout=0.1, retries=0)
        assert isinstance(outcome(parts).error, RetriesExhausted)
        assert "no answer within 0.1 s" in str(outcome(parts).error)
        await until(lambda: mock.server.stats()["abandoned"] == 1)


async def test_an_answer_may_take_longer_than_the_timeout() -> None:
    """As long as it goes on."""
    with mocked(MockSettings(pace=60.0)) as mock:
        end = outcome(await taken(Person, **at(mock), timeout=0.2))
    assert end.ok
    assert end.seconds > 0.2


async def test_a_fallback(server: Scripted) -> None:
    """Another endpoint's answer takes the place of what the first had begun to say."""

    def reply(request: Any) -> Reply:
        broken = streamed(GOOD.replace("Ann", "Bob"))
        broken.cut = len(broken.body) - 400
        return broken if request.body["model"] == "first" else streamed(GOOD)

    server.reply = reply
    parts = await taken(Person, **at_server(server, model=["openai/first", "openai/second"], retries=0))
    ((reason, words),) = restarts(parts)
    assert (reason, words.startswith("openai/second is asked: ")) == ("fallback", True)
    assert (fields(parts)["name"], outcome(parts).endpoint) == ("Ann", "openai/second")


async def test_a_cascade(server: Scripted) -> None:
    """A cheap answer that will not do is taken back for a dearer one."""

    def reply(request: Any) -> Reply:
        return streamed(BAD) if request.body["model"] == "first" else streamed(GOOD)

    server.reply = reply
    options = at_server(server, cascade=["openai/first", "openai/second"], reasks=0)
    del options["model"]
    parts = await taken(Person, **options)
    assert [reason for reason, _ in restarts(parts)] == ["fallback"]
    assert fields(parts)["name"] == "Ann"


async def test_a_refusal() -> None:
    """It has no fields."""
    with mocked(MockSettings(refusal_rate=1.0)) as mock:
        parts = await taken(Person, **at(mock))
    assert [type(part) for part in parts] == [ObjectDone]
    assert isinstance(outcome(parts).error, Refusal)


async def test_a_dead_key() -> None:
    """No row could succeed: it is raised, and an open engine says so."""
    with mocked(MockSettings(keys=("another",))) as mock:
        with pytest.raises(AuthenticationFailed):
            await taken(Person, **at(mock))
        async with open_streams(Person, columns=["text"], **at(mock)) as streams:
            assert streams.ended is None
            with pytest.raises(AuthenticationFailed):
                _ = [part async for part in streams.stream(ROW)]
            assert isinstance(streams.ended, AuthenticationFailed)
            with pytest.raises(AuthenticationFailed):
                _ = [part async for part in streams.stream({"text": "another"})]
        assert mock.calls == 2


async def test_nobody_there() -> None:
    """As for every call."""
    with pytest.raises(ProviderDown):
        await taken(Person, model="openai/mock", base_url="http://127.0.0.1:9", retries=0)


@pytest.mark.parametrize(
    ("row", "options"), [("text", {}), ({1: "x"}, {}), (ROW, {"nonsense": 1}), (ROW, {"output": "x"})]
)
async def test_wrong_use(mock: Mock, row: Any, options: Any) -> None:
    """Nothing is sent."""
    with pytest.raises(UsageError):
        await taken(Person, row, **at(mock), **options)
    assert mock.calls == 0


async def test_rows_of_an_open_engine_have_nothing_to_do_with_each_other() -> None:
    """However many of the first fail, it goes on."""
    with mocked(MockSettings(refusal_rate=1.0)) as mock:
        async with open_streams(Person, columns=["text"], **at(mock)) as streams:
            for number in range(25):
                parts = [part async for part in streams.stream({"text": f"row {number}"})]
                assert isinstance(outcome(parts).error, Refusal)
            assert streams.ended is None


async def test_a_server_that_knows_no_stream_options(server: Scripted) -> None:
    """Mistral's words: it is asked again without, and its answers' cost is not known."""
    loc = ["body", "stream_options", "include_usage"]
    detail = [{"type": "extra_forbidden", "loc": loc, "msg": "Extra inputs are not permitted", "input": True}]
    refused = Reply({"object": "error", "message": {"detail": detail}, "type": "invalid_request_error"}, 422)

    def reply(request: Any) -> Reply:
        return refused if "stream_options" in request.body else streamed(GOOD, usage=None)

    server.reply = reply
    async with open_streams(Person, columns=["text"], **at_server(server)) as streams:
        ends = [[part async for part in streams.stream({"text": text})] for text in ("one", "two")]
    assert [outcome(parts).attempts for parts in ends] == [2, 1]
    assert outcome(ends[1]).usage.cost is None


# Leaving


async def test_leaving_early_hangs_up() -> None:
    """The server sees it at once, and the call counts as one that may be billed."""
    events: list[Event] = []
    with mocked(MockSettings(latency=Latency(60, 60), pace=1.0)) as mock:
        async with open_streams(Person, columns=["text"], **at(mock), observer=events.append) as streams:
            async with aclosing(streams.stream(ROW)) as parts:
                asking = asyncio.ensure_future(anext(parts))
                await until(lambda: mock.server.stats()["in_flight"] == 1)
                asking.cancel()
                await asyncio.wait([asking])
            await until(lambda: mock.server.stats()["abandoned"] == 1)
    (failed,) = [event for event in events if isinstance(event, AttemptFailed)]
    assert failed.error.maybe_billed


async def test_leaving_between_fields_hangs_up() -> None:
    """In the midst of an answer, too."""
    with mocked(MockSettings(pace=40.0)) as mock:
        async with open_streams(Person, columns=["text"], **at(mock)) as streams:
            async with aclosing(streams.stream(ROW)) as parts:
                assert isinstance(await anext(parts), FieldDone)
            await until(lambda: mock.server.stats()["abandoned"] == 1)
            assert mock.server.stats()["in_flight"] == 0


async def test_what_was_left_is_counted_against_a_budget() -> None:
    """At its worst case: the next row finds no room."""
    with mocked(MockSettings(pace=40.0)) as mock:
        async with open_streams(Person, columns=["text"], **at(mock), max_tokens=8_000) as streams:
            async with aclosing(streams.stream(ROW)) as parts:
                await anext(parts)
            with pytest.raises(llmx.errors.BudgetReached):
                _ = [part async for part in streams.stream({"text": "another"})]
        assert mock.calls == 1


def test_without_async() -> None:
    """The same parts, one after the other; leaving hangs up there, too."""
    with mocked(MockSettings(pace=40.0)) as mock:
        parts = list(llmx.stream(ROW, Person, **at(mock)))
        assert fields(parts) == outcome(parts).value.model_dump()
        left = llmx.stream({"text": "another"}, Person, **at(mock))
        assert isinstance(next(left), FieldDone)
        left.close()
        wait_for(lambda: mock.server.stats()["abandoned"] == 1)


async def test_without_async_in_a_loop(mock: Mock) -> None:
    """It would hold the loop up."""
    with pytest.raises(RuntimeError, match=r"llmx\.astream"):
        next(llmx.stream(ROW, Person, **at(mock)))


# One engine for many


async def test_rows_share_an_engine(mock: Mock) -> None:
    """Identical rows in flight are one call, and each gets all of it."""
    async with open_streams(Person, columns=["text"], **at(mock)) as streams:

        async def one(text: str) -> list[Part]:
            return [part async for part in streams.stream({"text": text})]

        ends = await asyncio.gather(*(one(f"row {number % 5}") for number in range(20)))
    assert mock.calls == 5
    for parts in ends:
        assert fields(parts) == outcome(parts).value.model_dump()
    assert sorted(outcome(parts).record.index for parts in ends) == list(range(20))


async def test_the_follower_of_one_that_left_asks_itself() -> None:
    """Whoever leaves takes nobody's answer away."""
    with mocked(MockSettings(latency=Latency(0.2, 0.2))) as mock:
        async with open_streams(Person, columns=["text"], **at(mock)) as streams:
            leader = streams.stream(ROW)
            first = asyncio.ensure_future(anext(leader))
            await until(lambda: mock.server.stats()["in_flight"] == 1)
            follower = streams.stream(ROW)
            second = asyncio.ensure_future(anext(follower))
            await first
            await leader.aclose()
            assert isinstance(await second, FieldDone)
            rest = [part async for part in follower]
        assert (mock.calls, outcome(rest).ok) == (2, True)


async def test_the_observer_hears_of_a_run(mock: Mock) -> None:
    """Of its beginning and its end, and of the row."""
    events: list[Event] = []
    await taken(Person, **at(mock), observer=events.append)
    assert isinstance(events[0], RunStarted)
    assert events[-1] == RunEnded(True)


@pytest.mark.parametrize("options", [{"votes": 3}, {"hedge": True}, {"evidence": True}, {"transport": "sdk"}])
async def test_other_options(mock: Mock, options: Any) -> None:
    """Of votes the fields come with the whole; a hedge sends nothing twice; with evidence the fields are the answer's."""
    parts = await taken(Person, **at(mock), **options)
    assert fields(parts) == outcome(parts).value.model_dump()
    assert mock.calls == options.get("votes", 1)


async def test_a_provider_that_does_not_stream(mock: Mock) -> None:
    """Its fields come with the whole."""
    parts = await taken(Person, model="groq/mock", base_url=mock.url, cache="off")
    assert fields(parts) == outcome(parts).value.model_dump()


async def test_anthropic_thinks_aloud(server: Scripted) -> None:
    """Words before a tool call are no fields."""
    words = {"type": "text", "text": 'I call it with {"name": "Eve"}'}
    call = {"type": "tool_use", "id": "t", "name": "Person", "input": {"name": "Ann", "age": 41, "tags": []}}
    whole = message(words, call, stop="tool_use")
    whole["usage"] |= {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    stream = b"".join(message_events(whole, CALL))
    server.reply = Reply(stream, headers={"content-type": "text/event-stream"})
    parts = await taken(Person, **at_server(server, model="anthropic/mock", mode="tools"))
    assert fields(parts) == {"name": "Ann", "age": 41, "tags": []}


@pytest.mark.local_model
async def test_the_embedded_model_streams() -> None:
    """Its fields come while it writes."""
    parts = await taken("name, age int", {"text": "Ada is 36."}, model="local", cache="off")
    assert fields(parts) == outcome(parts).value.model_dump()
