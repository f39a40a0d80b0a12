"""Keys come from the environment or from a private file."""

from __future__ import annotations

import pytest

from llmx.errors import AuthenticationFailed, UsageError
from llmx.providers.catalog import CATALOG
from llmx.providers.keys import KEYLESS, api_key, read_key_file


def test_the_first_variable_that_is_set_wins():
    """Anthropic has two; an empty one is as good as none."""
    variables = {"ANTHROPIC_API_KEY": " ", "ANTHROPIC_AUTH_TOKEN": "token"}
    assert api_key(CATALOG["anthropic"], variables) == "token"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("openai", "no key for openai: OPENAI_API_KEY is not set", "export OPENAI_API_KEY=…"),
        (
            "anthropic",
            "no key for anthropic: neither ANTHROPIC_API_KEY nor ANTHROPIC_AUTH_TOKEN is set",
            "export ANTHROPIC_API_KEY=…",
        ),
    ],
)
def test_a_missing_key_is_said_before_any_call(name, message, hint):
    """The message names the variable, the hint sets it, the exit code is 4."""
    with pytest.raises(AuthenticationFailed) as caught:
        api_key(CATALOG[name], {})
    assert (message, hint, 4) == (str(caught.value), caught.value.hint, caught.value.exit_code)


@pytest.mark.parametrize("key", ["sk-…", "sk-1 sk-2", "sk-1\nsk-2"])
def test_a_key_that_no_header_can_carry(key):
    """It is named by its variable, never shown."""
    with pytest.raises(AuthenticationFailed) as caught:
        api_key(CATALOG["openai"], {"OPENAI_API_KEY": key})
    assert str(caught.value) == "OPENAI_API_KEY holds characters that no key has"


def test_servers_of_ones_own_need_no_key():
    """A placeholder is sent to them, or the real key where there is one."""
    openai = CATALOG["openai"]
    assert api_key(openai, {}, own_server=True) == KEYLESS
    assert api_key(openai, {"OPENAI_API_KEY": "sk-1"}, own_server=True) == "sk-1"
    assert api_key(CATALOG["ollama"], {}) == KEYLESS


def test_key_file(tmp_path):
    """A private file's keys are used; the environment wins over it."""
    path = tmp_path / "keys"
    path.write_text("# mine\nexport OPENAI_API_KEY='sk-file'\n\nGROQ_API_KEY=gsk\n")
    path.chmod(0o600)
    assert api_key(CATALOG["openai"], {}, key_file=path) == "sk-file"
    assert api_key(CATALOG["openai"], {"OPENAI_API_KEY": "sk-env"}, key_file=path) == "sk-env"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_file_that_others_may_use_is_refused(tmp_path, mode):
    """Group and world must have no access at all."""
    path = tmp_path / "keys"
    path.write_text("OPENAI_API_KEY=sk-file\n")
    path.chmod(mode)
    with pytest.raises(UsageError, match="can be read by others"):
        read_key_file(path)


def test_a_bad_line_is_named_without_its_text(tmp_path):
    """The line's number is told; its text might be a key."""
    path = tmp_path / "keys"
    path.write_text("A=1\nsk-secret\n")
    path.chmod(0o600)
    with pytest.raises(UsageError) as caught:
        read_key_file(path)
    assert f"{path}:2: not NAME=KEY" == str(caught.value)


def test_a_missing_key_file(tmp_path):
    """It is an error, not an empty file."""
    with pytest.raises(UsageError, match="cannot be read"):
        read_key_file(tmp_path / "nowhere")
