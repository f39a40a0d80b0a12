"""A message as the events in which Anthropic streams it.

Format: https://docs.claude.com/en/docs/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmx.mock.wire import Call, pieces
from llmx.records import to_json

__all__ = ["message_events"]

_OF_THE_END = ("stop_reason", "stop_sequence", "stop_details")
_COUNTED_LAST = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
)


def message_events(message: Mapping[str, Any], call: Call) -> list[bytes]:
    """The events of a whole message; joined they say what it says."""
    return [
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), to_json(event)) for event in _events(message)
    ]


def _events(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    begun = {**message, "content": [], **dict.fromkeys(_OF_THE_END)}
    usage = message.get("usage")
    if usage is not None:
        begun["usage"] = {**usage, "output_tokens": 1}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(message["content"]):
        yield from _block(index, block)
    end = {
        "type": "message_delta",
        "delta": {name: message[name] for name in _OF_THE_END if name in message},
    }
    yield end if usage is None else {**end, "usage": {name: usage[name] for name in _COUNTED_LAST}}
    yield {"type": "message_stop"}


def _block(index: int, block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    is_tool = block["type"] == "tool_use"
    empty: dict[str, Any] = {"input": {}} if is_tool else {"text": ""}
    yield {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
    yield {"type": "ping"}
    # A tool's input begins with an empty piece.
    texts = ["", *pieces(to_json(block["input"]).decode())] if is_tool else pieces(block["text"])
    kind, name = ("input_json_delta", "partial_json") if is_tool else ("text_delta", "text")
    for text in texts:
        yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, name: text}}
    yield {"type": "content_block_stop", "index": index}
