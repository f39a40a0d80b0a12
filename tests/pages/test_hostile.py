"""Rows that would like to be more than text: nothing of them runs in Chromium, and nothing is asked of anybody."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from paged import Opened, write_lines

ATTACKS = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 1</script>",
    "--></script ><img src=x onerror='window.hacked = 1'>",
    "<svg onload=window.hacked=1><style>*{display:none}</style>",
    "\"><iframe srcdoc='<script>parent.hacked = 1</script>'></iframe>",
    "' autofocus onfocus='window.hacked = 1",
    "javascript:window.hacked=1",
    "<a href='javascript:window.hacked=1'>click</a>",
    "<link rel=stylesheet href=http://127.0.0.1:9/leak.css><base href=http://127.0.0.1:9/>",
    "<meta http-equiv=refresh content='0; url=http://127.0.0.1:9/'>",
    "{{constructor.constructor('window.hacked = 1')()}} ${window.hacked = 1} <%= 1 %>",
    "\u2028window.hacked = 1\u2029",
    "\u202egnp.exe\u202c \u2066hidden\u2069 \u200bzero\ufeff",
    "\x00\x07\x1b[31m\x7f",
    "]]><!-- {{data}} {{script}} {{style}}",
    "__proto__",
    "constructor",
]


def hostile_rows() -> list[Any]:
    """Each attack as a key, a column's name, a value, within lists and objects, and in all that is said about a row."""
    rows: list[Any] = []
    for number, attack in enumerate(ATTACKS):
        evidence = {"quote": attack, "column": attack, "start": 0, "end": len(attack), "match": attack}
        rows.append(
            {
                "id": f"{number} {attack}",
                "text": attack * 3,
                attack: attack,
                "label": attack,
                "list": [attack, {"name": attack, attack: [attack]}],
                "object": {attack: attack},
                "_evidence": {"label": evidence, attack: evidence, "gone": None},
                "_confidence": {"label": 0.2, attack: 0.3},
                "_llmx": {"model": attack, attack: attack, "cost": attack},
            }
        )
    return rows


def hostile_failures() -> list[Any]:
    """The same as errors."""
    return [
        {
            "id": f"f{number}",
            "text": attack,
            "_error": {"type": attack, "message": attack, "raw": attack, "line": 1},
        }
        for number, attack in enumerate(ATTACKS)
    ]


def evaluations() -> ModuleType:
    """Evaluations that find an attack in gold for every row."""
    rows = hostile_rows()
    found = [
        SimpleNamespace(key=row["id"], path=path, expected=attack, predicted=attack)
        for row, attack in zip(rows, ATTACKS, strict=True)
        for path in ("label", attack)
    ]
    fields = {attack: {"n": 1, "accuracy": 0.5, "ci95": [0.1, 0.9]} for attack in ATTACKS}
    document = {"rows": {"matched": len(rows), "missing": 0, "extra": 0}, "fields": fields}
    module = ModuleType("llmx.evals")
    evaluation = SimpleNamespace(document=lambda: document, disagreements=lambda: iter(found))
    module.evaluate = lambda predictions, gold, key: evaluation  # type: ignore[attr-defined]
    return module


@pytest.fixture
def hostile(reported: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A report whose every part is of an attack, its file's name too."""
    monkeypatch.setitem(sys.modules, "llmx.evals", evaluations())
    other = [{**row, "label": row["label"] + "<img src=x onerror=window.hacked=1>"} for row in hostile_rows()]
    write_lines(tmp_path / "<b onclick=window.hacked=1>.jsonl", other)
    write_lines(tmp_path / "gold.jsonl", hostile_rows())
    name = "<img src=x onerror=window.hacked=1>.jsonl"
    write_lines(tmp_path / "<img src=x onerror=window.hacked=1>.errors.jsonl", hostile_failures())
    return reported(hostile_rows(), name=name, compare="<b onclick=window.hacked=1>.jsonl", gold="gold.jsonl")


def test_nothing_of_a_row_runs_or_asks(hostile: Path, opened: Callable[..., Opened]) -> None:
    """All parts and all rows are looked at, and clicked on: no script ran, no request left, nothing was even refused."""
    page = opened(hostile)
    assert page.tab.title().startswith("<img src=x onerror=window.hacked=1>.jsonl")
    for fold in page.tab.locator("#overview details").all():
        fold.evaluate("one => one.open = true")
    page.tab.locator("#nav a", has_text="Rows").click()
    page.tab.locator("#list").focus()
    for _ in range(2 * len(ATTACKS)):
        page.tab.keyboard.press("j")
        page.tab.wait_for_selector("#detail h3")
        for fold in page.tab.locator("#detail details").all():
            fold.evaluate("one => one.open = true")
    assert page.tab.evaluate("window.hacked") is None
    assert (
        page.tab.evaluate(
            "document.querySelectorAll('img, iframe, object, embed, base, #main a, #main style').length"
        )
        == 0
    )
    assert page.requests == [page.requests[0]]
    assert page.requests[0].startswith("file:///")
    assert page.complaints == []


def test_what_hides_or_reorders_is_shown(hostile: Path, opened: Callable[..., Opened]) -> None:
    """Bidirectional, zero-width and control characters are seen as what they are."""
    page = opened(hostile, hash=f"#row-{ATTACKS.index(next(a for a in ATTACKS if 'gnp.exe' in a)) + 1}")
    page.tab.wait_for_selector("#detail .source-text")
    text = page.tab.locator("#detail .source-text").first.inner_text()
    assert "U+202Egnp.exeU+202C" in text
    assert {"\u202e", "\u2066", "\u200b", "\ufeff"} & set(text) == set()


def test_the_policy_stops_what_a_mistake_of_ours_would_let_in(
    reported: Callable[..., Path], opened: Callable[..., Opened]
) -> None:
    """Markup that came into the page all the same: no script, handler, style or request of it is let through."""
    page = opened(reported([{"a": 1}]))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    page.tab.evaluate(
        """port => {
            const script = document.createElement("script");
            script.textContent = "window.hacked = 1";
            document.body.append(script);
            const place = document.createElement("div");
            document.body.append(place);
            place.innerHTML = `<img src='http://127.0.0.1:${port}/leak' onerror='window.hacked = 2'><p id=styled style='color: red'>a</p>`;
        }""",
        listener.getsockname()[1],
    )
    refused = " ".join(page.complaints)
    assert page.tab.evaluate("window.hacked") is None
    assert page.tab.evaluate("getComputedStyle(document.querySelector('#styled')).color") != "rgb(255, 0, 0)"
    for what in ("script-src", "style-src", "img-src"):
        assert what in refused
    with listener, pytest.raises(BlockingIOError):
        listener.accept()
