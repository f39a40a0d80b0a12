"""What the tests of security share: commands as users run them, beside a provider that may be hostile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cli.conftest import llmx, mock, zygote_socket
from hostile import scripted
from scripted import Scripted

__all__ = ["llmx", "mock", "provider", "zygote_socket"]


@pytest.fixture
def provider() -> Iterator[Scripted]:
    """A scripted server beside commands."""
    with scripted() as server:
        yield server
