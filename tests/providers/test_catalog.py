"""The table of providers, and `--model` values taken apart."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llmx.errors import UsageError
from llmx.pricing import known_models, price
from llmx.providers import CATALOG, ModelName, has_key, parse_model, suggestions
from llmx.types import Usage


def test_every_provider_instructor_knows_is_listed():
    """A provider that a new instructor brings must be added to the table."""
    from instructor.v2.core.provider_specs import ALIAS_TO_PROVIDER

    assert set(ALIAS_TO_PROVIDER) | {"local"} == set(CATALOG)


def test_handlers_named_in_the_table_exist():
    """Each provider's handlers are registered with instructor under the name in the table."""
    from llmx.providers.codec import modes_of

    assert [entry.name for entry in CATALOG.values() if not modes_of(entry.handlers)] == []


def test_sdk_modules_are_those_instructor_names():
    """The module looked for is the one instructor imports."""
    from instructor.v2.core.provider_specs import PROVIDER_SPECS

    named = {alias: spec.sdk_module for spec in PROVIDER_SPECS.values() for alias in spec.aliases}
    ours = {"bedrock": "botocore", "litellm": None}
    assert {name: ours.get(name, CATALOG[name].module) for name in named} == named


def test_hints_name_extras_that_instructor_has():
    """`pip install instructor[x]` must name an extra of the installed instructor."""
    from importlib.metadata import metadata

    extras = set(metadata("instructor").get_all("Provides-Extra") or [])
    hinted = {e.install[11:-1] for e in CATALOG.values() if e.install.startswith("instructor[")}
    assert hinted <= extras


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("openai/gpt-4o-mini", ModelName("openai", "gpt-4o-mini")),
        ("openrouter/meta/llama-3", ModelName("openrouter", "meta/llama-3")),
        ("local", ModelName("local", "")),
        ("local//tmp/some.gguf", ModelName("local", "some", path="/tmp/some.gguf")),
        ("local/here.gguf", ModelName("local", "here", path="here.gguf")),
    ],
)
def test_parse_model(spec, expected):
    """Provider, name and path are taken apart at the first slash."""
    assert expected == parse_model(spec)


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("opnai/gpt-4o", "no provider 'opnai' in model 'opnai/gpt-4o'", "did you mean 'openai/gpt-4o'?"),
        ("gpt-4o-mini", "model 'gpt-4o-mini' does not say which provider serves it", "openai/gpt-4o-mini"),
        (
            "claude-haiku-4-5",
            "model 'claude-haiku-4-5' does not say which provider serves it",
            "anthropic/claude-haiku-4-5",
        ),
        (
            "openai",
            "'openai' names a provider but no model",
            "`llmx models openai` lists what to put after openai/",
        ),
        (
            "openai/",
            "'openai' names a provider but no model",
            "`llmx models openai` lists what to put after openai/",
        ),
        ("openai/\udcff", "the model 'openai/\\udcff' is not UTF-8", ""),
    ],
)
def test_parse_model_errors(spec, message, hint):
    """What is wrong is said with the nearest thing that would be right."""
    with pytest.raises(UsageError) as caught:
        parse_model(spec)
    assert (message, hint) == (str(caught.value), caught.value.hint)


def test_suggestions_follow_the_keys_that_are_set():
    """Only providers whose key is there are suggested, with a model that has a price."""
    assert suggestions({}) == []
    every = suggestions({key: "k" for entry in CATALOG.values() for key in entry.keys})
    named = [parse_model(spec) for spec in every]
    unpriced = [n for n in named if price(n.name, CATALOG[n.provider].prices, None, Usage(10, 10)) is None]
    listed = {f"{n.provider}/{m.name}" for n in named for m in known_models(CATALOG[n.provider].prices)}
    assert (len(every) > 3, unpriced, set(every) - listed) == (True, [], set())


def test_has_key():
    """A provider is ready when one of its keys is set, or when it needs none."""
    ready = {name for name, entry in CATALOG.items() if has_key(entry, {"ANTHROPIC_AUTH_TOKEN": "t"})}
    assert {"anthropic", "local", "ollama", "bedrock", "litellm", "vertexai"} == ready


def test_importing_providers_imports_no_sdk():
    """`llmx --help` and shell completion must not pay for the SDKs."""
    heavy = "{'openai', 'anthropic', 'instructor', 'groq', 'aiohttp', 'genai_prices'}"
    program = f"import sys, llmx.providers, llmx.pricing; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
