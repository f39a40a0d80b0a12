"""Keys come from the environment or from a private file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from llmx.errors import AuthenticationFailed, UsageError
from llmx.providers.catalog import CATALOG, suggestions
from llmx.providers.keys import KEYLESS, SECRET_BYTES, api_key, has_key, read_key_file, secret, with_keys


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


@pytest.fixture
def mounted(tmp_path) -> Path:
    """A secret as containers mount one: all may read it, and it ends with a line break."""
    path = tmp_path / "openai_api_key"
    path.write_text("sk-mounted\n")
    path.chmod(0o444)
    return path


def test_a_key_in_a_file_of_its_own(mounted):
    """X_FILE names the file that holds X, and counts as set wherever keys are looked for."""
    openai, variables = CATALOG["openai"], {"OPENAI_API_KEY_FILE": str(mounted)}
    assert stat.S_IMODE(mounted.stat().st_mode) == 0o444
    assert api_key(openai, variables) == "sk-mounted"
    assert has_key(openai, variables)
    assert suggestions(variables) == ["openai/gpt-5-mini"]
    assert with_keys(["openai/a"], [], variables) == variables


def test_the_variable_wins_over_the_file_of_a_secret(mounted, tmp_path):
    """X over X_FILE, X_FILE over the key file; an empty X is as good as none."""
    keys = tmp_path / "keys"
    keys.write_text("OPENAI_API_KEY=sk-key-file\n")
    keys.chmod(0o600)
    variables = {"OPENAI_API_KEY_FILE": str(mounted)}
    openai = CATALOG["openai"]
    assert api_key(openai, variables | {"OPENAI_API_KEY": "sk-own"}, key_file=keys) == "sk-own"
    assert api_key(openai, variables | {"OPENAI_API_KEY": " "}, key_file=keys) == "sk-mounted"


def test_an_empty_secret_is_none(tmp_path):
    """A server of one's own is called without a key then, another is not called."""
    path = tmp_path / "empty"
    path.write_text("\n")
    variables = {"OPENAI_API_KEY_FILE": str(path)}
    assert api_key(CATALOG["openai"], variables, own_server=True) == KEYLESS
    with pytest.raises(AuthenticationFailed, match="OPENAI_API_KEY is not set"):
        api_key(CATALOG["openai"], variables)


@pytest.mark.parametrize(
    ("held", "why"),
    [(None, "No such file or directory"), (b"sk-\xff\xfe", "it is not text")],
)
def test_a_secret_that_cannot_be_read(tmp_path, held, why):
    """The variable, the path and the reason are told, what is in the file is not; nothing was sent."""
    path = tmp_path / "secret"
    if held is not None:
        path.write_bytes(held)
    with pytest.raises(UsageError) as caught:
        secret("LLMX_WEBHOOK_SECRET", {"LLMX_WEBHOOK_SECRET_FILE": str(path)})
    assert str(caught.value) == f"LLMX_WEBHOOK_SECRET_FILE: {str(path)!r} cannot be read: {why}"
    assert (caught.value.hint, caught.value.exit_code) == ("unset LLMX_WEBHOOK_SECRET_FILE", 2)


def test_a_path_that_is_none(tmp_path):
    """A folder, or what a file system cannot name, is an error like any other."""
    for path in (str(tmp_path), "a\0b"):
        with pytest.raises(UsageError, match="cannot be read"):
            secret("A", {"A_FILE": path})


def test_a_file_that_is_no_secret(tmp_path):
    """A wrong path to something large, or endless, is not read to its end."""
    path = tmp_path / "rows"
    path.write_bytes(b"x" * (SECRET_BYTES + 1))
    for large in (str(path), "/dev/zero"):
        with pytest.raises(UsageError, match="too large to be a secret"):
            secret("A", {"A_FILE": large})
    path.write_bytes(b"x" * SECRET_BYTES)
    assert len(secret("A", {"A_FILE": str(path)})) == SECRET_BYTES
