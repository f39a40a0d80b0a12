"""How a model is asked for structure: chosen per provider, model and schema, before any call.

Native structured output where the model has it and the schema fits it, else tools, else JSON by
instruction. A mode the user asks for is taken or refused, never silently replaced.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from llmx.errors import UsageError
from llmx.providers.catalog import CatalogEntry
from llmx.schemas import Dialect, Schema, WireSchema, supports, wire_schema

__all__ = ["Mode", "Plan", "caps_by_completion", "choose", "native_anthropic", "native_openai", "reasons"]

Mode = Literal["auto", "json_schema", "tools", "json"]

_OLD_OPENAI = re.compile(r"^(ft:)?(gpt-3\.5|gpt-4(?![.o\d])|gpt-4o-2024-05-13|chatgpt-4o|o1-mini|o1-preview)")
"""OpenAI's models without strict json_schema: those before gpt-4o-mini and gpt-4o-2024-08-06
(https://openai.com/index/introducing-structured-outputs-in-the-api/), and the first o1 previews."""

_OLD_CLAUDE = re.compile(r"^claude-(instant|v?[123]\b|[123][-.]|(opus|sonnet)-4(-0)?(-\d{8})?$)")
"""Claude models without structured outputs: all before Opus 4.1, Sonnet 4.5 and Haiku 4.5
(https://docs.claude.com/en/docs/build-with-claude/structured-outputs)."""

_REASONING = re.compile(r"^(o[1-9]|gpt-[5-9]|gpt-\d\d)")
"""OpenAI's reasoning models, which refuse `max_tokens` wherever they are served."""


_THINKING = re.compile(r"^(gemini-(2\.5-(?!flash-lite)|[3-9]|\d\d)|deepseek-reasoner)")
"""Others that do so by default (https://ai.google.dev/gemini-api/docs/thinking,
https://api-docs.deepseek.com/guides/reasoning_model)."""


_NATIVE = {"cohere": ("json_schema",)}
"""Providers whose tools mode, in instructor, is only an instruction in words."""


class Plan(Struct, frozen=True):
    """A mode and the schema in the form that mode sends.

    Args:
        mode: one of instructor's modes, by its name in lower case: "json_schema", "tools", "json", "md_json".
        wire: the schema as sent, and what was changed in it.
        strict: whether the server is told to enforce it to the letter (OpenAI).
    """

    mode: str
    wire: WireSchema
    strict: bool = False


def native_openai(model: str) -> bool:
    """Whether an OpenAI model takes strict json_schema response formats; new models do."""
    return not _OLD_OPENAI.match(model)


def native_anthropic(model: str) -> bool:
    """Whether a model takes Anthropic's `output_config.format`; new Claude models do."""
    return model.startswith("claude-") and not _OLD_CLAUDE.match(model)


def reasons(model: str) -> bool:
    """Whether a model is known to think in output tokens before it answers, unless it is told not to."""
    bare = model.rpartition("/")[2]  # as a gateway names it: openai/gpt-5
    return bool(_REASONING.match(bare) or _THINKING.match(bare))


def caps_by_completion(model: str, *, own_server: bool) -> bool:
    """Whether the output cap is called `max_completion_tokens` (OpenAI's own API) or `max_tokens` (others)."""
    return not own_server or bool(_REASONING.match(model))


def choose(
    entry: CatalogEntry,
    model: str,
    schema: Schema,
    mode: Mode,
    *,
    own_server: bool,
    modes: Callable[[str], frozenset[str]],
) -> Plan:
    """The mode for a model and a schema.

    Args:
        own_server: the address was given by the user.
        modes: those that instructor has handlers for, by their names in lower case; asked for providers that we
            know only through it.

    Raises:
        UsageError: the provider has no such mode, or that mode refuses the schema.
    """
    if entry.wire == "anthropic":
        return _anthropic(entry, model, schema, mode)
    if entry.name in ("openai", "azure_openai", "ollama"):
        return _openai(entry, model, schema, mode, own_server=own_server or entry.name == "ollama")
    if entry.wire == "local":
        return _local(entry, schema, mode)
    return _other(entry, schema, mode, modes(entry.handlers))


def _openai(entry: CatalogEntry, model: str, schema: Schema, mode: Mode, *, own_server: bool) -> Plan:
    if mode in ("tools", "json"):
        return Plan(mode, _wire(entry, schema, "openai-tools", mode))
    strict = supports(schema, "openai-strict")
    if own_server and not strict:
        # Other servers turn any schema into a grammar; OpenAI's rules for strict ones are not theirs.
        return Plan("json_schema", _wire(entry, schema, "openai-tools", mode))
    if mode == "auto" and not (own_server or (strict and native_openai(model))):
        return Plan("tools", _wire(entry, schema, "openai-tools", mode))
    return Plan("json_schema", _wire(entry, schema, "openai-strict", mode), strict=True)


def _anthropic(entry: CatalogEntry, model: str, schema: Schema, mode: Mode) -> Plan:
    if mode in ("tools", "json"):
        return Plan(mode, _wire(entry, schema, "anthropic-tools", mode))
    native = native_anthropic(model) and supports(schema, "anthropic-native")
    if mode == "json_schema" or native:
        return Plan("json_schema", _wire(entry, schema, "anthropic-native", mode))
    return Plan("tools", _wire(entry, schema, "anthropic-tools", mode))


def _local(entry: CatalogEntry, schema: Schema, mode: Mode) -> Plan:
    if mode in ("tools", "json"):
        raise UsageError(f"the local model has no --mode {mode}", hint="--mode json_schema")
    return Plan("json_schema", _wire(entry, schema, "local", mode), strict=True)


def _other(entry: CatalogEntry, schema: Schema, mode: Mode, has: frozenset[str]) -> Plan:
    """Providers known through instructor: what it has handlers for decides."""
    native = _NATIVE.get(entry.name, ())
    wanted: dict[str, tuple[str, ...]] = {
        "auto": (*native, "tools", "json_schema", "json", "md_json"),
        "json": ("json", "md_json"),
    }
    for candidate in wanted.get(mode, (mode,)):
        if candidate in has:
            return Plan(candidate, _wire(entry, schema, "openai-tools", mode))
    offered = sorted({name.removeprefix("md_") for name in has} & {"tools", "json_schema", "json"})
    raise UsageError(f"{entry.name} has no --mode {mode}", hint=f"--mode {' or '.join(offered)}")


def _wire(entry: CatalogEntry, schema: Schema, dialect: Dialect, mode: Mode) -> WireSchema:
    """The schema as `dialect` sends it; what the dialect refuses is an error before any call."""
    wire = wire_schema(schema, dialect)
    for finding in wire.findings:
        if finding.level == "refused":
            where = f"{finding.path}: " if finding.path else ""
            hint = finding.hint or f"llmx schema check {shlex.quote(schema.source)}"
            raise UsageError(
                f"{entry.name} refuses the schema by {dialect}: {where}{finding.message}", hint=hint
            )
    return wire
