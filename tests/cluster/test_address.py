"""Where the queue is: an address that is never shown with its password."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmx.cluster.address import address_from, parse_address
from llmx.errors import UsageError

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://:{SECRET}@example.org:6380/3", "redis://example.org:6380/3"),
        (f"rediss://user:{SECRET}@[::1]:6379/0?ssl_ca_certs=ca.pem", "rediss://[::1]:6379/0"),
        (f"redis://example.org/0?password={SECRET}", "redis://example.org/0"),
        (f"unix://:{SECRET}@/run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_a_password_is_not_shown(url: str, shown: str) -> None:
    """Neither by `str` nor by `repr`; the connection alone gets it."""
    address = parse_address(url)
    assert address.secret
    assert shown == str(address)
    assert SECRET not in repr(address)
    assert url == address.url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:6379",
        f"http://:{SECRET}@host",
        "redis://",
        f"redis://:{SECRET}@h:port/0",
        "redis://h/zero",
    ],
)
def test_what_is_no_address_is_told_without_repeating_it(text: str) -> None:
    """It may hold a password."""
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert SECRET not in str(caught.value) + caught.value.hint
    assert "redis://" in caught.value.hint


def test_a_password_on_the_command_line_is_refused() -> None:
    """Everybody on the machine may list processes; the hint names the ways that are not listed."""
    with pytest.raises(UsageError, match="everybody on this machine") as caught:
        address_from(f"redis://:{SECRET}@host", {})
    assert SECRET not in str(caught.value)
    assert "LLMX_QUEUE_FILE" in caught.value.hint


def test_the_nearest_source_wins(tmp_path: Path) -> None:
    """The option, the variable, the file that a variable names, nothing."""
    file = tmp_path / "queue"
    file.write_text(f"redis://:{SECRET}@of-the-file/0\n")
    variables = {"LLMX_QUEUE": "redis://of-the-variable/0", "LLMX_QUEUE_FILE": str(file)}
    named = [
        address_from("redis://of-the-option/0", variables),
        address_from(None, variables),
        address_from(None, {"LLMX_QUEUE_FILE": str(file)}),
        address_from(None, {}),
    ]
    assert [
        "redis://of-the-option/0",
        "redis://of-the-variable/0",
        "redis://of-the-file/0",
        "None",
    ] == [str(one) for one in named]


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    """By its name alone."""
    file = tmp_path / "queue"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match="LLMX_QUEUE_FILE"):
        address_from(None, {"LLMX_QUEUE_FILE": str(file)})
