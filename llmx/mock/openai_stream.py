"""A chat completion as the chunks in which OpenAI streams it.

Format: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmx.mock.wire import Call, pieces
from llmx.records import to_json

__all__ = ["chat_chunks"]


def chat_chunks(completion: Mapping[str, Any], call: Call) -> list[bytes]:
    """The events of a whole completion; joined they say what it says."""
    (choice,) = completion["choices"]
    base = {name: value for name, value in completion.items() if name not in ("choices", "usage")}
    base["object"] = "chat.completion.chunk"
    if call.stream_usage:
        base["usage"] = None
    deltas = _deltas(choice)
    events = [
        {**base, "choices": [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]}
        for delta, logprobs, finish in deltas
    ]
    if call.stream_usage and "usage" in completion:
        events.append({**base, "choices": [], "usage": completion["usage"]})
    return [b"data: %s\n\n" % to_json(event) for event in events] + [b"data: [DONE]\n\n"]


def _deltas(choice: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Any, str | None]]:
    """What each chunk adds: to the message, its log-probabilities, and why it ended."""
    message = choice["message"]
    yield _first(message), None, None
    if calls := message.get("tool_calls"):
        for piece in pieces(calls[0]["function"]["arguments"]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, None, None
    elif message.get("refusal"):
        for piece in pieces(message["refusal"]):
            yield {"refusal": piece}, None, None
    elif choice.get("logprobs"):
        for token in choice["logprobs"]["content"]:
            yield {"content": token["token"]}, {"content": [token], "refusal": None}, None
    else:
        for piece in pieces(message["content"] or ""):
            yield {"content": piece}, None, None
    yield {}, None, choice["finish_reason"]


def _first(message: Mapping[str, Any]) -> dict[str, Any]:
    """Who speaks, and what tool is called."""
    first: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    if calls := message.get("tool_calls"):
        function = {**calls[0]["function"], "arguments": ""}
        return {**first, "tool_calls": [{"index": 0, **calls[0], "function": function}]}
    return first if message.get("refusal") else {**first, "content": ""}
