"""Validation: an answer that does not fit is shown its error and asked again, a bounded number of times.

A re-ask is a request like any other: it passes through the layers below (journal, pacing, retries).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec.structs import replace

from llmx.errors import (
    FatalError,
    InvalidAnswer,
    NotAdmitted,
    NotStored,
    Refusal,
    RetriesExhausted,
    RowError,
    RowRefused,
    TruncatedAnswer,
)
from llmx.events import Observer, Reasked
from llmx.types import Completion, Handler, Judgement, Layer, Question, Request

__all__ = ["Dialogue", "describe", "validated"]


class Dialogue(Protocol):
    """How an answer is read and a correction is phrased in one provider's format."""

    def parse(self, completion: Completion) -> Any:
        """The user's object.

        Raises:
            ValueError: it does not fit (pydantic's ValidationError is one): the model is asked again.
            InvalidAnswer: it cannot be used, for a reason that no model can mend.
        """
        ...

    def reask(self, body: Mapping[str, Any], completion: Completion, error: Exception) -> dict[str, Any]:
        """A new body that shows the model its answer and the error."""
        ...

    def raised(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The same body with twice the output limit; None when the user set the limit."""
        ...


def validated(
    dialogue: Dialogue,
    *,
    reasks: int,
    rekey: Callable[[Request], Request],
    observer: Observer,
    replayed: bool = False,
    judge: Judgement | None = None,
) -> Layer:
    """A layer that returns completions with their `value`, or raises a RowError that keeps the raw answer.

    Args:
        reasks: further requests after the first, in total, 0 or more.
        rekey: gives a changed request its own fingerprint.
        replayed: re-asks beyond the limit may be made as far as their answers are stored.
        judge: finds out more about answers that fit; what it refuses is asked again like one that does not.
    """

    async def answer(handler: Handler, request: Request, before: _Unfit | None) -> Completion:
        """The answer; of a re-ask that was made, not replayed, the observer hears."""
        asked = True
        try:
            completion = await _sent(handler, request)
            asked = completion.source == "model"
            return completion
        except RowError as error:
            asked = not isinstance(error, NotStored)
            raise _verdict(error, before) from error
        finally:
            if before is not None and asked:
                observer(Reasked(str(before.verdict), before.verdict.type, Question.of(request)))

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            doubled = False
            before: _Unfit | None = None
            while True:
                completion = await answer(handler, request, before)
                try:
                    return _read(dialogue, judge, request, completion)
                except _Unfit as unfit:
                    # Those that were sent elsewhere before the row came here count, too.
                    left = request.tally.reasks + request.reask < reasks
                    body = (
                        _next_body(dialogue, request, completion, unfit, doubled)
                        if left or replayed
                        else None
                    )
                    if body is None:
                        raise unfit.verdict from unfit.problem
                    doubled = doubled or completion.finish == "length"
                    before = unfit
                    if request.ear is not None:
                        request.ear.restart("invalid", str(unfit.verdict))
                    request = rekey(replace(request, body=body, reask=request.reask + 1, stored=not left))

        return call

    return layer


async def _sent(handler: Handler, request: Request) -> Completion:
    """The answer; of a row that may move on without one, the re-asks so far are kept, for they count there, too."""
    try:
        return await handler(request)
    except (RetriesExhausted, NotAdmitted, FatalError):
        request.tally.reasks += request.reask
        raise


class _Unfit(Exception):
    """An answer that cannot be used: the verdict if no re-ask is left, and what the model is shown."""

    def __init__(self, verdict: RowError, problem: Exception | None = None) -> None:
        super().__init__(str(verdict))
        self.verdict = verdict
        self.problem = problem


def _verdict(error: RowError, before: _Unfit | None) -> RowError:
    """Why the row failed whose re-ask got no answer: by what the last answer lacked, which is kept."""
    if before is None:
        return error
    if isinstance(error, NotStored):
        return before.verdict  # nobody could be asked again
    if isinstance(before.verdict, TruncatedAnswer) and isinstance(error, RowRefused):
        return before.verdict  # it was our doubled limit that was refused
    error.raw = error.raw or before.verdict.raw
    return error


def _read(
    dialogue: Dialogue, judge: Judgement | None, request: Request, completion: Completion
) -> Completion:
    """The completion with its value. Raises _Unfit."""
    valued = completion.valued(_value(dialogue, completion))
    if judge is None:
        return valued
    try:
        return judge(request, valued)
    except ValueError as problem:
        raise _Unfit(InvalidAnswer(describe(problem), raw=completion.text), problem) from None


def _value(dialogue: Dialogue, completion: Completion) -> Any:
    if completion.finish == "refusal":
        said = f": {_clip(completion.text)!r}" if completion.text else ""
        raise _Unfit(Refusal(f"the model declined{said}", raw=completion.text))
    if completion.finish == "length":
        message = f"the answer was cut after {completion.usage.output_tokens:,} output tokens"
        hint = "a larger --max-output-tokens"
        raise _Unfit(TruncatedAnswer(message, hint=hint, raw=completion.text))
    try:
        return dialogue.parse(completion)
    except ValueError as problem:
        raise _Unfit(InvalidAnswer(describe(problem), raw=completion.text), problem) from None
    except InvalidAnswer as verdict:  # no fault of the answer that the model could mend
        raise _Unfit(InvalidAnswer(str(verdict), raw=completion.text)) from None
    except (Exception, SystemExit) as bug:  # noqa: BLE001  # a user's validator may raise anything
        message = f"a validator of the schema raised {type(bug).__name__}: {_clip(str(bug))}"
        raise _Unfit(InvalidAnswer(message, raw=completion.text)) from None


def _next_body(
    dialogue: Dialogue, request: Request, completion: Completion, unfit: _Unfit, doubled: bool
) -> dict[str, Any] | None:
    """What to send next, None when asking again cannot help."""
    if completion.finish == "length":
        # Cut twice, the second time with twice the room: a repetition loop, not a long answer.
        return None if doubled else dialogue.raised(request.body)
    if unfit.problem is None:
        return None
    return dialogue.reask(request.body, completion, unfit.problem)


def describe(problem: Exception) -> str:
    """One line for a validation error: the first three places and what is wrong there."""
    errors = getattr(problem, "errors", None)
    if not callable(errors):
        return _clip(str(problem))
    found = errors(include_url=False, include_context=False, include_input=False)
    parts = [f"{'.'.join(map(str, e['loc'])) or 'answer'}: {e['msg']}" for e in found[:3]]
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return _clip("; ".join(parts) + more)


def _clip(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
