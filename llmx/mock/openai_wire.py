"""OpenAI's chat completions as JSON, requests and responses.

Format: https://platform.openai.com/docs/api-reference/chat and
https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from llmx.mock.limit_headers import duration
from llmx.mock.logprobs import openai_logprobs
from llmx.mock.wire import Answer, Call, Problem, Rejected, bad_request, field, text_of

__all__ = ["OpenAIWire", "openai_model"]

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_ERRORS: dict[Problem, tuple[int, str, str | None]] = {  # status, type, code
    "bad_request": (400, "invalid_request_error", None),
    "no_key": (401, "invalid_request_error", None),
    "wrong_key": (401, "invalid_request_error", "invalid_api_key"),
    "unknown_model": (404, "invalid_request_error", "model_not_found"),
    "unknown_url": (404, "invalid_request_error", "unknown_url"),
    "quota": (429, "insufficient_quota", "insufficient_quota"),
    "rate": (429, "requests", "rate_limit_exceeded"),
    "too_large": (429, "tokens", "rate_limit_exceeded"),
    "server": (500, "server_error", None),
    "outage": (503, "service_unavailable_error", None),
}


class OpenAIWire:
    """See `llmx.mock.wire.Wire`."""

    def parse(self, body: Any, headers: Mapping[str, str]) -> Call:
        """See `Wire.parse`."""
        if not isinstance(body, dict):
            raise bad_request("We could not parse the JSON body of your request.")
        model, messages = field(body, "model", str), _messages(body)
        if not model:
            raise bad_request("you must provide a model parameter")
        _refuse_unsimulated(body)
        texts = tuple(text_of(message.get("content")) for message in messages)
        schema, wants_json = _response_format(body, texts)
        tool, tool_schema, forced = _tool(body)
        return Call(
            model=model,
            texts=texts,
            user_text="\n".join(t for m, t in zip(messages, texts, strict=True) if m.get("role") == "user"),
            messages=tuple(messages),
            schema=tool_schema if tool else schema,
            tool=tool,
            forced=forced,
            wants_json=wants_json,
            limit=_limit(body),
            seed=field(body, "seed", int),
            temperature=field(body, "temperature", (int, float)),
            logprobs=bool(field(body, "logprobs", bool)),
            top_logprobs=field(body, "top_logprobs", int) or 0,
            stream=bool(field(body, "stream", bool)),
            stream_usage=_stream_usage(body),
        )

    def completion(self, call: Call, answer: Answer, serial: int) -> dict[str, Any]:
        """See `Wire.completion`."""
        return {
            "id": f"chatcmpl-mock{serial:08x}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": call.model,
            "choices": [
                {
                    "index": 0,
                    "message": _message(call, answer, serial),
                    "logprobs": _logprobs(call, answer),
                    "finish_reason": _finish(call, answer),
                }
            ],
            "usage": _usage(answer),
            "service_tier": "default",
            "system_fingerprint": "fp_mock",
        }

    def error(self, rejected: Rejected, serial: int) -> tuple[int, dict[str, Any]]:
        """See `Wire.error`."""
        status, kind, code = _ERRORS[rejected.problem]
        if rejected.problem == "rate":  # OpenAI does not tell input and output tokens apart
            kind = "requests" if rejected.subject == "requests" else "tokens"
        if rejected.status == 503:
            kind = "service_unavailable_error"
        error = {"message": _wording(rejected), "type": kind, "param": rejected.param, "code": code}
        return rejected.status or status, {"error": error}


def openai_model(name: str) -> dict[str, Any]:
    """One entry of `GET /v1/models`."""
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "llmx-mock"}


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = field(body, "messages", list)
    if not messages:
        raise bad_request("Missing required parameter: 'messages'.", "messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise bad_request(f"Invalid value: 'messages[{index}].role'.", f"messages[{index}].role")
    return messages


def _refuse_unsimulated(body: dict[str, Any]) -> None:
    """Better an error than an answer in a shape that was not asked for."""
    if (body.get("n") or 1) != 1:
        raise bad_request("the mock gives one choice per call", "n")
    if body.get("top_logprobs") and not body.get("logprobs"):
        raise bad_request(
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", "top_logprobs"
        )


def _stream_usage(body: dict[str, Any]) -> bool:
    options = field(body, "stream_options", dict)
    if options is not None and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise bad_request(message, "stream_options")
    return bool(field(options, "include_usage", bool))


def _response_format(body: dict[str, Any], texts: tuple[str, ...]) -> tuple[Any, bool]:
    form = field(body, "response_format", dict) or {}
    kind = form.get("type", "text")
    if kind == "text":
        return None, False
    if kind == "json_object":
        if not any("json" in text.lower() for text in texts):
            message = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
            raise bad_request(message, "messages")
        return None, True
    wrapper = field(form, "json_schema", dict) or {}
    if kind != "json_schema" or not wrapper.get("name"):
        raise bad_request(
            "Missing required parameter: 'response_format.json_schema.name'.", "response_format"
        )
    return field(wrapper, "schema", dict, {}), True


def _tool(body: dict[str, Any]) -> tuple[str | None, Any, bool]:
    """The tool that will be called: the one that is named, else the first."""
    tools = field(body, "tools", list) or []
    functions = [field(tool, "function", dict) or {} for tool in tools]
    choice = body.get("tool_choice", "auto")
    if choice == "none" or not tools:
        return None, None, False
    forced = isinstance(choice, dict)
    wanted = (field(choice, "function", dict) or {}).get("name") if forced else functions[0].get("name")
    for function in functions:
        if wanted and function.get("name") == wanted:
            return wanted, field(function, "parameters", dict) or {"type": "object"}, forced
    raise bad_request(f"Tool choice {wanted!r} not found in 'tools' parameter.", "tool_choice")


def _limit(body: dict[str, Any]) -> int | None:
    names = ("max_completion_tokens", "max_tokens")
    limit: int | None = next((v for name in names if (v := field(body, name, int)) is not None), None)
    if limit is not None and limit < 1:
        raise bad_request(f"Invalid value: {limit}. Expected a value >= 1.", "max_completion_tokens")
    return limit


def _message(call: Call, answer: Answer, serial: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    if answer.finish == "refusal":
        message["refusal"] = answer.text
    elif call.tool is None:
        message["content"] = answer.text
    else:
        function = {"name": call.tool, "arguments": answer.text}
        message["tool_calls"] = [{"id": f"call_mock{serial:08x}", "type": "function", "function": function}]
    return message


def _logprobs(call: Call, answer: Answer) -> dict[str, Any] | None:
    """Of the content; what tools are called with has none."""
    if not call.logprobs or call.tool is not None or answer.finish == "refusal":
        return None
    return openai_logprobs(answer.text, answer.tokens, call.top_logprobs)


def _finish(call: Call, answer: Answer) -> str:
    if answer.finish == "length":
        return "length"
    # A tool that was named by the caller finishes with "stop", a chosen one with "tool_calls".
    return "tool_calls" if call.tool and not call.forced and answer.finish == "stop" else "stop"


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _wording(rejected: Rejected) -> str:
    subject, (limit, used, requested) = rejected.subject, rejected.figures
    when = "" if rejected.retry_after is None else f" Please try again in {duration(rejected.retry_after)}."
    words: dict[Problem, str] = {
        "no_key": "You didn't provide an API key. Provide it in an Authorization header using Bearer auth.",
        "wrong_key": f"Incorrect API key provided: {subject}.",
        "unknown_model": f"The model `{subject}` does not exist or you do not have access to it.",
        "unknown_url": f"Unknown request URL: {subject}. Please check the URL for typos.",
        "quota": "You exceeded your current quota, please check your plan and billing details.",
        "rate": f"Rate limit reached on {subject} per min: Limit {limit}, Used {used}, Requested {requested}."
        f"{when}",
        "too_large": f"Request too large on {subject} per min: Limit {limit}, Requested {requested}.",
        "server": "The server had an error while processing your request. Sorry about that!",
        "outage": "The service is temporarily unavailable.",
    }
    return words.get(rejected.problem, subject)
