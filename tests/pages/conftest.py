"""What the tests of pages share: Chromium, and outputs that are written as runs would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsers import chromium, opened
from paged import page_env, write_lines

from llmx.pages import Asked, write_report

__all__ = ["chromium", "opened", "reported"]


@pytest.fixture
def reported(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows, and failed rows, to files, and a report of them; its path."""

    def report(
        rows: list[Any], *, failed: list[Any] | None = None, name: str = "out.jsonl", **asked: Any
    ) -> Path:
        write_lines(tmp_path / name, rows)
        if failed:
            write_lines(tmp_path / "out.errors.jsonl", failed)
        written = write_report(Asked(name, **asked), page_env(tmp_path))
        assert written.path is not None
        return written.path

    return report
