"""The events of a message, put together.

Format: https://docs.claude.com/en/docs/build-with-claude/streaming. Kinds of events and of blocks that nobody knows yet may
come at any time, and are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from llmx.providers.answers import Answer, answer_of
from llmx.providers.sse import ServerEvent
from llmx.providers.streams import Streaming
from llmx.text import paired
from llmx.types import Ear

__all__ = ["MESSAGE_STREAMING", "MessageAssembler"]

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What an error would have for a status, had it come before the stream (https://docs.claude.com/en/api/errors)."""

_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""By the kind of a delta, the field that has a piece of the block's text."""


class MessageAssembler:
    """One message. See `Assembler`."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._message: dict[str, Any] | None = None
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[int, list[str]] = {}
        self._heard: int | None = None  # the block that the answer is in, as far as one can tell
        self._called = False

    def failure(self, event: ServerEvent, data: Mapping[str, Any]) -> Answer | None:
        """See `Assembler.failure`."""
        if event.name != "error" and data.get("type") != "error":
            return None
        error = data.get("error")
        kind = error.get("type") if isinstance(error, Mapping) else None
        return answer_of(_STATUSES.get(str(kind), HTTPStatus.BAD_GATEWAY.value), {}, {"error": error})

    def take(self, event: ServerEvent, data: Mapping[str, Any]) -> bool:
        """See `Assembler.take`."""
        kind = data.get("type") or event.name
        match kind:
            case "message_start":
                self._message = dict(data["message"])
            case "content_block_start":
                self._open(int(data["index"]), dict(data["content_block"]))
            case "content_block_delta":
                self._add(int(data["index"]), data["delta"])
            case "message_delta":
                self._close(data)
        return bool(kind == "message_stop")

    def _open(self, index: int, block: dict[str, Any]) -> None:
        """A block begins: the first tool call is the answer, else the last text (see `anthropic.read_message`)."""
        self._blocks[index], self._pieces[index] = block, []
        if self._called or block["type"] not in ("text", "tool_use"):
            return
        if self._heard is not None:
            self._ear.begin()
        self._heard, self._called = index, block["type"] == "tool_use"
        self._hear(index, block.get("text") or "")

    def _add(self, index: int, delta: Mapping[str, Any]) -> None:
        kind, block = delta["type"], self._blocks[index]
        if kind in _PIECES:
            piece = delta[_PIECES[kind]]
            self._pieces[index].append(piece)
            self._hear(index, piece)
        elif kind == "signature_delta":
            block["signature"] = delta["signature"]
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]

    def _hear(self, index: int, piece: str) -> None:
        self._ear.hear(piece if index == self._heard else "")

    def _close(self, data: Mapping[str, Any]) -> None:
        """Why the message ended, and what it used in all: counts that are not told again stay."""
        if self._message is None:
            raise LookupError("a message that has not begun")
        counts = {name: count for name, count in (data.get("usage") or {}).items() if count is not None}
        usage = {**(self._message.get("usage") or {}), **counts}
        self._message |= {**(data.get("delta") or {}), **({"usage": usage} if usage else {})}

    def body(self) -> Mapping[str, Any] | None:
        """See `Assembler.body`: whole is what has said why it ended."""
        if self._message is None or self._message.get("stop_reason") is None:
            return None
        return {**self._message, "content": [self._block(index) for index in sorted(self._blocks)]}

    def _block(self, index: int) -> dict[str, Any]:
        block, text = self._blocks[index], paired("".join(self._pieces[index]))
        match block["type"]:
            case "text" | "thinking" as name:
                return {**block, name: (block.get(name) or "") + text}
            case "tool_use" | "server_tool_use" if text:
                return {**block, "input": _input(text)}
        return block


def _input(text: str) -> Any:
    """A tool call's input; of one that was cut, what there is of it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        from pydantic_core import from_json

        try:
            return from_json(text, allow_partial=True)
        except ValueError:
            return {}


MESSAGE_STREAMING = Streaming({"stream": True}, MessageAssembler)
"""A stream; its usage it tells by itself."""
