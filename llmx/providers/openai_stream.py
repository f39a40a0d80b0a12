"""The chunks of a chat completion, put together.

Format: https://platform.openai.com/docs/api-reference/chat-streaming. Servers that speak it leave out what they please:
the last chunk with the usage, `[DONE]`, the kind of a tool call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmx.providers.answers import Answer, embedded
from llmx.providers.sse import ServerEvent
from llmx.providers.streams import Streaming
from llmx.text import paired
from llmx.types import Ear

__all__ = ["CHAT_STREAMING", "ChatAssembler"]

_TEXTS = frozenset({"content", "refusal", "reasoning", "reasoning_content"})
"""Fields of a message that come in pieces; of others the last value counts."""

_OF_CHUNKS = frozenset({"choices", "usage", "object", "obfuscation"})


class ChatAssembler:
    """One chat completion, of its first choice. See `Assembler`."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._whole: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._arguments: dict[int, list[str]] = {}
        self._logprobs: dict[str, list[Any]] = {}
        self._usage: Any = None
        self._finish: Any = None
        self._begun = False

    def failure(self, event: ServerEvent, data: Mapping[str, Any]) -> Answer | None:
        """See `Assembler.failure`."""
        return embedded(data, {})

    def take(self, event: ServerEvent, data: Mapping[str, Any]) -> bool:
        """See `Assembler.take`: the usage comes after what ends the answer, and `[DONE]` after that."""
        self._whole |= {name: value for name, value in data.items() if name not in _OF_CHUNKS}
        self._usage = data.get("usage") or self._usage
        for choice in data.get("choices") or ():
            if not choice.get("index"):
                self._take_choice(choice)
        return False

    def _take_choice(self, choice: Mapping[str, Any]) -> None:
        self._begun = True
        self._finish = choice.get("finish_reason") or self._finish
        for kind, tokens in (choice.get("logprobs") or {}).items():
            self._logprobs.setdefault(kind, []).extend(tokens or ())
        delta = choice.get("delta") or {}
        for name, value in delta.items():
            if name in _TEXTS:
                self._texts.setdefault(name, []).append(value or "")
            elif name != "tool_calls":
                self._message[name] = value
        called = [self._take_call(call) for call in delta.get("tool_calls") or ()]
        content = "" if self._calls else delta.get("content") or ""
        self._ear.hear("".join(called) or content)

    def _take_call(self, call: Mapping[str, Any]) -> str:
        """One piece of a tool call; what of the answer it adds, which is the first call's arguments."""
        index = int(call.get("index") or 0)
        if index not in self._calls:
            if not self._calls and any(self._texts.get("content", ())):
                self._ear.begin()  # what came before were words beside it
            self._calls[index] = {"id": None, "type": "function", "function": {}}
        known, function = self._calls[index], call.get("function") or {}
        known |= {name: value for name, value in call.items() if name not in ("index", "function")}
        known["function"] |= {name: value for name, value in function.items() if name != "arguments"}
        arguments = function.get("arguments") or ""
        self._arguments.setdefault(index, []).append(arguments)
        return arguments if index == min(self._calls) else ""

    def body(self) -> Mapping[str, Any] | None:
        """See `Assembler.body`: whole is what has said why it ended."""
        if not self._begun or self._finish is None:
            return None
        choice = {
            "index": 0,
            "message": self._assembled(),
            "logprobs": self._probabilities(),
            "finish_reason": self._finish,
        }
        whole = {**self._whole, "object": "chat.completion", "choices": [choice]}
        return whole if self._usage is None else {**whole, "usage": self._usage}

    def _assembled(self) -> dict[str, Any]:
        texts = {name: paired("".join(parts)) or None for name, parts in self._texts.items()}
        message = {"role": "assistant", "content": None, "refusal": None, **self._message, **texts}
        if not self._calls:
            return message if message["refusal"] else {**message, "content": message["content"] or ""}
        calls = []
        for index, call in sorted(self._calls.items()):
            arguments = paired("".join(self._arguments[index]))
            calls.append({**call, "function": {**call["function"], "arguments": arguments}})
        return {**message, "tool_calls": calls}

    def _probabilities(self) -> dict[str, Any] | None:
        """Of each kind, None where the server tells none."""
        return {kind: tokens or None for kind, tokens in self._logprobs.items()} or None


CHAT_STREAMING = Streaming(
    {"stream": True, "stream_options": {"include_usage": True}},
    ChatAssembler,
)
"""A stream that tells its usage."""
