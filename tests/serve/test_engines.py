"""Engines that are kept: what they cost where the provider refuses, and that they come back."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import mocked

from llmx.clock import SystemClock
from llmx.environment import Environment
from llmx.errors import AuthenticationFailed
from llmx.mock import MockSettings
from llmx.schemas import parse_inline
from llmx.serve.engines import HELD, Engines, Question
from llmx.serve.extracting import records_of, settled


class Later(SystemClock):
    """The system's clock, moved on."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


async def asked(engines: Engines, schema: str, owner: str = "a") -> str | None:
    """The name that comes of one row."""
    question = Question(owner, schema, {"model": ["openai/m"]})
    async with engines.using(question, lambda: parse_inline(schema), None) as running:
        [outcome] = await settled(running, records_of(running, [{"text": "Ada"}]))
        return str(outcome.rows[0]["name"])


async def test_a_dead_key_costs_few_calls_and_a_mended_one_is_taken(tmp_path: Path) -> None:
    """Whatever is asked meanwhile, and however often; another key of the service finds out by itself."""
    keys = tmp_path / "keys.env"
    keys.write_text("OPENAI_API_KEY=sk-dead\n")
    keys.chmod(0o600)
    clock = Later()
    with mocked(MockSettings(keys=("sk-alive",))) as provider:
        base = {"base_url": provider.url, "key_file": keys, "cache": "off"}
        env = Environment(variables={"LLMX_HOME": str(tmp_path)})
        engines = Engines(base, env, clock=clock, observer=lambda event: None, warn=lambda text: None)
        try:
            for number in range(10):
                with pytest.raises(AuthenticationFailed):
                    await asked(engines, f"name, field_{number}")
            assert provider.calls == 1
            with pytest.raises(AuthenticationFailed):
                await asked(engines, "name, other", owner="b")
            assert provider.calls == 2
            keys.write_text("OPENAI_API_KEY=sk-alive\n")
            clock.ahead = HELD
            assert await asked(engines, "name, field_0")
        finally:
            await engines.aclose()
