"""What the tests of documents and examples share: a simulated provider, and surroundings that are nobody's own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmx.environment import Environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def mock_url() -> Iterator[str]:
    """The address of `llmx mock` in a process of its own, without the /v1 of OpenAI's."""
    command = [sys.executable, "-m", "llmx", "mock", "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        match = re.search(r"http://[\d.]+:\d+", server.stderr.readline())
        assert match is not None, "llmx mock did not say where it listens"
        yield match[0]
    finally:
        server.terminate()
        server.wait()
        if server.stderr is not None:
            server.stderr.close()


def free_port() -> int:
    """One that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def surroundings(tmp_path: Path, mock_url: str) -> dict[str, str]:
    """Environment variables: this environment's `llmx`, keys of the simulated provider, a home of its own, a free port."""
    scripts = str(Path(sys.executable).parent)
    return {
        "PATH": os.pathsep.join([scripts, "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(tmp_path / "user"),
        "LANG": "C.UTF-8",
        "LLMX_HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PORT": str(free_port()),
        "OPENAI_API_KEY": "mock",
        "OPENAI_BASE_URL": f"{mock_url}/v1",
        "ANTHROPIC_API_KEY": "mock",
        "ANTHROPIC_BASE_URL": mock_url,
    }


@pytest.fixture
def with_weights(surroundings: dict[str, str]) -> dict[str, str]:
    """The same with the embedded model's weights, which lie in the home of whoever runs the tests."""
    weights = Environment().home / "models"
    assert weights.is_dir(), "no weights: python -m llmx.providers.weights"
    home = Path(surroundings["LLMX_HOME"])
    home.mkdir()
    (home / "models").symlink_to(weights.resolve())
    return surroundings
