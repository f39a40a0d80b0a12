"""What a job may ask for: options of `llmx extract` that name no file, no address and no secret.

Whatever is wrong with them is told as the command line tells it. What the operator has said holds beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmx.errors import UsageError
from llmx.schemas import is_inline, ready_made
from llmx.settings import Settings
from llmx.text import nearest

__all__ = ["ASKED", "settings_of"]

ASKED = frozenset(
    {"schema", "model", "system", "input", "temperature", "max_output_tokens", "reasks", "evidence"}
    | {"require_evidence", "votes", "logprobs", "key", "keep", "prefix", "into", "explode", "meta"}
    | {"max_cost", "max_tokens"}
)
"""Options that a job may have."""


def settings_of(
    options: Mapping[str, Any], base: Mapping[str, Any], offered: Mapping[str, str], **more: Any
) -> Settings:
    """The settings of a run for a job.

    Args:
        options: the job's.
        base: the operator's; its `model` are those on offer, the first of which is the default.
        offered: specs of the operator's schemas, by their names.
        more: what the service itself decides, as input and output.

    Raises:
        UsageError: an option is not for jobs, or wrong; a schema or a model is not on offer.
    """
    for name in options:
        if name not in ASKED:
            raise UsageError(f"{name!r} is not for jobs", hint=f"one of {', '.join(sorted(ASKED))}")
    system = options.get("system")
    if isinstance(system, str) and system.startswith("@"):
        raise UsageError("system: begins with '@', which names a file", hint="the text itself")
    asked = {"schema": _schema(options.get("schema"), offered), "model": _model(options.get("model"), base)}
    return Settings.of({**base, **options, **asked, **more})


def _schema(given: Any, offered: Mapping[str, str]) -> Any:
    """What the operator calls so, a JSON Schema, or fields; never a file or a module. Raises UsageError."""
    if not isinstance(given, str):
        if isinstance(given, Mapping):
            return dict(given)
        raise UsageError("schema: neither a JSON Schema, nor a name, nor fields such as 'name, age int?'")
    if given in offered:
        return offered[given]
    if given in ready_made() or is_inline(given):
        return given
    names = sorted({*offered, *ready_made()})
    close = nearest(given, names)
    hint = f"did you mean {close!r}?" if close else f"one of {', '.join(names)}, or a JSON Schema"
    raise UsageError(f"schema: {given!r} is not on offer", hint=hint)


def _model(given: Any, base: Mapping[str, Any]) -> list[str]:
    """Models on offer, in the order in which they stand in for each other. Raises UsageError."""
    models = list(base.get("model") or [])
    if not models:
        raise UsageError("no model is on offer", hint="llmx serve -m openai/…, or -m local")
    if given is None:
        return models[:1]
    wanted = [given] if isinstance(given, str) else given
    for name in wanted:
        if name not in models:
            raise UsageError(f"model: {name!r} is not on offer", hint=f"one of {', '.join(models)}")
    return list(wanted)
