"""What `connect` finds out before the first call."""

from __future__ import annotations

import importlib.util

import pytest
from scripted import KEYS, env_with

from llmx.errors import AuthenticationFailed, UsageError
from llmx.providers import DEFAULT_CAP, connect


async def body_for(spec, schema, **options):
    """The body `connect` leads to, for a message of one word."""
    endpoint = await connect(spec, schema, env=env_with(**KEYS), **options)
    await endpoint.provider.aclose()
    return endpoint.codec.prepare([{"role": "user", "content": "row"}])


async def test_the_output_cap_is_always_sent(person):
    """4,096 tokens unless the user says otherwise, under the name the server wants."""
    assert DEFAULT_CAP == 4096
    assert (await body_for("openai/gpt-4o-mini", person))["max_completion_tokens"] == 4096
    own = "http://127.0.0.1:9/v1"
    assert (await body_for("openai/gpt-4o-mini", person, base_url=own))["max_tokens"] == 4096
    assert (await body_for("openai/o3-mini", person, base_url=own))["max_completion_tokens"] == 4096
    assert (await body_for("anthropic/claude-opus-5", person, max_output_tokens=7))["max_tokens"] == 7


async def test_temperature_is_sent_only_when_given(person):
    """Many models refuse it."""
    assert "temperature" not in await body_for("openai/gpt-4o-mini", person)
    assert (await body_for("openai/gpt-4o-mini", person, temperature=0.5))["temperature"] == 0.5


async def test_a_regional_address_is_the_providers_own(person):
    """eu.api.openai.com takes what api.openai.com takes."""
    body = await body_for("openai/gpt-4o-mini", person, base_url="https://eu.api.openai.com/v1")
    assert "max_completion_tokens" in body


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_the_base_url_from_the_environment(person, provider):
    """It is used, and the option wins over it."""
    env = env_with(**KEYS, **{f"{provider.upper()}_BASE_URL": "http://127.0.0.1:1/from-env/"})
    model = {"openai": "gpt-4o-mini", "anthropic": "claude-opus-5"}[provider]
    by_env = await connect(f"{provider}/{model}", person, env=env)
    by_option = await connect(f"{provider}/{model}", person, env=env, base_url="http://127.0.0.1:2/option")
    for endpoint in (by_env, by_option):
        await endpoint.provider.aclose()
    expected = [f"{provider} http://127.0.0.1:1/from-env", f"{provider} http://127.0.0.1:2/option"]
    assert expected == [by_env.id, by_option.id]


async def test_credentials_in_an_address_are_not_shown(person):
    """They reach the server, and nothing that is printed or stored."""
    url = "http://me:secret@127.0.0.1:1/v1"
    endpoint = await connect("openai/gpt-4o-mini", person, env=env_with(), base_url=url)
    await endpoint.provider.aclose()
    assert (endpoint.id, endpoint.base_url) == ("openai http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1")
    assert "secret" not in repr(endpoint)


async def test_the_process_environment_is_not_asked_for_keys(person, monkeypatch):
    """Only the given environment counts."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-process")
    with pytest.raises(AuthenticationFailed):
        await connect("openai/gpt-4o-mini", person, env=env_with())


async def test_a_key_file(person, tmp_path):
    """It is as good as the environment."""
    path = tmp_path / "keys"
    path.write_text("OPENAI_API_KEY=sk-file")
    path.chmod(0o600)
    endpoint = await connect("openai/gpt-4o-mini", person, env=env_with(), key_file=path)
    await endpoint.provider.aclose()
    assert endpoint.base_url == "https://api.openai.com/v1"


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/", "http://", "nonsense"])
async def test_a_base_url_that_is_none(person, url):
    """It is refused, with an example."""
    with pytest.raises(UsageError, match="is no http"):
        await connect("openai/gpt-4o-mini", person, env=env_with(**KEYS), base_url=url)


async def test_an_sdk_that_is_not_installed(person, monkeypatch):
    """The hint installs it."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "llmx.providers.endpoints.find_spec", lambda name: None if name.startswith("google") else real(name)
    )
    with pytest.raises(UsageError) as caught:
        await connect("google/gemini-2.5-flash", person, env=env_with(GOOGLE_API_KEY="k"))
    assert str(caught.value) == "google needs the package 'google.genai', which is not installed"
    assert caught.value.hint == "pip install 'instructor[google-genai]'"


async def test_spans_are_for_the_local_model(person):
    """Nobody else can be held to them."""
    with pytest.raises(UsageError, match="for -m local only"):
        await connect("openai/gpt-4o-mini", person, env=env_with(**KEYS), spans=True)


@pytest.mark.parametrize(
    ("provider", "missing"), [("azure_openai", "AZURE_OPENAI_ENDPOINT"), ("databricks", "DATABRICKS_HOST")]
)
async def test_providers_whose_address_is_the_users(person, provider, missing):
    """Without it there is nowhere to call."""
    env = env_with(AZURE_OPENAI_API_KEY="k", DATABRICKS_TOKEN="k")
    with pytest.raises(UsageError, match=f"{missing} is not set"):
        await connect(f"{provider}/m", person, env=env)


async def test_the_databricks_address(person):
    """The path of the serving endpoints is added."""
    env = env_with(DATABRICKS_TOKEN="k", DATABRICKS_HOST="https://me.cloud.databricks.com/")
    endpoint = await connect("databricks/m", person, env=env)
    await endpoint.provider.aclose()
    assert endpoint.base_url == "https://me.cloud.databricks.com/serving-endpoints"


def a_gguf(folder, content=b"GGUF-weights"):
    path = folder / "some.gguf"
    path.write_bytes(content)
    return path


async def test_the_local_model(person, tmp_path):
    """One call at a time, no cost, an identity that is the weights' and not their path's."""
    pytest.importorskip("xllamacpp")
    path = a_gguf(tmp_path)
    endpoint = await connect(f"local/{path}", person, env=env_with())
    spans = await connect(f"local/{path}", person, env=env_with(), spans=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = await connect(f"local/{a_gguf(elsewhere)}", person, env=env_with())
    other = await connect(f"local/{a_gguf(elsewhere, b'GGUF-other')}", person, env=env_with())
    for opened in (endpoint, spans, moved, other):
        await opened.provider.aclose()
    assert (endpoint.label, endpoint.mode, endpoint.concurrency) == ("local/some", "json_schema", 1)
    assert endpoint.id == moved.id
    assert len({endpoint.id, spans.id, other.id}) == 3
    assert str(tmp_path) not in endpoint.id


async def test_the_local_models_body(person, tmp_path):
    """OpenAI's format, with a cap that fits a small model."""
    pytest.importorskip("xllamacpp")
    body = await body_for(f"local/{a_gguf(tmp_path)}", person)
    assert body["response_format"]["json_schema"]["name"] == "Person"
    assert (body["model"], body["max_tokens"]) == ("some", 1024)


async def test_the_local_model_has_no_address(person):
    """It runs in this process."""
    with pytest.raises(UsageError, match="no --base-url"):
        await connect("local", person, env=env_with(), base_url="http://127.0.0.1:9")
