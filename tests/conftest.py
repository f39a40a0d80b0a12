"""What every test gets: a home of its own, no keys, and simulated time where it asks for it.

`@pytest.mark.simulated_time` runs an async test in a loop whose time jumps to the next timer.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `import fakes`, whatever folder pytest is started in

from fakes import SimulatedLoop

MARKER = "simulated_time: the event loop's time jumps to the next timer instead of passing"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("simulated_time"):
        return {"simulated": SimulatedLoop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def _own_home(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No test reads the developer's keys, options or cache."""
    local = request.node.get_closest_marker("local_model") is not None
    for name in [name for name in os.environ if _is_setting(name)]:
        if not (local and name == "LLMX_HOME"):
            monkeypatch.delenv(name)
    if not local:
        monkeypatch.setenv("LLMX_HOME", str(tmp_path_factory.mktemp("llmx-home")))


def _is_setting(name: str) -> bool:
    return name.startswith(("LLMX_", "OPENAI_", "ANTHROPIC_", "OTEL_", "TRACE")) or name.endswith("_API_KEY")
