"""What both wire formats have in common: a call as the simulated model sees it, its answer, its refusals.

`openai_wire` and `anthropic_wire` translate between these and JSON; nothing here knows a format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from llmx.mock.limits import LimitState
from llmx.mock.logprobs import Token
from llmx.mock.merging import Schema
from llmx.mock.truth import GoldAnswer

__all__ = [
    "Answer",
    "Call",
    "LimitHeaders",
    "Problem",
    "Rejected",
    "Wire",
    "bad_request",
    "field",
    "pieces",
    "text_of",
]

TOKEN = 4
"""Characters of a piece of a streamed answer: as many as a token is counted for."""

Problem = Literal[
    "bad_request",
    "no_key",
    "wrong_key",
    "unknown_model",
    "unknown_url",
    "quota",
    "rate",
    "too_large",
    "server",
    "outage",
]


class Rejected(Exception):
    """The provider does not answer this call.

    Args:
        problem: what kind; each family words it in its own way.
        subject: what it is about: a model, a URL, a masked key, a message, which limit.
        status: for "server" only; the others have theirs from their family.
        param: the offending parameter of a bad request.
        retry_after: seconds, None where waiting does not help or no time is to be named.
        figures: for "rate" and "too_large": limit, used, requested.
    """

    def __init__(
        self,
        problem: Problem,
        subject: str = "",
        *,
        status: int = 0,
        param: str | None = None,
        retry_after: float | None = None,
        figures: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        super().__init__(f"{problem}: {subject}")
        self.problem = problem
        self.subject = subject
        self.status = status
        self.param = param
        self.retry_after = retry_after
        self.figures = figures


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the model.

    Args:
        texts: all text of the prompt in order, system text first.
        user_text: what the user's turns say, which string fields are copied from.
        messages: each message as JSON, for telling a re-ask from a first attempt.
        schema: what the answer must satisfy; None for prose, or where only the text may name one.
        tool: the tool to be called with the answer, None to answer as text.
        forced: whether the caller named that very tool.
        wants_json: whether an answer without a schema must still be a JSON object.
        limit: output tokens at most; None is no limit.
        seed: the request's own, None where it names none.
        temperature: None where it is not sent.
        logprobs: whether the tokens' probabilities are asked for.
        top_logprobs: how many likely tokens are to be named at every place.
        stream: whether the answer is to come in pieces.
        stream_usage: whether what it used is to be told in one, too; Anthropic does in any case.
    """

    model: str
    texts: tuple[str, ...]
    user_text: str
    messages: tuple[Any, ...]
    schema: Schema | None = None
    tool: str | None = None
    forced: bool = False
    wants_json: bool = False
    limit: int | None = None
    seed: int | None = None
    temperature: float | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    stream: bool = False
    stream_usage: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says.

    Args:
        text: JSON text, prose, or the words of a refusal.
        value: the parsed object where the text is whole JSON, else None.
        finish: "length" where the text was cut at the call's limit.
        input_tokens: cached ones included.
        output_tokens: reasoning ones included.
        tokens: of a text whose probabilities are asked for and known.
        gold: what it was told by a gold file, None where that does not have the row.
    """

    text: str
    value: Any
    finish: Literal["stop", "length", "refusal"]
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    tokens: list[Token] | None = None
    gold: GoldAnswer | None = None


class Wire(Protocol):
    """One family's format."""

    def parse(self, body: Any, headers: Mapping[str, str]) -> Call:
        """Read a request's JSON. Raises `Rejected` where the family would refuse it."""
        ...

    def completion(self, call: Call, answer: Answer, serial: int) -> dict[str, Any]:
        """The response's JSON; `serial` numbers it."""
        ...

    def error(self, rejected: Rejected, serial: int) -> tuple[int, dict[str, Any]]:
        """The status and JSON of a refusal."""
        ...


LimitHeaders = Callable[[Mapping[str, LimitState]], str]


def bad_request(message: str, param: str | None = None) -> Rejected:
    """A 400 with this message."""
    return Rejected("bad_request", message, param=param)


def field(body: Any, name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
    """An optional member of a JSON object, of the right kind. Raises `Rejected` for a wrong one."""
    value = body.get(name, default) if isinstance(body, dict) else default
    if value is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind is int)):
        raise bad_request(f"Invalid type for '{name}'.", name)
    return value


def pieces(text: str) -> list[str]:
    """A text as it is streamed, a token in each piece."""
    return [text[at : at + TOKEN] for at in range(0, len(text), TOKEN)]


def text_of(content: Any) -> str:
    """All text in a message's content: a string, or blocks of which some hold text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(_block_text(block) for block in content if isinstance(block, dict))


def _block_text(block: dict[str, Any]) -> str:
    text = block.get("text")
    return text if isinstance(text, str) else text_of(block.get("content"))
