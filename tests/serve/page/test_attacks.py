"""Texts that would like to be more: in names, rows, errors, schemas, models, files and problems nothing runs and nothing hides."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paged import Opened
from playwright.sync_api import expect
from stand_in import EPOCH, Plan, StandIn, problem

Open = Callable[..., Opened]

ATTACKS = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    '"><svg onload=window.hacked=1><style>*{display:none}</style>',
    "' autofocus onfocus='window.hacked = 1",
    "javascript:window.hacked=1",
    "<a href='javascript:window.hacked=1'>click</a>",
    "<meta http-equiv=refresh content='0; url=http://127.0.0.1:9/'>",
    "${window.hacked = 1} {{constructor.constructor('window.hacked = 1')()}}",
    "\u202egnp.exe\u202c \u2066hidden\u2069 \u200bzero\ufeff",
    "\x00\x07\x1b[31m\x7f",
    "\u2028 alone \u2029",
    "__proto__",
    "constructor",
    "../../etc/passwd?#&%00",
    "\n\r\ndata: {}\n\nevent: end\n\n",
    "W" * 20_000,
]

MARKUP = "document.querySelectorAll('img, iframe, object, embed, base, main script, main style, main meta, main svg:not([role=img]), [onerror], [onload], [onfocus]').length"


def attacked(number: int) -> dict[str, Any]:
    """A row that is made of one attack."""
    attack = ATTACKS[number % len(ATTACKS)]
    quote = {"quote": attack, "column": "text", "start": 0, "end": len(attack), "match": attack}
    said = {
        "_evidence": {"id": quote, attack: quote, "list": attack},
        "_confidence": {attack: 0.2, "id": attack},
    }
    about = {"model": attack, attack: attack, "cost": attack}
    return {
        "id": attack,
        "text": attack * 2,
        attack: attack,
        "list": [attack, {attack: attack}],
        **said,
        "_llmx": about,
    }


def job(attack: str) -> Plan:
    """A job every text of which is an attack."""
    more = {
        "name": attack,
        "owner": attack,
        "model": attack,
        "schema": attack,
        "reason": attack,
        "errors": {attack: 3, "__proto__": 1},
    }
    options = {
        "schema": {"title": attack, "properties": {attack: {"type": attack}}},
        "system": attack,
        attack: attack,
        "input": [attack],
    }
    error = {"type": attack, "message": attack, "raw": attack}
    ended = {"state": "stopped", "settled": 40, "started": EPOCH, "ended": EPOCH + 5}
    return Plan(40, bad_every=2, row=attacked, error=lambda _: error, options=options, more=more, **ended)


def is_harmless(page: Opened) -> None:
    """Nothing ran, nothing was refused by the policy, nothing was asked of anybody else, and nothing hides."""
    assert page.tab.evaluate("window.hacked") is None
    assert page.tab.evaluate(MARKUP) == 0
    assert {address.split("/")[2] for address in page.requests} == {page.tab.url.split("/")[2]}
    assert [text for text in page.complaints if "Failed to load resource" not in text] == []
    text = page.tab.evaluate("document.querySelector('main').innerText")
    assert {"\u202e", "\u2066", "\u200b", "\ufeff", "\x1b"} & set(text) == set()
    assert page.overflow == 0


def unfold(page: Opened) -> None:
    """Open all that is folded."""
    page.tab.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")


def test_in_jobs(service: StandIn, opened: Open) -> None:
    """The list, and each of the jobs with all that is said about it."""
    for number, attack in enumerate(ATTACKS):
        service.add(job(attack), f"job_{number:02d}")
    page = opened(service.url)
    expect(page.tab.locator(".jobs tbody tr")).to_have_count(len(ATTACKS))
    is_harmless(page)
    for number in range(len(ATTACKS)):
        page.tab.goto(service.url + f"#/job/job_{number:02d}")
        expect(page.tab.locator(".facts")).to_contain_text(f"job_{number:02d}")
        unfold(page)
        is_harmless(page)


@pytest.mark.parametrize("kind", ["results", "errors"])
def test_in_rows(kind: str, service: StandIn, opened: Open) -> None:
    """The table, and each row beside it."""
    id = service.add(job("rows"))
    service.jobs[id].row = lambda number: attacked(number // 2)
    page = opened(service.url, hash=f"#/job/{id}/{kind}")
    expect(page.tab.locator(".grid-body .grid-row").first).to_contain_text("1")
    page.tab.locator(".grid").focus()
    page.tab.keyboard.press("Enter")
    for number in range(len(ATTACKS)):
        expect(page.tab.locator("#detail h3")).to_have_text(f"Row {number + 1}")
        unfold(page)
        is_harmless(page)
        page.tab.keyboard.press("j")


def test_in_what_is_on_offer_and_in_answers(service: StandIn, opened: Open, tmp_path: Path) -> None:
    """Schemas, models, limits, a file's name, columns and rows, streamed fields, restarts, errors."""
    first, attack, third = ATTACKS[:3]
    service.schemas = [
        {"name": one, "description": one, "json_schema": {"properties": {one: {"title": one}}}}
        for one in ATTACKS
    ]
    service.models = [
        {"name": one, "default": False, "input_price": one, "output_price": one} for one in ATTACKS
    ]
    service.limits = {
        "key": first,
        "rpm": {"limit": attack, "remaining": third, "reset": first},
        "daily": {"tokens": None, "cost": {"limit": attack, "spent": third, "left": None}},
    }
    usage = {"input_tokens": 1, "output_tokens": 1, "cached_tokens": 0, "cost": "0"}
    whole = {
        "value": {one: one for one in ATTACKS},
        "error": None,
        "evidence": {attack: {"quote": attack}, "__proto__": None},
        "source": attack,
        "model": attack,
        "attempts": 1,
        "seconds": attack,
        "usage": usage,
    }
    service.events = lambda row, data: [
        ("field", {"path": first, "value": third}),
        ("restart", {"reason": attack, "message": ATTACKS[row]}),
        ("field", {"path": attack, "value": {attack: [attack]}}),
        ("object", whole),
    ]
    file = tmp_path / "<img src=x onerror=window.hacked=1>.jsonl"
    file.write_text("".join(json.dumps({one: one, "text": one}) + "\n" for one in ATTACKS) + "<script>\n")
    page = opened(service.url, hash="#/new")
    page.tab.set_input_files("#file", file)
    expect(page.tab.locator(".file-name")).to_contain_text("<img src=x onerror=window.hacked=1>.jsonl")
    page.tab.get_by_label("A ready-made schema").check()
    page.tab.select_option("#schema-named", index=1)
    unfold(page)
    page.tab.get_by_role("button", name="Try the first 3 rows").click()
    expect(page.tab.locator(".tried .state").last).to_have_text("done")
    is_harmless(page)


@pytest.mark.parametrize("attack", ATTACKS[:10], ids=range(10))
def test_in_problems(attack: str, service: StandIn, opened: Open) -> None:
    """What a refusal says is text, too."""
    service.refusal = problem(422, attack, attack, hint=attack, title=attack)
    page = opened(service.url, hash="#/new")
    page.tab.get_by_role("button", name="Paste rows instead").click()
    page.tab.fill("#pasted", '{"text": "late"}')
    page.tab.get_by_role("button", name="Use these rows").click()
    page.tab.fill("#schema-inline", "label late|lost")
    page.tab.get_by_role("button", name="Run 1 row as a job").click()
    expect(page.tab.locator(".error-box")).to_contain_text("HTTP 422")
    is_harmless(page)


def test_the_policy_stops_what_a_mistake_of_ours_would_let_in(service: StandIn, opened: Open) -> None:
    """No script, handler, style or request of markup that came in all the same; and text becomes no markup at all."""
    page = opened(service.url)
    expect(page.tab.locator(".empty")).to_be_visible()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    failed = page.tab.evaluate(
        """async port => {
            await new Promise((resume) => setTimeout(resume)); // beyond the reach of what drives the browser, which may evaluate
            const failed = [];
            const tries = {
                markup: () => { document.body.innerHTML = "<p>in</p>"; },
                script: () => { const script = document.createElement("script"); script.textContent = "window.hacked = 1"; document.body.append(script); },
                code: () => { eval("window.hacked = 1"); },
            };
            for (const [name, attempt] of Object.entries(tries)) try { attempt(); } catch { failed.push(name); }
            const image = document.createElement("img");
            image.src = `http://127.0.0.1:${port}/leak`;
            const style = document.createElement("style");
            style.textContent = "main { display: none }";
            document.body.append(image, style);
            return failed;
        }""",
        listener.getsockname()[1],
    )
    assert {"markup", "script", "code"} <= set(failed)
    assert page.tab.evaluate("window.hacked") is None
    assert page.tab.locator("main").is_visible()
    with listener, pytest.raises(BlockingIOError):
        listener.accept()
