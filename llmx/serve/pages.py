"""The page at `/`: jobs, their progress and rows, and a place to try a schema; HTML, style and modules out of the package.

It knows nothing of jobs: the page's modules ask the service's own API, with the reader's key, as any client does. Element makers,
charts, quotes and the style are those of the reports (`llmx.pages`): one design, written once. The address of every part but the
page itself has the version of all of them in it, so that browsers keep them for good and never mix two versions.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Request, Response
from msgspec import Struct

from llmx.pages.document import asset

__all__ = ["HEADERS", "POLICY", "SHARED", "Part", "parts", "router", "version"]

SHARED = {"report.css": "style.css", "dom.js": "dom.js", "charts.js": "charts.js", "quotes.js": "quotes.js"}
"""Parts that the page has from the reports, by the names that they go by here."""

POLICY = "; ".join(
    f"{name} {value}".strip()
    for name, value in {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }.items()
)
"""The content security policy (https://www.w3.org/TR/CSP3/): files of this service alone, nothing inline, no markup out of text."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

PAGE = "page.html"

FOREVER = "public, max-age=31536000, immutable"

_KINDS = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

_DECLARED = re.compile(r"^(?:async )?(?:const|let|function\*?) +(.*)$", re.MULTILINE)
_NAMED = re.compile(r"^(\w+)|, (\w+) =")

router = APIRouter(include_in_schema=False)
"""To be included by the application, without a key: what it serves is the same for everybody."""


class Part(Struct, frozen=True):
    """A file of the page as it is sent.

    Args:
        kind: its media type.
        packed: `data` in gzip.
    """

    kind: str
    data: bytes
    packed: bytes


@cache
def parts() -> dict[str, Part]:
    """All files of the page by their names."""
    folder = files("llmx.serve").joinpath("page")
    texts = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.is_file()}
    texts |= {name: _shared(name) for name in SHARED}
    return {name: _part(name, text) for name, text in sorted(texts.items())}


def _part(name: str, text: str) -> Part:
    data = text.encode()
    return Part(_KINDS[name.rsplit(".", 1)[1]], data, gzip.compress(data, 9, mtime=0))


def _shared(name: str) -> str:
    """A part of the reports; its scripts, which stand in one block there, as a module."""
    text = asset(SHARED[name])
    if not name.endswith(".js"):
        return text
    below = (
        "" if name == "dom.js" else f'import {{ {", ".join(_names(asset("dom.js")))} }} from "./dom.js";\n'
    )
    return f"{below}{text}export {{ {', '.join(_names(text))} }};\n"


def _names(script: str) -> list[str]:
    """What a script declares at its top level."""
    lines = _DECLARED.findall(script)
    return [one or other for line in lines for one, other in _NAMED.findall(_head(line))]


def _head(line: str) -> str:
    """The part of a declaration in which further names may be declared: `a = 1, b = 2`, but no brackets."""
    return re.split(r"[({\[]", line, maxsplit=1)[0]


@cache
def version() -> str:
    """A digest of all files: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, part in parts().items():
        digest.update(f"{name} {len(part.data)}\n".encode() + part.data)
    return digest.hexdigest()[:16]


@cache
def _page() -> Part:
    text = parts()[PAGE].data.decode()
    return _part(PAGE, text.replace("{{parts}}", f"page/{version()}"))


@router.api_route("/", methods=["GET", "HEAD"])
async def _send_page(request: Request) -> Response:
    """The page itself, which is asked for anew each time, and sent where it has changed."""
    return _answer(request, _page(), "no-cache")


@router.api_route("/page/{which}/{name}", methods=["GET", "HEAD"])
async def _send_part(request: Request, which: str, name: str) -> Response:
    """A file of this version of the page."""
    found = parts().get(name)
    if found is None or which != version() or name == PAGE:
        raise HTTPException(404, "no such file of the page; load it again")
    return _answer(request, found, FOREVER)


def _answer(request: Request, found: Part, caching: str) -> Response:
    headers = {**HEADERS, "Cache-Control": caching, "ETag": f'"{version()}"'}
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return Response(found.data, headers=headers, media_type=found.kind)
    return Response(found.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=found.kind)
