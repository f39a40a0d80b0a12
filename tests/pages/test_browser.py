"""The page in Chromium: what is shown, found, marked and moved."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from paged import Opened, write_lines
from playwright.sync_api import expect

Reported = Callable[..., Path]
Open = Callable[..., Opened]

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def tickets(number: int) -> list[dict[str, Any]]:
    """Rows with everything that can be said about one."""
    draw = random.Random(number)
    rows = []
    for at in range(number):
        text = f"😀 Bonjour, order {at} has not arrived in Zürich yet. שלום"
        start = text.index("Zürich")
        rows.append(
            {
                "id": f"t{at}",
                "text": text,
                "label": draw.choice(["late", "lost", "other"]),
                "city": "Zürich",
                "stars": draw.choice([1, 2, 3, None]),
                "amount": round(draw.uniform(0, 100), 2),
                "_evidence": {
                    "city": {
                        "quote": "Zürich",
                        "column": "text",
                        "start": start,
                        "end": start + 6,
                        "match": "exact",
                    },
                    "label": None
                    if at % 5 == 0
                    else {
                        "quote": "not arrived",
                        "column": "text",
                        "start": text.index("not"),
                        "end": text.index("not") + 11,
                        "match": "fuzzy",
                    },
                },
                "_confidence": {"label": 0.4 if at % 4 == 0 else 0.9},
            }
        )
    return rows


FAILURES = [
    {"id": "f0", "text": "nothing", "_error": {"type": "refusal", "message": "the model declined", "line": 9}}
]


def at_rows(page: Opened) -> Opened:
    """The same page, at its rows."""
    page.tab.locator("#nav a", has_text="Rows").click()
    return page


def test_the_overview(reported: Reported, opened: Open) -> None:
    """All parts that there is something to say about, each with a heading and a link."""
    page = opened(reported(tickets(60), failed=FAILURES))
    assert page.text("#name") == "out.jsonl"
    assert page.tab.locator("#nav a").all_inner_texts() == ["Summary", "Errors", "Columns", "Rows"]
    assert page.tab.locator("main h2:visible").all_inner_texts() == ["Summary", "Errors", "Columns"]
    assert page.tab.locator(".tile .figure").first.inner_text() == "61"
    assert page.complaints == []


def test_a_chart_has_a_name_and_a_table(reported: Reported, opened: Open) -> None:
    """For those who do not see it: what it shows, and its numbers."""
    page = opened(reported(tickets(60)))
    card = page.tab.locator("article.field", has=page.tab.locator("h3", has_text="amount"))
    assert (card.locator("svg").first.get_attribute("aria-label") or "").startswith("Values of amount: ")
    assert card.locator("svg").first.get_attribute("role") == "img"
    card.locator("summary").click()
    counts = card.locator("tbody td:last-child").all_inner_texts()
    assert sum(map(int, counts)) == 60


def test_a_bar_shows_its_rows(reported: Reported, opened: Open) -> None:
    """A choice is a filter; so is a share of nulls."""
    rows = tickets(60)
    page = opened(reported(rows))
    page.tab.locator("button.choice", has_text="lost").first.click()
    lost = sum(row["label"] == "lost" for row in rows)
    expect(page.tab.locator("#count")).to_have_text(f"{lost} of 60 rows")
    page.tab.locator("#nav a", has_text="Columns").click()
    card = page.tab.locator("article.field", has=page.tab.locator("h3", has_text="stars"))
    card.locator("button", has_text="null").click()
    nulls = sum(row["stars"] is None for row in rows)
    expect(page.tab.locator("#count")).to_have_text(f"{nulls} of 60 rows")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("ORDER 7 ", 1),
        ("zürich", 60),
        ('"quoted\\"', 1),
        ("zebra", 0),
        ("text", 0),
        ("declined", 1),
        ("שלום", 60),
    ],
)
def test_search(word: str, found: int, reported: Reported, opened: Open) -> None:
    """In all text of rows and errors, whatever its case; not in the names of columns."""
    rows = tickets(60)
    rows[3]["label"] = 'a "quoted\\" b'
    page = at_rows(opened(reported(rows, failed=FAILURES)))
    page.tab.fill("#search", word)
    expect(page.tab.locator("#count")).to_have_text(f"{found} of 61 rows")
    assert page.rows.count() == min(found, page.rows.count())
    if not found:
        expect(page.tab.locator("#list .nothing")).to_have_text("No row is like this.")


def test_filters(reported: Reported, opened: Open) -> None:
    """By what happened to a row, how sure the model was, and the value of a field; together with a search."""
    page = at_rows(opened(reported(tickets(60), failed=FAILURES)))
    count = page.tab.locator("#count")
    for show, found in (("failed", 1), ("ok", 60), ("low", 15), ("uncited", 12)):
        page.tab.select_option("#show", show)
        expect(count).to_have_text(f"{found} of 61 rows")
    page.tab.select_option("#show", "low")
    page.tab.fill("#threshold", "0.95")
    expect(count).to_have_text("60 of 61 rows")
    page.tab.select_option("#field", "amount")
    page.tab.select_option("#op", "least")
    page.tab.fill("#value", "50")
    least = sum(row["amount"] >= 50 for row in tickets(60))
    expect(count).to_have_text(f"{least} of 61 rows")
    page.tab.locator("#clear").click()
    expect(count).to_have_text("61 rows")


def test_filters_that_say_nothing_are_not_offered(reported: Reported, opened: Open) -> None:
    """Where nothing failed, has a confidence or was compared."""
    page = at_rows(opened(reported([{"a": 1}, {"a": 2}])))
    assert page.tab.locator("#show option").all_inner_texts() == ["All rows"]


def test_quotes_are_marked_where_they_stand(reported: Reported, opened: Open) -> None:
    """Offsets count code points; emoji before a quote are two units of a string in the browser."""
    page = opened(reported(tickets(3)), hash="#row-2")
    marks = page.tab.locator("#detail mark")
    expect(marks).to_have_text(["not arrived", "Zürich"])
    page.tab.locator("#detail tr", has_text="city").hover()
    assert "lit" in (marks.nth(1).get_attribute("class") or "")
    assert "lit" not in (marks.nth(0).get_attribute("class") or "")


def test_a_quote_leads_to_its_place(reported: Reported, opened: Open) -> None:
    """However far down in the text that is, and by keyboard."""
    text = "word\n" * 500 + "needle"
    quote = {"quote": "needle", "column": "text", "start": 2_500, "end": 2_506, "match": "exact"}
    page = opened(reported([{"text": text, "a": "needle", "_evidence": {"a": quote}}]), hash="#row-1")
    mark = page.tab.locator("#detail mark")
    expect(mark).not_to_be_in_viewport()
    page.tab.locator("#detail .quote").focus()
    page.tab.keyboard.press("Enter")
    expect(mark).to_be_in_viewport()
    assert "lit" in (mark.get_attribute("class") or "")


def test_quotes_may_overlap_or_be_wrong(reported: Reported, opened: Open) -> None:
    """Pieces that several quotes have are marked once; places that are not in the text are left out."""
    quote = {"column": "text", "match": "exact", "quote": "x"}
    evidence = {
        "a": {**quote, "start": 0, "end": 6},
        "b": {**quote, "start": 4, "end": 10},
        "c": {**quote, "start": 90, "end": 99},
        "d": {**quote, "start": -3, "end": 2},
        "e": {**quote, "start": "?", "end": None},
        "f": {**quote, "column": "gone", "start": 0, "end": 1},
    }
    page = opened(reported([{"text": "0123456789ab", "a": "x", "_evidence": evidence}]), hash="#row-1")
    expect(page.tab.locator("#detail mark")).to_have_text(["0123", "45", "6789"])
    expect(page.tab.locator("#detail .source-text")).to_have_text("0123456789ab")
    assert page.complaints == []


def test_the_keyboard(reported: Reported, opened: Open) -> None:
    """All of the rows without a mouse, and where the focus is can be seen."""
    page = opened(reported(tickets(300)))
    keys = page.tab.keyboard
    keys.press("/")
    expect(page.tab.locator("#search")).to_be_focused()
    keys.type("order 1")
    expect(page.tab.locator("#count")).to_have_text("111 of 300 rows")
    keys.press("Enter")
    expect(page.tab.locator("#list")).to_be_focused()
    expect(page.tab.locator("#detail h3")).to_contain_text("Row 2")
    keys.press("j")
    expect(page.tab.locator("#detail h3")).to_contain_text("Row 11")
    keys.press("ArrowUp")
    expect(page.tab.locator("#detail h3")).to_contain_text("Row 2")
    keys.press("End")
    expect(page.tab.locator("#detail h3")).to_contain_text("Row 200")
    active = page.tab.locator("#list").get_attribute("aria-activedescendant")
    assert page.tab.locator(f"#{active}").get_attribute("aria-selected") == "true"
    assert page.tab.locator(f"#{active}").get_attribute("aria-posinset") == "111"
    keys.press("Enter")
    expect(page.tab.locator("#detail")).to_be_focused()
    keys.press("Escape")
    expect(page.tab.locator("#list")).to_be_focused()
    assert page.tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_only_rows_that_can_be_seen_are_on_the_page(reported: Reported, opened: Open) -> None:
    """Of many thousands; the last one can be reached all the same, and each says which it is."""
    page = at_rows(opened(reported([{"n": number} for number in range(20_000)])))
    assert page.rows.count() < 40
    page.tab.locator("#list").focus()
    page.tab.keyboard.press("End")
    expect(page.rows.last).to_contain_text("n: 19999")
    assert page.rows.last.get_attribute("aria-setsize") == "20000"
    page.tab.locator("#list").evaluate("list => list.scrollTop = list.scrollHeight / 2")
    expect(page.rows.nth(8)).to_contain_text("n: 100")


def test_a_list_that_is_too_tall_for_a_browser(reported: Reported, opened: Open) -> None:
    """It is scrolled in larger steps, and no row is out of reach."""
    page = at_rows(opened(reported([{"n": number} for number in range(190_000)])))
    assert page.tab.locator("#list").evaluate("list => list.scrollHeight") <= 12_100_000
    page.tab.locator("#list").focus()
    page.tab.keyboard.press("End")
    expect(page.rows.last).to_contain_text("n: 189999")
    for at in (189_998, 189_997):
        page.tab.keyboard.press("k")
        expect(page.tab.locator("#list .selected")).to_contain_text(f"n: {at}")
    page.tab.keyboard.press("Home")
    expect(page.rows.first).to_contain_text("n: 0")


def test_an_address_of_a_row(reported: Reported, opened: Open) -> None:
    """It opens the row, and the one that is open is in the address."""
    page = opened(reported(tickets(600)), hash="#row-555")
    expect(page.tab.locator("#detail h3")).to_have_text("Row 555 · t554")
    page.tab.keyboard.press("j")
    expect(page.tab.locator("#detail h3")).to_have_text("Row 556 · t555")
    assert page.tab.url.endswith("#row-556")


def test_an_error_leads_to_its_row(reported: Reported, opened: Open) -> None:
    """From the examples of a kind to one of them."""
    page = opened(reported(tickets(5), failed=FAILURES))
    page.tab.locator("#errors summary").click()
    page.tab.locator("#errors button", has_text="Show the row").click()
    expect(page.tab.locator("#detail .error-box")).to_contain_text("the model declined")


def test_two_runs_and_gold(
    reported: Reported, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside each other, field by field."""
    rows = [{"id": 1, "label": "late"}, {"id": 2, "label": "lost"}]
    document = {
        "rows": {"matched": 2, "missing": 0, "extra": 0},
        "fields": {"label": {"n": 2, "accuracy": 0.5, "ci95": [0.1, 0.9]}},
    }
    wrong = SimpleNamespace(key="2", path="label", expected="other", predicted="lost")
    module = ModuleType("llmx.evals")
    evaluation = SimpleNamespace(document=lambda: document, disagreements=lambda: iter([wrong]))
    module.evaluate = lambda predictions, gold, key: evaluation  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "llmx.evals", module)
    write_lines(tmp_path / "gold.jsonl", rows)
    write_lines(tmp_path / "there.jsonl", [rows[0], {"id": 2, "label": "late"}])
    page = opened(reported(rows, gold="gold.jsonl", compare="there.jsonl"))
    assert page.tab.locator("#evaluation td").all_inner_texts()[:4] == [
        "label",
        "2",
        "50\xa0%",
        "10\xa0% to 90\xa0%",
    ]
    page.tab.locator("#evaluation button").click()
    expect(page.tab.locator("#count")).to_have_text("1 of 2 rows")
    page.rows.first.click()
    cells = page.tab.locator("#detail tr", has_text="label").locator("td")
    expect(cells).to_have_text(["label", "lostgold: other", "late"])


def test_the_theme(reported: Reported, opened: Open) -> None:
    """The system's, until the reader chooses."""
    page = opened(reported([{"a": 1}]), color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.tab.evaluate(colour)
    page.tab.locator("#theme").click()
    expect(page.tab.locator("#theme")).to_have_text("Theme: light")
    light = page.tab.evaluate(colour)
    page.tab.locator("#theme").click()
    assert (page.text("#theme"), page.tab.evaluate(colour)) == ("Theme: dark", dark)
    assert light != dark


LONG = {
    "id": "x" * 300,
    "text": "w" * 2_000,
    "n" * 150: "v" * 900,
    "list": ["e" * 200] * 3,
    "deep": {"a": {"b": "c" * 300}},
}


@pytest.mark.parametrize("rows", [tickets(40), [LONG] * 3, []], ids=["tickets", "long words", "no rows"])
def test_a_phone_scrolls_in_one_direction_only(rows: list[Any], reported: Reported, opened: Open) -> None:
    """No part is wider than the screen, long words and empty pages included; a row takes all of it, and gives it back."""
    page = opened(reported(rows, failed=FAILURES if rows else None), **PHONE)
    for fold in page.tab.locator("details").all():
        fold.evaluate("one => one.open = true")
    assert page.overflow == 0
    at_rows(page)
    assert page.overflow == 0
    if rows:
        page.rows.first.click()
        expect(page.tab.locator("#detail")).to_be_visible()
        assert page.overflow == 0
        page.tab.locator("#detail .close").click()
        expect(page.tab.locator("#list")).to_be_visible()
        expect(page.tab.locator("#detail")).to_be_hidden()


def test_nothing_moves_for_those_who_asked_for_that(reported: Reported, opened: Open) -> None:
    """Bars grow and pages glide for the others only."""
    page = reported(tickets(9))
    moving = "[getComputedStyle(document.documentElement).scrollBehavior, getComputedStyle(document.querySelector('.fill')).transitionDuration]"
    assert opened(page, reduced_motion="reduce").tab.evaluate(moving) == ["auto", "0s"]
    assert opened(page, reduced_motion="no-preference").tab.evaluate(moving) == ["smooth", "0.3s"]


def test_every_control_has_a_name(reported: Reported, opened: Open) -> None:
    """In the tree that screen readers are given."""
    page = at_rows(opened(reported(tickets(9), failed=FAILURES)))
    page.rows.first.click()
    nameless = page.tab.evaluate(
        """() => [...document.querySelectorAll("button, input, select, a, [role=img], [role=region], [role=listbox]")]
            .filter((one) => one.checkVisibility() && !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    tree = page.tab.locator("body").aria_snapshot()
    for landmark in ("banner", "main", "navigation", "search", "listbox", "article"):
        assert re.search(rf"- '?{landmark}\b", tree)


def test_data_that_are_damaged_are_told(reported: Reported, opened: Open, tmp_path: Path) -> None:
    """A page that was cut on its way says so, instead of nothing."""
    page = reported(tickets(9))
    broken = tmp_path / "broken.html"
    text = page.read_text()
    mark = 'id="summary">'
    start = text.index(mark) + len(mark)
    broken.write_text(text[:start] + text[start + 400 :])
    tab = opened(page).tab
    tab.goto(broken.as_uri())
    expect(tab.locator("#loading")).to_contain_text("The page's data could not be read")


def test_rows_are_as_they_were(reported: Reported, opened: Open) -> None:
    """What the page unpacks is what was put in, to the last character."""
    rows = [{"a": '\u0000😀 " \\ \n é', "b": [1.5, None, {"c": True}], "d": 2**60}]
    page = opened(reported(rows), hash="#row-1")
    page.tab.locator("#detail summary", has_text="The row as JSON").click()
    shown = page.text("#detail .raw").replace("U+0000", "\\u0000")
    assert json.loads(shown)["a"] == rows[0]["a"]
