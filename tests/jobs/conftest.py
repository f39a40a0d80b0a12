"""What the tests of jobs share: no worker outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.jobs import scene


@pytest.fixture(autouse=True)
def _no_worker_stays() -> Iterator[None]:
    yield
    while scene.STARTED:
        scene.STARTED.pop().kill()
