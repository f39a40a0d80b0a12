"""What makes two requests the same question. The laws: tests/property."""

from __future__ import annotations

import pytest
from fakes import a_request

from llmx.caches.fingerprint import fingerprint, rekeyed

BODY = {"model": "m", "messages": [{"role": "user", "content": "Ada"}], "max_tokens": 100}
SAME = fingerprint("openai http://x", "schema", BODY)


def test_a_fingerprint_is_a_sha256():
    """64 hex digits."""
    assert len(SAME) == 64
    assert int(SAME, 16) > 0


def test_a_fingerprint_does_not_change_between_versions():
    """A new digest would buy every cached answer again: change it on purpose only."""
    assert SAME == "500a894dc7c3219571d0dd8f416ae61a6a461dee4ff0c4d2dbb6d17a7cb6df3d"


@pytest.mark.parametrize(
    "other",
    [
        fingerprint("openai http://y", "schema", BODY),
        fingerprint("openai http://x", "schema2", BODY),
        fingerprint("openai http://x", "schema", {**BODY, "model": "m2"}),
        fingerprint("openai http://x", "schema", {**BODY, "messages": []}),
        fingerprint("openai http://x", "schema", {**BODY, "temperature": 0}),
        fingerprint("openai http://x", "schema", {**BODY, "top": 2**70}),
        fingerprint("openai http://x", "schema", {**BODY, "top": 2**70 + 1}),
        fingerprint("openai http://x", "schema", BODY, sample=1),
        fingerprint("openai http://x", "schema", BODY, reask=1),
    ],
    ids=["endpoint", "schema", "model", "messages", "parameter", "large", "larger", "sample", "reask"],
)
def test_whatever_can_change_the_answer_changes_the_fingerprint(other: str):
    """Endpoint, schema, model, messages, parameters, sample and re-ask are parts of the question."""
    assert other != SAME


@pytest.mark.parametrize("cap", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_output_caps_do_not(cap: str):
    """Raising the limit must not buy every answer again."""
    assert fingerprint("openai http://x", "schema", {**BODY, cap: 9999}) == SAME


def test_a_column_named_like_a_cap_is_part_of_the_question():
    """Only the body's own caps are left out."""
    questions = [{"messages": [{"max_tokens": n}]} for n in (1, 2)]
    first, second = (fingerprint("e", "s", question) for question in questions)
    assert first != second


def test_the_order_of_fields_is_part_of_the_question():
    """A model that reasons before its verdict answers another question than one that reasons after it."""

    def asked(*names: str) -> str:
        fields = {"properties": {name: {"type": "string"} for name in names}}
        return fingerprint("openai http://x", "schema", {**BODY, "tools": [{"parameters": fields}]})

    assert asked("reasoning", "verdict") != asked("verdict", "reasoning")


def test_a_changed_request_gets_its_own_fingerprint():
    """A re-ask is looked up and journalled under itself."""
    request = a_request("old", endpoint="openai http://x", body=BODY, reask=1, sample=2)
    rekeyed_request = rekeyed("schema")(request)
    assert rekeyed_request.fingerprint == fingerprint("openai http://x", "schema", BODY, sample=2, reask=1)
    assert rekeyed_request.tally is request.tally
