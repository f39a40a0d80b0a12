"""Where calls go, and which addresses are refused without being repeated."""

from __future__ import annotations

import pytest
from scripted import KEYS, env_with

from llmx.errors import UsageError
from llmx.providers import connect
from llmx.providers.addresses import given_address, server_address
from llmx.providers.catalog import CATALOG

USERS_OWN = {"AZURE_OPENAI_API_KEY": "k", "DATABRICKS_TOKEN": "k"}

SOURCES = [
    ("openai/gpt-4o-mini", "OPENAI_BASE_URL"),
    ("anthropic/claude-haiku-4-5", "ANTHROPIC_BASE_URL"),
    ("deepseek/deepseek-chat", "DEEPSEEK_BASE_URL"),
    ("groq/llama", "GROQ_BASE_URL"),
    ("azure_openai/m", "AZURE_OPENAI_ENDPOINT"),
    ("azure_openai/m", "AZURE_OPENAI_BASE_URL"),
    ("databricks/m", "DATABRICKS_HOST"),
    ("databricks/m", "DATABRICKS_WORKSPACE_URL"),
]
"""A model of each adapter and SDK, and a variable that its address may come from."""

HOLDING_A_SECRET = [
    "http://me:s3cret@127.0.0.1/v1",
    "http://s3cret@127.0.0.1/v1",
    "http://me:s3c:ret@127.0.0.1/v1",
    "http://127.0.0.1/v1?api-key=s3cret",
    "http://127.0.0.1/v1#s3cret",
    "http://127.0.0.1:s3cret/v1",
    "http://[s3cret",
    "http://127.0.0.1/v1\ns3cret",
    "me:s3cret@127.0.0.1",
    "sk-s3cret-0123456789",
]


def told(error: UsageError) -> str:
    """All that is shown of an error."""
    causes = [error.__cause__, None if error.__suppress_context__ else error.__context__]
    return f"{error} {error.hint} {causes!r}"


@pytest.mark.parametrize("url", HOLDING_A_SECRET)
@pytest.mark.parametrize(("spec", "variable"), SOURCES)
async def test_an_address_from_the_environment_that_may_hold_a_secret(
    person, monkeypatch, spec, variable, url
):
    """It is refused by its variable's name, and nothing of it is repeated."""
    monkeypatch.setenv(variable, url)  # some SDKs read it themselves
    with pytest.raises(UsageError, match=f"^{variable} ") as caught:
        await connect(spec, person, env=env_with(**KEYS, **USERS_OWN, **{variable: url}))
    assert "s3c" not in told(caught.value)


@pytest.mark.parametrize("url", HOLDING_A_SECRET)
@pytest.mark.parametrize("spec", sorted({spec for spec, _ in SOURCES}))
async def test_a_base_url_that_may_hold_a_secret(person, spec, url):
    """The option is refused in the same words."""
    with pytest.raises(UsageError, match=r"^the base URL ") as caught:
        await connect(spec, person, env=env_with(**KEYS, **USERS_OWN), base_url=url)
    assert "s3c" not in told(caught.value)


async def test_an_address_that_only_the_sdk_knows_of(person, monkeypatch):
    """What an SDK takes from its process, past the given environment, is not shown either."""
    monkeypatch.setenv("GROQ_BASE_URL", "http://me:s3cret@127.0.0.1/v1")
    with pytest.raises(UsageError, match=r"^GROQ_BASE_URL takes no user") as caught:
        await connect("groq/llama", person, env=env_with(**KEYS))
    assert "s3c" not in told(caught.value)


@pytest.mark.parametrize(
    ("provider", "url", "hint"),
    [
        ("openai", "http://me:pw@h/v1", "give the address alone; the key goes into OPENAI_API_KEY"),
        ("ollama", "http://me:pw@h/v1", "give the address alone"),
        ("openai", "h:8000", "one is http://localhost:8000/v1"),
        (
            "azure_openai",
            "https://me.openai.azure.com/openai?api-version=2024-10-21",
            "https://NAME.openai.azure.com alone; the API version goes into OPENAI_API_VERSION; "
            "the key goes into AZURE_OPENAI_API_KEY",
        ),
    ],
)
def test_the_hint_says_where_the_rest_belongs(provider, url, hint):
    """The key, and with Azure the API version that its portal shows in addresses."""
    with pytest.raises(UsageError) as caught:
        server_address(CATALOG[provider], url, {})
    assert hint == caught.value.hint


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/", "http://", "nonsense", "http://x /v1"])
def test_a_base_url_that_is_none(url):
    """Only http and https, with a host and without blanks."""
    with pytest.raises(UsageError, match=r"^the base URL is no http\(s\) address$"):
        server_address(CATALOG["openai"], url, {})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1/", " http://127.0.0.1:1/v1\n"]
)
def test_one_address_is_written_in_one_way(url):
    """Blanks around it and a slash at its end are no other server."""
    assert server_address(CATALOG["openai"], url, {}) == ("http://127.0.0.1:1/v1", True)


def test_an_at_sign_in_the_path():
    """It is no user: some gateways have it there."""
    url = "https://gateway.example/@team/v1"
    assert server_address(CATALOG["openai"], url, {}) == (url, True)


def test_a_provider_has_its_own_address():
    """Where the user gives none."""
    assert server_address(CATALOG["openai"], None, {}) == ("https://api.openai.com/v1", False)
    assert given_address(CATALOG["openai"], None, {}) is None


@pytest.mark.parametrize(
    ("url", "own_server"),
    [
        ("https://eu.api.openai.com/v1", False),
        ("https://api.openai.com/v2", False),
        ("https://api.openai.com.example/v1", True),
        ("https://notapi.openai.com/v1", True),
    ],
)
def test_another_host_is_another_server(url, own_server):
    """A regional address is the provider's own: it takes what api.openai.com takes."""
    assert server_address(CATALOG["openai"], url, {}) == (url, own_server)


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


@pytest.mark.parametrize(
    ("provider", "missing"), [("azure_openai", "AZURE_OPENAI_ENDPOINT"), ("databricks", "DATABRICKS_HOST")]
)
def test_providers_whose_address_is_the_users(provider, missing):
    """Without it there is nowhere to call."""
    with pytest.raises(UsageError, match=f"{missing} is not set"):
        server_address(CATALOG[provider], None, {})


@pytest.mark.parametrize("variable", ["DATABRICKS_HOST", "DATABRICKS_WORKSPACE_URL"])
def test_the_databricks_address(variable):
    """The path of the serving endpoints is added."""
    variables = {variable: "https://me.cloud.databricks.com/"}
    address = "https://me.cloud.databricks.com/serving-endpoints"
    assert server_address(CATALOG["databricks"], None, variables) == (address, False)
    assert server_address(CATALOG["databricks"], None, {variable: address}) == (address, False)
