"""The journal as layers: what was paid for is used, what comes is kept first, what failed may be asked anew."""

from __future__ import annotations

import pytest
from fakes import Log, Script, a_request, an_answer
from msgspec.structs import replace

from llmx.errors import InvalidAnswer, NotStored, RetriesExhausted, RowError, ServerError
from llmx.layers import compose
from llmx.layers.journal import asked_anew, journalled
from llmx.layers.meter import metered
from llmx.types import Completion, Handler, Request, Usage


class Memory:
    """A journal in a dict; `finished` are the fingerprints that an earlier, finished run has answered."""

    def __init__(self, **answers: Completion) -> None:
        self.answers = dict(answers)
        self.finished = set(answers)
        self.kept: list[tuple[str, str]] = []

    def seek(self, request: Request) -> None:
        """All of it is at hand."""

    def answer(self, request: Request) -> Completion | None:
        outdated = request.fingerprint in self.finished
        found = self.answers.get(request.fingerprint)
        if found is None or (outdated and request.anew):
            return None
        request.tally.outdated += outdated
        return replace(found, usage=Usage(), source="journal")

    def keep(self, request: Request, completion: Completion) -> None:
        self.kept.append((request.fingerprint, completion.text))
        self.answers[request.fingerprint] = completion
        self.finished.discard(request.fingerprint)


def fitting(handler: Handler) -> Handler:
    """In the place of validation: what says "bad" does not fit."""

    async def call(request: Request) -> Completion:
        completion = await handler(request)
        if completion.text == "bad":
            raise InvalidAnswer("bad", raw=completion.text)
        return completion

    return call


def over(script: Script, memory: Memory) -> Handler:
    """The layers around a provider, as they are in a run."""
    from fakes import FakeClock

    meter = metered("mock", clock=FakeClock(), observer=Log())
    return compose(script, [asked_anew(), fitting, journalled(memory), meter])


# Journalled


async def test_an_answer_that_was_paid_for_is_used():
    """Nobody is asked, and it costs nothing."""
    script = Script(an_answer("new"))
    found = await journalled(Memory(f=an_answer("old")))(script)(a_request("f"))
    assert (found.text, found.source, found.usage, script.calls) == ("old", "journal", Usage(), 0)


async def test_an_answer_that_comes_is_kept():
    """Under its request's fingerprint, as it came."""
    memory, answer = Memory(), an_answer("new")
    assert await journalled(memory)(Script(answer))(a_request("g")) is answer
    assert memory.kept == [("g", "new")]


async def test_an_answer_that_does_not_fit_is_kept():
    """It stands below validation: what was paid for is written before anybody looks at it."""
    memory = Memory()
    with pytest.raises(InvalidAnswer):
        await fitting(journalled(memory)(Script(an_answer("bad"))))(a_request("f"))
    assert memory.kept == [("f", "bad")]


async def test_no_answer_is_nothing_to_keep():
    """An error of the call is the caller's."""
    memory = Memory()
    with pytest.raises(ServerError):
        await journalled(memory)(Script(ServerError("500")))(a_request("f"))
    assert memory.kept == []


async def test_offline_nobody_is_asked():
    """A row without an answer fails, and its error says how to get one."""
    script = Script(an_answer())
    with pytest.raises(NotStored, match=r"^no answer is stored for this row$") as caught:
        await journalled(Memory(), offline=True)(script)(a_request("f"))
    assert (script.calls, caught.value.hint) == (0, "run it without --offline")


async def test_offline_what_is_stored_is_used():
    """As ever."""
    handler = journalled(Memory(f=an_answer("old")), offline=True)(Script(an_answer("new")))
    assert (await handler(a_request("f"))).text == "old"


# Asked anew


async def test_what_fits_is_not_asked_anew():
    """Whoever gave it."""
    script = Script(an_answer("new"))
    assert (await over(script, Memory(f=an_answer("old")))(a_request("f"))).text == "old"
    assert script.calls == 0


async def test_an_old_answer_that_does_not_fit_is_asked_anew():
    """Once: it was tried first, for a validator may have been mended since."""
    script, memory = Script(an_answer("new")), Memory(f=an_answer("bad"))
    assert (await over(script, memory)(a_request("f"))).text == "new"
    assert (script.calls, memory.kept) == (1, [("f", "new")])


async def test_asked_anew_it_may_fail_again():
    """With what the new answer lacks, after one call."""
    script = Script(an_answer("bad"))
    with pytest.raises(InvalidAnswer):
        await over(script, Memory(f=an_answer("bad")))(a_request("f"))
    assert script.calls == 1


async def test_a_row_that_was_asked_about_now_is_not_asked_anew():
    """Its answer is of this run."""
    script = Script(an_answer("bad"))
    with pytest.raises(InvalidAnswer):
        await over(script, Memory())(a_request("f"))
    assert script.calls == 1


async def test_a_failure_of_this_run_stays_one():
    """What an interrupted run has paid for is replayed by its continuation, and fails as it did."""
    memory, script = Memory(f=an_answer("bad")), Script(an_answer("new"))
    memory.finished.clear()
    with pytest.raises(InvalidAnswer):
        await over(script, memory)(a_request("f"))
    assert script.calls == 0


async def test_a_call_that_failed_is_not_made_twice():
    """What retries could not get, asking anew does not try for."""
    script = Script(RetriesExhausted("gave up"))
    with pytest.raises(RowError, match="gave up"):
        await over(script, Memory())(a_request("f"))
    assert script.calls == 1


async def test_what_was_spent_is_on_the_rows_own_tally():
    """The request that is sent anew adds to the same one."""
    request = a_request("f")
    await over(Script(an_answer("new", tokens=7)), Memory(f=an_answer("bad")))(request)
    assert (request.tally.attempts, request.tally.usage.input_tokens) == (1, 7)
