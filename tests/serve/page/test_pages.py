"""The page as it is sent: parts, policy, caching, and scripts that are shared with the reports."""

from __future__ import annotations

import gzip
import re

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from llmx.pages.document import asset
from llmx.serve.pages import HEADERS, SHARED, parts, router, version


@pytest.fixture
def client() -> TestClient:
    """An application of the page alone."""
    app = FastAPI()
    app.include_router(router)
    return TestClient(app)


def test_the_page_names_parts_that_are_there(client: TestClient) -> None:
    """Everything that the page or a module of it asks for is served, as what it is."""
    page = client.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    asked = re.findall(r'(?:href|src)="(page/[^"]+)"', page.text)
    imports = {
        name for part in parts().values() for name in re.findall(r'from "\./(\w+\.js)"', part.data.decode())
    }
    for path in [*asked, *(f"page/{version()}/{name}" for name in imports)]:
        found = client.get("/" + path)
        assert found.status_code == 200, path
        assert found.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert found.headers["Content-Type"].split(";")[0] in ("text/javascript", "text/css", "image/svg+xml")


def test_every_module_is_reached() -> None:
    """No file of the page is left over: each is imported from the first one, or named by the page."""
    found, wanted = {"main.js"}, ["main.js"]
    while wanted:
        names = re.findall(r'from "\./(\w+\.js)"', parts()[wanted.pop()].data.decode())
        wanted += [name for name in names if name not in found]
        found |= set(names)
    others = {name for name in parts() if not name.endswith(".js")}
    assert others == {"icon.svg", "page.html", "report.css", "service.css"}
    assert found | others == set(parts())


def test_every_answer_has_the_policy(client: TestClient) -> None:
    """Nothing inline, nothing evaluated, nothing of other hosts, no frame around it."""
    policy = dict(
        part.split(" ", 1) for part in client.get("/").headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    for path in ("/", f"/page/{version()}/main.js"):
        headers = client.get(path).headers
        assert {name: headers[name] for name in HEADERS} == HEADERS


def test_it_is_sent_where_it_has_changed(client: TestClient) -> None:
    """The page is asked for each time; whoever has it gets no body."""
    page = client.get("/")
    assert page.headers["Cache-Control"] == "no-cache"
    again = client.get("/", headers={"If-None-Match": page.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/", headers={"If-None-Match": '"other"'}).status_code == 200


def test_another_version_is_not_there(client: TestClient) -> None:
    """A page of an older service does not get modules of a newer one; and no file of elsewhere is to be had."""
    assert client.get("/page/0123456789abcdef/main.js").status_code == 404
    for name in (
        "none.js",
        "..%2fpages.py",
        "../pages.py",
        "%2e%2e/pages.py",
        "page.html%00.js",
        "page.html",
    ):
        assert client.get(f"/page/{version()}/{name}").status_code == 404


def test_it_is_packed_for_those_who_take_it(client: TestClient) -> None:
    """In gzip where that is asked for, plain elsewhere."""
    path = f"/page/{version()}/rows.js"
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.content == plain.content == gzip.decompress(parts()["rows.js"].packed)
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 2
    assert client.head("/").content == b""


def test_all_of_it_is_small() -> None:
    """It is there at once on a slow line."""
    assert sum(len(part.packed) for part in parts().values()) < 60_000


@pytest.mark.parametrize("name", [name for name in SHARED if name.endswith(".js")])
def test_a_shared_script_exports_what_it_declares(name: str) -> None:
    """Every function and constant at its top level; none that is within another."""
    script = asset(SHARED[name])
    exported = re.search(r"^export \{ (.*) \};$", parts()[name].data.decode(), re.MULTILINE)
    assert exported is not None
    names = exported[1].split(", ")
    functions = re.findall(r"^(?:async )?function (\w+)", script, re.MULTILINE)
    constants = re.findall(r"^const (\w+)", script, re.MULTILINE)
    assert len(names) == len(set(names))
    assert set(functions) | set(constants) <= set(names)
    assert all(
        re.search(rf"^(?:async )?(?:function|const)\b.*\b{one}\b", script, re.MULTILINE) for one in names
    )


def test_a_declaration_of_two_constants_is_both_of_them() -> None:
    """As charts.js has it."""
    exported = parts()["charts.js"].data.decode().rsplit("export {", 1)[1]
    assert {"HEIGHT", "WIDE"} <= set(re.findall(r"\w+", exported))


def test_nothing_makes_markup_or_code_of_text() -> None:
    """No module has a way to: the policy would stop it, and nobody tries."""
    for name, part in parts().items():
        if name.endswith(".js"):
            found = re.findall(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|setTimeout\([\"'`]",
                part.data.decode(),
            )
            assert found == [], name
