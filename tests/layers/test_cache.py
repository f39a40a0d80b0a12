"""The exact cache as a layer."""

from __future__ import annotations

import pytest
from fakes import Script, a_request, an_answer
from pydantic import BaseModel

from llmx.caches import CachedAnswer, NoCache
from llmx.errors import InvalidAnswer
from llmx.layers.cache import cached
from llmx.types import Usage


class Memory:
    """A `Cache` in a dict."""

    def __init__(self) -> None:
        self.answers: dict[str, CachedAnswer] = {}

    def get(self, fingerprint: str) -> CachedAnswer | None:
        return self.answers.get(fingerprint)

    def put(self, fingerprint: str, answer: CachedAnswer) -> None:
        self.answers[fingerprint] = answer

    def close(self) -> None:
        pass


class Person(BaseModel):
    """What a good answer holds."""

    name: str


def parse(text: str) -> Person:
    return Person.model_validate_json(text)


ADA = '{"name": "Ada"}'


async def test_a_known_request_is_answered_without_a_call():
    """A hit has the validated value, costs nothing, and says where it came from."""
    memory, script = Memory(), Script(an_answer())
    memory.put("f", CachedAnswer(ADA, "m-2026"))
    hit = await cached(memory, parse)(script)(a_request())
    assert script.calls == 0
    assert (hit.value, hit.source, hit.usage, hit.model) == (Person(name="Ada"), "cache", Usage(), "m-2026")


async def test_a_miss_is_asked_and_kept():
    """The answer of a call is stored under the request's fingerprint."""
    memory = Memory()
    answer = an_answer(ADA, model="m-2026")
    assert await cached(memory, parse)(Script(answer))(a_request("g")) is answer
    assert memory.answers == {"g": CachedAnswer(ADA, "m-2026")}


async def test_a_failed_row_is_not_kept():
    """Only valid answers are stored."""
    memory = Memory()
    with pytest.raises(InvalidAnswer):
        await cached(memory, parse)(Script(InvalidAnswer("no", raw="{}")))(a_request())
    assert memory.answers == {}


async def test_a_stored_answer_that_no_longer_fits_is_asked_again():
    """The user's validators may have changed since: what fails them now is a miss, and is replaced."""
    memory, script = Memory(), Script(an_answer(ADA))
    memory.put("f", CachedAnswer('{"nom": "Ada"}', "m"))
    await cached(memory, parse)(script)(a_request())
    assert script.calls == 1
    assert memory.answers["f"].text == ADA


async def test_a_validator_that_raises_anything_makes_a_miss():
    """A validator with a bug does not end the run at a cache hit: the model is asked."""

    def buggy(text: str) -> object:
        raise ZeroDivisionError

    memory, script = Memory(), Script(an_answer(ADA))
    memory.put("f", CachedAnswer(ADA, "m"))
    assert (await cached(memory, buggy)(script)(a_request())).source == "model"


async def test_no_cache_remembers_nothing():
    """With `--cache off` every request is a call."""
    script = Script(an_answer(ADA))
    handler = cached(NoCache(), parse)(script)
    await handler(a_request())
    await handler(a_request())
    assert script.calls == 2
