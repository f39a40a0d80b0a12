"""Anthropic's messages as JSON, requests and responses.

Format: https://docs.anthropic.com/en/api/messages and https://docs.anthropic.com/en/api/errors
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmx.mock.wire import Answer, Call, Problem, Rejected, bad_request, field, text_of

__all__ = ["AnthropicWire", "anthropic_model"]

_ROLES = ("user", "assistant", "system")
_STATUSES: dict[Problem, int] = {
    "bad_request": 400,
    "no_key": 401,
    "wrong_key": 401,
    "unknown_model": 404,
    "unknown_url": 404,
    "quota": 400,
    "rate": 429,
    "too_large": 429,
    "server": 500,
    "outage": 503,
}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class AnthropicWire:
    """See `llmx.mock.wire.Wire`."""

    def parse(self, body: Any, headers: Mapping[str, str]) -> Call:
        """See `Wire.parse`."""
        if "anthropic-version" not in headers:
            raise bad_request("anthropic-version: header is required")
        if not isinstance(body, dict):
            raise bad_request("The request body is not valid JSON")
        messages = _messages(body)
        tool, tool_schema, forced = _tool(body)
        schema = None if tool else _output_schema(body)
        texts = tuple(text_of(message.get("content")) for message in messages)
        return Call(
            model=_required(body, "model", str),
            texts=(text_of(body.get("system")), *texts),
            user_text="\n".join(t for m, t in zip(messages, texts, strict=True) if m.get("role") == "user"),
            messages=(body.get("system"), *messages),
            schema=tool_schema if tool else schema,
            tool=tool,
            forced=forced,
            wants_json=schema is not None,
            limit=_limit(body),
            temperature=field(body, "temperature", (int, float)),
            stream=bool(field(body, "stream", bool)),
        )

    def completion(self, call: Call, answer: Answer, serial: int) -> dict[str, Any]:
        """See `Wire.completion`."""
        refused = answer.finish == "refusal"
        details = {"type": "refusal", "category": None, "explanation": answer.text} if refused else None
        return {
            "id": f"msg_mock{serial:08x}",
            "type": "message",
            "role": "assistant",
            "model": call.model,
            "content": [] if refused else [_block(call, answer, serial)],
            "stop_reason": _stop_reason(call, answer),
            "stop_sequence": None,
            "stop_details": details,
            "usage": _usage(answer),
        }

    def error(self, rejected: Rejected, serial: int) -> tuple[int, dict[str, Any]]:
        """See `Wire.error`."""
        status = rejected.status or _STATUSES[rejected.problem]
        error = {"type": _TYPES.get(status, "api_error"), "message": _wording(rejected, status)}
        return status, {"type": "error", "error": error, "request_id": f"req_mock{serial:08x}"}


def anthropic_model(name: str) -> dict[str, Any]:
    """One entry of `GET /v1/models`."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2025-01-01T00:00:00Z",
        "lifecycle": "active",
    }


def _required(body: dict[str, Any], name: str, kind: type) -> Any:
    value = field(body, name, kind)
    if value is None:
        raise bad_request(f"{name}: Field required")
    return value


def _limit(body: dict[str, Any]) -> int:
    limit: int = _required(body, "max_tokens", int)
    if limit < 1:
        raise bad_request("max_tokens: Input should be greater than or equal to 1")
    return limit


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = _required(body, "messages", list)
    if not messages:
        raise bad_request("messages: at least one message is required")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise bad_request(f"messages.{index}.role: Input should be 'user' or 'assistant'")
    return messages


def _output_schema(body: dict[str, Any]) -> Any:
    """From `output_config.format`, or from `output_format`, its name while it was a beta."""
    config = field(body, "output_config", dict) or {}
    form = field(config, "format", dict) or field(body, "output_format", dict)
    if not form:
        return None
    if form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
        raise bad_request("output_config.format: a 'json_schema' with its 'schema' is required")
    return form["schema"]


def _tool(body: dict[str, Any]) -> tuple[str | None, Any, bool]:
    """The tool that will be called: the one that is named, else the first."""
    tools = [tool for tool in field(body, "tools", list) or [] if isinstance(tool, dict)]
    choice = field(body, "tool_choice", dict) or {"type": "auto"}
    if choice.get("type") == "none" or not tools:
        return None, None, False
    forced = choice.get("type") == "tool"
    wanted = choice.get("name") if forced else tools[0].get("name")
    for tool in tools:
        if wanted and tool.get("name") == wanted:
            return wanted, field(tool, "input_schema", dict) or {"type": "object"}, forced
    raise bad_request(f"Tool '{wanted}' not found in provided tools")


def _block(call: Call, answer: Answer, serial: int) -> dict[str, Any]:
    if call.tool is None:
        return {"type": "text", "text": answer.text, "citations": None}
    # The input of a call that was cut is an object still: what there is of it, here nothing.
    value = answer.value if isinstance(answer.value, dict) else {}
    return {"type": "tool_use", "id": f"toolu_mock{serial:08x}", "name": call.tool, "input": value}


def _stop_reason(call: Call, answer: Answer) -> str:
    if answer.finish == "stop":
        return "tool_use" if call.tool else "end_turn"
    return "max_tokens" if answer.finish == "length" else "refusal"


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "input_tokens": answer.input_tokens - answer.cached_tokens,  # Anthropic tells them apart
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answer.output_tokens,
        "service_tier": "standard",
    }


def _wording(rejected: Rejected, status: int) -> str:
    subject, (limit, _, requested) = rejected.subject, rejected.figures
    words: dict[Problem, str] = {
        "no_key": "x-api-key header is required",
        "wrong_key": "invalid x-api-key",
        "unknown_model": f"model: {subject}",
        "unknown_url": "Not found",
        "quota": "Your credit balance is too low to access the Anthropic API."
        " Please go to Plans & Billing to upgrade or purchase credits.",
        "rate": f"This request would exceed your organization's rate limit of {limit} {subject} per minute.",
        "too_large": f"This request of {requested} tokens is larger than your rate limit of {limit} {subject} per minute.",
        "server": "Overloaded" if status == 529 else "Internal server error",
        "outage": "Service temporarily unavailable",
    }
    return words.get(rejected.problem, subject)
