"""Pages under test: what is in one, and one that is open in Chromium."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
from playwright.sync_api import Locator, Page, TimeoutError

from llmx.environment import Environment

__all__ = ["Opened", "page_env", "rows_in", "summary_in", "write_lines"]


def page_env(folder: Path, **variables: str) -> Environment:
    """Surroundings of a command in a folder, whose talk is kept."""
    home = {"LLMX_HOME": str(folder / "home"), **variables}
    return Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), home, folder)


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    """JSON Lines; a string is a line as it is."""
    lines = [row.encode() if isinstance(row, str) else orjson.dumps(row) for row in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def block(page: Path | str, name: str) -> bytes:
    """What an element of a page's data holds."""
    text = page if isinstance(page, str) else page.read_text(encoding="utf-8")
    found = re.search(rf'<script type="application/gzip" id="{name}">([A-Za-z0-9+/=]*)</script>', text)
    assert found is not None
    return gzip.decompress(base64.b64decode(found[1]))


def summary_in(page: Path | str) -> dict[str, Any]:
    """The data of a page beside its rows."""
    return dict(json.loads(block(page, "summary")))


def rows_in(page: Path) -> list[Mapping[str, Any]]:
    """The rows of a page as they are packed."""
    chunks = summary_in(page)["chunks"]
    return [
        json.loads(line) for number in range(len(chunks)) for line in block(page, f"c{number}").split(b"\n")
    ]


class Opened:
    """A page that is open.

    Attributes:
        requests: the addresses that it has asked for.
        complaints: errors and messages of the console.
    """

    def __init__(self, tab: Page) -> None:
        self.tab = tab
        self.requests: list[str] = []
        self.complaints: list[str] = []
        tab.on("request", lambda request: self.requests.append(request.url))
        tab.on("console", lambda message: self.complaints.append(message.text))
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))

    def go(self, address: str, hash: str = "") -> None:
        """Open it, and wait until it can be used."""
        self.tab.goto(address + hash)
        try:
            self.tab.wait_for_selector("html[data-ready=yes]", timeout=15_000)
        except (
            TimeoutError
        ):  # a script that did not arrive, as on a machine that does much else: what a person does
            self.tab.reload()
            self.tab.wait_for_selector("html[data-ready=yes]")

    def text(self, selector: str) -> str:
        """What stands in an element."""
        return self.tab.locator(selector).inner_text()

    @property
    def rows(self) -> Locator:
        """Those of the list that are on the page."""
        return self.tab.locator("#list .row")

    @property
    def overflow(self) -> int:
        """Pixels by which it is wider than the window."""
        return int(self.tab.evaluate("document.documentElement.scrollWidth - innerWidth"))
