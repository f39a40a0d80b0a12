"""OpenAI, and every server that speaks its chat completions format.

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
from llmx.schemas import Schema
from llmx.types import Finish, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = [
    "PATH",
    "chat_codec",
    "chat_completion",
    "read_chat",
    "read_instructed",
    "transport_for",
]

PATH = "/chat/completions"

_FINISH: Mapping[str | None, Finish] = {
    "stop": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "content_filter": "refusal",
}


def read_chat(body: Mapping[str, Any]) -> Reading:
    """A chat completion's text or tool arguments, why it ended, and what it used.

    Raises:
        LookupError, TypeError, AttributeError: it is no chat completion.
    """
    choice = body["choices"][0]
    message = choice["message"]
    model = body.get("model")
    finish = _FINISH.get(choice.get("finish_reason"), "other")
    usage = counted(_usage, body.get("usage"))
    if refusal := message.get("refusal"):
        return Reading(refusal, "refusal", usage, model)
    return Reading(_text(message), finish, usage, model)


def read_instructed(body: Mapping[str, Any]) -> Reading:
    """The same for answers that are JSON by instruction only, and may have prose around it."""
    reading = read_chat(body)
    return Reading(answer_json(reading.text), reading.finish, reading.usage, reading.model)


def _text(message: Mapping[str, Any]) -> str:
    if calls := message.get("tool_calls"):
        arguments = calls[0]["function"]["arguments"]
        return arguments if isinstance(arguments, str) else _dumps(arguments)
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content)


def _dumps(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()


def _usage(counts: Mapping[str, Any]) -> Usage:
    """OpenAI counts cached tokens within the prompt's, and reasoning within the completion's."""
    prompt = counts.get("prompt_tokens_details") or {}
    completion = counts.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=int(counts.get("prompt_tokens") or 0),
        output_tokens=int(counts.get("completion_tokens") or 0),
        # DeepSeek's name for it is its own: https://api-docs.deepseek.com/guides/kv_cache
        cached_tokens=int(prompt.get("cached_tokens") or counts.get("prompt_cache_hit_tokens") or 0),
        reasoning_tokens=int(completion.get("reasoning_tokens") or 0),
    )


def chat_codec(
    entry: CatalogEntry,
    schema: Schema,
    plan: Plan,
    parameters: Mapping[str, Any],
    *,
    cap_is_ours: bool,
    plans: Path | None = None,
) -> HandlerCodec:
    """The codec for chat completions. Imports instructor where a plan is not kept yet, and for re-asks.

    Args:
        parameters: model, output cap, temperature: what every body holds beside messages and schema.
        plans: the folder of the plans that are kept.
    """

    def build(messages: list[Body]) -> Body:
        handlers = handlers_for(entry.handlers, plan.mode)
        model = wire_model(schema, plan.wire.schema)
        _, body = handlers.request_handler(model, {**parameters, "messages": messages})
        if plan.strict:
            # Instructor's handler leaves it out; without it the server does not hold to the schema.
            body["response_format"]["json_schema"]["strict"] = True
        return dict(body)

    return planned_codec(
        entry, schema, plan, parameters, build, chat_completion, cap_is_ours=cap_is_ours, plans=plans
    )


def chat_completion(body: Mapping[str, Any]) -> Any:
    """The SDK's own object, which instructor's handlers want; None where there is no message."""
    from openai.types.chat import ChatCompletion
    from pydantic import ValidationError

    if not body.get("choices"):
        return None
    try:
        return ChatCompletion.model_validate(body)
    except ValidationError:
        return ChatCompletion.construct(**body)  # other servers leave fields out


def transport_for(
    entry: CatalogEntry, base_url: str, key: str, variables: Mapping[str, str], *, sdk: bool
) -> Transport:
    """The way to a server.

    Args:
        sdk: over the provider's SDK.
    """
    if sdk or entry.name == "azure_openai":
        return SdkTransport(_client(entry, base_url, key, variables), PATH)
    given = {
        "Authorization": f"Bearer {key}",
        "OpenAI-Organization": variables.get("OPENAI_ORG_ID"),
        "OpenAI-Project": variables.get("OPENAI_PROJECT_ID"),
        **custom_headers(variables.get("OPENAI_CUSTOM_HEADERS")),
    }
    headers = {name: value for name, value in given.items() if value is not None}
    return LeanTransport(base_url + PATH, headers)


def _client(entry: CatalogEntry, base_url: str, key: str, variables: Mapping[str, str]) -> AsyncOpenAI:
    """The SDK's client: no retries and no time limit of its own."""
    from openai import AsyncAzureOpenAI, AsyncOpenAI, DefaultAioHttpClient

    http = http_client(DefaultAioHttpClient)
    if entry.name == "azure_openai":
        return AsyncAzureOpenAI(
            azure_endpoint=base_url,
            api_key=key,
            api_version=variables.get("OPENAI_API_VERSION", "2024-10-21"),
            max_retries=0,
            timeout=http.timeout,
            http_client=http,
        )
    return AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=http.timeout, http_client=http)
