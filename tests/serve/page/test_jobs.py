"""The list of jobs in Chromium: what is shown, how it keeps itself fresh, pages of it, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Callable

from paged import Opened
from playwright.sync_api import expect
from stand_in import EPOCH, Plan, StandIn

Open = Callable[..., Opened]


def test_what_is_shown_of_a_job(service: StandIn, opened: Open) -> None:
    """Its name, state, rows, failures and cost, in words; a job without a name goes by its id."""
    service.add(
        Plan(
            400,
            state="succeeded",
            settled=400,
            bad_every=40,
            started=EPOCH,
            ended=EPOCH + 90,
            more={"name": "tickets"},
        )
    )
    other = service.add(Plan(12_000, state="running", settled=3_000, started=EPOCH, more={"cost": None}))
    page = opened(service.url)
    rows = page.tab.locator(".jobs tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text(other)
    expect(rows.nth(0)).to_contain_text("3,000 of 12,000")
    expect(rows.nth(0)).to_contain_text("unknown")
    expect(rows.nth(1)).to_contain_text("took 1m 30s")
    expect(rows.nth(1).locator("[data-label=Failed]")).to_have_text("10")
    bar = rows.nth(0).get_by_role("progressbar")
    assert bar.get_attribute("aria-valuenow") == "25"
    assert bar.get_attribute("aria-valuetext") == "3,000 of 12,000 rows"
    assert page.complaints == []


def test_it_keeps_itself_fresh_in_place(service: StandIn, opened: Open) -> None:
    """Figures change without a reload, and the focus stays where it was."""
    service.add(Plan(1_000, rate=100))
    page = opened(service.url)
    link = page.tab.locator(".job-name")
    link.focus()
    service.advance(4)
    expect(page.tab.locator(".jobs tbody")).to_contain_text("400 of 1,000")
    service.advance(100)
    expect(page.tab.locator(".jobs .state")).to_have_text("succeeded")
    expect(link).to_be_focused()


def test_a_new_job_comes_to_the_top(service: StandIn, opened: Open) -> None:
    """Lines that stay are the same elements as before."""
    service.add(Plan(1_000, rate=1), "job_a")
    page = opened(service.url)
    page.tab.locator(".jobs tbody tr").evaluate("row => { row.dataset.old = 'yes'; }")
    service.add(Plan(5), "job_b")
    rows = page.tab.locator(".jobs tbody tr")
    expect(rows).to_have_count(2)
    assert [row.get_attribute("data-old") for row in rows.all()] == [None, "yes"]


def test_ten_thousand_jobs(service: StandIn, opened: Open) -> None:
    """A page at a time, to the older ones and back; the address says which."""
    for number in range(10_000):
        service.add(Plan(10, state="succeeded" if number % 4 else "failed", settled=10), f"job_{number:05d}")
    page = opened(service.url)
    names = page.tab.locator(".job-name")
    expect(names).to_have_count(50)
    expect(names.first).to_have_text("job_09999")
    page.tab.get_by_role("link", name="Older jobs").click()
    expect(names.first).to_have_text("job_09949")
    assert page.tab.url.endswith("#/jobs?before=job_09950")
    page.tab.go_back()
    expect(names.first).to_have_text("job_09999")
    page.tab.get_by_role("link", name="failed", exact=True).click()
    expect(names.first).to_have_text("job_09996")
    expect(names).to_have_count(50)
    page.tab.goto(service.url + "#/jobs?state=failed&before=job_00009")
    expect(names).to_have_count(3)
    expect(page.tab.get_by_role("link", name="Older jobs")).to_have_count(0)
    page.tab.get_by_role("link", name="Newest").click()
    expect(names.first).to_have_text("job_09996")


def test_no_jobs_yet(service: StandIn, opened: Open) -> None:
    """The way to the first one; and where a filter leaves none, that."""
    page = opened(service.url)
    expect(page.tab.locator(".empty")).to_contain_text("No jobs yet")
    page.tab.locator(".empty").get_by_role("link", name="New job").click()
    expect(page.tab.locator("h2")).to_have_text("New job")
    page.tab.goto(service.url + "#/jobs?state=stopped")
    expect(page.tab.locator(".nothing")).to_have_text("No job is stopped.")


def test_a_service_that_goes_away_and_comes_back(service: StandIn, opened: Open) -> None:
    """What is known stays on the page, the state of the connection is said, and it goes on by itself."""
    service.add(Plan(100, rate=10))
    page = opened(service.url)
    expect(page.tab.locator(".jobs tbody tr")).to_have_count(1)
    service.stop()
    expect(page.tab.locator("#link")).to_have_text("not connected, trying again")
    expect(page.tab.locator(".jobs tbody tr")).to_have_count(1)
    service.start()
    service.advance(5)
    expect(page.tab.locator(".jobs tbody")).to_contain_text("50 of 100")
    expect(page.tab.locator("#link")).to_be_hidden()


def test_limits_of_the_key(service: StandIn, opened: Open) -> None:
    """Requests, tokens and dollars, those that there are; nothing where there are none."""
    page = opened(service.url)
    expect(page.tab.locator(".empty")).to_be_visible()
    expect(page.tab.locator(".limits")).to_be_hidden()
    service.limits = {
        "key": "ci",
        "rpm": {"limit": 60, "remaining": 45, "reset": 30},
        "daily": {"tokens": None, "cost": {"limit": "5", "spent": "4.9", "left": "0.1"}},
    }
    page.tab.reload()
    strip = page.tab.locator(".limits")
    expect(strip).to_contain_text("ci")
    expect(strip).to_contain_text("Requests this minute 15 of 60")
    expect(strip).to_contain_text("$4.90 of $5.00")
    expect(strip).not_to_contain_text("Tokens")


def test_an_address_of_nothing(service: StandIn, opened: Open) -> None:
    """It says so, whatever it is, and shows the way back."""
    for hash in ("#/else/where", "#/job/%E0%A4%A/else", "#/job//results"):
        page = opened(service.url, hash=hash)
        expect(page.tab.locator("h2")).to_have_text("There is nothing at this address")
    page.tab.get_by_role("link", name="To the jobs").click()
    expect(page.tab.locator("h2")).to_have_text("Jobs")
