"""The small parts of a shared run: shares, circuits, the channel, a journal that is elsewhere."""

from __future__ import annotations

import asyncio
import pickle
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import Log, a_request

from llmx import errors
from llmx.errors import AuthenticationFailed, Interrupted, LlmxError, RateLimited
from llmx.events import CircuitClosed, CircuitOpened, CircuitProbing, EndpointEnded, Paused
from llmx.journal import Found, NoJournal
from llmx.journal.answers import answer_line
from llmx.layers.stop import Stop
from llmx.share import Share
from llmx.types import Completion, Usage
from llmx.workers.channel import Channel
from llmx.workers.circuits import Circuits
from llmx.workers.far_journal import FarJournal
from llmx.workers.messages import Hold, Kept, LookedUp, LookUp
from llmx.workers.owner import Owner


@pytest.mark.parametrize("of", range(1, 9))
@pytest.mark.parametrize("places", [8, 9, 15, 256])
def test_shares_add_up_to_the_whole(of: int, places: int):
    """Places are whole, and rates are not."""
    shares = [Share(number, of) for number in range(of)]
    assert sum(share.places(places) for share in shares) == places
    assert sum(share.rate(100.0) or 0 for share in shares) == pytest.approx(100)
    assert shares[0].rate(None) is None


def test_circuits_are_told_of_as_one():
    """It is open while any is; the first to open it says how it goes on."""
    circuits = Circuits()
    opened = CircuitOpened("a", 1.0, "500")
    told = [
        (0, opened, True),
        (1, opened, False),
        (1, CircuitProbing("a"), False),
        (0, CircuitProbing("a"), True),
        (0, opened, True),
        (0, CircuitClosed("a"), False),
        (1, opened, True),
        (1, CircuitClosed("a"), True),
        (1, EndpointEnded("a", AuthenticationFailed("no")), True),
        (0, EndpointEnded("a", AuthenticationFailed("no")), False),
    ]
    for worker, event, news in told:
        assert circuits.is_news(worker, event) is news, (worker, event)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_can_be_sent(name: str):
    """With all that it says."""
    kind = getattr(errors, name)
    error = (
        Interrupted(15)
        if kind is Interrupted
        else kind("what", **({} if kind is LlmxError else {"hint": "how"}))
    )
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.hint) == (kind, str(error), error.hint)
    assert (again.exit_code, again.maybe_billed) == (error.exit_code, error.maybe_billed)


def test_an_error_keeps_its_numbers():
    error = pickle.loads(pickle.dumps(RateLimited("slow down", retry_after=3.5, maybe_billed=True)))
    assert (error.retry_after, error.maybe_billed) == (3.5, True)


@pytest.mark.parametrize("size", [0, 1, 10_000_000])
def test_what_is_said_arrives_in_order(size: int):
    """However large; what is said in one turn arrives together. Then it is seen that the other end has gone."""

    async def talk() -> tuple[list[list[Any]], bool]:
        heard: list[list[Any]] = []
        gone = asyncio.Event()
        ours, theirs = socket.socketpair()
        one, other = Channel(heard.append, gone.set), Channel(lambda messages: None, lambda: None)
        await one.open(ours)
        await other.open(theirs)
        other.send("a")
        other.send(b"x" * size)
        await asyncio.sleep(0)
        other.send("b")
        other.close()
        await asyncio.wait_for(gone.wait(), 10)
        other.send("nobody hears this")
        other.flush()
        return heard, gone.is_set()

    heard, gone = asyncio.run(talk())
    assert heard == [["a", b"x" * size], ["b"]]
    assert gone


def test_what_cannot_be_said_ends_the_talk():
    """Nobody waits for it for ever."""

    async def talk() -> list[list[Any]]:
        heard: list[list[Any]] = []
        gone = asyncio.Event()
        ours, theirs = socket.socketpair()
        one, other = Channel(heard.append, gone.set), Channel(lambda messages: None, lambda: None)
        await one.open(ours)
        await other.open(theirs)
        other.send(lambda: None)
        with pytest.raises((AttributeError, pickle.PicklingError)):
            other.flush()
        await asyncio.wait_for(gone.wait(), 10)
        return heard

    assert asyncio.run(talk()) == []


COMPLETION = Completion("{}", Usage(1, 1), "mock", "stop", {"id": "1"})


def journal() -> tuple[FarJournal, list[Any]]:
    sent: list[Any] = []
    return FarJournal(sent.append), sent


def test_what_was_looked_up_is_used_once():
    """A second row with the same question asks again: the first one may have been answered meanwhile."""
    far, sent = journal()
    request = a_request("a")
    coming = far.expect([request.fingerprint], ())
    assert not coming.done()
    found = Found({**answer_line(request, COMPLETION).entry, "text": "{}", "body": {}})
    far.looked_up(LookedUp(1, {request.fingerprint: (found, True)}))
    assert coming.done()
    assert far.seek(request) is None
    answer = far.answer(request)
    assert answer is not None
    assert answer.source == "journal"
    assert list(request.tally.replayed) == [request.fingerprint]
    assert far.seek(request) is not None
    assert [message.number for message in sent if isinstance(message, LookUp)] == [1, 2]


def test_what_was_kept_since_is_looked_up_again():
    """That nothing was known says nothing once a row that is alike has paid."""
    far, sent = journal()
    request = a_request("a")
    far.expect([request.fingerprint], ())
    far.keep(request, COMPLETION)
    far.looked_up(LookedUp(1, {}))
    assert far.seek(request) is not None
    assert [type(message) for message in sent] == [LookUp, Kept, LookUp]


class Recorder:
    """In a channel's place."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)


async def an_owner(log: Log) -> tuple[Owner, list[Recorder]]:
    """An owner of two workers of which nobody hears anything."""
    spending: Any = SimpleNamespace(caps=None)
    parts: Any = SimpleNamespace(observer=log, spending=spending, concurrency=8)
    nobody: Any = [None, None]
    prompt: Any = None
    owner = Owner(
        nobody, parts, prompt, NoJournal(), past=None, capped=False, stop=Stop(), say=lambda text: None
    )
    recorders = [Recorder(), Recorder()]
    for worker, recorder in zip(owner._workers, recorders, strict=True):
        channel: Any = recorder
        worker.channel = channel
    return owner, recorders


async def test_a_pause_is_for_all():
    """Who is asked to wait tells the others; and the figures, once."""
    log = Log()
    owner, recorders = await an_owner(log)
    owner._receive(owner._workers[0], [Paused("a", 3.0)])
    assert [recorder.sent for recorder in recorders] == [[], [Hold("a", 3.0)]]
    assert log.events == [Paused("a", 3.0)]


async def test_a_circuit_is_told_of_once():
    """Two find the same server down."""
    log = Log()
    owner, _ = await an_owner(log)
    for worker in owner._workers:
        owner._receive(worker, [CircuitOpened("a", 1.0, "500")])
    assert log.events == [CircuitOpened("a", 1.0, "500")]
