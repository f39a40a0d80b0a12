"""What the tests of the service share: processes that many tests ask, and a simulated provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from commands import Mock, mocked
from serving import Service, serving

from llmx.mock import MockSettings


@pytest.fixture(scope="session")
def provider() -> Iterator[Mock]:
    """A simulated provider that answers at once and never fails."""
    with mocked(MockSettings()) as mock:
        yield mock


@pytest.fixture(scope="session")
def open_service(tmp_path_factory: pytest.TempPathFactory, provider: Mock) -> Iterator[Service]:
    """A service without keys, as it is started first."""
    with serving(tmp_path_factory.mktemp("open"), provider.url) as service:
        yield service


CONFIG = """
max-body = "200kB"
max-upload = "2MB"
max-rows = 5000
shard-rows = 100
extract-rows = 5
body-timeout = "1s"
[serve.schemas]
people = "name, age int"
"""


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, provider: Mock) -> Iterator[Service]:
    """A service with a key that may do all, and narrow limits."""
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, provider.url, config=CONFIG, scopes="extract,jobs,admin") as service:
        yield service
