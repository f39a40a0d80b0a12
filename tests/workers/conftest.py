"""What the tests of runs in several processes share: commands, and a simulated provider."""

from __future__ import annotations

from cli.conftest import llmx, mock, provider, zygote_socket

__all__ = ["llmx", "mock", "provider", "zygote_socket"]
