"""What requests may ask for, checked field by field. Everything that is not named here is the operator's business.

The models are also what the OpenAPI document is made of, so every field has its words.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.config import JsonDict

from llmx.serve.problems import Problem
from llmx.text import nearest

__all__ = ["Ask", "ExtractRequest", "JobRequest", "JobWithRows", "checked"]

Row = Annotated[dict[str, Any], Field(min_length=1)]
Column = Annotated[str, Field(min_length=1, max_length=300)]

_HERE: JsonDict = {"text": "Ada Lovelace, 36, London"}


class Ask(BaseModel):
    """How rows are asked about."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, populate_by_name=True, protected_namespaces=()
    )

    schema_: dict[str, Any] | Annotated[str, Field(min_length=1, max_length=20_000)] = Field(
        alias="schema",
        description="What to extract: a JSON Schema of an object, the name of a schema on offer (GET /v1/schemas), or "
        "fields inline. Never a path or a module.",
        examples=["name, age int?, city"],
    )
    model: Annotated[str, Field(min_length=1, max_length=300)] | None = Field(
        None, description="One of GET /v1/models; the first of them by default.", examples=[None]
    )
    system: Annotated[str, Field(max_length=20_000)] | None = Field(
        None,
        description="System text, in place of the one made from the schema's descriptions.",
        examples=[None],
    )
    input: Annotated[list[Column], Field(min_length=1, max_length=1_000)] | None = Field(
        None,
        description="The columns that the model sees. All but those that begin with _ by default.",
        examples=[None],
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="Not sent by default.")
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="Cap of one answer."
    )
    reasks: Annotated[int, Field(ge=0, le=5)] | None = Field(
        None, description="Times that the model is shown its error."
    )
    evidence: bool | None = Field(None, description="The model quotes the words that each value rests on.")
    require_evidence: bool | None = Field(
        None, description="The same, and values whose words are not in the row are refused."
    )
    votes: Annotated[int, Field(ge=1, le=9)] | None = Field(
        None, description="Ask N times; each field is what most answers say."
    )
    logprobs: bool | None = Field(None, description="Ask how likely the model found what it wrote.")

    @field_validator("system")
    @classmethod
    def _names_no_file(cls, value: str | None) -> str | None:
        if value is not None and value.startswith("@"):  # which the command line takes for a file's name
            raise ValueError("it may not begin with '@'")
        return value

    def options(self) -> dict[str, Any]:
        """What was given, as options of `llmx extract`, but for the schema and the model."""
        given = {name: getattr(self, name) for name in Ask.model_fields if name not in ("schema_", "model")}
        return {name: value for name, value in given.items() if value is not None}


class ExtractRequest(Ask):
    """Rows to extract from now."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"schema": "name, age int?, city", "rows": [_HERE]}},
    )

    rows: Annotated[list[Row], Field(min_length=1)] = Field(
        description="Columns by name. A service says how many it takes; more of them are a job."
    )


class JobRequest(Ask):
    """Rows to extract from later: how they are asked about, and what is made of them."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"schema": "name, age int?, city", "name": "people"}}
    )

    name: Annotated[str, Field(max_length=200)] = Field("", description="What the job is called.")
    key: Column | None = Field(None, description="The column that identifies a row.")
    keep: Literal["all", "none"] | Annotated[list[Column], Field(min_length=1, max_length=1_000)] | None = (
        Field(None, description="Input columns that are kept in the results: all, none, or these.")
    )
    prefix: Annotated[str, Field(max_length=100)] | None = Field(
        None, description="Fields become PREFIXname."
    )
    into: Column | None = Field(None, description="The whole object under one field.")
    explode: Column | None = Field(None, description="One result per element of a list.")
    meta: bool | None = Field(None, description="Add _llmx: model, source, attempts, cost.")
    max_failures: Annotated[str, Field(pattern=r"^(\d{1,9}|\d{1,3}(\.\d{1,6})?%)$")] | None = Field(
        None,
        description="Failed rows up to which the job has succeeded: a number or a percentage.",
        examples=["5%"],
    )
    max_cost: (
        Annotated[str, Field(pattern=r"^\d{1,9}(\.\d{1,9})?$")] | Annotated[float, Field(gt=0, le=1e9)] | None
    ) = Field(None, description="US dollars that the job may cost at most.", examples=["2.50"])
    max_tokens: Annotated[int, Field(ge=1, le=10**15)] | None = Field(
        None, description="Tokens that it may use at most, input and output together."
    )
    webhook: Annotated[str, Field(min_length=9, max_length=2_000)] | None = Field(
        None, description="An https URL of an allowed host that is told of the end.", examples=[None]
    )

    @field_validator("max_cost")
    @classmethod
    def _is_something(cls, value: str | float | None) -> str | float | None:
        if value is not None and Decimal(str(value)) <= 0:
            raise ValueError("max_cost is above 0")
        return value

    @field_validator("max_failures")
    @classmethod
    def _is_a_share(cls, value: str | None) -> str | None:
        if value is not None and value.endswith("%") and float(value[:-1]) > 100:
            raise ValueError("max_failures is at most 100%")
        return value

    @model_validator(mode="after")
    def _places_fields_once(self) -> JobRequest:
        if self.into is not None and self.prefix:
            raise ValueError("into and prefix exclude each other")
        return self

    def options(self) -> dict[str, Any]:
        """See `Ask.options`; what is about the job as a whole is not among them."""
        names = ("key", "keep", "prefix", "into", "explode", "meta")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        if isinstance(self.keep, str):
            given["keep"] = [self.keep]
        caps = {
            "max_tokens": self.max_tokens,
            "max_cost": None if self.max_cost is None else str(self.max_cost),
        }
        return {**super().options(), **given, **{name: cap for name, cap in caps.items() if cap is not None}}


class JobWithRows(JobRequest):
    """A job whose rows come with the request."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"schema": "name, age int?, city", "name": "people", "rows": [_HERE]}}
    )

    rows: Annotated[list[Row], Field(min_length=1)] = Field(description="Columns by name.")


Form = TypeVar("Form", bound=Ask)


def checked(form: type[Form], value: Any) -> Form:
    """The request in a JSON value. Raises Problem: it is none; names the first field that is wrong."""
    if not isinstance(value, dict):
        raise Problem(422, "invalid_request", "the request is no JSON object")
    try:
        return form.model_validate(value)
    except ValidationError as error:
        raise _problem(form, error) from None


def _problem(form: type[Ask], error: ValidationError) -> Problem:
    problems = error.errors(include_url=False, include_input=False)
    # A misspelt field is what is wrong where the right one is missing.
    first = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    place = ".".join(str(step) for step in first["loc"] if not _is_branch(step))
    if first["type"] == "extra_forbidden":
        return Problem(422, "unknown_field", f"there is no field {place[:100]!r}", hint=_fields(form, place))
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        text = "is required"
    text = f"{text[:1].lower()}{text[1:]}"
    if place == "schema" and first["type"] in ("dict_type", "string_type"):
        text = "neither a JSON Schema, nor a name, nor fields such as 'name, age int?'"
    return Problem(422, "invalid_field", f"{place[:200]}: {text}" if place else text)


_BRANCH = re.compile(r"(dict|list|literal|constrained-\w+|function-[\w-]+|str|float|int)(\[.*\])?", re.DOTALL)


def _is_branch(step: str | int) -> bool:
    """Whether a step of a place names a branch of a union, as pydantic has it."""
    return isinstance(step, str) and _BRANCH.fullmatch(step) is not None


def _fields(form: type[Ask], wrong: str) -> str:
    """What a request of this form may have instead of a field that there is not."""
    names = [name.rstrip("_") for name in form.model_fields]
    close = nearest(wrong, names)
    return f"did you mean {close!r}?" if close else f"fields: {', '.join(names)}"
