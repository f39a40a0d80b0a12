"""What the tests of telemetry share: commands, and simulated providers."""

from __future__ import annotations

from cli.conftest import llmx, mock, provider, rows, zygote_socket

__all__ = ["llmx", "mock", "provider", "rows", "zygote_socket"]
