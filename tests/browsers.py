"""Chromium as fixtures, for the tests of every page: imported by their conftest.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paged import Opened
from playwright.sync_api import Browser, sync_playwright

__all__ = ["chromium", "opened"]


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
