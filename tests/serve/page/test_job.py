"""One job in Chromium: progress as it happens, over connections that break, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from paged import Opened
from playwright.sync_api import expect
from stand_in import Plan, StandIn

Open = Callable[..., Opened]


def refused(page: Opened) -> list[str]:
    """What the console says but for answers that were no success."""
    return [text for text in page.complaints if "Failed to load resource" not in text]


def test_progress_as_it_happens(service: StandIn, opened: Open) -> None:
    """Rows, failures, cost and errors by kind without a question of the page, to the end."""
    job = service.add(Plan(1_000, rate=50, bad_every=10, more={"name": "tickets"}))
    page = opened(service.url, hash=f"#/job/{job}")
    expect(page.tab.locator("h2")).to_have_text("tickets")
    expect(page.tab.locator(".view-head .state")).to_have_text("queued")
    service.advance(4)
    expect(page.tab.locator(".view-head .state")).to_have_text("running")
    expect(page.tab.locator(".progress-line")).to_contain_text(
        "20 % 200 of 1,000 rows".replace(" %", "\xa0%")
    )
    expect(page.tab.locator(".tile", has_text="Failed")).to_contain_text("20")
    expect(page.tab.locator(".tile", has_text="Cost")).to_contain_text("$0.0080≈ $0.0400 in all")
    expect(page.tab.locator(".choice")).to_contain_text("invalid_answer")
    service.advance(16)
    expect(page.tab.locator(".view-head .state")).to_have_text("succeeded")
    expect(page.tab.locator(".progress-line")).to_contain_text("100\xa0% 1,000 of 1,000 rows")
    expect(page.tab.locator(".tile", has_text="Took")).to_contain_text("16")
    assert page.tab.title() == "tickets · llmx"
    assert len(service.requests("GET", f"/v1/jobs/{job}")) == 1
    assert len(service.requests("GET", f"/v1/jobs/{job}/events")) == 1
    assert page.complaints == []


def test_a_connection_that_drops_is_made_anew(service: StandIn, opened: Open) -> None:
    """It says which snapshot was the last, and nothing is lost that happened meanwhile."""
    job = service.add(Plan(1_000, rate=50))
    page = opened(service.url, hash=f"#/job/{job}")
    service.advance(2)
    expect(page.tab.locator(".progress-line")).to_contain_text("100 of 1,000")
    version = service.jobs[job].version
    service.drop()
    service.advance(6)
    expect(page.tab.locator(".progress-line")).to_contain_text("400 of 1,000")
    streams = service.requests("GET", f"/v1/jobs/{job}/events")
    assert len(streams) >= 2
    assert "last-event-id" not in streams[0]
    assert int(streams[1]["last-event-id"]) >= version
    expect(page.tab.locator("#link")).to_be_hidden()


def test_a_service_that_starts_anew(service: StandIn, opened: Open) -> None:
    """While it is away the page says so and keeps what it knows; then it goes on."""
    job = service.add(Plan(1_000, rate=50))
    page = opened(service.url, hash=f"#/job/{job}")
    service.advance(2)
    expect(page.tab.locator(".progress-line")).to_contain_text("100 of 1,000")
    service.stop()
    expect(page.tab.locator("#link")).to_have_text("not connected, trying again")
    expect(page.tab.locator(".progress-line")).to_contain_text("100 of 1,000")
    service.start()
    service.advance(30)
    expect(page.tab.locator(".view-head .state")).to_have_text("succeeded")
    assert refused(page) == []


def test_leaving_the_view_ends_its_stream(service: StandIn, opened: Open) -> None:
    """No stream is left open for each job that was looked at."""
    job = service.add(Plan(1_000, rate=50))
    page = opened(service.url, hash=f"#/job/{job}")
    service.advance(1)
    expect(page.tab.locator(".progress-line")).to_contain_text("50 of 1,000")
    with page.tab.expect_event("requestfailed", lambda request: request.url.endswith("/events")):
        page.tab.locator(".crumbs a").click()
    expect(page.tab.locator("h2")).to_have_text("Jobs")


def test_cancelling_is_asked_twice(service: StandIn, opened: Open) -> None:
    """Esc and the first button keep the job; the second one cancels it."""
    job = service.add(Plan(1_000, rate=50))
    service.advance(2)
    page = opened(service.url, hash=f"#/job/{job}")
    page.tab.get_by_role("button", name="Cancel").click()
    expect(page.tab.get_by_role("dialog")).to_contain_text("cannot be resumed")
    page.tab.keyboard.press("Escape")
    page.tab.get_by_role("button", name="Cancel").click()
    page.tab.get_by_role("button", name="Keep it").click()
    assert service.jobs[job].state == "running"
    page.tab.get_by_role("button", name="Cancel").click()
    page.tab.get_by_role("button", name="Cancel the job").click()
    expect(page.tab.locator(".view-head .state")).to_have_text("cancelled")
    expect(page.tab.get_by_role("button", name="Resume")).to_have_count(0)


def test_a_stopped_job_says_why_and_is_resumed(service: StandIn, opened: Open) -> None:
    """And is followed again."""
    job = service.add(Plan(1_000, rate=50, stops_at=200))
    service.advance(10)
    page = opened(service.url, hash=f"#/job/{job}")
    expect(page.tab.locator(".told")).to_have_text("the budget of $1.00 is spent")
    page.tab.get_by_role("button", name="Resume").click()
    expect(page.tab.locator(".view-head .state")).to_have_text("running")
    expect(page.tab.locator(".told")).to_be_hidden()
    service.advance(4)
    expect(page.tab.locator(".progress-line")).to_contain_text("400 of 1,000")


def test_forgetting(service: StandIn, opened: Open) -> None:
    """The job is gone, and the page is at the list."""
    job = service.add(Plan(5, state="succeeded", settled=5))
    page = opened(service.url, hash=f"#/job/{job}")
    page.tab.get_by_role("button", name="Forget").click()
    page.tab.get_by_role("button", name="Forget the job").click()
    expect(page.tab.locator(".empty")).to_be_visible()
    assert service.jobs == {}
    page.tab.goto(service.url + f"#/job/{job}")
    expect(page.tab.locator("h2")).to_have_text("There is no such job")
    expect(page.tab.get_by_role("alert")).to_contain_text(f"no job '{job}'")


def test_a_refusal_is_shown_in_the_services_words(service: StandIn, opened: Open) -> None:
    """What it says, what can be done, and the request's id to ask the operator with."""
    job = service.add(Plan(5, stops_at=2, rate=2))
    service.advance(1)
    page = opened(service.url, hash=f"#/job/{job}")
    resume = page.tab.get_by_role("button", name="Resume")
    expect(resume).to_be_visible()
    service.jobs[job].state = "cancelled"
    resume.click()
    box = page.tab.get_by_role("alert")
    expect(box).to_contain_text("only a job that was stopped can be resumed")
    expect(box).to_contain_text("HTTP 409 · request r-1")


def test_downloads(service: StandIn, opened: Open, tmp_path: Path) -> None:
    """Rows as they are, under a name that any system takes, with the key where there is one."""
    service.keys = {"llmx_secret"}
    job = service.add(
        Plan(10, state="succeeded", settled=10, bad_every=5, more={"name": "../Ümlaut tickets.csv"})
    )
    page = opened(service.url, hash=f"#/job/{job}")
    page.tab.get_by_label("API key").fill("llmx_secret")
    page.tab.keyboard.press("Enter")
    for title, name, lines in (
        ("Results as JSON Lines", "mlaut-tickets.jsonl", 8),
        ("Results as CSV", "mlaut-tickets.csv", 9),
        ("Errors as JSON Lines", "mlaut-tickets.errors.jsonl", 2),
    ):
        with page.tab.expect_download() as loading:
            page.tab.get_by_role("button", name=title).click()
        assert loading.value.suggested_filename == name
        loading.value.save_as(tmp_path / name)
        assert len((tmp_path / name).read_text().splitlines()) == lines
    assert refused(page) == []


def test_the_same_from_a_shell(service: StandIn, opened: Open) -> None:
    """Commands with this service's address; a key is a variable in them, and never the key."""
    service.keys = {"llmx_secret"}
    job = service.add(Plan(10, state="succeeded", settled=10, more={"name": "it's; $(rm) `x`"}))
    page = opened(service.url, hash=f"#/job/{job}", permissions=["clipboard-read", "clipboard-write"])
    page.tab.get_by_label("API key").fill("llmx_secret")
    page.tab.keyboard.press("Enter")
    page.tab.get_by_text("The same from a shell").click()
    commands = page.tab.locator(".command pre").all_inner_texts()
    assert commands[0] == f'curl -sS -H "Authorization: Bearer $LLMX_KEY" {service.url}v1/jobs/{job}'
    assert f"-o it-s-rm-x.jsonl '{service.url}v1/jobs/{job}/results?follow=true'" in commands[2]
    assert not any("llmx_secret" in command for command in commands)
    page.tab.locator(".command .copy").first.click()
    expect(page.tab.locator(".command .copy").first).to_have_text("Copied")
    assert page.tab.evaluate("navigator.clipboard.readText()") == commands[0]


def test_an_error_leads_to_its_rows(service: StandIn, opened: Open) -> None:
    """From a kind of error to the failed rows of that kind."""
    job = service.add(Plan(40, state="failed", settled=40, bad_every=10))
    page = opened(service.url, hash=f"#/job/{job}")
    page.tab.get_by_role("button", name="invalid_answer").click()
    expect(page.tab.locator("#search")).to_have_value("invalid_answer")
    expect(page.tab.locator(".count")).to_contain_text("4 of 4 loaded rows")


def test_the_pace(service: StandIn, opened: Open) -> None:
    """Rows a second of late, the time that is left by that, and a chart once there is something to see."""
    job = service.add(Plan(100_000, rate=100))
    page = opened(service.url)
    page.tab.clock.install()
    page.tab.goto(service.url + f"#/job/{job}")
    for second in range(12):
        service.advance(1)
        expect(page.tab.locator(".progress-line")).to_contain_text(f"{(second + 1) * 100:,} of 100,000")
        page.tab.clock.run_for(1000)
    rate = page.tab.locator(".tile", has_text="Rows a second").locator(".figure")
    found = float(rate.inner_text())
    assert 80 <= found <= 125
    expect(page.tab.locator(".tile", has_text="Time left")).to_contain_text("≈ ")
    expect(page.tab.locator("svg.timeline")).to_have_count(1)


def test_old_times_are_by_the_services_clock(service: StandIn, opened: Open) -> None:
    """A job of a moment ago is not of tomorrow, whatever the reader's clock says."""
    now = datetime.now(UTC).timestamp()
    service.add(Plan(5, created=now - 3 * 3600))
    page = opened(service.url)
    page.tab.clock.install(time=now + 86_400 * 3)
    page.tab.reload()
    expect(page.tab.locator(".jobs time")).to_have_text("3 hours ago")
