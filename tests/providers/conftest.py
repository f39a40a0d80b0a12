"""What the tests of providers share: a schema, a scripted server, and a way to call it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scripted import Caller, Person, Scripted

from llmx.environment import Environment
from llmx.providers.weights import weights_path
from llmx.schemas import Schema, schema_of


@pytest.fixture(scope="session")
def person() -> Schema:
    return schema_of(Person)


@pytest.fixture
async def caller(server: Scripted, person: Schema) -> AsyncIterator[Caller]:
    made = Caller(server, person)
    yield made
    for endpoint in made.opened:
        await endpoint.provider.aclose()


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with Scripted.listening() as scripted:
        yield scripted


@pytest.fixture(scope="session")
def weights() -> Path:
    """The embedded model's file, which tests/run.sh has fetched: no test reaches beyond this machine."""
    path = weights_path(Environment().home)
    if not path.exists():
        pytest.fail("the embedded model's weights are not there: run `python -m llmx.providers.weights`")
    return path
