"""What the tests of durability share: commands that meet a fault, beside a provider that keeps a log."""

from __future__ import annotations

import sys

import pytest
from cli.conftest import llmx, provider, zygote_socket

__all__ = ["llmx", "provider", "zygote_socket"]

NEEDS_LINUX = {"test_full_disks", "test_kill_points", "test_random_kills", "test_signals_at_points"}
"""Modules that need what Linux has: the names of descriptors, capabilities, a device that is full."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="it needs Linux")
    for item in items:
        if not sys.platform.startswith("linux") and item.path.stem in NEEDS_LINUX:
            item.add_marker(skip)
