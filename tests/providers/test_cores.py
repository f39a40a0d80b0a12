"""Threads for the embedded model: only what is free."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from llmx.providers import cores


@pytest.mark.parametrize(
    ("allowed", "quota", "load", "expected"),
    [
        (2, math.inf, 0.1, 2),
        (2, math.inf, 1.2, 1),
        (2, math.inf, 9.0, 1),
        (64, 2, 0.0, 2),
        (64, math.inf, 10.0, 8),
        (4, math.inf, 0.6, 3),
    ],
)
def test_free_cores(
    monkeypatch: pytest.MonkeyPatch, allowed: int, quota: float, load: float, expected: int
) -> None:
    """Allowed and granted cores less the busy ones, from 1 to 8."""
    monkeypatch.setattr(cores, "_allowed", lambda: allowed)
    monkeypatch.setattr(cores, "_quota", lambda _: quota)
    monkeypatch.setattr(cores, "_load", lambda: load)
    assert cores.free_cores() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("200000 100000\n", 2), ("50000 100000", 1), ("max 100000", math.inf), ("", math.inf)],
)
def test_a_containers_quota(tmp_path: Path, text: str, expected: float) -> None:
    """Half a core is one thread; "max" is no limit."""
    (tmp_path / "cpu.max").write_text(text)
    assert cores._quota(tmp_path / "cpu.max") == expected


def test_without_cgroups(tmp_path: Path) -> None:
    """Other systems have no such file."""
    assert cores._quota(tmp_path / "none") == math.inf
