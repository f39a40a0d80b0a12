"""Rows and errors in Chromium: only what is looked at is asked for, whatever their number; search, detail, keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from paged import Opened
from playwright.sync_api import expect
from stand_in import EPOCH, Plan, StandIn

Open = Callable[..., Opened]


def quoted(number: int) -> dict[str, Any]:
    """A row with evidence and confidence, and emoji before the quote."""
    text = f"😀 Order {number} has not arrived in Zürich."
    start = text.index("Zürich")
    quote = {"quote": "Zürich", "column": "text", "start": start, "end": start + 6, "match": "fuzzy"}
    return {
        "id": f"r{number}",
        "text": text,
        "label": "late",
        "city": "Zürich",
        "_evidence": {"city": quote, "label": None},
        "_confidence": {"label": 0.4},
        "_llmx": {"model": "m", "cost": "0.0002"},
    }


def done(total: int, **more: Any) -> Plan:
    """A job that has ended well."""
    return Plan(total, state="succeeded", settled=total, started=EPOCH, ended=EPOCH + 60, **more)


def rows(page: Opened) -> Any:
    """Those that are on the page."""
    return page.tab.locator(".grid-body .grid-row")


def test_a_table_of_the_rows(service: StandIn, opened: Open) -> None:
    """Fields first, then what they were made of; how many there are; nothing the console complains of."""
    job = service.add(done(40, bad_every=10))
    page = opened(service.url, hash=f"#/job/{job}/results")
    expect(page.tab.get_by_role("columnheader")).to_have_text(["#", "label", "order", "id", "text"])
    expect(rows(page).first.get_by_role("gridcell")).to_have_text(
        ["late", "0", "r0", "Order 0 has not arrived in Zürich."]
    )
    expect(page.tab.locator(".count")).to_contain_text("36 rows")
    expect(page.tab.get_by_role("grid")).to_have_attribute("aria-rowcount", "37")
    assert page.complaints == []


def test_two_hundred_thousand_rows(service: StandIn, opened: Open) -> None:
    """Some screens of them are asked for, few are on the page, and the last one is reached at once."""
    job = service.add(done(200_000))
    page = opened(service.url, hash=f"#/job/{job}/results")
    expect(page.tab.locator(".count")).to_contain_text("200,000 rows, 250 loaded")
    assert rows(page).count() < 60
    page.tab.locator(".grid").focus()
    page.tab.keyboard.press("End")
    expect(rows(page).last).to_contain_text("r199999")
    for number in (199_998, 199_997):
        page.tab.keyboard.press("k")
        expect(page.tab.locator(".grid-body .selected")).to_contain_text(f"r{number}")
    page.tab.locator(".grid").evaluate("list => list.scrollTop = list.scrollHeight / 2")
    expect(rows(page).nth(8)).to_contain_text(re.compile(r"r(99|100)\d{3}"))
    assert len(service.requests("GET", f"/v1/jobs/{job}/results")) <= 5


def test_a_million_rows_are_scrolled_through(service: StandIn, opened: Open) -> None:
    """Taller than browsers lay out; each is at its place, and the page holds a bounded part of them."""
    job = service.add(done(1_000_000))
    page = opened(service.url, hash=f"#/job/{job}/results")
    expect(page.tab.locator(".count")).to_contain_text("1,000,000 rows")
    assert page.tab.locator(".grid").evaluate("list => list.scrollHeight") <= 12_100_000
    page.tab.locator(".grid").focus()
    page.tab.keyboard.press("End")
    expect(rows(page).last).to_contain_text("r999999")
    for share in (0.2, 0.4, 0.6, 0.8):
        page.tab.locator(".grid").evaluate(
            "(list, share) => list.scrollTop = list.scrollHeight * share", share
        )
        expect(rows(page).nth(9)).to_contain_text(
            re.compile(rf"r{int(share * 10)}\d{{5}}|r{int(share * 10) - 1}99\d{{3}}")
        )


def test_all_of_it_is_loaded_to_be_searched(service: StandIn, opened: Open) -> None:
    """The search says what it has looked at; after Load all that is everything."""
    job = service.add(done(20_000))
    page = opened(service.url, hash=f"#/job/{job}/results")
    expect(page.tab.locator(".count")).to_contain_text("250 loaded")
    page.tab.fill("#search", "ORDER 1234")
    expect(page.tab.locator(".count")).to_contain_text("0 of 250 loaded rows")
    expect(page.tab.locator(".nothing")).to_have_text("No loaded row has this text.")
    page.tab.get_by_role("button", name="Load all").click()
    expect(page.tab.locator(".count")).to_contain_text("11 of 20,000 loaded rows")
    expect(rows(page).first).to_contain_text("r1234")
    expect(page.tab.get_by_role("button", name="Load all")).to_be_hidden()
    assert len(service.requests("GET", f"/v1/jobs/{job}/results")) == 2
    page.tab.fill("#search", "label")
    expect(page.tab.locator(".count")).to_contain_text("0 of 20,000 loaded rows")


def test_loading_all_can_be_stopped(service: StandIn, opened: Open) -> None:
    """What has come stays."""
    job = service.add(done(1_000_000))
    page = opened(service.url, hash=f"#/job/{job}/results")
    page.tab.get_by_role("button", name="Load all").click()
    page.tab.get_by_role("button", name="Stop").click()
    expect(page.tab.get_by_role("button", name="Load all")).to_be_visible()
    loaded = int(re.findall(r"([\d,]+) loaded", page.text(".count"))[0].replace(",", ""))
    assert 250 <= loaded < 1_000_000


def test_rows_that_come_while_it_runs(service: StandIn, opened: Open) -> None:
    """They are shown as they come; the one that is open stays open."""
    job = service.add(Plan(1_000, rate=100))
    page = opened(service.url, hash=f"#/job/{job}/results")
    expect(page.tab.locator(".nothing")).to_have_text("There are no rows yet.")
    service.advance(2)
    expect(page.tab.locator(".count")).to_contain_text("200 rows")
    rows(page).nth(3).click()
    expect(page.tab.locator("#detail h3")).to_have_text("Row 4")
    service.advance(1)
    expect(page.tab.locator(".count")).to_contain_text("300 rows")
    service.advance(20)
    expect(page.tab.locator(".count")).to_contain_text("1,000 rows")
    expect(page.tab.locator("#detail h3")).to_have_text("Row 4")
    assert page.complaints == []


def test_more_rows_than_were_foretold(service: StandIn, opened: Open) -> None:
    """Of a job whose rows are exploded nobody knows how many there are: the end is found by going there."""
    plan = done(700, options={"schema": "label late|lost", "explode": "label"})
    job = service.add(plan)
    page = opened(service.url, hash=f"#/job/{job}/results")
    expect(page.tab.locator(".count")).to_contain_text("more than 250 rows")
    page.tab.locator(".grid").focus()
    for _ in range(3):
        page.tab.keyboard.press("End")
        expect(page.tab.locator(".grid-body .selected .muted")).to_have_count(0)
    expect(page.tab.locator(".count")).to_contain_text("700 rows")


def test_fewer_rows_than_were_foretold(service: StandIn, opened: Open) -> None:
    """The table ends where the rows do."""
    plan = done(600)
    job = service.add(plan)
    plan.more = {
        "rows": {"total": 5_000, "settled": 5_000, "ok": 5_000, "failed": 0, "cached": 0, "unreadable": 0}
    }
    page = opened(service.url, hash=f"#/job/{job}/results")
    expect(page.tab.locator(".count")).to_contain_text("5,000 rows")
    page.tab.get_by_role("button", name="Load all").click()
    expect(page.tab.locator(".count")).to_contain_text("600 rows")


def test_one_row(service: StandIn, opened: Open) -> None:
    """Its text with the quote where it stands, its fields with evidence and confidence, all of it as JSON."""
    job = service.add(done(9, row=quoted, options={"schema": "label late|lost, city?"}))
    page = opened(service.url, hash=f"#/job/{job}/results")
    rows(page).nth(2).click()
    expect(page.tab.locator("#detail mark")).to_have_text(["Zürich"])
    city = page.tab.locator("#detail tr", has_text="city")
    expect(city).to_contain_text("fuzzy")
    expect(page.tab.locator("#detail tr", has_text="label")).to_contain_text("quote not found")
    expect(page.tab.locator("#detail tr", has_text="label")).to_contain_text("40 %")
    city.locator(".quote").click()
    expect(page.tab.locator("#detail mark")).to_have_class(re.compile("lit"))
    page.tab.locator("#detail summary", has_text="The row as JSON").click()
    assert json.loads(page.text("#detail .raw")) == quoted(2)
    assert page.tab.url.endswith("/results?row=3")
    page.tab.reload()
    expect(page.tab.locator("#detail h3")).to_have_text("Row 3")


def test_one_error(service: StandIn, opened: Open) -> None:
    """Its kind, message and line, and the last answer of the model."""
    job = service.add(done(40, bad_every=10))
    page = opened(service.url, hash=f"#/job/{job}/errors")
    expect(page.tab.get_by_role("columnheader")).to_have_text(
        ["#", "line", "type", "message", "id", "text", "label", "order"]
    )
    expect(rows(page)).to_have_count(4)
    rows(page).nth(1).click()
    box = page.tab.locator("#detail .error-box")
    expect(box).to_contain_text("invalid_answer · line 20 · 2 calls")
    box.locator("summary").click()
    expect(box.locator("pre")).to_have_text('{"label": 3}')


def test_the_keyboard(service: StandIn, opened: Open) -> None:
    """All of it without a mouse, and where the focus is can be seen."""
    job = service.add(done(600))
    page = opened(service.url, hash=f"#/job/{job}/results")
    expect(rows(page).first).to_contain_text("r0")
    keys, grid = page.tab.keyboard, page.tab.get_by_role("grid")
    keys.press("/")
    expect(page.tab.locator("#search")).to_be_focused()
    keys.type("order 1")
    expect(page.tab.locator(".count")).to_contain_text("of 250 loaded rows")
    keys.press("Enter")
    expect(grid).to_be_focused()
    expect(page.tab.locator(".selected")).to_contain_text("r1")
    keys.press("j")
    expect(page.tab.locator(".selected")).to_contain_text("r10")
    active = page.tab.locator(f"#{grid.get_attribute('aria-activedescendant')}")
    assert active.get_attribute("aria-selected") == "true"
    keys.press("Enter")
    expect(page.tab.locator("#detail")).to_be_focused()
    keys.press("j")
    expect(page.tab.locator("#detail h3")).to_have_text("Row 12")
    keys.press("Escape")
    expect(grid).to_be_focused()
    expect(page.tab.locator("#detail")).to_be_hidden()
    assert page.tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keys.press("Escape")
    expect(page.tab.locator("#search")).to_have_value("")
    keys.press("End")
    expect(rows(page).last).to_contain_text("r599")
    keys.press("PageUp")
    expect(page.tab.locator(".selected")).not_to_contain_text("r599")
    keys.press("Home")
    expect(page.tab.locator(".selected")).to_contain_text("r0")


def test_a_connection_that_breaks_while_rows_are_read(service: StandIn, opened: Open) -> None:
    """It is said, with a way to try again; what was read stays."""
    job = service.add(done(20_000))
    page = opened(service.url, hash=f"#/job/{job}/results")
    expect(rows(page).first).to_contain_text("r0")
    service.stop()
    page.tab.locator(".grid").evaluate("list => list.scrollTop = list.scrollHeight")
    expect(page.tab.get_by_role("alert")).to_contain_text("The service does not answer")
    service.start()
    page.tab.get_by_role("button", name="Try again").click()
    expect(rows(page).last).to_contain_text("r19999")
    page.tab.locator(".grid").evaluate("list => list.scrollTop = 0")
    expect(rows(page).first).to_contain_text("r0")


@pytest.mark.parametrize(
    "row", ["a" * 2_000_000, {"deep": "\n".join(["line"] * 300_000)}], ids=["one word", "many lines"]
)
def test_a_giant_row(row: Any, service: StandIn, opened: Open) -> None:
    """The table shows its beginning, and so does the detail, until all of it is asked for."""
    job = service.add(done(30, row=lambda number: {"text": row, "label": "late", "n": number}))
    page = opened(service.url, hash=f"#/job/{job}/results")
    expect(rows(page).nth(10)).to_contain_text("10")
    assert page.tab.locator(".grid").evaluate("list => list.textContent.length") < 20_000
    rows(page).nth(1).click()
    expect(page.tab.locator("#detail h3")).to_have_text("Row 2")
    assert page.tab.locator("#detail").evaluate("pane => pane.textContent.length") < 100_000
    page.tab.locator("#detail").get_by_role("button", name="Show all").first.click()
    assert page.tab.locator("#detail").evaluate("pane => pane.textContent.length") > 1_000_000
    assert page.overflow == 0


@pytest.mark.parametrize("row", [[1, 2], "text", None, 3, {}], ids=str)
def test_rows_that_are_no_objects(row: Any, service: StandIn, opened: Open) -> None:
    """Nothing that a service may send keeps the others from being seen."""
    job = service.add(done(3, row=lambda number: row if number == 1 else {"a": number}))
    page = opened(service.url, hash=f"#/job/{job}/results")
    expect(rows(page)).to_have_count(3)
    expect(rows(page).nth(2)).to_contain_text("2")
    rows(page).nth(1).click()
    expect(page.tab.locator("#detail h3")).to_have_text("Row 2")
    assert page.complaints == []
