"""instructor, in the modes that llmx builds its requests with, finds what it looks for."""

from __future__ import annotations

from typing import Any, Literal

import instructor
import pytest
from pydantic import BaseModel, Field

from llmx.mock import Server

MESSAGES = [{"role": "user", "content": "Ada Lovelace, 36, is delighted with her engine"}]
OPENAI_MODES = ["TOOLS", "JSON", "MD_JSON", "JSON_SCHEMA"]
ANTHROPIC_MODES = ["TOOLS", "JSON"]  # its JSON_SCHEMA mode falls back to JSON with current SDKs


class Contact(BaseModel):
    """A person."""

    name: str
    age: int = Field(ge=0, le=120)
    tone: Literal["good", "bad"]


@pytest.mark.parametrize("malformed", [0, 1])
@pytest.mark.parametrize("mode", OPENAI_MODES)
async def test_openai_modes(start: Any, openai_client: Any, mode: str, malformed: int) -> None:
    """A valid object comes, at the first attempt or after one re-ask."""
    server: Server = await start(malformed_until=malformed)
    client = instructor.from_openai(await openai_client(server), mode=instructor.Mode[mode])
    contact = await client.create(
        model="mock", messages=MESSAGES, response_model=Contact, max_retries=malformed
    )
    assert isinstance(contact, Contact)
    assert server.stats()["calls"] == 1 + malformed


@pytest.mark.parametrize("malformed", [0, 1])
@pytest.mark.parametrize("mode", ANTHROPIC_MODES)
async def test_anthropic_modes(start: Any, anthropic_client: Any, mode: str, malformed: int) -> None:
    """A valid object comes, at the first attempt or after one re-ask."""
    server: Server = await start(malformed_until=malformed)
    client = instructor.from_anthropic(await anthropic_client(server), mode=instructor.Mode[mode])
    contact = await client.create(
        model="mock", messages=MESSAGES, response_model=Contact, max_tokens=1000, max_retries=malformed
    )
    assert isinstance(contact, Contact)
    assert server.stats()["calls"] == 1 + malformed
