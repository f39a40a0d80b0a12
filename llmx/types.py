"""The data that flow through llmx: frozen, slotted, without behaviour beyond arithmetic.

Rows flow left to right (`Record` -> `Outcome`), a call flows inward through layers
(`Request` -> `Completion`). This module imports nothing of llmx but the errors.

They are msgspec structs and not dataclasses, here and elsewhere: a class, before the first row of every run, and an
instance, for every row, are made in a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, Protocol

from msgspec import Struct, field
from msgspec.structs import astuple

from llmx.errors import LlmxError, UnreadableRow

__all__ = [
    "NOTHING",
    "Completion",
    "Ear",
    "Finish",
    "Handler",
    "Judgement",
    "Layer",
    "Likeness",
    "LimitKind",
    "LimitState",
    "Listener",
    "Outcome",
    "Provider",
    "Quality",
    "Question",
    "Quote",
    "Record",
    "Request",
    "Restart",
    "Served",
    "Source",
    "Tally",
    "Unreadable",
    "Usage",
    "weight",
]

Finish = Literal["stop", "length", "refusal", "other"]
"""Why the model stopped: it was done, hit the token limit, declined, or anything else."""

Source = Literal["model", "cache", "semantic", "coalesced", "journal"]
"""Who gave the answer: a call, the exact cache, the semantic cache (it is that of another row), the call of an identical
row in flight, or the run's journal."""


class Record(Struct, frozen=True):
    """One input row.

    Args:
        index: position in the run's input, from 0, counted over all files.
        data: the row's columns.
        line: line number in its file, from 1; None where lines mean nothing (Parquet, a text file).
        origin: the file's name as the user gave it, "-" for stdin.
        key: the value of the `--key` column as text, None without `--key`.
    """

    index: int
    data: Mapping[str, Any]
    line: int | None = None
    origin: str = "-"
    key: str | None = None


def weight(row: Record | Unreadable) -> int:
    """About how many bytes of memory a row's texts take."""
    if isinstance(row, Unreadable):
        return len(row.raw)
    return sum([len(value) if type(value) is str else _weight_of(value) for value in row.data.values()])


def _weight_of(value: Any) -> int:
    """Of what is no text: of what is in it."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_weight_of, value.values()))
    return sum(map(_weight_of, value)) if isinstance(value, list | tuple) else 8


class Unreadable(Struct, frozen=True):
    """A line that is not a row: it ends in the errors, the others go on.

    Args:
        index, line, origin: as in `Record`; unreadable lines are counted too.
        error: why; its message names file and line.
        raw: the text at fault, its beginning only where it is longer than a row may be.
    """

    index: int
    line: int | None
    origin: str
    error: UnreadableRow
    raw: str


class Usage(Struct, frozen=True):
    """Tokens and money of one call, or of several added up.

    Args:
        input_tokens: all prompt tokens, cached ones included (providers differ; adapters normalise).
        output_tokens: all generated tokens, reasoning ones included.
        cached_tokens: prompt tokens read from the provider's cache; included in `input_tokens`.
        cache_write_tokens: prompt tokens written to the provider's cache; included in `input_tokens`.
        reasoning_tokens: included in `output_tokens`.
        cost: US dollars; None when any part of it is unknown, never 0 for unknown.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal | None = Decimal(0)

    def costing(self, cost: Decimal | None) -> Usage:
        """The same tokens at another cost."""
        return Usage(
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
            cost,
        )

    def __add__(self, other: Usage) -> Usage:
        if self is NOTHING:
            return other
        unknown = self.cost is None or other.cost is None
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            None if unknown else (self.cost or Decimal(0)) + (other.cost or Decimal(0)),
        )

    @property
    def total_tokens(self) -> int:
        """Input plus output tokens."""
        return self.input_tokens + self.output_tokens


NOTHING = Usage()
"""No call: most rows have one, whose usage is then the sum."""


LimitKind = Literal["requests", "tokens", "input_tokens", "output_tokens"]


class LimitState(Struct, frozen=True):
    """One of a provider's limits, as a response tells it.

    Args:
        limit: per minute; some providers tell one per day by the same name.
        remaining: what was left of it when the response was made.
        reset: seconds until all of it is there again, None when not told.
    """

    kind: LimitKind
    limit: float
    remaining: float
    reset: float | None


Listener = Callable[[Sequence[LimitState]], None]
"""Who wants to know what responses tell of limits."""


Restart = Literal["invalid", "retry", "fallback"]
"""Why an answer that was being heard is not the one that counts: it does not fit and is asked for again, its call failed
and is made again, or another endpoint is asked."""


class Ear(Protocol):
    """Who hears an answer while it is written. Called on the event loop's thread; must not raise, nor wait."""

    def begin(self) -> None:
        """What is heard from here on is an answer from its beginning."""
        ...

    def hear(self, text: str) -> None:
        """So much more of the answer's JSON text has come; "" where the model goes on with what is no part of it."""
        ...

    def restart(self, reason: Restart, message: str) -> None:
        """What was heard does not hold any more, and why: another answer is to come."""
        ...


class Tally(Struct):
    """What one row has really cost so far, failed and re-asked attempts included.

    The one mutable thing that travels with a request: layers add to it as money is spent, so that
    an error raised half-way loses no count.

    Args:
        outdated: answers that an earlier, finished run had paid for.
        replayed: what earlier sessions had paid, in US dollars, by the fingerprints of their answers.
        failures: attempts since the last answer that failed, and count: those at other endpoints, too.
        alone: refusals by a 429, since its last answer, before which others were answered since the one before.
        refused_at: when the last one came, in the clock's seconds.
        reasks: re-asks that other endpoints were sent before the row moved on.
        others: the names of endpoints that have not been tried yet, to each of which one attempt is left.
        endpoint: who gave the last answer, or was asked last: the endpoint's name in this run.
    """

    attempts: int = 0
    usage: Usage = NOTHING
    outdated: int = 0
    replayed: dict[str, Decimal | None] = field(default_factory=dict)
    failures: int = 0
    alone: int = 0
    refused_at: float | None = None
    reasks: int = 0
    others: frozenset[str] = frozenset()
    endpoint: str = ""

    def add(self, part: Tally) -> None:
        """Count what a part of the row's asking has cost: a vote, or a step of a cascade."""
        self.attempts += part.attempts
        self.usage += part.usage
        self.outdated += part.outdated
        self.replayed |= part.replayed
        self.endpoint = part.endpoint or self.endpoint


def _shown(struct: Struct, *, hidden: Sequence[str]) -> str:
    """The `repr` of a struct without some of its fields."""
    shown = (f"{name}={getattr(struct, name)!r}" for name in struct.__struct_fields__ if name not in hidden)
    return f"{type(struct).__name__}({', '.join(shown)})"


class Quote(Struct, frozen=True):
    """Words of a row that a value rests on.

    Args:
        text: the words as the model quoted them, or the value itself where it quoted none and the row holds it.
        column: where they are.
        start, end: offsets in the column's text, in code points; `end` is behind the last one.
        match: how far they are the same: "exact", "normalized" (case, blanks, Unicode form) or "fuzzy".
    """

    text: str
    column: str
    start: int
    end: int
    match: str


class Quality(Struct, frozen=True):
    """What is known of how far an answer's values can be trusted, by their paths in the answer.

    Args:
        evidence: of each value that is not null, None where the row does not hold what it was said to rest on. None as a
            whole where nobody has asked for evidence.
        confidence: from 0 to 1, of each value and of each list of values. None as a whole where nothing is known.
    """

    evidence: Mapping[tuple[str | int, ...], Quote | None] | None = None
    confidence: Mapping[tuple[str | int, ...], float] | None = None

    @property
    def least(self) -> float | None:
        """The confidence of the value that is the least certain, None when nothing is known."""
        return min(self.confidence.values(), default=None) if self.confidence else None

    @property
    def unsupported(self) -> int:
        """How many values have no words in the row that they rest on."""
        return sum(1 for quote in (self.evidence or {}).values() if quote is None)


class Likeness(Struct, frozen=True):
    """How alike a row is to the one whose answer it was given.

    Args:
        similarity: from 0 to 1, the cosine of their embeddings.
        fingerprint: of the other row's question.
    """

    similarity: float
    fingerprint: str


class Request(Struct, frozen=True):
    """One call as it will be sent, and what identifies it.

    Args:
        endpoint: the endpoint's identity: provider name and base URL, e.g. "openai https://api.openai.com/v1".
        model: the model's name as the provider knows it.
        body: the whole provider-shaped payload (model, messages, tools or response format, parameters).
        fingerprint: hex digest over everything that can change the answer (endpoint, model, messages,
            schema, mode, parameters, sample); never over caps, pacing or paths.
        sample: which of several answers to the same question this is, from 0.
        reask: how many re-asks led to this request, 0 for the first.
        row: the text of the row as the model sees it, U+001E between columns: what string fields may be
            copied from.
        anew: answers of an earlier, finished run are not to be used: they have been found wanting.
        stored: only a stored answer will do: nobody is to be asked.
        messages: what the body was made of, for other endpoints, which speak another format.
        data: the row's columns.
        index: the row's position in the run's input, None where it is nobody's row.
        tally: where the row's spending is added up; no part of the request's identity.
        ear: who hears the answer while it is written, None where it is wanted as a whole.
    """

    endpoint: str
    model: str
    body: Mapping[str, Any]
    fingerprint: str
    sample: int = 0
    reask: int = 0
    row: str = ""
    anew: bool = False
    stored: bool = False
    messages: Sequence[Any] = ()
    data: Mapping[str, Any] = {}
    index: int | None = None
    tally: Tally = field(default_factory=Tally)
    ear: Ear | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Request) and astuple(self)[:_ASKED] == astuple(other)[:_ASKED]

    def __hash__(self) -> int:
        return hash(astuple(self)[:_ASKED])

    def __repr__(self) -> str:
        return _shown(self, hidden=Request.__struct_fields__[_ASKED:])


_ASKED = Request.__struct_fields__.index("messages")
"""How many of a request's fields say what is asked: all before those that only travel with it."""


class Question(Struct, frozen=True):
    """What a call was made for: enough to tell which calls belong together, and nothing of what was asked.

    Args:
        row: its position in the run's input, from 0; None where it is nobody's row.
        sample: which of several answers to the row's question was asked for, from 0.
        reask: how many re-asks had led to it.
    """

    row: int | None
    sample: int
    reask: int

    @classmethod
    def of(cls, request: Request) -> Question:
        """Of a request."""
        return cls(request.index, request.sample, request.reask)


class Served(Struct, frozen=True):
    """What stands behind an endpoint's name.

    Args:
        provider: its name in the catalog, such as "openai".
        model: as the provider knows it.
        address: where calls go, without anything secret.
    """

    provider: str
    model: str
    address: str


class Completion(Struct, frozen=True):
    """One answer.

    Args:
        text: the answer's JSON text: the message's text, or the tool call's arguments. Not validated.
        usage: of the call that it is the answer to; its cost is None when the model's price is unknown.
        model: the model that answered, as it named itself.
        finish: why it stopped.
        body: the provider's whole response as parsed JSON, {} for an answer out of the cache.
        source: where the answer came from.
        value: the validated object, set by the `validated` layer and by the cache; None before.
        quality: what is known of how far it can be trusted.
        likenesses: to other rows, whose answer it is; of votes one for each that was another row's.
    """

    text: str
    usage: Usage
    model: str
    finish: Finish = "stop"
    body: Mapping[str, Any] = field(default_factory=dict)
    source: Source = "model"
    value: Any = None
    quality: Quality | None = None
    likenesses: Sequence[Likeness] = ()

    def __repr__(self) -> str:
        return _shown(self, hidden=("body",))

    def valued(self, value: Any, quality: Quality | None = None) -> Completion:
        """The same answer with its validated object."""
        return Completion(
            self.text,
            self.usage,
            self.model,
            self.finish,
            self.body,
            self.source,
            value,
            quality,
            self.likenesses,
        )


class Outcome(Struct, frozen=True):
    """How one row ended: exactly one of `value` and `error` is set.

    Args:
        value: an instance of the user's schema.
        rows: what is written of `value`: the output rows, none until they are made.
        usage: everything spent on this row, failed attempts included.
        replayed: what the answers out of the journal had cost earlier, in US dollars, None where unknown.
        endpoint: the name, in this run, of the endpoint that gave the last answer, or was asked last.
        raw: the last answer's text where the row failed and there was one.
        attempts: calls made for this row now; 0 for cached, replayed and coalesced ones.
        seconds: from when a worker took the row until it was settled.
        quality: what is known of how far the value can be trusted.
        likenesses: as in `Completion`.
    """

    record: Record | Unreadable
    value: Any = None
    rows: Sequence[Mapping[str, Any]] = ()
    error: LlmxError | None = None
    usage: Usage = field(default_factory=Usage)
    replayed: Sequence[Decimal | None] = ()
    source: Source = "model"
    model: str = ""
    endpoint: str = ""
    raw: str | None = None
    attempts: int = 0
    seconds: float = 0.0
    quality: Quality | None = None
    likenesses: Sequence[Likeness] = ()

    def presented(self, rows: Sequence[Mapping[str, Any]]) -> Outcome:
        """The same with its output rows."""
        return Outcome(
            self.record,
            self.value,
            rows,
            self.error,
            self.usage,
            self.replayed,
            self.source,
            self.model,
            self.endpoint,
            self.raw,
            self.attempts,
            self.seconds,
            self.quality,
            self.likenesses,
        )

    @property
    def ok(self) -> bool:
        """Whether the row ended in the results."""
        return self.error is None

    @property
    def all_attempts(self) -> int:
        """Calls made for this row, those included whose answers an earlier session had got."""
        return self.attempts + len(self.replayed)

    @property
    def all_cost(self) -> Decimal | None:
        """US dollars spent on this row, by earlier sessions too; None when that is unknown."""
        parts = [self.usage.cost, *self.replayed]
        return None if None in parts else sum((part for part in parts if part is not None), Decimal(0))


Judgement = Callable[[Request, Completion], Completion]
"""What is made of a valid answer beyond its value. Raises ValueError: it is refused."""

Handler = Callable[[Request], Awaitable[Completion]]
Layer = Callable[[Handler], Handler]


class Provider(Protocol):
    """A way to a model: sends one request, once, and maps its errors to ours."""

    async def complete(self, request: Request) -> Completion:
        """Send the request once. Raises only `LlmxError`s."""
        ...

    async def aclose(self) -> None:
        """Release connections and memory."""
        ...
