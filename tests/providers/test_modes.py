"""Which mode a model and a schema get."""

from __future__ import annotations

import pytest
from pydantic import BaseModel
from scripted import Person

from llmx.errors import UsageError
from llmx.providers.catalog import CATALOG
from llmx.providers.codec import modes_of
from llmx.providers.modes import caps_by_completion, choose, native_anthropic, native_openai, reasons
from llmx.schemas import schema_of, supports


class Counts(BaseModel):
    """Free keys: nothing OpenAI's strict mode takes."""

    counts: dict[str, int]


def plan(spec: str, model: type[BaseModel] = Person, mode: str = "auto", *, own_server: bool = False):
    provider, _, name = spec.partition("/")
    entry = CATALOG[provider]
    return choose(entry, name, schema_of(model), mode, own_server=own_server, modes=modes_of)


@pytest.mark.parametrize(
    ("model", "native"),
    [
        ("gpt-3.5-turbo", False),
        ("gpt-4", False),
        ("gpt-4-0613", False),
        ("gpt-4-turbo-2024-04-09", False),
        ("gpt-4o-2024-05-13", False),
        ("gpt-4o-2024-08-06", True),
        ("gpt-4o", True),
        ("gpt-4o-mini", True),
        ("gpt-4.1-nano", True),
        ("o1-mini", False),
        ("o3", True),
        ("gpt-5-mini", True),
        ("gpt-6-luna", True),
        ("ft:gpt-3.5-turbo-0125:me::x", False),
        ("ft:gpt-4o-mini-2024-07-18:me::x", True),
    ],
)
def test_openai_models_with_strict_json_schema(model, native):
    """All since August 2024."""
    assert native_openai(model) is native


@pytest.mark.parametrize(
    ("model", "native"),
    [
        ("claude-2.1", False),
        ("claude-instant-1.2", False),
        ("claude-3-5-sonnet-20241022", False),
        ("claude-3-7-sonnet-latest", False),
        ("claude-3-haiku-20240307", False),
        ("claude-sonnet-4-0", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-opus-4-20250514", False),
        ("claude-opus-4-1-20250805", True),
        ("claude-sonnet-4-5", True),
        ("claude-sonnet-4-5-20250929", True),
        ("claude-haiku-4-5-20251001", True),
        ("claude-opus-5", True),
        ("some-other-model", False),
    ],
)
def test_claude_models_with_structured_outputs(model, native):
    """Opus 4.1, Sonnet 4.5, Haiku 4.5 and what came after."""
    assert native_anthropic(model) is native


@pytest.mark.parametrize(
    ("spec", "own_server", "expected"),
    [
        ("openai/gpt-4o-mini", False, ("json_schema", True)),
        ("openai/gpt-4", False, ("tools", False)),
        ("openai/anything", True, ("json_schema", True)),
        ("ollama/llama3", False, ("json_schema", True)),
        ("anthropic/claude-opus-5", False, ("json_schema", False)),
        ("anthropic/claude-3-haiku-20240307", False, ("tools", False)),
        ("groq/llama", False, ("tools", False)),
        ("google/gemini-2.5-flash", False, ("tools", False)),
        ("cohere/command-a", False, ("json_schema", False)),
        ("perplexity/sonar", False, ("md_json", False)),
        ("deepseek/deepseek-chat", False, ("tools", False)),
        ("local", False, ("json_schema", True)),
    ],
)
def test_auto(spec, own_server, expected):
    """Native where there is one, tools elsewhere, words where there is nothing else."""
    made = plan(spec, own_server=own_server)
    assert expected == (made.mode, made.strict)


def test_a_schema_that_strict_mode_refuses_goes_by_tools():
    """Or, to a server that is not OpenAI's, as it is."""
    assert not supports(schema_of(Counts), "openai-strict")
    assert plan("openai/gpt-4o-mini", Counts).mode == "tools"
    own = plan("openai/gpt-4o-mini", Counts, own_server=True)
    assert (own.mode, own.strict) == ("json_schema", False)


@pytest.mark.parametrize(
    ("spec", "model", "mode", "message"),
    [
        ("openai/gpt-4o-mini", Counts, "json_schema", "openai refuses the schema by openai-strict: counts: "),
        ("perplexity/sonar", Person, "tools", "perplexity has no --mode tools"),
        ("google/gemini-2.5-flash", Person, "json_schema", "google has no --mode json_schema"),
        ("local", Person, "tools", "the local model has no --mode tools"),
    ],
)
def test_a_mode_that_cannot_be_had(spec, model, mode, message):
    """It is refused before any call, with a hint at one that can."""
    with pytest.raises(UsageError) as caught:
        plan(spec, model, mode)
    assert str(caught.value).startswith(message)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("model", "own_server", "expected"),
    [
        ("gpt-4o-mini", False, True),
        ("gpt-4o-mini", True, False),
        ("o3-mini", True, True),
        ("gpt-5", True, True),
    ],
)
def test_the_name_of_the_output_cap(model, own_server, expected):
    """OpenAI's new name at OpenAI and for its reasoning models, the old one elsewhere."""
    assert caps_by_completion(model, own_server=own_server) is expected


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        ("gpt-5-mini", True),
        ("o4-mini", True),
        ("gpt-4o-mini", False),
        ("openai/gpt-5", True),
        ("gemini-2.5-flash", True),
        ("gemini-2.5-flash-lite", False),
        ("gemini-3-flash-preview", True),
        ("gemini-2.0-flash", False),
        ("deepseek-reasoner", True),
        ("deepseek-chat", False),
        ("claude-haiku-4-5", False),
        ("mock", False),
    ],
)
def test_models_that_think_before_they_answer(model: str, thinks: bool) -> None:
    """By their names: what they think of is paid for."""
    assert reasons(model) is thinks
