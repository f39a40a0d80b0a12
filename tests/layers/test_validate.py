"""Answers are validated, re-asked a bounded number of times, and kept raw when they fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from fakes import FakeClock, Log, Script, a_request, an_answer
from msgspec.structs import replace
from pydantic import BaseModel, Field, field_validator

from llmx.errors import InvalidAnswer, Refusal, RetriesExhausted, RowError, RowRefused, TruncatedAnswer
from llmx.events import Reasked
from llmx.layers.meter import metered
from llmx.layers.validate import describe, validated
from llmx.types import Completion, Handler, Question, Request


class Person(BaseModel):
    """What a good answer holds."""

    name: str
    age: int = Field(ge=0, default=0)

    @field_validator("name")
    @classmethod
    def known(cls, name: str) -> str:
        if name == "bug":
            raise ZeroDivisionError("division by zero")
        if name == "exit":
            raise SystemExit(1)
        if name == "mute":
            raise InvalidAnswer("the model's serializer failed: no")
        return name


class Talk:
    """A `Dialogue` over bodies that list what the model was shown."""

    def __init__(self, *, user_set_limit: bool = False) -> None:
        self.user_set_limit = user_set_limit

    def parse(self, completion: Completion) -> Person:
        return Person.model_validate_json(completion.text)

    def reask(self, body: Mapping[str, Any], completion: Completion, error: Exception) -> dict[str, Any]:
        return {**body, "shown": [*body.get("shown", []), completion.text]}

    def raised(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        return None if self.user_set_limit else {**body, "max_tokens": 2 * body.get("max_tokens", 100)}


def rekey(request: Request) -> Request:
    return replace(request, fingerprint=f"{request.fingerprint}+")


def over(script: Handler, *, reasks: int = 2, talk: Talk | None = None, log: Log | None = None) -> Handler:
    return validated(talk or Talk(), reasks=reasks, rekey=rekey, observer=log or Log())(script)


ADA = '{"name": "Ada"}'
BAD = '{"nom": "Ada"}'
CUT = an_answer('{"name": "A', finish="length")


async def test_a_valid_answer_gets_its_value():
    """The completion that comes out carries the user's object."""
    script = Script(an_answer(ADA))
    assert (await over(script)(a_request())).value == Person(name="Ada")
    assert script.calls == 1


async def test_an_invalid_answer_is_asked_again_with_its_error():
    """The re-ask shows the model its answer, under a fingerprint and a number of its own."""
    script, log = Script(an_answer(BAD), an_answer(ADA)), Log()
    assert (await over(script, log=log)(a_request())).value == Person(name="Ada")
    second = script.requests[1]
    assert (second.body, second.fingerprint, second.reask) == ({"shown": [BAD]}, "f+", 1)
    assert log.events == [Reasked("name: Field required", "invalid_answer", Question(None, 0, 1))]


@pytest.mark.parametrize("reasks", [0, 1, 2, 5])
async def test_reasks_are_counted(reasks: int):
    """An answer that stays invalid costs exactly one call more than the re-asks."""
    script = Script(an_answer(BAD))
    with pytest.raises(InvalidAnswer):
        await over(script, reasks=reasks)(a_request())
    assert script.calls == reasks + 1
    assert [request.reask for request in script.requests] == list(range(reasks + 1))


async def test_the_last_raw_answer_is_kept():
    """The error row shows what the model said last."""
    script = Script(an_answer(BAD), an_answer("nonsense"))
    with pytest.raises(InvalidAnswer) as caught:
        await over(script, reasks=1)(a_request())
    assert caught.value.raw == "nonsense"


@pytest.mark.parametrize("error", [RowRefused("400"), RetriesExhausted("500 (6 attempts)")])
async def test_an_answer_whose_reask_fails_is_kept(error: RowError):
    """It was paid for, and is the only one there is."""
    with pytest.raises(type(error)) as caught:
        await over(Script(an_answer(BAD), error))(a_request())
    assert caught.value.raw == BAD


async def test_a_refusal_of_twice_the_room_leaves_the_cut_answer():
    """The row's fault is that it was cut; that the provider has not so much room was our try."""
    with pytest.raises(TruncatedAnswer) as caught:
        await over(Script(CUT, RowRefused("max_tokens is too large")))(a_request(body={"max_tokens": 100}))
    assert caught.value.raw == CUT.text


async def test_a_reask_shows_all_answers_before_it():
    """Each re-ask is built on the one before."""
    script = Script(an_answer(BAD), an_answer("{}"), an_answer(ADA))
    await over(script)(a_request())
    assert script.requests[2].body == {"shown": [BAD, "{}"]}


async def test_no_reask_is_phrased_when_none_is_left():
    """Building a re-ask that is never sent would be work for nothing."""

    class Mute(Talk):
        def reask(self, body: Mapping[str, Any], completion: Completion, error: Exception) -> dict[str, Any]:
            pytest.fail("phrased a re-ask that cannot be sent")

    with pytest.raises(InvalidAnswer):
        await over(Script(an_answer(BAD)), reasks=0, talk=Mute())(a_request())


async def test_a_cut_answer_gets_twice_the_room_once():
    """Cut by the limit, it is asked again with twice the limit; cut again, it fails."""
    script = Script(CUT)
    with pytest.raises(TruncatedAnswer) as caught:
        await over(script, reasks=5)(a_request(body={"max_tokens": 100}))
    assert [request.body["max_tokens"] for request in script.requests] == [100, 200]
    assert caught.value.raw == CUT.text
    assert caught.value.hint == "a larger --max-output-tokens"


async def test_a_cut_answer_names_its_length():
    """The message says after how many tokens it was cut."""
    script = Script(replace(CUT, usage=replace(CUT.usage, output_tokens=4096)))
    with pytest.raises(TruncatedAnswer, match=r"^the answer was cut after 4,096 output tokens$"):
        await over(script)(a_request())


async def test_a_cut_answer_is_not_asked_again_when_the_user_set_the_limit():
    """A limit that was asked for is kept."""
    script = Script(CUT)
    with pytest.raises(TruncatedAnswer):
        await over(script, talk=Talk(user_set_limit=True))(a_request())
    assert script.calls == 1


async def test_a_cut_answer_after_an_invalid_one_gets_its_room_too():
    """The doubled re-ask is for the first cut, whichever answer is cut."""
    script = Script(an_answer(BAD), CUT, an_answer(ADA))
    assert (await over(script)(a_request(body={"max_tokens": 100}))).value == Person(name="Ada")
    assert script.requests[2].body == {"max_tokens": 200, "shown": [BAD]}


async def test_an_invalid_answer_after_a_cut_one_is_asked_again():
    """The doubled re-ask is one of the re-asks, not the last."""
    script = Script(CUT, an_answer(BAD), an_answer(ADA))
    assert (await over(script)(a_request())).value == Person(name="Ada")


async def test_a_doubled_reask_counts_as_a_reask():
    """With `--reasks 0` a cut answer fails at once."""
    script = Script(CUT)
    with pytest.raises(TruncatedAnswer):
        await over(script, reasks=0)(a_request())
    assert script.calls == 1


async def test_a_refusal_is_not_asked_again():
    """A model that declines is not pressed."""
    script = Script(an_answer("I can't help\nwith that", finish="refusal"))
    with pytest.raises(Refusal, match=r"^the model declined: \"I can't help with that\"$") as caught:
        await over(script)(a_request())
    assert script.calls == 1
    assert caught.value.raw == "I can't help\nwith that"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bug", "a validator of the schema raised ZeroDivisionError: division by zero"),
        ("exit", "a validator of the schema raised SystemExit: 1"),
        ("mute", "the model's serializer failed: no"),
    ],
)
async def test_a_bug_in_the_schema_fails_the_row_alone(name: str, message: str):
    """What the user's own code raises is told as such, without a re-ask that cannot help."""
    raw = f'{{"name": "{name}"}}'
    script = Script(an_answer(raw))
    with pytest.raises(InvalidAnswer, match=f"^{message}$") as caught:
        await over(script)(a_request())
    assert script.calls == 1
    assert caught.value.raw == raw


async def test_usage_is_summed_over_reasks():
    """All re-asks of a row add up on its one tally."""
    request = a_request()
    paid = metered("mock", clock=FakeClock(), observer=Log())(
        Script(an_answer(BAD, tokens=10), an_answer(ADA, tokens=30))
    )
    await over(paid)(request)
    assert (request.tally.attempts, request.tally.usage.input_tokens) == (2, 40)


def test_a_validation_error_is_one_line():
    """The first three places are named, the others counted."""

    class Many(BaseModel):
        a: int
        b: int
        c: list[int]
        d: int

    with pytest.raises(ValueError, match="a") as caught:
        Many.model_validate({"a": 1, "c": ["x", "y"]})
    assert describe(caught.value) == (
        "b: Field required; "
        "c.0: Input should be a valid integer, unable to parse string as an integer; "
        "c.1: Input should be a valid integer, unable to parse string as an integer (and 1 more)"
    )


def test_a_problem_with_the_whole_answer_is_called_that():
    """An error without a place is the answer's."""
    with pytest.raises(ValueError, match="JSON") as caught:
        Person.model_validate_json("{")
    assert describe(caught.value) == "answer: Invalid JSON: EOF while parsing an object at line 1 column 1"


def test_a_long_problem_is_shortened():
    """No message is longer than 300 characters, whatever the model wrote."""
    assert describe(ValueError("x" * 1000)) == "x" * 299 + "…"
