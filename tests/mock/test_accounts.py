"""Keys are accounts: told apart, counted by number, never shown."""

from __future__ import annotations

import pytest

from llmx.mock.accounts import Accounts, key_of
from llmx.mock.settings import MockSettings


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, ""),
        ({"authorization": "Bearer sk-1"}, "sk-1"),
        ({"authorization": "bearer  sk-1 "}, "sk-1"),
        ({"authorization": "Basic sk-1"}, ""),
        ({"x-api-key": "sk-2"}, "sk-2"),
    ],
)
def test_keys_are_found(headers: dict[str, str], key: str) -> None:
    """Where either family puts them."""
    assert key == key_of(headers)


def test_accepted_keys_are_numbered_in_their_order() -> None:
    """Also those that nobody has used yet."""
    accounts = Accounts(MockSettings(keys=("sk-one", "sk-two")))
    second = accounts.of("sk-two")
    assert second is not None
    second.calls += 1
    expected = {"key 1": {"calls": 0, "answered": 0}, "key 2": {"calls": 1, "answered": 0}}
    assert expected == accounts.snapshot()


@pytest.mark.parametrize("key", ["", "sk-three"])
def test_other_keys_have_no_account(key: str) -> None:
    """No key has none either where one is asked for."""
    assert Accounts(MockSettings(keys=("sk-one", "sk-two"))).of(key) is None


def test_seen_keys_are_numbered_as_they_appear() -> None:
    """Where any is accepted; calls without one share an account."""
    accounts = Accounts(MockSettings())
    assert accounts.of("") is accounts.of("")
    assert accounts.of("sk-one") is not accounts.of("sk-two")
    assert list(accounts.snapshot()) == ["key 1", "key 2", "no key"]
    assert "sk" not in str(accounts.snapshot())
