"""API keys: kept as digests, found whatever their number, refused once revoked or expired."""

from __future__ import annotations

import hashlib
import threading
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.errors import UsageError
from llmx.serve.keys import Key, KeyRing, create_key, read_keys, revoke_key


def test_only_a_digest_is_kept(tmp_path: Path) -> None:
    """The file holds SHA-256, is its owner's alone, and says what the key may do."""
    path = tmp_path / "data" / "keys.json"
    secret = create_key(path, Key("team", "", ("extract",), 60, 1_000, Decimal("2.50"), ("openai/m",)))
    assert secret.startswith("llmx_")
    assert len(secret) == 48
    assert secret not in path.read_text()
    [key] = read_keys(path)
    assert key.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert (key.rpm, key.daily_tokens, key.daily_cost, key.models) == (
        60,
        1_000,
        Decimal("2.50"),
        ("openai/m",),
    )
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_key_is_found_until_it_is_revoked(tmp_path: Path) -> None:
    """The ring reads the file anew when it changes."""
    path = tmp_path / "keys.json"
    ring = KeyRing(path)
    assert not ring.required
    secrets = {name: create_key(path, Key(name, "")) for name in ("a", "b", "c")}
    for name, secret in secrets.items():
        found = ring.find(secret, 0.0)
        assert found is not None
        assert found.name == name
    revoke_key(path, "b")
    assert ring.find(secrets["b"], 0.0) is None
    assert ring.find(secrets["c"], 0.0) is not None


def test_a_key_expires(tmp_path: Path) -> None:
    """To the second."""
    path = tmp_path / "keys.json"
    secret = create_key(path, Key("a", "", expires=1_000.0))
    ring = KeyRing(path)
    assert ring.find(secret, 999.9) is not None
    assert ring.find(secret, 1_000.0) is None


def test_a_file_that_goes_away_lets_nobody_in(tmp_path: Path) -> None:
    """Whatever befalls the file, a service that has had keys asks for one."""
    path = tmp_path / "keys.json"
    secret = create_key(path, Key("a", ""))
    said: list[str] = []
    ring = KeyRing(path, say=said.append)
    path.unlink()
    assert (ring.required, ring.find(secret, 0.0)) == (True, None)
    path.write_text("{")
    path.chmod(0o600)
    assert (ring.required, ring.find(secret, 0.0)) == (True, None)
    assert len(said) == 1
    path.unlink()
    other = create_key(path, Key("b", ""))
    assert ring.find(other, 0.0) is not None


@pytest.mark.parametrize(
    "damage", ["{", '{"keys": 1}', '{"keys": [{"name": 1}]}', '{"keys": [{"name": "a"}]}']
)
def test_a_file_that_is_none_of_keys_is_an_error(tmp_path: Path, damage: str) -> None:
    """It is told at the start, by name."""
    path = tmp_path / "keys.json"
    path.write_text(damage)
    path.chmod(0o600)
    with pytest.raises(UsageError, match=r"keys\.json"):
        read_keys(path)


def test_revoking_the_last_key_opens_nothing(tmp_path: Path) -> None:
    """Nor does the next start: behind a proxy on this machine everybody would be let in."""
    path = tmp_path / "keys.json"
    assert not KeyRing(path).required
    create_key(path, Key("a", ""))
    ring = KeyRing(path)
    revoke_key(path, "a")
    assert ring.required
    assert KeyRing(path).required


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """As with key files of providers."""
    path = tmp_path / "keys.json"
    create_key(path, Key("a", ""))
    path.chmod(0o644)
    with pytest.raises(UsageError, match="by others"):
        read_keys(path)


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    """And one that is not there cannot be revoked."""
    path = tmp_path / "keys.json"
    create_key(path, Key("team-a", ""))
    with pytest.raises(UsageError, match="named 'team-a'"):
        create_key(path, Key("team-a", ""))
    with pytest.raises(UsageError) as caught:
        revoke_key(path, "team-b")
    assert "team-a" in caught.value.hint


def test_keys_that_are_made_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    """Nobody's change is lost."""
    path = tmp_path / "keys.json"
    threads = [threading.Thread(target=create_key, args=(path, Key(f"k{n}", ""))) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key.name for key in read_keys(path)) == sorted(f"k{n}" for n in range(12))
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


@given(st.text(max_size=60))
def test_no_other_text_is_a_key(text: str) -> None:
    """Whatever is presented; nothing raises."""
    ring = KeyRing(Path("/nonexistent/keys.json"))
    ring._keys = (Key("a", hashlib.sha256(b"llmx_x").hexdigest()), Key("b", ""))
    assert ring.find(text, 0.0) is None


def test_a_key_survives_json() -> None:
    """What is written is read."""
    key = Key("a", "00", ("jobs",), 1, 2, Decimal("0.1"), ("m",), 1.5, 2.5)
    assert msgspec.json.decode(msgspec.json.encode(key), type=Key) == key
