"""What answers look like: the models that the OpenAPI document is made of. Nothing is checked by them at run time."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "JOB_ID",
    "Answer",
    "Cause",
    "JobDocument",
    "JobPage",
    "Limits",
    "ModelList",
    "ProblemDocument",
    "Result",
    "SchemaList",
    "Status",
    "UsageDocument",
]

State = Literal["queued", "running", "succeeded", "failed", "stopped", "cancelled"]

JOB_ID = "job_01m8gxh7etvkfdtvr43hys9ye9"


class UsageDocument(BaseModel):
    """Tokens and dollars."""

    input_tokens: int = Field(examples=[210])
    output_tokens: int = Field(examples=[18])
    cached_tokens: int = Field(description="Included in input_tokens.", examples=[0])
    cost: str | None = Field(
        description="US dollars; null where a price is not known.", examples=["0.000123"]
    )


class Cause(BaseModel):
    """Why a row has no value."""

    type: str = Field(examples=["invalid_answer"])
    message: str = Field(examples=["age: Input should be greater than 0"])
    raw: str | None = Field(description="The model's last answer.", examples=['{"age": -1}'])


class Result(BaseModel):
    """How one row ended: exactly one of value and error is not null."""

    value: dict[str, Any] | None = Field(examples=[{"name": "Ada Lovelace", "age": 36, "city": "London"}])
    error: Cause | None = Field(examples=[None])
    confidence: dict[str, Any] | None = Field(None, description="With votes or logprobs.")
    evidence: dict[str, Any] | None = Field(
        None, description="With evidence: the words that each value rests on."
    )
    source: str = Field(description="model, cache, semantic or coalesced.", examples=["model"])
    model: str = Field(examples=["gpt-5-mini"])
    attempts: int = Field(examples=[1])
    seconds: float = Field(examples=[0.42])
    usage: UsageDocument


class Answer(BaseModel):
    """The results of an extraction, in the order of its rows."""

    id: str = Field(description="The request's id.", examples=["req_5f2b8c1d9e0a4b6c7d8e9f01"])
    model: str = Field(examples=["openai/gpt-5-mini"])
    results: list[Result]
    usage: UsageDocument


class _Rows(BaseModel):
    """How far a job's rows are."""

    total: int = Field(examples=[1000])
    settled: int = Field(examples=[640])
    ok: int = Field(examples=[637])
    failed: int = Field(examples=[3])
    cached: int = Field(examples=[12])
    unreadable: int = Field(examples=[0])


class _Shards(BaseModel):
    """How far its shards are."""

    total: int = Field(examples=[1])
    running: int = Field(examples=[1])
    done: int = Field(examples=[0])


class _Tokens(BaseModel):
    """Tokens of all calls."""

    input: int = Field(examples=[134_400])
    output: int = Field(examples=[11_520])


class _Links(BaseModel):
    """Where more of a job is."""

    self: str = Field(examples=[f"/v1/jobs/{JOB_ID}"])
    results: str = Field(examples=[f"/v1/jobs/{JOB_ID}/results"])
    errors: str = Field(examples=[f"/v1/jobs/{JOB_ID}/errors"])
    events: str = Field(examples=[f"/v1/jobs/{JOB_ID}/events"])


class JobDocument(BaseModel):
    """A job."""

    id: str = Field(examples=[JOB_ID])
    name: str = Field(examples=["people"])
    owner: str = Field(description="The name of the key that made it.", examples=["team-a"])
    state: State = Field(examples=["running"])
    reason: str = Field(description="Why it was stopped or has failed.", examples=[""])
    created: str = Field(examples=["2026-11-28T10:00:00.000Z"])
    started: str | None = Field(examples=["2026-11-28T10:00:00.050Z"])
    ended: str | None = Field(examples=[None])
    model: str | None = Field(examples=["openai/gpt-5-mini"])
    schema_: str = Field(alias="schema", description="Its name or title.", examples=["name, age int?, city"])
    options: dict[str, Any] = Field(examples=[{"keep": ["all"]}])
    rows: _Rows
    shards: _Shards
    calls: int = Field(examples=[631])
    tokens: _Tokens
    cost: str | None = Field(
        description="US dollars so far; null where a price is not known.", examples=["0.0788"]
    )
    errors: dict[str, int] = Field(
        description="Failed rows by type of error.", examples=[{"invalid_answer": 3}]
    )
    version: int = Field(description="Rises with every change.", examples=[17])
    links: _Links


class JobPage(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobDocument]
    next: str | None = Field(
        description="What `before` is for the next page, null on the last.", examples=[None]
    )


class _OfferedSchema(BaseModel):
    """A schema that has a name here."""

    name: str = Field(examples=["contact"])
    description: str = Field(examples=["A person's contact details."])
    json_schema: dict[str, Any] = Field(
        examples=[{"type": "object", "properties": {"name": {"type": "string"}}}]
    )


class SchemaList(BaseModel):
    """Schemas on offer."""

    schemas: list[_OfferedSchema]


class _OfferedModel(BaseModel):
    """A model on offer; prices are US dollars per million tokens, null where they are not known."""

    name: str = Field(examples=["openai/gpt-5-mini"])
    default: bool = Field(examples=[True])
    input_price: str | None = Field(examples=["0.25"])
    output_price: str | None = Field(examples=["2"])


class ModelList(BaseModel):
    """Models on offer."""

    models: list[_OfferedModel]


class _Rpm(BaseModel):
    """Requests per minute."""

    limit: int | None = Field(examples=[60])
    remaining: int | None = Field(examples=[59])
    reset: float | None = Field(description="Seconds until all of them are there again.", examples=[1.0])


class _Spent(BaseModel):
    """What may be spent in any 24 hours; null where there is no limit."""

    limit: int | str | None = Field(examples=[1_000_000])
    spent: int | str | None = Field(examples=[145_920])
    left: int | str | None = Field(examples=[854_080])


class _Daily(BaseModel):
    """Of the last 24 hours."""

    tokens: _Spent
    cost: _Spent


class Limits(BaseModel):
    """Where a key stands."""

    key: str = Field(examples=["team-a"])
    rpm: _Rpm
    daily: _Daily


class Status(BaseModel):
    """How the service is."""

    status: str = Field(examples=["ok"])


class ProblemDocument(BaseModel):
    """An error, by RFC 9457."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["no model 'gpt-9' is on offer"])
    code: str = Field(description="What programs tell it by.", examples=["unknown_model"])
    hint: str | None = Field(None, examples=["did you mean 'openai/gpt-5-mini'?"])
    request_id: str = Field(examples=["req_5f2b8c1d9e0a4b6c7d8e9f01"])
