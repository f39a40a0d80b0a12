"""What a run was asked to do: one validated, immutable value, the same for CLI and library.

The names are the command line's long options with underscores. Where they come from (flags, variables,
config files) is not this module's business; what is wrong with them is.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from llmx.errors import UsageError
from llmx.records import MAX_EXPANSION, MAX_ROW_BYTES
from llmx.text import nearest

if TYPE_CHECKING:
    from llmx.budgets import Daily

__all__ = [
    "FORMATS",
    "SIMILARITY",
    "DailyBudget",
    "EndpointTable",
    "EstimateSettings",
    "MaxFailures",
    "Settings",
    "as_json",
    "as_options",
    "checked_table",
    "parse_duration",
    "parse_names",
    "parse_size",
]

Format = Literal["jsonl", "csv", "tsv", "parquet", "text"]
FORMATS: tuple[str, ...] = get_args(Format)

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: object) -> object:
    """Seconds for "90", "90s", "1.5m", "2h", "30d", "250ms"; what is no text is passed through.

    Raises:
        ValueError: the text is no duration.
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", value)
    if match is None:
        raise ValueError(f"{value!r} is no duration; write 90, 90s, 10m, 2h or 30d")
    return float(match[1]) * UNITS[match[2] or "s"]


SIZES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_size(value: object) -> object:
    """Bytes for "1000000", "10MB", "1.5 GB", "64MiB"; what is no text is passed through.

    Raises:
        ValueError: the text is no size.
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?b|b)?\s*", value, re.IGNORECASE)
    if match is None:
        raise ValueError(f"{value!r} is no size; write 1000000, 10MB or 64MiB")
    return round(Decimal(match[1]) * SIZES[(match[2] or "b").lower()])


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """How many rows may fail before the exit code says so: a count, or a share of all rows.

    Args:
        limit: rows, or per cent (0 to 100) of all rows when `percent` is set.
    """

    limit: float = 0
    percent: bool = False

    def exceeded(self, failed: int, total: int) -> bool:
        """Whether `failed` of `total` rows are too many."""
        return failed > (self.limit / 100 * total if self.percent else self.limit)


def _parse_max_failures(value: object) -> object:
    if isinstance(value, MaxFailures):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)%|(\d+)", str(value).strip())
    if match is None or float(match[1] or 0) > 100:
        raise ValueError(f"{value!r} is neither a number of rows nor a percentage such as 5%")
    return MaxFailures(float(match[1]), True) if match[1] else MaxFailures(int(match[2]))


def parse_names(value: str) -> list[str]:
    """Names apart by commas; in quotes, as in CSV, where they hold a comma or begin or end with a blank.

    Raises:
        ValueError: a quote does not close, or a name is empty.
    """
    try:
        names = next(csv.reader([value.strip()], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise ValueError(f'{value!r} has a quote that does not close; write "one, name",other') from error
    if '"' not in value:
        names = [name.strip() for name in names]
    if not names or not all(names):
        raise ValueError(f"{value!r} has an empty name; write them apart by commas")
    return names


def _parse_names(value: object) -> object:
    return parse_names(value) if isinstance(value, str) else value


def _parse_models(value: object) -> object:
    """One model, or several apart by commas (in quotes where a path holds one), or a list."""
    return parse_names(value) if isinstance(value, str) and value else value


SIMILARITY = 0.97
"""From which on two rows say the same for `--cache semantic`, where `--similarity` says nothing else."""

Name = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, BeforeValidator(parse_duration), Field(gt=0)]
Bytes = Annotated[int, BeforeValidator(parse_size), Field(ge=1, le=sys.maxsize)]
Names = Annotated[list[str], BeforeValidator(_parse_names)]
Models = Annotated[list[Name], BeforeValidator(_parse_models)]
Mode = Literal["auto", "json_schema", "tools", "json"]
Rate = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=12)]


class _Table(BaseModel):
    """A table of the config file: its keys are written with dashes."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
        protected_namespaces=(),
        defer_build=True,  # most runs have no such table
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool):  # which would be taken for 1
            raise ValueError(f"{str(info.field_name).replace('_', '-')} is neither true nor false")
        return value


class EndpointTable(_Table):
    """`[endpoint.NAME]`: what `-m NAME` means.

    Args:
        model: as `--model`.
        key_name: the variable, or the name in the key file, that holds its key; the provider's own when None.
        rpm, tpm, concurrency: limits of this endpoint; those of the command line when None.
        input_price, output_price: US dollars per million tokens, for a server whose prices are in no list.
    """

    model: Name
    base_url: Name | None = None
    key_name: Name | None = None
    mode: Mode | None = None
    rpm: float | None = Field(default=None, ge=1)
    tpm: float | None = Field(default=None, ge=60)
    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    input_price: Rate | None = None
    output_price: Rate | None = None

    @field_validator("key_name")
    @classmethod
    def _is_no_key(cls, name: str | None) -> str | None:
        if name is not None and not name.isidentifier():  # not repeated: it may be the key itself
            raise ValueError("key-name is the name of the variable that holds the key: letters, digits and _")
        return name

    @model_validator(mode="after")
    def _has_whole_price(self) -> Self:
        if (self.input_price is None) != (self.output_price is None):
            missing = "input-price" if self.input_price is None else "output-price"
            raise ValueError(f"{missing} is missing: both are needed, or neither")
        return self


class DailyBudget(_Table):
    """`[budget.NAME]`: what may be spent in any 24 hours, by all runs with `--budget NAME` together.

    Args:
        daily_cost: US dollars.
        daily_tokens: input and output together.
    """

    daily_cost: Annotated[Decimal, Field(gt=0, le=1_000_000_000)] | None = None
    daily_tokens: int | None = Field(default=None, ge=1, le=10**15)

    def limits(self, name: str) -> Daily:
        """The limits, as the store of budgets has them. Raises UsageError when there is none."""
        from llmx.budgets import Daily

        if self.daily_cost is None and self.daily_tokens is None:
            raise UsageError(
                f"[budget.{name}] limits nothing", hint="daily-cost = 5, daily-tokens = 2_000_000"
            )
        return Daily(self.daily_cost, self.daily_tokens)


class Settings(BaseModel):
    """See docs/cli.md for each option; None always means "not given"."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
        populate_by_name=True,
        protected_namespaces=(),
    )

    inputs: list[Name] = []
    schema_: Any = Field(alias="schema")
    model: Models = []
    base_url: Name | None = None
    endpoints: dict[str, EndpointTable] = {}
    mode: Mode = "auto"
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_output_tokens: int | None = Field(default=None, ge=1, le=100_000_000)
    key_file: Path | None = None
    spans: bool = False

    input: Names | None = None
    prompt: str | None = None
    system: str | None = None
    examples: str | None = None

    input_format: Format | None = None
    output_format: Literal["jsonl", "csv", "tsv", "parquet"] | None = None
    limit: int | None = Field(default=None, ge=0, le=sys.maxsize)
    sample: int | None = Field(default=None, ge=1, le=sys.maxsize)
    seed: int = 0
    max_row_bytes: Bytes = MAX_ROW_BYTES
    max_expansion: float = Field(default=MAX_EXPANSION, ge=1)
    key: Name | None = None
    keep: Names = ["all"]
    prefix: str = ""
    into: Name | None = None
    explode: Name | None = None
    meta: bool = False

    output: str = "-"
    errors: str | None = None
    order: Literal["input", "done"] = "input"
    summary: str | None = None
    csv_safe: bool = False

    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    rpm: float | None = Field(default=None, ge=1)
    tpm: float | None = Field(default=None, ge=60)
    retries: int = Field(default=5, ge=0)
    reasks: int = Field(default=2, ge=0)
    timeout: Seconds = 120.0
    spread: bool = False
    patience: Seconds = 600.0
    max_wait: Seconds = 600.0
    hedge: bool = False
    transport: Literal["auto", "sdk"] = "auto"
    workers: int = Field(default=1, ge=1, le=64)

    max_cost: Annotated[Decimal, Field(gt=0, allow_inf_nan=False)] | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    budget: Name | None = None
    budgets: dict[str, DailyBudget] = {}

    evidence: bool = False
    require_evidence: bool = False
    votes: int = Field(default=1, ge=1, le=99)
    logprobs: bool = False
    cascade: Models = []
    calibration: Path | None = None
    min_confidence: float | None = Field(default=None, ge=0, le=1)
    review: str | None = None

    dry_run: bool = False
    cache: Literal["exact", "semantic", "off"] = "exact"
    similarity: float | None = Field(default=None, ge=0, le=1)
    cache_ttl: Seconds | None = 30 * 86400.0
    offline: bool = False
    fresh: bool = False
    state_dir: Path | None = None
    no_store: bool = False
    confirm_above: Decimal = Field(default=Decimal(5), ge=0)
    max_failures: Annotated[MaxFailures, BeforeValidator(_parse_max_failures)] = MaxFailures()

    @model_validator(mode="after")
    def _has_what_it_asks_for(self) -> Self:
        """One option may bring another."""
        if self.require_evidence:
            object.__setattr__(self, "evidence", True)
        if self.cascade:  # the models of the run, in the order of their price
            object.__setattr__(self, "model", self.cascade)
        return self

    def table(self, spec: str) -> EndpointTable:
        """What `-m SPEC` means: the config file's endpoint of that name, or a model."""
        return self.endpoints.get(spec) or EndpointTable(model=spec)

    @classmethod
    def of(cls, values: Mapping[str, Any], said: Mapping[str, str] | None = None) -> Settings:
        """Validated settings.

        Args:
            values: by option name, underscores for dashes; None for what was not given.
            said: where an option came from that was no flag, for messages.

        Raises:
            UsageError: one line naming the option, its value and what it takes.
        """
        given = {name: value for name, value in values.items() if value is not None}
        try:
            return cls(**given)
        except ValidationError as error:
            raise _usage_error(error, said or {}) from error


class EstimateSettings(Settings):
    """Those of `llmx estimate`: what a run would be given, and

    Args:
        probe: rows that each model is really asked about, None for none.
    """

    probe: int | None = Field(default=None, ge=1, le=1_000)


def as_options(settings: Settings) -> dict[str, Any]:
    """What was given, by option name, as JSON: `Settings.of` makes the same settings of it."""
    given = {
        name: getattr(settings, name) for name in Settings.model_fields if name in settings.model_fields_set
    }
    return {name.rstrip("_"): as_json(value) for name, value in given.items() if value is not None}


def checked_table(kind: type[_Table], name: str, value: Any, where: str) -> Any:
    """A table of a config file.

    Args:
        where: the file, for messages.

    Raises:
        UsageError: a key is unknown or a value is none.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # A misspelt key is what is wrong where the right one is missing.
        first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
        key = ".".join(str(part).replace("_", "-") for part in first["loc"])
        table = f"{where}: [{'endpoint' if kind is EndpointTable else 'budget'}.{name}]"
        if first["type"] == "extra_forbidden":
            close = nearest(key, [field.replace("_", "-") for field in kind.model_fields])
            hint = f"did you mean {close!r}?" if close else ""
            raise UsageError(f"{table}: unknown key {key!r}", hint=hint) from None
        if first["type"] == "missing":
            raise UsageError(f"{table}: {key!r} is missing", hint='model = "openai/…"') from None
        if first["type"] == "value_error":  # one of ours: it names the key
            raise UsageError(f"{table}: {first['msg'].removeprefix('Value error, ')}") from None
        problem = first["msg"][0].lower() + first["msg"][1:]
        raise UsageError(f"{table}: {key} is {first['input']!r}: {problem}") from None


def as_json(value: Any) -> Any:
    """One option's value, as JSON."""
    if isinstance(value, dict):
        return {name: as_json(part) for name, part in value.items()}
    if isinstance(value, _Table):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, MaxFailures):
        number = f"{Decimal(repr(value.limit)):f}"  # no exponent, and no digit lost
        return f"{number}%" if value.percent else number
    return value if isinstance(value, bool | int | float | str | list) else str(value)


def _usage_error(error: ValidationError, said: Mapping[str, str]) -> UsageError:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    option = "--" + name.replace("_", "-") + (f" (from {said[name]})" if name in said else "")
    if first["type"] == "extra_forbidden":
        options = [_option(name) for name in Settings.model_fields]
        return UsageError(f"no option {option}", hint=_did_you_mean(option, options))
    if first["type"] == "missing":
        return UsageError(f"{option} is required", hint="llmx schema list")
    if first["type"] == "literal_error":
        choices = re.findall(r"'([^']+)'", first["ctx"]["expected"])
        hint = _did_you_mean(str(first["input"]), choices)
        return UsageError(f"{option}: {first['input']!r} is not one of {', '.join(choices)}", hint=hint)
    if first["type"] == "string_too_short":
        return UsageError(f"{'INPUT' if name == 'inputs' else option} is empty")
    problem = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":  # one of ours: it names the value
        return UsageError(f"{option}: {problem}")
    problem = problem.split(", unable to parse")[0]
    return UsageError(f"{option} {first['input']!r}: {problem[0].lower()}{problem[1:]}")


def _option(name: str) -> str:
    return "--" + name.rstrip("_").replace("_", "-")


def _did_you_mean(name: str, candidates: list[str]) -> str:
    close = nearest(name, candidates)
    return f"did you mean {close}?" if close else ""
