"""The page's own files: what they may do, whether they can be read, and that they are installed."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from llmx.pages.document import SCRIPTS, STYLE, asset, document

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "llmx" / "pages" / "page"


def page(*, live: bool = False, title: str = "a") -> str:
    return "".join(document(title, ["<p>data</p>"], live=live))


@pytest.mark.parametrize("live", [False, True])
def test_the_policy_allows_the_page_and_nothing_else(live: bool) -> None:
    """Script and style by the hashes of what stands there; connections only where there is a server."""
    text = page(live=live)
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert found is not None
    policy = dict(part.split(" ", 1) for part in found[1].replace("&#x27;", "'").split("; "))
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    for name, part in (("script-src", script), ("style-src", style)):
        assert (
            policy.pop(name)
            == f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"
        )
    assert policy == {
        "default-src": "'none'",
        "img-src": "data:",
        "connect-src": "'self'" if live else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_the_markup_has_no_handlers_and_asks_for_nothing() -> None:
    """No `onclick` and no `style`, no address of anybody."""
    markup = asset("page.html")
    assert re.findall(r"\s(on\w+|style)=", markup) == []
    assert re.findall(r"(?:src|href)=\"(?!#|data:,)", markup) == []
    assert "http" not in markup.replace("http-equiv", "")


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_makes_no_markup_of_text(name: str) -> None:
    """Nothing that would parse or run a string, and nothing that would end the element that it stands in."""
    text = asset(name)
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|</script|<!--"
    assert re.findall(forbidden, text) == []


def test_a_title_is_text() -> None:
    """Names of files may hold anything."""
    assert "<title>&lt;/title&gt;&lt;script&gt; ?</title>" in page(title="</title><script> \udcff")


def test_all_files_of_the_page_are_used() -> None:
    """None is left over, none is missing."""
    assert {path.name for path in PAGE.iterdir()} == {*SCRIPTS, STYLE, "page.html"}


def test_the_wheel_has_the_page(tmp_path: Path) -> None:
    """What is installed can make pages."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
    ]
    subprocess.run([*command, str(tmp_path), str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"llmx/pages/page/{path.name}" for path in PAGE.iterdir()} <= names


# Contrast, by WCAG 2.2, success criteria 1.4.3 (text: 4.5) and 1.4.11 (parts of controls and charts: 3).
# Relative luminance: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance

TEXTS = [
    *(
        (text, behind)
        for text in ("text", "muted", "one", "good", "warn", "bad")
        for behind in ("page", "card", "sunk")
    ),
    *((kind, f"{kind}-soft") for kind in ("one", "good", "warn", "bad")),
    *(
        ("text", behind)
        for behind in ("one-soft", "warn-soft", "bad-soft", "q0", "q1", "q2", "q3", "q4", "q5")
    ),
    ("muted", "one-soft"),
    ("muted", "warn-soft"),
    ("muted", "bad-soft"),
]
SHAPES = [
    (shape, behind) for shape in ("one", "two", "good", "warn", "bad", "edge") for behind in ("card", "sunk")
]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("front", "behind", "least"), [*((*pair, 4.5) for pair in TEXTS), *((*pair, 3.0) for pair in SHAPES)]
)
def test_contrast(front: str, behind: str, least: float, theme: int) -> None:
    """Everything can be read in both themes."""
    colours = dict(re.findall(r"--([\w-]+): light-dark\((#\w{6}, #\w{6})\)", asset(STYLE)))
    assert contrast(*(colours[name].split(", ")[theme] for name in (front, behind))) >= least
