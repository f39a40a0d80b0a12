"""The page itself: HTML, style and script out of the package, put around the data, with a policy that lets nothing else run.

Rows are never part of the markup: they are gzip in base64, which the script unpacks and puts on the page as text.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from llmx.pages.chunks import Chunk
from llmx.records import to_json

__all__ = ["SCRIPTS", "STYLE", "asset", "chunk_as_html", "document", "policy", "summary_as_html"]

STYLE = "style.css"

SCRIPTS = (
    "dom.js",
    "data.js",
    "charts.js",
    "overview.js",
    "fields.js",
    "evaluation.js",
    "rows.js",
    "quotes.js",
    "detail.js",
    "main.js",
)
"""In the order in which they are one script."""


@cache
def asset(name: str) -> str:
    """A file of the page."""
    return files("llmx.pages").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    return '"use strict";\n{\n' + "".join(map(asset, SCRIPTS)) + "}\n"


def policy(*, live: bool = False) -> str:
    """The content security policy (https://www.w3.org/TR/CSP3/): our style and our script by their hashes, and nothing else.

    Args:
        live: the page asks the server that it is from for more rows.
    """
    allowed = {
        "default-src": "'none'",
        "script-src": _hashed(_script()),
        "style-src": _hashed(asset(STYLE)),
        "img-src": "data:",
        "connect-src": "'self'" if live else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def document(title: str, data: Iterable[str], *, live: bool = False) -> Iterator[str]:
    """The page in pieces.

    Args:
        title: of the window: any text.
        data: pieces of markup, see `chunk_as_html`; taken one by one as they are written.
        live: see `policy`.
    """
    parts = {
        "title": html.escape(_plain(title)),
        "policy": html.escape(policy(live=live)),
        "mode": "live" if live else "file",
        "style": asset(STYLE),
    }
    head, tail = asset("page.html").split("{{data}}")
    for name, text in parts.items():
        head = head.replace("{{" + name + "}}", text)
    yield head
    yield from data
    yield tail.replace("{{script}}", _script())


def _plain(text: str) -> str:
    """Text that any encoding takes: names of files may hold bytes that are no UTF-8."""
    return text.encode("utf-8", "replace").decode()


def chunk_as_html(number: int, chunk: Chunk) -> str:
    """A chunk as an element that no browser runs."""
    return _block(f"c{number}", chunk.data)


def summary_as_html(summary: Mapping[str, Any]) -> str:
    """What the page shows beside the rows, as such an element."""
    return _block("summary", gzip.compress(to_json(summary), 6, mtime=0))


def _block(name: str, data: bytes) -> str:
    return f'<script type="application/gzip" id="{name}">{base64.b64encode(data).decode()}</script>\n'
