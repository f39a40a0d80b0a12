"""Which providers there are, and what each needs: a static table, so that naming one imports no SDK.

The names are those instructor's `from_provider` knows, plus `local`. A test compares the table with
instructor's own list. Nothing here connects to anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Literal

from msgspec import Struct

from llmx.errors import UsageError
from llmx.text import nearest

__all__ = ["CATALOG", "CatalogEntry", "ModelName", "named", "parse_model", "suggestions"]

Wire = Literal["openai", "anthropic", "instructor", "local"]
"""Who speaks to it: one of our two adapters, the provider's own SDK as instructor knows it, or xllamacpp."""


class CatalogEntry(Struct, frozen=True):
    """What it takes to reach one provider.

    Args:
        name: as written before the slash in `--model`.
        wire: which adapter makes the calls.
        keys: environment variables that may hold the key, the first one set wins; empty when none is needed.
        handlers: instructor's name for the provider whose mode handlers apply.
        base_url: its address where our own adapter makes the calls; None where the SDK knows it.
        module: the SDK's import name.
        install: what to install for it.
        prices: its id in genai-prices; None when its prices are not known.
        needs_key: no call is made without a key, even to a server of the user's own.
    """

    name: str
    wire: Wire
    keys: tuple[str, ...]
    handlers: str
    base_url: str | None
    module: str
    install: str
    prices: str | None
    needs_key: bool = False


def _openai(
    name: str,
    key: str | tuple[str, ...],
    base_url: str | None,
    prices: str | None,
    handlers: str | None = None,
) -> CatalogEntry:
    keys = (key,) if isinstance(key, str) else key
    return CatalogEntry(name, "openai", keys, handlers or name, base_url, "openai", "openai", prices)


def _sdk(
    name: str,
    key: str | tuple[str, ...],
    module: str,
    install: str,
    prices: str | None = None,
    handlers: str | None = None,
) -> CatalogEntry:
    keys = (key,) if isinstance(key, str) else key
    return CatalogEntry(name, "instructor", keys, handlers or name, None, module, install, prices)


_ENTRIES = (
    _openai("openai", "OPENAI_API_KEY", "https://api.openai.com/v1", "openai"),
    CatalogEntry(
        "anthropic",
        "anthropic",
        ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
        "anthropic",
        "https://api.anthropic.com",
        "anthropic",
        "anthropic",
        "anthropic",
    ),
    CatalogEntry("local", "local", (), "openai", None, "xllamacpp", "xllamacpp", None),
    # These speak OpenAI's format; instructor, too, reaches them through the openai package.
    _openai("anyscale", "ANYSCALE_API_KEY", "https://api.endpoints.anyscale.com/v1", None),
    _openai("azure_openai", "AZURE_OPENAI_API_KEY", None, "azure", handlers="openai"),
    _openai("databricks", ("DATABRICKS_TOKEN", "DATABRICKS_API_KEY"), None, "databricks"),
    _openai("deepseek", "DEEPSEEK_API_KEY", "https://api.deepseek.com", "deepseek"),
    _openai("ollama", (), "http://localhost:11434/v1", None, handlers="openai"),
    _openai("openrouter", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1", "openrouter"),
    _openai("perplexity", "PERPLEXITY_API_KEY", "https://api.perplexity.ai", "perplexity"),
    _openai("together", "TOGETHER_API_KEY", "https://api.together.xyz/v1", "together"),
    _sdk("bedrock", (), "boto3", "instructor[bedrock]", "aws"),
    _sdk("cerebras", "CEREBRAS_API_KEY", "cerebras.cloud.sdk", "instructor[cerebras-cloud-sdk]", "cerebras"),
    _sdk("cohere", "CO_API_KEY", "cohere", "instructor[cohere]", "cohere"),
    _sdk("fireworks", "FIREWORKS_API_KEY", "fireworks", "instructor[fireworks-ai]", "fireworks"),
    _sdk("gemini", "GOOGLE_API_KEY", "google.generativeai", "google-generativeai", "google"),
    _sdk(
        "generative-ai",
        ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        "google.genai",
        "instructor[google-genai]",
        "google",
        handlers="genai",
    ),
    _sdk(
        "google",
        ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        "google.genai",
        "instructor[google-genai]",
        "google",
        handlers="genai",
    ),
    _sdk("groq", "GROQ_API_KEY", "groq", "instructor[groq]", "groq"),
    _sdk("litellm", (), "litellm", "instructor[litellm]", handlers="openai"),
    _sdk("mistral", "MISTRAL_API_KEY", "mistralai", "instructor[mistral]", "mistral"),
    _sdk("vertexai", (), "vertexai", "instructor[vertexai]", "google"),
    _sdk("writer", "WRITER_API_KEY", "writerai", "instructor[writer]"),
    _sdk("xai", "XAI_API_KEY", "xai_sdk", "instructor[xai]", "x-ai"),
)

CATALOG = {entry.name: entry for entry in _ENTRIES}
"""All providers by name."""

_EXAMPLES = {
    "openai": "gpt-5-mini",
    "anthropic": "claude-haiku-4-5",
    "google": "gemini-2.5-flash",
    "mistral": "mistral-small-latest",
    "groq": "llama-3.3-70b-versatile",
    "deepseek": "deepseek-chat",
    "openrouter": "openai/gpt-5-mini",
}
"""A model to begin with, small and priced, for the providers that most people have a key for."""


def named(name: str, variables: Mapping[str, str]) -> bool:
    """Whether a secret is given, in its variable or by a file's path; the file is not looked at."""
    return any(variables.get(one, "").strip() for one in (name, f"{name}_FILE"))


def suggestions(variables: Mapping[str, str]) -> list[str]:
    """A `--model` value for each provider of the above whose key is set."""
    ready = (name for name in _EXAMPLES if any(named(key, variables) for key in CATALOG[name].keys))
    return [f"{name}/{_EXAMPLES[name]}" for name in ready]


class ModelName(Struct, frozen=True):
    """A `--model` value taken apart.

    Args:
        provider: a name in `CATALOG`.
        name: the model as the provider knows it; "" for the local provider's own model.
        path: the weights file of `local/FILE.gguf`, else None.
    """

    provider: str
    name: str
    path: str | None = None


def parse_model(spec: str) -> ModelName:
    """Take "openai/gpt-4o-mini", "local" or "local//path/to/file.gguf" apart.

    Raises:
        UsageError: no such provider, or no model is named.
    """
    provider, slash, name = spec.partition("/")
    if provider == "local":
        return ModelName("local", PurePath(name).stem, path=name) if name else ModelName("local", "")
    if not _is_text(spec):
        raise UsageError(f"the model {spec!a} is not UTF-8")
    if not slash:
        raise _bare(spec)
    if provider not in CATALOG:
        close = nearest(provider, CATALOG)
        hint = f"did you mean '{close}/{name}'?" if close else f"providers are {', '.join(sorted(CATALOG))}"
        raise UsageError(f"no provider {provider!r} in model {spec!r}", hint=hint)
    if not name:
        raise _bare(provider)
    return ModelName(provider, name)


def _is_text(spec: str) -> bool:
    try:
        spec.encode()
    except UnicodeEncodeError:  # bytes of the command line that are not UTF-8 come as lone surrogates
        return False
    return True


def _bare(word: str) -> UsageError:
    """The error for a provider without a model, or a model without its provider."""
    if word in CATALOG:
        return UsageError(
            f"{word!r} names a provider but no model",
            hint=f"`llmx models {word}` lists what to put after {word}/",
        )
    from llmx.pricing import likely_provider

    guess = likely_provider(word)
    hint = (
        f"{guess}/{word}"
        if guess in CATALOG
        else "write PROVIDER/MODEL (`llmx models` lists them), or the NAME of an [endpoint.NAME] of llmx.toml"
    )
    return UsageError(f"model {word!r} does not say which provider serves it", hint=hint)
