"""For everybody: keyboard, names of controls, contrast, motion, phones, themes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from paged import Opened
from playwright.sync_api import expect
from stand_in import EPOCH, Plan, StandIn

Open = Callable[..., Opened]

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}

LONG = {
    "id": "x" * 300,
    "text": "w" * 2_000,
    "n" * 150: "v" * 900,
    "list": ["e" * 200] * 3,
    "deep": {"a": {"b": "c" * 300}},
}

CONTRAST = """root => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const parts = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)).reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (one) => { for (; one; one = one.parentElement) { const c = parts(getComputedStyle(one).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
    const poor = [];
    const walker = document.createTreeWalker(document.querySelector(root), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const one = walker.currentNode.parentElement, style = getComputedStyle(one);
        if (!walker.currentNode.data.trim() || !one.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || one.closest(":disabled, .unseen, option, noscript")) continue;
        if (parts(style.color)[3] === 0) continue;
        const [text, back] = [light(parts(style.color)), light(behind(one))];
        const ratio = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
        if (ratio < 4.5) poor.push([walker.currentNode.data.slice(0, 40), one.className, Math.round(ratio * 100) / 100]);
    }
    return poor;
}"""

NAMELESS = """() => [...document.querySelectorAll("button, input, select, textarea, a, [role=img], [role=region], [role=grid], [role=progressbar], dialog")]
    .filter((one) => one.checkVisibility() && !(one.textContent.trim() || one.getAttribute("aria-label") || one.getAttribute("aria-labelledby") || one.labels?.length))
    .map((one) => one.outerHTML)"""

NAMED = """() => {
    const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
    const named = [...document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]")].flatMap((one) => [one.getAttribute("aria-labelledby"), one.getAttribute("aria-describedby"), one.getAttribute("for")]).filter(Boolean);
    return [ids.filter((id, at) => ids.indexOf(id) !== at), named.filter((id) => !ids.includes(id))];
}"""

SEEN = "(() => { const one = document.activeElement, seen = (one) => one !== null && getComputedStyle(one).outlineStyle !== 'none'; return seen(one) || seen(one.nextElementSibling); })()"

VIEWS = [
    "#/jobs",
    "#/job/job_running",
    "#/job/job_stopped",
    "#/job/job_failed",
    "#/job/job_succeeded/results?row=2",
    "#/job/job_failed/errors?row=2",
    "#/new",
    "#/nowhere",
    "#/job/none",
]


@pytest.fixture
def busy(service: StandIn) -> StandIn:
    """A service with jobs of every state, and limits."""
    for number, state in enumerate(("queued", "running", "succeeded", "failed", "stopped", "cancelled")):
        is_whole = state in ("succeeded", "failed")
        service.add(
            Plan(
                300 if is_whole else 400,
                state=state,
                settled=0 if state == "queued" else 300,
                bad_every=10,
                started=EPOCH,
                ended=EPOCH + 9 if number > 1 else None,
                more={"name": f"the {state} one"},
            ),
            f"job_{state}",
        )
    tokens = {"limit": 100, "spent": 75, "left": 25}
    service.limits = {
        "key": "ci",
        "rpm": {"limit": 60, "remaining": 2, "reset": 30},
        "daily": {"tokens": tokens, "cost": None},
    }
    return service


def ready(page: Opened, hash: str) -> None:
    """Wait until a view shows what it has, and unfold all of it."""
    expect(page.tab.locator("main > *").first).to_be_attached()
    expect(page.tab.locator("[aria-busy=true]")).to_have_count(0)
    if "?row=" in hash:
        expect(page.tab.locator("#detail h3")).to_have_text("Row 2")
    page.tab.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme: str, busy: StandIn, opened: Open) -> None:
    """All text is told from what is behind it: 4.5 to 1 (WCAG 2.2, 1.4.3), in every view and both themes."""
    page = opened(busy.url, color_scheme=theme, reduced_motion="reduce")
    for hash in VIEWS:
        page.tab.goto(busy.url + hash)
        ready(page, hash)
        assert page.tab.evaluate(CONTRAST, "body") == [], hash


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_of_dialogs_and_tries(theme: str, busy: StandIn, opened: Open) -> None:
    """What comes later, likewise."""
    page = opened(busy.url, hash="#/job/job_running", color_scheme=theme, reduced_motion="reduce")
    page.tab.get_by_role("button", name="Cancel").click()
    expect(page.tab.get_by_role("dialog")).to_be_visible()
    assert page.tab.evaluate(CONTRAST, "dialog") == []
    page.tab.keyboard.press("Escape")
    page.tab.goto(busy.url + "#/new")
    page.tab.get_by_role("button", name="Paste rows instead").click()
    page.tab.fill("#pasted", '{"text": "late"}\nnonsense\n')
    page.tab.get_by_role("button", name="Use these rows").click()
    page.tab.fill("#schema-inline", "label late|lost")
    page.tab.get_by_role("button", name="Try the first row").click()
    expect(page.tab.locator(".tried .state")).to_have_text("done")
    assert page.tab.evaluate(CONTRAST, "body") == []


def test_every_control_has_a_name(busy: StandIn, opened: Open) -> None:
    """In the tree that screen readers are given; every view has its landmarks and one title; labels name what is there."""
    page = opened(busy.url)
    for hash in VIEWS:
        page.tab.goto(busy.url + hash)
        ready(page, hash)
        assert page.tab.evaluate(NAMELESS) == [], hash
        assert page.tab.evaluate(NAMED) == [[], []], hash
        assert page.tab.locator("main h2").count() == 1, hash
        tree = page.tab.locator("body").aria_snapshot()
        for landmark in ("banner", "main", "navigation"):
            assert re.search(rf"- '?{landmark}\b", tree), hash
        assert page.tab.title().endswith(" · llmx")


def tab_to(page: Opened, name: str) -> None:
    """Press Tab until something of a name has the focus; each on the way can be seen to have it."""
    for _ in range(60):
        page.tab.keyboard.press("Tab")
        found = page.tab.evaluate("[document.activeElement.textContent.trim(), document.activeElement.id]")
        if document_has_focus(page):
            assert page.tab.evaluate(SEEN), found
        if name in found:
            return
    raise AssertionError(f"{name} is out of reach")


def document_has_focus(page: Opened) -> bool:
    """Whether anything of the page has it: the browser's own bar is on the way round, too."""
    return bool(page.tab.evaluate("document.activeElement !== document.body"))


def test_a_job_is_made_by_keyboard(service: StandIn, opened: Open) -> None:
    """From the list to a job that runs, by Tab, letters and Enter alone."""
    page = opened(service.url)
    expect(page.tab.locator(".empty")).to_be_visible()
    keys = page.tab.keyboard
    keys.press("n")
    expect(page.tab.locator("h2")).to_have_text("New job")
    tab_to(page, "Paste rows instead")
    keys.press("Enter")
    keys.type('{"text": "late"}')
    tab_to(page, "Use these rows")
    keys.press("Enter")
    tab_to(page, "schema-inline")
    keys.type("label late|lost")
    tab_to(page, "Run 1 row as a job")
    keys.press("Enter")
    expect(page.tab.locator(".progress-line")).to_contain_text("0 of 1 rows")
    expect(page.tab.locator(".view-title")).to_be_focused()


def test_the_focus_goes_to_a_new_view(busy: StandIn, opened: Open) -> None:
    """To its title, as on a page that was loaded; the first one leaves it alone."""
    page = opened(busy.url)
    expect(page.tab.locator(".job-name")).to_have_count(6)
    assert page.tab.evaluate("document.activeElement === document.body")
    page.tab.locator(".job-name").first.press("Enter")
    expect(page.tab.locator(".view-title")).to_be_focused()
    page.tab.keyboard.press("g")
    expect(page.tab.locator("h2")).to_have_text("Jobs")
    expect(page.tab.locator(".view-title")).to_be_focused()
    page.tab.locator(".skip").focus()
    page.tab.keyboard.press("Enter")
    expect(page.tab.locator("main")).to_be_focused()
    expect(page.tab.locator("h2")).to_have_text("Jobs")


def test_progress_is_told_now_and_then(service: StandIn, opened: Open) -> None:
    """Each tenth of the rows and each change of state, not each of many snapshots."""
    job = service.add(Plan(1_000, rate=30))
    page = opened(service.url, hash=f"#/job/{job}")
    expect(page.tab.locator(".view-head .state")).to_have_text("queued")
    page.tab.evaluate(
        """() => {
            window.told = [];
            const said = document.getElementById("said");
            new MutationObserver(() => told.push(said.textContent)).observe(said, { childList: true, characterData: true, subtree: true });
        }"""
    )
    for second in range(1, 35):
        service.advance(1)
        expect(page.tab.locator(".progress-line")).to_contain_text(f"{min(1_000, 30 * second):,} of 1,000")
    told = page.tab.evaluate("told")
    assert 10 <= len(told) <= 12
    assert told[0].startswith("running: 3")
    assert told[-1] == "succeeded: 100\xa0%, 0 failed"


@pytest.mark.parametrize("hash", VIEWS)
def test_a_phone_scrolls_in_one_direction_only(hash: str, busy: StandIn, opened: Open) -> None:
    """No view is wider than the screen, and nothing that is to be touched is small (WCAG 2.2, 2.5.8)."""
    page = opened(busy.url, hash=hash, **PHONE)
    ready(page, hash)
    assert page.overflow == 0
    small = page.tab.evaluate(
        """() => [...document.querySelectorAll("main button:not(.quote, .link), main a.primary, main a.quiet, .bar a, .bar button")]
            .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 24).map((one) => one.textContent)"""
    )
    assert small == []


def test_long_words_on_a_phone(service: StandIn, opened: Open, tmp_path: Path) -> None:
    """Names, rows, errors and files of one endless word."""
    error = {"type": "t" * 300, "message": "m" * 3_000, "raw": "r" * 3_000}
    more = {
        "name": "n" * 200,
        "model": "m" * 200,
        "owner": "o" * 200,
        "reason": "r" * 900,
        "schema": "s" * 900,
        "errors": {"e" * 300: 4},
    }
    job = service.add(
        Plan(
            40, state="failed", settled=40, bad_every=2, row=lambda _: LONG, error=lambda _: error, more=more
        )
    )
    page = opened(service.url, **PHONE)
    for hash in ("#/jobs", f"#/job/{job}", f"#/job/{job}/results?row=2", f"#/job/{job}/errors?row=2"):
        page.tab.goto(service.url + hash)
        ready(page, hash)
        assert page.overflow == 0, hash
    page.tab.goto(service.url + "#/new")
    path = tmp_path / ("f" * 200 + ".csv")
    path.write_text("c" * 300 + ",b\n" + "v" * 3_000 + ",w\n")
    page.tab.set_input_files("#file", path)
    expect(page.tab.locator(".preview")).to_be_visible()
    assert page.overflow == 0


def test_a_job_takes_a_few_lines_of_a_phone(busy: StandIn, opened: Open) -> None:
    """Whatever its name: a list is to be looked through."""
    busy.add(Plan(10, state="succeeded", settled=10, more={"name": "n" * 150}), "job_z")
    page = opened(busy.url, **PHONE)
    lines = page.tab.locator(".jobs tbody tr")
    expect(lines).to_have_count(7)
    assert max(line.evaluate("line => line.getBoundingClientRect().height") for line in lines.all()) < 180
    apart = """line => {
        const [name, state] = [".job-name", ".state"].map((one) => line.querySelector(one).getBoundingClientRect());
        return name.right <= state.left && state.right <= innerWidth;
    }"""
    assert all(line.evaluate(apart) for line in lines.all())


def test_a_row_takes_the_phone_and_gives_it_back(busy: StandIn, opened: Open) -> None:
    """Beside each other there is no room for table and row."""
    page = opened(busy.url, hash="#/job/job_succeeded/results", **PHONE)
    page.tab.locator(".grid-body .grid-row").first.tap()
    expect(page.tab.locator("#detail")).to_be_visible()
    expect(page.tab.locator(".grid")).to_be_hidden()
    page.tab.get_by_role("button", name="Next row").tap()
    expect(page.tab.locator("#detail h3")).to_have_text("Row 2")
    page.tab.get_by_role("button", name="Close the row").tap()
    expect(page.tab.locator(".grid")).to_be_visible()
    expect(page.tab.locator("#detail")).to_be_hidden()


@pytest.mark.parametrize(("motion", "name"), [("reduce", "none"), ("no-preference", "arrive")])
def test_nothing_moves_for_those_who_asked_for_that(
    motion: str, name: str, service: StandIn, opened: Open
) -> None:
    """Fields arrive with a movement for the others only."""
    page = opened(service.url, reduced_motion=motion)
    page.tab.evaluate(
        "() => { const one = document.createElement('p'); one.className = 'arriving'; document.body.append(one); }"
    )
    assert page.tab.locator(".arriving").evaluate("one => getComputedStyle(one).animationName") == name


def test_the_theme(service: StandIn, opened: Open) -> None:
    """The system's, until the reader chooses; the choice is kept."""
    page = opened(service.url, color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.tab.evaluate(colour)
    page.tab.locator("#theme").click()
    expect(page.tab.locator("#theme")).to_have_text("Theme: light")
    light = page.tab.evaluate(colour)
    assert light != dark
    page.tab.reload()
    expect(page.tab.locator("#theme")).to_have_text("Theme: light")
    assert page.tab.evaluate(colour) == light
