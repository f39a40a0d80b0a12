"""Before a run: every check that can be made without a provider, and what it yields.

`plan` is for files; the library, which reads none, uses its parts. Nothing here calls anybody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from llmx.demands import Promise, check_demands, enough, exemplary, promise, wrapped
from llmx.environment import Environment, is_file
from llmx.errors import InvalidAnswer, UsageError
from llmx.layers.validate import describe
from llmx.outputs import check_outputs
from llmx.presenting import FlatRows, Presenter
from llmx.prompts import Example, Prompt, Selection, default_system
from llmx.records import RecordSource, Shape, open_source, to_json
from llmx.reviewing import check_review
from llmx.schemas import Schema, list_fields, load_schema, schema_of, written_fields
from llmx.schemas.keywords import property_schemas
from llmx.settings import Settings
from llmx.text import plural
from llmx.types import Record, Unreadable

__all__ = [
    "Plan",
    "make_prompt",
    "no_model",
    "open_rows",
    "plan",
    "resolve_schema",
    "selection",
]


class Plan(Struct, frozen=True):
    """A run that has passed every check that needs no provider.

    Args:
        wrapped: the schema of an answer around the user's own, None where there is no more to it.
        enough: the confidence from which on a cheaper model's answer will do, None where none was given.
        promise: what a calibration says of rows that are as sure as that.
    """

    settings: Settings
    env: Environment
    schema: Schema
    source: RecordSource
    prompt: Prompt
    shape: Shape
    shown: list[str]
    template: str | None = None
    wrapped: Schema | None = None
    enough: float | None = None
    promise: Promise | None = None

    @property
    def asked(self) -> Schema:
        """What the model is asked for: the user's schema, or one around it."""
        return self.schema if self.wrapped is None else self.wrapped

    @property
    def announcement(self) -> str:
        """How many rows there are, as far as that is known, and what the model will see of them."""
        total, columns = self.source.total(), self.source.columns
        rows = "" if total is None else f"{plural(total, 'row')}; "
        shown = self.shown if self.prompt.used is None else self.prompt.used
        hidden = [name for name in columns if name not in shown]
        how = "the model sees" if self.prompt.used is None else "--prompt shows the model"
        seen = f"{rows}{how}: {', '.join(shown) or 'no column'}"
        return f"{seen} (not: {', '.join(hidden)})" if hidden else seen

    @property
    def question(self) -> list[Any]:
        """What decides, beside schema and row, what a row's request says; as JSON. Read from where the user put it."""
        settings, (system, *examples) = self.settings, self.prompt.prefix
        given = None if settings.system is None else system
        columns: Any = settings.input or {"all but": settings.key}
        return [given, examples, self.template, columns if self.prompt.row_is_shown else None]

    @property
    def columns(self) -> dict[str, bool]:
        """The columns of a flat file, see `Shape.columns`."""
        return self.shape.columns(self.source.columns, written_fields(self.schema), list_fields(self.schema))

    @property
    def presenter(self) -> Presenter:
        """What makes output rows of outcomes."""
        taken = [name for name, whole in self.columns.items() if whole]
        return FlatRows(self.shape, self.schema, list_fields(self.schema), taken)

    @property
    def doubt(self) -> str:
        """What looks wrong with the input though it can be read; "" when nothing does."""
        names = self.source.columns
        found = next((name for mark, name in _MARKS.items() if len(names) == 1 and mark in names[0]), None)
        return f"there is one column, {names[0]!r}: are its cells apart by {found}?" if found else ""


_MARKS = {";": "semicolons", "\t": "tabs", ",": "commas"}


def plan(settings: Settings, env: Environment) -> Plan:
    """Check everything that can be checked before the first call.

    Raises:
        UsageError: input, schema, columns, prompt or output are wrong.
    """
    check_demands(settings)
    schema = resolve_schema(settings, env)
    if not settings.model:
        raise no_model(env)
    check_outputs(settings, env)
    check_review(settings, env)
    source = open_rows(settings, env)
    columns = source.columns
    shape = _make_shape(settings, schema, columns)
    shown = selection(settings).check(columns)
    prompt = make_prompt(settings, schema, columns, env)
    template = _template(settings.prompt, env)
    return Plan(
        settings,
        env,
        schema,
        source,
        prompt,
        shape,
        shown,
        template,
        wrapped(settings, schema),
        enough(settings, env),
        promise(settings, env),
    )


def open_rows(settings: Settings, env: Environment) -> RecordSource:
    """The input's rows, as the options restrict them. Raises UsageError."""
    return open_source(
        settings.inputs,
        env=env,
        format=settings.input_format,
        key=settings.key,
        limit=settings.limit,
        sample=settings.sample,
        seed=settings.seed,
        max_row_bytes=settings.max_row_bytes,
        max_expansion=settings.max_expansion,
    )


def resolve_schema(settings: Settings, env: Environment) -> Schema:
    """The schema by spec, class or JSON Schema."""
    given = settings.schema_
    return load_schema(given, cwd=env.cwd) if isinstance(given, str) else schema_of(given)


def no_model(env: Environment) -> UsageError:
    """What to say when no model was named: never a default, a lost setting must not label a data set."""
    from llmx.providers import suggestions

    ready = suggestions(env.variables)
    hint = " or ".join([*(f"-m {name}" for name in ready), "-m local (a small embedded model, no key)"])
    return UsageError("no model: give one with -m, LLMX_MODEL or a config file", hint=hint)


def _make_shape(settings: Settings, schema: Schema, columns: Sequence[str]) -> Shape:
    """The shape of output rows, checked against the columns and fields there are."""
    keep: Any = settings.keep[0] if settings.keep in (["all"], ["none"]) else settings.keep
    shape = Shape(
        keep=keep,
        prefix=settings.prefix,
        into=settings.into,
        explode=settings.explode,
        meta=settings.meta,
        evidence=settings.evidence,
        confidence=settings.votes > 1 or settings.logprobs,
    )
    shape.check(columns, schema.fields, list_fields(schema))
    return shape


def selection(settings: Settings) -> Selection:
    """Which columns the model sees."""
    return Selection(settings.input, settings.key)


def make_prompt(settings: Settings, schema: Schema, columns: Sequence[str], env: Environment) -> Prompt:
    """The prompt of a run, its few-shot answers validated."""
    fields = property_schemas(schema.json_schema)
    described = {name: str(field.get("description", "")) for name, field in fields.items()}
    system = _text(settings.system, "--system", env)
    if system is None:
        system = default_system(schema.description, described, fenced=settings.prompt is None)
    examples = _examples(settings.examples, schema, env) if settings.examples else []
    return Prompt(
        system=system,
        selection=selection(settings),
        columns=columns,
        template=_template(settings.prompt, env),
        examples=exemplary(settings, schema, examples),
    )


def _template(value: str | None, env: Environment) -> str | None:
    """The prompt's source; a file's bare name is no template, but an `@` that was forgotten."""
    if value is not None and "{" not in value and is_file(env.cwd / value):
        raise UsageError(f"--prompt {value!r}: that is a file, not a template", hint=f"--prompt @{value}")
    return _text(value, "--prompt", env)


def _text(value: str | None, option: str, env: Environment) -> str | None:
    if value is None or not value.startswith("@"):
        return value
    path = env.cwd / value[1:]
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"{option}: cannot read {value[1:]!r}: {reason}") from error


def _examples(path: str, schema: Schema, env: Environment) -> list[Example]:
    try:
        rows = list(open_source([path], env=env))
    except UsageError as error:
        raise UsageError(f"--examples: {error}", hint=error.hint) from error
    if not rows:
        raise UsageError(f"--examples {path}: no rows", hint="a row is columns, and the answer under gold")
    return [_example(row, path, schema) for row in rows]


def _example(row: Record | Unreadable, path: str, schema: Schema) -> Example:
    """The answer is the `gold` object, or the columns that are fields of the schema."""
    where = f"--examples {path}:{row.line}"
    if isinstance(row, Unreadable):
        raise UsageError(f"{where}: {row.error}")
    gold, fields = row.data.get("gold"), schema.json_schema.get("properties", {})
    answer = gold if isinstance(gold, Mapping) else {k: v for k, v in row.data.items() if k in fields}
    shown = {k: v for k, v in row.data.items() if k not in answer and k != "gold"}
    try:
        return Example(shown, _as_asked(answer, fields, schema))
    except (ValidationError, InvalidAnswer) as error:
        hint = 'give the right answer under "gold", or as columns named like the fields'
        raise UsageError(
            f"{where}: the answer does not fit the schema: {describe(error)}", hint=hint
        ) from error


def _as_asked(answer: Mapping[str, Any], fields: Collection[str], schema: Schema) -> dict[str, Any]:
    """A right answer as the model is to write it: the schema's fields under the names that are read."""
    try:
        value = schema.parse(to_json(answer).decode())
    except ValueError:  # cells of CSV are text: what they hold is taken for what it is meant to be
        value = schema.model.model_validate(answer)
    written = schema.dump(value)
    return {name: written.get(name, answer.get(name)) for name in fields if name in written or name in answer}
