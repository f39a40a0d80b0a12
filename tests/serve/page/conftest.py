"""What the tests of the service's page share: Chromium, and a service that does what it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsers import chromium, opened
from stand_in import StandIn

__all__ = ["chromium", "opened", "service"]


@pytest.fixture
def service() -> Iterator[StandIn]:
    """One without keys, at work."""
    with StandIn() as found:
        yield found
