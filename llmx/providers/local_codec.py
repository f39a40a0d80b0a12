"""The embedded model's wire format: OpenAI's, built without loading any SDK.

A first run with `-m local` should not wait seconds for packages it makes no call with; instructor is
asked for its words only when an answer has to be corrected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmx.providers.codec import Body, HandlerCodec, handlers_for
from llmx.providers.modes import Plan
from llmx.providers.openai import chat_completion
from llmx.schemas import Schema

__all__ = ["local_codec", "weights_id"]

_HEAD = 1 << 20


def local_codec(
    schema: Schema, plan: Plan, parameters: Mapping[str, Any], *, cap_is_ours: bool
) -> HandlerCodec:
    """The codec for the embedded model.

    Args:
        parameters: model, output cap, temperature: what every body holds beside messages and schema.
    """
    form = {"name": schema.name, "schema": dict(plan.wire.schema), "strict": True}
    response_format = {"type": "json_schema", "json_schema": form}

    def build(messages: list[Body]) -> Body:
        return {**parameters, "response_format": response_format, "messages": messages}

    return HandlerCodec(schema, build, _correct, chat_completion, cap_is_ours)


def _correct(body: Body, response: Any, error: Exception) -> Body:
    return dict(handlers_for("openai", "json_schema").reask_handler(body, response, error))


def weights_id(path: Path) -> str:
    """What tells one weights file from another wherever it lies: its size and its first mebibyte, hashed."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    digest = hashlib.sha256(head + str(path.stat().st_size).encode())
    return f"gguf:{digest.hexdigest()[:16]}"
