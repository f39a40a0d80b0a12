"""A page that follows an output: what is new, over a real socket."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paged import Opened, page_env, write_lines
from playwright.sync_api import expect

from llmx.errors import UsageError
from llmx.journal import Manifest, run_folder, write_manifest
from llmx.pages import tail
from llmx.pages.chunks import ROWS
from llmx.pages.live import PAUSE, LivePage
from llmx.pages.server import PageServer, serve_page


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def live(tmp_path: Path, clock: Hands) -> Callable[[str], LivePage]:
    """Follows an output of the folder."""
    return lambda name: LivePage(name, page_env(tmp_path), now=clock)


def add(path: Path, *rows: Any) -> None:
    with path.open("ab") as file:
        for row in rows:
            file.write(json.dumps(row).encode() + b"\n")


def said(page: LivePage, clock: Hands) -> dict[str, Any]:
    """What is said at the next look."""
    clock.time += 2 * PAUSE
    return dict(json.loads(page.summary()))


def rows_of(page: LivePage, summary: dict[str, Any]) -> list[Any]:
    """All rows, chunk by chunk."""
    found = []
    for number, (_, count) in enumerate(summary["chunks"]):
        data = page.chunk(number)
        assert data is not None
        lines = [json.loads(line)["r"] for line in gzip.decompress(data).split(b"\n")]
        assert len(lines) == count
        found += lines
    return found


def test_rows_come_as_they_are_written(live: Callable[[str], LivePage], clock: Hands, tmp_path: Path) -> None:
    """Failed ones, too; what is half written waits; the rename at the end loses nothing."""
    partial = tmp_path / "out.jsonl.partial"
    add(partial, {"a": 1})
    page = live("out.jsonl")
    first = said(page, clock)
    assert (first["rows"]["ok"], rows_of(page, first)) == (1, [{"a": 1}])
    with partial.open("ab") as file:
        file.write(b'{"a": 2}\n{"a":')
    add(tmp_path / "out.errors.jsonl.partial", {"a": 9, "_error": {"type": "refusal"}})
    second = said(page, clock)
    assert (second["rows"], rows_of(page, second)) == (
        {"ok": 2, "failed": 1, "unreadable": 0, "shown": 3},
        [{"a": 1}, {"a": 2}, {"a": 9}],
    )
    with partial.open("ab") as file:
        file.write(b" 3}\n")
    partial.rename(tmp_path / "out.jsonl")
    (tmp_path / "out.errors.jsonl.partial").rename(tmp_path / "out.errors.jsonl")
    third = said(page, clock)
    assert rows_of(page, third) == [{"a": 1}, {"a": 2}, {"a": 9}, {"a": 3}]
    assert (third["epoch"], third["state"]) == (first["epoch"], "complete")


def test_many_rows_are_in_chunks_that_do_not_change(
    live: Callable[[str], LivePage], clock: Hands, tmp_path: Path
) -> None:
    """Only the last one grows."""
    path = write_lines(tmp_path / "out.jsonl", [{"n": number} for number in range(ROWS + 10)])
    page = live("out.jsonl")
    assert said(page, clock)["chunks"] == [[0, ROWS], [ROWS, 10]]
    whole = page.chunk(0)
    add(path, *({"n": number} for number in range(ROWS + 10, 2 * ROWS + 5)))
    summary = said(page, clock)
    assert summary["chunks"] == [[0, ROWS], [ROWS, ROWS], [2 * ROWS, 5]]
    assert page.chunk(0) == whole
    assert [row["n"] for row in rows_of(page, summary)] == list(range(2 * ROWS + 5))
    assert page.chunk(3) is page.chunk(99) is None


def test_nothing_new_is_nothing(live: Callable[[str], LivePage], clock: Hands, tmp_path: Path) -> None:
    """Whoever asks again gets an empty answer until something has changed."""
    path = write_lines(tmp_path / "out.jsonl", [{"a": 1}])
    page = live("out.jsonl")
    summary = said(page, clock)
    since = f"{summary['epoch']}.{summary['version']}"
    clock.time += 2 * PAUSE
    assert page.summary(since) == b""
    add(path, {"a": 2})
    assert page.summary(since) == b""  # the disk has just been looked at
    clock.time += 2 * PAUSE
    assert json.loads(page.summary(since))["rows"]["ok"] == 2


def test_another_session_is_read_from_its_beginning(
    live: Callable[[str], LivePage], clock: Hands, tmp_path: Path
) -> None:
    """A run that begins anew writes over what was there, perhaps further than it was read."""
    folder = run_folder(tmp_path / "out.jsonl", None)
    folder.acquire("out.jsonl").close()
    manifest = Manifest(llmx="x", output="out.jsonl", cwd=str(tmp_path), started="2026-01-01", sessions=1)
    write_manifest(folder.manifest, manifest)
    partial = write_lines(tmp_path / "out.jsonl.partial", [{"a": 1}, {"a": 2}])
    page = live("out.jsonl")
    first = said(page, clock)
    assert rows_of(page, first) == [{"a": 1}, {"a": 2}]
    write_manifest(folder.manifest, manifest.model_copy(update={"sessions": 2}))
    partial.write_bytes(b'{"a": 5}\n{"a": 6}\n{"a": 7}\n')
    second = said(page, clock)
    assert rows_of(page, second) == [{"a": 5}, {"a": 6}, {"a": 7}]
    assert second["epoch"] > first["epoch"]


def test_other_formats_are_read_anew(live: Callable[[str], LivePage], clock: Hands, tmp_path: Path) -> None:
    """When the file has changed."""
    path = tmp_path / "out.csv"
    path.write_text("id,a\n1,x\n")
    page = live("out.csv")
    first = said(page, clock)
    assert said(page, clock)["epoch"] == first["epoch"]
    path.write_text("id,a\n1,x\n2,y\n")
    second = said(page, clock)
    assert rows_of(page, second) == [{"id": "1", "a": "x"}, {"id": "2", "a": "y"}]


def test_an_output_that_goes_away_is_said_to_have(
    live: Callable[[str], LivePage], clock: Hands, tmp_path: Path
) -> None:
    """What was read stays, and is added to when it is there again."""
    path = write_lines(tmp_path / "out.jsonl", [{"a": 1}])
    page = live("out.jsonl")
    path.rename(tmp_path / "elsewhere.jsonl")
    summary = said(page, clock)
    assert summary["rows"]["ok"] == 1
    assert summary["notes"][-1] == "The output cannot be read now: no such output: 'out.jsonl'."
    (tmp_path / "elsewhere.jsonl").rename(path)
    assert said(page, clock)["notes"] == first_notes(summary)


def first_notes(summary: dict[str, Any]) -> list[str]:
    return list(summary["notes"][:-1])


def test_a_long_file_comes_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No look takes long, and the next one goes on at once."""
    monkeypatch.setattr(tail, "AT_ONCE", 1_000)
    time = iter(range(10**9))
    write_lines(tmp_path / "out.jsonl", [{"n": number} for number in range(2_000)])
    page = LivePage("out.jsonl", page_env(tmp_path), now=lambda: next(time) / 10)
    counts = []
    while (summary := json.loads(page.summary()))["more"]:
        counts.append(summary["rows"]["ok"])
    assert 0 < counts[0] < 1_000
    assert counts == sorted(set(counts))
    assert [row["n"] for row in rows_of(page, summary)] == list(range(2_000))


def test_no_such_output(live: Callable[[str], LivePage]) -> None:
    """Said before anything is served."""
    with pytest.raises(UsageError, match=r"no such output: 'out\.jsonl'"):
        live("out.jsonl")


def test_a_run_that_has_no_row_yet(live: Callable[[str], LivePage], clock: Hands, tmp_path: Path) -> None:
    """It is going on, and its rows will come."""
    folder = run_folder(tmp_path / "out.jsonl", None)
    lock = folder.acquire("out.jsonl")
    write_manifest(folder.manifest, Manifest(llmx="x", output="out.jsonl", cwd=str(tmp_path)))
    page = live("out.jsonl")
    summary = said(page, clock)
    assert (summary["state"], summary["rows"]["ok"]) == ("running", 0)
    add(tmp_path / "out.jsonl.partial", {"a": 1})
    assert said(page, clock)["rows"]["ok"] == 1
    lock.close()


# Over a socket


@pytest.fixture
def server(live: Callable[[str], LivePage], tmp_path: Path) -> Iterator[PageServer]:
    """A server of an output with two rows."""
    write_lines(tmp_path / "out.jsonl", [{"id": 1}, {"id": 2}])
    with PageServer(live("out.jsonl"), 0) as running:
        yield running


def ask(
    server: PageServer, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request(method, path, headers={"Host": f"127.0.0.1:{server.server_port}", **headers})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def test_the_page_and_its_data_are_served(server: PageServer) -> None:
    """To whoever knows the token; nothing is kept, framed or sniffed."""
    response, body = ask(server, f"/{server.token}/")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b'data-mode="live"' in body
    assert "connect-src 'self'" in response.headers["Content-Security-Policy"]
    assert (response.headers["Cache-Control"], response.headers["X-Frame-Options"]) == ("no-store", "DENY")
    assert json.loads(ask(server, f"/{server.token}/summary")[1])["rows"]["ok"] == 2
    packed, data = ask(server, f"/{server.token}/", **{"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(data) == body
    assert len(gzip.decompress(ask(server, f"/{server.token}/rows/0")[1]).split(b"\n")) == 2
    head, nothing = ask(server, f"/{server.token}/", "HEAD")
    assert (head.status, nothing) == (200, b"")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""]
)
def test_another_name_is_refused(host: str, server: PageServer) -> None:
    """A site whose name was made to point here reads nothing, though it may know the token."""
    response, body = ask(server, f"/{server.token}/summary", Host=host.format(port=server.server_port))
    assert (response.status, b"id" in body) == (421, False)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/summary",
        "/wrong/",
        "/wrong/summary",
        "/{token}x/",
        "/{token}/rows/7",
        "/{token}/rows/-1",
        "/{token}/rows/٣",
        "/{token}/../etc",
        "/{token}/no",
        "/é",
    ],
)
def test_anything_else_is_not_there(path: str, server: PageServer) -> None:
    """No path leads to a file, and none without the token to anything."""
    import urllib.parse

    quoted = urllib.parse.quote(path.format(token=server.token), safe="/")
    response, body = ask(server, quoted)
    assert (response.status, b"id" in body) == (404, False)


def test_nothing_can_be_sent(server: PageServer) -> None:
    """There is nothing to change."""
    assert ask(server, f"/{server.token}/", "POST")[0].status == 501


def test_tokens_are_new_each_time(live: Callable[[str], LivePage], server: PageServer) -> None:
    """And long."""
    with PageServer(live("out.jsonl"), 0) as other:
        assert other.token != server.token
        assert len(other.token) >= 32


def test_a_port_that_is_taken(live: Callable[[str], LivePage], server: PageServer) -> None:
    """An error with a way out."""
    with pytest.raises(
        UsageError, match=f"cannot listen on 127.0.0.1:{server.server_port}: address already in use"
    ):
        serve_page(live("out.jsonl"), server.server_port, print, lambda: None)


def test_a_browser_sees_rows_come(
    live: Callable[[str], LivePage], clock: Hands, tmp_path: Path, opened: Callable[..., Opened]
) -> None:
    """The page asks by itself; what the reader looks at stays, and so do the filters."""
    partial = tmp_path / "out.jsonl.partial"
    add(partial, *({"id": number, "text": f"row {number}"} for number in range(3)))
    with PageServer(live("out.jsonl"), 0) as running:
        page = opened(running.url, hash="#rows")
        page.tab.clock.install()
        page.tab.reload()
        page.tab.wait_for_selector("html[data-ready=yes]")
        page.tab.locator("#nav a", has_text="Columns").click()
        page.tab.locator("#fields summary").first.focus()
        add(partial, {"id": 9, "text": "row 9"})
        clock.time += 10
        page.tab.clock.fast_forward(3_000)
        expect(page.tab.locator(".tile .figure").first).to_have_text("4")
        expect(page.tab.locator("#fields summary").first).to_be_focused()
        page.tab.locator("#nav a", has_text="Rows").click()
        page.rows.nth(1).click()
        expect(page.tab.locator("#detail h3")).to_contain_text("Row 2")
        add(partial, {"id": 3, "text": "row 3"}, {"id": 4, "text": "row 4"})
        partial.rename(tmp_path / "out.jsonl")
        clock.time += 10
        page.tab.clock.fast_forward(3_000)
        expect(page.tab.locator("#count")).to_have_text("6 rows")
        expect(page.tab.locator("#state")).to_have_text("complete")
        expect(page.tab.locator("#detail h3")).to_contain_text("Row 2")
        page.rows.nth(4).click()
        expect(page.tab.locator("#detail h3")).to_contain_text("Row 5")
        page.tab.fill("#search", "row 1")
        page.tab.clock.fast_forward(1_000)
        expect(page.tab.locator("#count")).to_have_text("1 of 6 rows")
        add(tmp_path / "out.jsonl", {"id": 5, "text": "row 1 again"})
        clock.time += 10
        page.tab.clock.fast_forward(3_000)
        page.tab.locator("#fresh").click()
        expect(page.tab.locator("#count")).to_have_text("2 of 7 rows")
    page.tab.clock.fast_forward(3_000)
    expect(page.tab.locator("#state")).to_have_text("not connected")
    assert {request.split("/")[2] for request in page.requests} == {running.url.split("/")[2]}


def test_an_error_of_a_client_is_nobodys(server: PageServer, capsys: pytest.CaptureFixture[str]) -> None:
    """A connection that breaks off, and one that speaks no HTTP, leave no traceback."""
    import socket

    for words in (b"GET / HTTP", b"\x16\x03\x01garbage\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
            connection.sendall(words)
    assert ask(server, f"/{server.token}/")[0].status == 200
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
