"""A service with keys in Chromium: the key is asked for once, kept in the tab alone, and asked for anew where it is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from paged import Opened
from playwright.sync_api import expect
from stand_in import Plan, StandIn

Open = Callable[..., Opened]

KEY = "llmx_" + "a" * 43


@pytest.fixture
def keyed() -> Iterator[StandIn]:
    """A service that takes one key."""
    with StandIn(KEY) as service:
        service.add(Plan(100, rate=10), "job_a")
        yield service


def enter(page: Opened, key: str = KEY) -> None:
    """Give a key."""
    page.tab.get_by_label("API key").fill(key)
    page.tab.get_by_role("button", name="Use this key").click()


def test_it_is_asked_for_once(keyed: StandIn, opened: Open) -> None:
    """However many requests want it; then every one of them has it."""
    page = opened(keyed.url)
    expect(page.tab.get_by_role("dialog")).to_contain_text("This service asks for a key")
    expect(page.tab.get_by_label("API key")).to_be_focused()
    enter(page)
    expect(page.tab.locator(".job-name")).to_have_text("job_a")
    page.tab.locator(".job-name").click()
    expect(page.tab.locator(".progress-line")).to_contain_text("0 of 100")
    keyed.advance(2)
    expect(page.tab.locator(".progress-line")).to_contain_text("20 of 100")
    assert keyed.requests("GET", "/v1/jobs/job_a/events")[0]["authorization"] == f"Bearer {KEY}"
    page.tab.reload()
    expect(page.tab.locator(".progress-line")).to_contain_text("20 of 100")


def test_it_is_kept_in_the_tab_alone(keyed: StandIn, opened: Open) -> None:
    """Not in the address, a cookie, or what other tabs see; forgotten when that is asked for."""
    page = opened(keyed.url)
    enter(page)
    expect(page.tab.locator(".job-name")).to_have_text("job_a")
    kept = "[document.cookie, JSON.stringify(localStorage), Object.keys(sessionStorage)]"
    assert page.tab.evaluate(kept) == ["", '{"llmx-theme":""}', ["llmx-key"]] or page.tab.evaluate(kept) == [
        "",
        "{}",
        ["llmx-key"],
    ]
    assert KEY not in page.tab.content()
    assert not any(KEY in address for address in page.requests)
    page.tab.get_by_role("button", name="Forget the key").click()
    expect(page.tab.get_by_role("dialog")).to_be_visible()
    assert page.tab.evaluate("sessionStorage.length") == 0


def test_a_key_that_is_refused_is_asked_for_anew(keyed: StandIn, opened: Open) -> None:
    """At once where it never was one, and later where it is revoked while the page is open."""
    page = opened(keyed.url)
    enter(page, "llmx_wrong")
    expect(page.tab.locator("#key-said")).to_have_text("The key that was used is not taken: no such key")
    enter(page)
    expect(page.tab.locator(".job-name")).to_have_text("job_a")
    keyed.keys = {"llmx_other"}
    expect(page.tab.locator("#key-said")).to_contain_text("not taken")
    enter(page, "llmx_other")
    expect(page.tab.get_by_role("dialog")).to_have_count(0)
    keyed.advance(1)
    expect(page.tab.locator(".jobs tbody")).to_contain_text("10 of 100")


@pytest.mark.parametrize("text", ["clé-ü", "two words", "a\u200bb"], ids=["accents", "words", "hidden"])
def test_what_can_be_no_key(text: str, keyed: StandIn, opened: Open) -> None:
    """It is said, and never sent: a header takes no such text."""
    page = opened(keyed.url)
    enter(page, text)
    expect(page.tab.locator("#key-said")).to_contain_text("A key is one word of ASCII")
    assert not any("authorization" in headers for _, _, headers in keyed.asked)


def test_not_now(keyed: StandIn, opened: Open) -> None:
    """Without a key the page says what is missing, and asks again when told to."""
    page = opened(keyed.url)
    page.tab.get_by_role("button", name="Not now").click()
    expect(page.tab.get_by_role("alert")).to_contain_text("no such key")
    expect(page.tab.get_by_role("alert")).to_contain_text("hint: llmx keys create NAME")
    page.tab.get_by_role("button", name="Try again").click()
    enter(page)
    expect(page.tab.locator(".job-name")).to_have_text("job_a")


def test_a_job_is_sent_with_it(keyed: StandIn, opened: Open) -> None:
    """An upload goes another way than other requests, and has the key, too."""
    page = opened(keyed.url, hash="#/new")
    enter(page)
    page.tab.get_by_role("button", name="Paste rows instead").click()
    page.tab.fill("#pasted", '{"text": "late"}')
    page.tab.get_by_role("button", name="Use these rows").click()
    page.tab.fill("#schema-inline", "label late|lost")
    page.tab.get_by_role("button", name="Run 1 row as a job").click()
    expect(page.tab.locator(".progress-line")).to_contain_text("0 of 1 rows")
    assert keyed.requests("POST", "/v1/jobs")[0]["authorization"] == f"Bearer {KEY}"
