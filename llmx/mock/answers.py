"""What the simulated model answers: a value for the schema, prose without one, or something spoiled.

Tokens are counted as a quarter of the characters, which is about right for English in both families'
tokenizers and cheap enough to be counted for every call.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Any

import orjson

from llmx.mock.gold import Gold
from llmx.mock.logprobs import Token, tokens_of
from llmx.mock.merging import Schema
from llmx.mock.prompt_schema import schema_in
from llmx.mock.schemagen import Generator, SchemaError, compiled
from llmx.mock.settings import MockSettings
from llmx.mock.truth import GoldAnswer
from llmx.mock.wire import Answer, Call, Rejected, bad_request
from llmx.records import to_json

__all__ = ["answered", "digest", "refused", "spoiled"]

_REFUSAL = "I'm sorry, but I can't help with that request."
_PROSE = "I could not find what you asked for in the text."
_ROW = re.compile(r"<(?P<tag>row-[0-9a-f]+)>\n(?P<row>.*?)\n</(?P=tag)>", re.DOTALL)
_ANY_OBJECT: Schema = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}
_prose = Generator({"type": "string", "minLength": 60, "maxLength": 400})


def answered(call: Call, settings: MockSettings, gold: Gold | None = None) -> Answer:
    """The model's answer, the same for the same model, prompt and schema.

    Args:
        gold: is asked first; what it says may differ from one sample of the same prompt to the next.

    Raises:
        Rejected: the schema cannot be answered.
    """
    schema, prompt = _schema(call), sum(map(len, call.texts))
    if schema is None:
        return _measured(call, settings, _prose.draw(digest(call), call.user_text), None, prompt // 4)
    generator = _generator(call, schema)
    known = None if gold is None else gold.answer(call, schema, digest(call))
    value = _drawn(generator, digest(call), call) if known is None else known.value
    text = to_json(value).decode()
    if _wants_fence(call):
        text = f"```json\n{text}\n```"
    # A schema in the prompt's words is counted with these.
    beside = generator.size if call.schema is not None else 0
    answer = _measured(call, settings, text, value, (prompt + beside) // 4)
    return replace(answer, gold=known, tokens=_tokens(call, value, known))


def _tokens(call: Call, value: Any, known: GoldAnswer | None) -> list[Token] | None:
    """Those of the answer's JSON, which is the whole text but for the fence that some prompts ask for."""
    if not call.logprobs or _wants_fence(call):
        return None
    return tokens_of(value, {} if known is None else known.beliefs)


def _drawn(generator: Generator, seed: int, call: Call) -> Any:
    try:
        return generator.draw(seed, _own_words(call.user_text))
    except SchemaError as error:
        raise _invalid_schema(call, error) from error


def _own_words(user_text: str) -> str:
    """What a row says, without the tags and column names that llmx's default prompt puts around it."""
    rows = [_values(match["row"]) for match in _ROW.finditer(user_text)]
    return "\n".join(rows[-1:]) or user_text


def _values(row: str) -> str:
    try:
        return "\n".join(str(value) for value in orjson.loads(row).values())
    except (orjson.JSONDecodeError, AttributeError):
        return row


def spoiled(answer: Answer, call: Call, settings: MockSettings, variant: int) -> Answer:
    """The answer made useless: prose instead of JSON, JSON that stops half-way, or values of a wrong type."""
    names = answer.value if isinstance(answer.value, dict) and answer.value else ("unexpected",)
    broken = {name: {"unexpected": True} for name in names}
    texts = (_PROSE, answer.text[: len(answer.text) // 2], orjson.dumps(broken).decode())
    return _measured(call, settings, texts[variant % len(texts)], broken, answer.input_tokens)


def digest(call: Call) -> int:
    """A number of the model and the prompt: the same for the same."""
    state = hashlib.blake2b(call.model.encode(), digest_size=8)
    for text in call.texts:
        state.update(b"\0" + text.encode())
    return int.from_bytes(state.digest(), "big")


def refused(answer: Answer) -> Answer:
    """The model declines instead."""
    return replace(
        answer,
        text=_REFUSAL,
        value=None,
        finish="refusal",
        output_tokens=len(_REFUSAL) // 4,
        reasoning_tokens=0,
        tokens=None,
        gold=None,
    )


def _schema(call: Call) -> Schema | None:
    """What the answer must satisfy; None where it is prose."""
    schema = call.schema if call.schema is not None else schema_in(call.texts)
    return _ANY_OBJECT if schema is None and call.wants_json else schema


def _generator(call: Call, schema: Schema) -> Generator:
    try:
        return compiled(schema)
    except SchemaError as error:
        raise _invalid_schema(call, error) from error


def _invalid_schema(call: Call, error: SchemaError) -> Rejected:
    name = "tools" if call.tool else "response_format"
    return bad_request(f"Invalid schema for {name}: {error}", name)


def _wants_fence(call: Call) -> bool:
    """Whether the prompt asks for a Markdown code block, and no field of the request for anything else."""
    asked_by_text_alone = call.tool is None and call.schema is None and not call.wants_json
    return asked_by_text_alone and "```json" in call.user_text


def _measured(call: Call, settings: MockSettings, text: str, value: Any, prompt: int) -> Answer:
    """Count tokens, and cut what exceeds the call's limit."""
    reasoning = settings.reasoning_tokens
    room = None if call.limit is None else max(0, call.limit - reasoning) * 4
    cut = room is not None and len(text) > room
    text = text[:room] if cut else text
    prompt = max(1, prompt)
    return Answer(
        text=text,
        value=None if cut else value,
        finish="length" if cut else "stop",
        input_tokens=prompt,
        output_tokens=-(-len(text) // 4) + reasoning,
        cached_tokens=int(prompt * settings.cached_share),
        reasoning_tokens=reasoning,
    )
