"""Anthropic, and servers that speak its messages format.

Reads responses and connects; bodies are the codec's, calls are `posting`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmx.providers.catalog import CatalogEntry
from llmx.providers.codec import HandlerCodec, answer_json, handlers_for, planned_codec, wire_model
from llmx.providers.forms import Body
from llmx.providers.modes import Plan
from llmx.providers.posting import Reading, counted
from llmx.providers.transports import LeanTransport, SdkTransport, Transport, custom_headers, http_client
from llmx.records.values import to_json
from llmx.schemas import Schema
from llmx.types import Finish, Usage

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

__all__ = ["PATH", "messages_codec", "read_instructed", "read_message", "transport_for"]

PATH = "/v1/messages"

API_VERSION = "2026-10-21"
"""As anthropic 2.12 has it (https://docs.claude.com/en/api/versioning); a test compares it with the SDK's."""

_FINISH: Mapping[str | None, Finish] = {
    "end_turn": "stop",
    "tool_use": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


_SAID = frozenset({"title", "description"})


def read_message(body: Mapping[str, Any]) -> Reading:
    """A message's tool input or last text, why it ended, and what it used.

    Raises:
        LookupError, TypeError, AttributeError: it is no message.
    """
    blocks = body["content"]
    tools = [block for block in blocks if block["type"] == "tool_use"]
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    text = to_json(tools[0]["input"]).decode() if tools else (texts[-1] if texts else "")
    finish = _FINISH.get(body.get("stop_reason"), "other")
    if finish == "refusal" and not text:
        text = (body.get("stop_details") or {}).get("explanation") or ""
    return Reading(text, finish, counted(_usage, body.get("usage")), body.get("model"))


def read_instructed(body: Mapping[str, Any]) -> Reading:
    """The same for answers that are JSON by instruction only, and may have prose around it."""
    reading = read_message(body)
    return Reading(answer_json(reading.text), reading.finish, reading.usage, reading.model)


def _usage(counts: Mapping[str, Any]) -> Usage:
    """Anthropic counts cached tokens beside `input_tokens`, not within.

    https://docs.claude.com/en/docs/build-with-claude/prompt-caching#tracking-cache-performance
    """
    read = int(counts.get("cache_read_input_tokens") or 0)
    written = int(counts.get("cache_creation_input_tokens") or 0)
    return Usage(
        input_tokens=int(counts.get("input_tokens") or 0) + read + written,
        output_tokens=int(counts.get("output_tokens") or 0),
        cached_tokens=read,
        cache_write_tokens=written,
    )


def messages_codec(
    entry: CatalogEntry,
    schema: Schema,
    plan: Plan,
    parameters: Mapping[str, Any],
    *,
    cap_is_ours: bool,
    plans: Path | None = None,
) -> HandlerCodec:
    """The codec for messages. Imports instructor where a plan is not kept yet, and for re-asks.

    Args:
        parameters: model, output cap, temperature: what every body holds beside messages and schema.
        plans: the folder of the plans that are kept.
    """
    # instructor 1.17's own handler for structured outputs looks for the beta's `output_format`
    # parameter, which anthropic 2 no longer has, and falls back to asking in words. So the tools
    # handler splits the messages, and the format goes where the API takes it today.
    native = plan.mode == "json_schema"

    def build(messages: list[Body]) -> Body:
        splitter = handlers_for(entry.handlers, "tools" if native else plan.mode)
        model = None if native else wire_model(schema, plan.wire.schema)
        _, body = splitter.request_handler(model, {**parameters, "messages": messages})
        if native:
            body["output_config"] = {"format": {"type": "json_schema", "schema": dict(plan.wire.schema)}}
        for tool in body.get("tools", ()):
            # The tool says both already; here they would be paid for again in every call.
            tool["input_schema"] = {k: v for k, v in tool["input_schema"].items() if k not in _SAID}
        return dict(body)

    return planned_codec(
        entry, schema, plan, parameters, build, _message, cap_is_ours=cap_is_ours, plans=plans
    )


def _message(body: Mapping[str, Any]) -> Any:
    """The SDK's own object, which instructor's handlers want."""
    from anthropic.types import Message
    from pydantic import ValidationError

    try:
        return Message.model_validate(body)
    except ValidationError:
        # Other servers leave fields out; no content at all is an empty answer.
        return Message.construct(**{"content": [], **body})


def transport_for(base_url: str, key: str, variables: Mapping[str, str], *, sdk: bool) -> Transport:
    """The way to a server.

    Args:
        sdk: over the provider's SDK.
    """
    if sdk:
        return SdkTransport(_client(base_url, key, variables), PATH)
    headers = {"Authorization": f"Bearer {key}", "anthropic-version": API_VERSION}
    return LeanTransport(base_url + PATH, headers | custom_headers(variables.get("ANTHROPIC_CUSTOM_HEADERS")))


def _client(base_url: str, key: str, variables: Mapping[str, str]) -> AsyncAnthropic:
    """The SDK's client: no retries and no time limit of its own."""
    from anthropic import AsyncAnthropic, DefaultAioHttpClient

    http = http_client(DefaultAioHttpClient)
    token = variables.get("ANTHROPIC_AUTH_TOKEN")
    bearer = key == token and not variables.get("ANTHROPIC_API_KEY")
    return AsyncAnthropic(
        base_url=base_url,
        api_key=None if bearer else key,
        auth_token=token if bearer else None,
        max_retries=0,
        timeout=http.timeout,
        http_client=http,
    )
