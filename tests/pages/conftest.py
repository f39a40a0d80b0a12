"""What the tests of pages share: Chromium, outputs that are written as runs would, and the data of a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paged import Opened, page_env, write_lines
from playwright.sync_api import Browser, sync_playwright

from llmx.pages import Asked, write_report


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window.

    Not for the whole session: Playwright's event loop runs as long as it is there, and other modules' tests run theirs.
    """
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert path is not None, "no chromium: sh .ci/programs"
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Callable[..., Opened]]:
    """Opens a page, by its path or address, and watches what it asks for and complains of."""
    contexts = []

    def open_page(page: Path | str, *, hash: str = "", **options: Any) -> Opened:
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        contexts.append(context)
        found = Opened(context.new_page())
        found.go(page if isinstance(page, str) else page.as_uri(), hash)
        return found

    yield open_page
    for context in contexts:
        context.close()


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
