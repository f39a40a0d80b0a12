"""The page against `llmx serve` itself, with a simulated provider: from a file that is dropped to rows that are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from commands import Mock
from paged import Opened
from playwright.sync_api import expect
from serving import PATIENCE, serving

Open = Callable[..., Opened]

MOST = PATIENCE * 1000


def test_from_a_file_to_its_rows(opened: Open, provider: Mock, tmp_path: Path) -> None:
    """A key is given, a schema tried, all rows run; the job is followed to its end, its results and errors looked at."""
    file = tmp_path / "tickets.jsonl"
    rows = [f'{{"id": {number}, "text": "Order {number} has not arrived."}}\n' for number in range(60)]
    file.write_text("".join(rows) + "no row\n")
    with serving(tmp_path, provider.url, scopes="extract,jobs") as service:
        page = opened(service.url, hash="#/new")
        tab = page.tab
        tab.get_by_label("API key").fill(service.key)
        tab.keyboard.press("Enter")
        expect(tab.locator("#model option")).not_to_have_count(0)
        tab.set_input_files("#file", file)
        tab.fill("#schema-inline", "label late|lost, order int?")
        tab.get_by_label("Quote the words").check()
        tab.get_by_role("button", name="Try the first 3 rows").click()
        expect(tab.locator(".tried .state")).to_have_text(["done"] * 3, timeout=MOST)
        expect(tab.locator(".tried dt")).to_have_text(["label", "order"] * 3)
        tab.get_by_text("More: instructions").click()
        tab.fill("#max-failures", "5%")
        tab.get_by_role("button", name="Run 61 rows as a job").click()
        expect(tab.locator("h2")).to_have_text("tickets.jsonl")
        expect(tab.locator(".view-head .state")).to_have_text("succeeded", timeout=MOST)
        expect(tab.locator(".progress-line")).to_contain_text("61 of 61 rows")
        expect(tab.locator(".tile", has_text="Failed")).to_contain_text("1 of them could not be read")
        tab.get_by_role("link", name="Browse the results").click()
        expect(tab.locator(".count")).to_contain_text("60 rows")
        expect(tab.get_by_role("columnheader")).to_have_text(["#", "label", "order", "id", "text"])
        tab.locator(".grid-body .grid-row").nth(4).click()
        expect(tab.locator("#detail .source-text").first).to_contain_text("Order 4 has not arrived.")
        tab.get_by_role("link", name="Errors").click()
        expect(tab.locator(".grid-body .grid-row")).to_have_count(1)
        expect(tab.locator(".grid-body .grid-row").first).to_contain_text("61")
        assert [text for text in page.complaints if "401" not in text] == []
        assert service.key not in service.log
