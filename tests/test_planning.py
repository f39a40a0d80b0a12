"""What is found out before a run."""

from __future__ import annotations

from llmx.environment import Environment
from llmx.planning import make_prompt
from llmx.schemas import schema_of
from llmx.settings import Settings


def test_fields_that_may_be_anything():
    """`true` is a schema, too: it has no description."""
    schema = schema_of(
        {"type": "object", "properties": {"any": True, "list": {"type": "array", "items": True}}}
    )
    settings = Settings.of({"schema": schema, "model": "openai/m"})
    assert "- any" in str(make_prompt(settings, schema, [], Environment()).prefix)
