"""Webhooks: signed, told at least once, to listed hosts at public addresses, never by a detour."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from commands import Mock, wait_for
from hypothesis import given
from hypothesis import strategies as st
from serving import ASK, Service, llmx, serving, variables

from llmx.jobs.sqlite import SqliteStore
from llmx.jobs.types import Job
from llmx.serve.addresses import Target, check_webhook, is_public
from llmx.serve.posting import NotPosted, post
from llmx.serve.problems import Problem
from llmx.serve.settings import ServeSettings
from llmx.serve.webhooks import FIRST, LONGEST, TOLERANCE, Deliverer, backoff, signed, verified

SECRET = "0123456789abcdef0123456789abcdef"


class Receiver(ThreadingHTTPServer):
    """What a user of webhooks has: keeps requests, and answers with statuses in turn, the last one for ever."""

    def __init__(self, statuses: list[int], location: str = "") -> None:
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self.statuses = statuses
        self.location = location
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()
        self.wfile.write(b"x" * 10_000_000)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def log_error(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def receiving(statuses: list[int], location: str = "") -> Iterator[Receiver]:
    receiver = Receiver(statuses, location)
    receiver.handle_error = lambda *_: None  # type: ignore[method-assign]  # who posts does not read to the end
    thread = threading.Thread(target=receiver.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()


def hooked(folder: Path, provider: Mock, receiver: Receiver) -> Any:
    """A service that may tell a receiver on this machine."""
    config = f'webhook-hosts = ["127.0.0.1:{receiver.server_port}"]\nwebhook-private = true'
    return serving(folder, provider.url, config=config, LLMX_WEBHOOK_SECRET=SECRET)


def url_of(receiver: Receiver) -> str:
    return f"http://127.0.0.1:{receiver.server_port}/hook?a=1"


def test_the_end_of_a_job_is_told_signed(tmp_path: Path, provider: Mock) -> None:
    """With the job's document, an event id, and a signature that a receiver can check."""
    with receiving([204]) as receiver, hooked(tmp_path / "s", provider, receiver) as service:
        job = service.job(3, webhook=url_of(receiver))
        service.ended(job["id"])
        wait_for(lambda: len(receiver.seen) == 1)
        headers, body = receiver.seen[0]
        told = json.loads(body)
        assert (told["type"], told["data"]["id"], told["data"]["state"]) == (
            "job.succeeded",
            job["id"],
            "succeeded",
        )
        assert headers["webhook-id"].startswith("evt_")
        now = float(headers["webhook-timestamp"])
        assert verified(SECRET.encode(), headers, body, now)
        assert not verified(SECRET.encode(), headers, body + b" ", now)
        assert SECRET not in service.log


def test_a_receiver_that_fails_is_told_again_with_the_same_id(tmp_path: Path, provider: Mock) -> None:
    """At least once; the same event."""
    with receiving([500, 204]) as receiver, hooked(tmp_path / "s", provider, receiver) as service:
        service.job(1, webhook=url_of(receiver))
        wait_for(lambda: len(receiver.seen) == 2)
        assert len({headers["webhook-id"] for headers, _ in receiver.seen}) == 1


def test_a_redirect_is_not_followed(tmp_path: Path, provider: Mock) -> None:
    """Wherever it leads."""
    with (
        receiving([204]) as inner,
        receiving([307, 204], f"http://127.0.0.1:{inner.server_port}/") as receiver,
    ):
        with hooked(tmp_path / "s", provider, receiver) as service:
            service.job(1, webhook=url_of(receiver))
            wait_for(lambda: len(receiver.seen) == 2)
        assert inner.seen == []


REFUSED = [
    "http://hooks.example/x",
    "https://other.example/x",
    "https://hooks.example:8443/x",
    "https://user@hooks.example/x",
    "https://user:pw@hooks.example/x",
    "https://hooks.example#x",
    "https://hooks.example.evil.example/",
    "https://evil.example/hooks.example",
    "https://hooks.example\\@evil.example/",
    "https://evil.example\\hooks.example/",
    "https://below.example/",
    "https://xbelow.example/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/",
    "file:///etc/passwd",
    "gopher://hooks.example/",
    "https:///x",
    "https://h\u00f6\u00f6ks.example/",
    "https://hooks.example/a b",
    "https://hooks.example/\r\nX: y",
    "https://hooks.example:99999/",
]


@pytest.mark.parametrize("url", REFUSED)
def test_other_urls_are_refused(url: str) -> None:
    """By their looks, before a job is made."""
    with pytest.raises(Problem) as caught:
        check_webhook(url, ["hooks.example", "*.below.example", "10.0.0.1"], private=False)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    "url", ["https://hooks.example/x?y", "https://HOOKS.example./", "https://a.below.example:443"]
)
def test_listed_hosts_are_taken(url: str) -> None:
    """In any spelling of the same name."""
    assert check_webhook(url, ["hooks.example", "*.below.example"], private=False).port == 443


PRIVATE = [
    "127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "0.0.0.0",
    "100.64.0.1", "100.127.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "2001:db8::1",
    "::7f00:1", "fec0::1", "4000::1", "nonsense", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_the_publics(address: str) -> None:
    """Private, loopback, link-local, carriers', groups', and those of IPv6 that stand for others."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "2606:4700::1111"]
)
def test_addresses_that_are(address: str) -> None:
    """Anybody's."""
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_in_the_guise_of_another_is_never_public(address: Any) -> None:
    """Mapped, translated by NAT64, or by 6to4."""
    number = int(address)
    for guise in (f"::ffff:{address}", f"64:ff9b::{number >> 16:x}:{number & 65535:x}"):
        assert not is_public(guise)


async def test_a_name_that_points_to_this_machine_is_not_connected_to() -> None:
    """What was allowed by its name is looked at by its address, at the moment of connecting."""
    with receiving([204]) as receiver:
        allowed = [f"localhost:{receiver.server_port}"]
        target = check_webhook(f"https://localhost:{receiver.server_port}/", allowed, private=False)
        with pytest.raises(NotPosted, match="not a public one"):
            await post(target, b"{}", {}, private=False)
        assert receiver.seen == []


@pytest.mark.parametrize("label", ["a" * 64, "a..b", ""])
async def test_a_name_that_no_host_can_have_is_not_connected_to(label: str) -> None:
    """Python's look-up has an error of its own for it, that is none of the system's."""
    target = check_webhook(f"https://{label}.below.example/", ["*.below.example"], private=False)
    with pytest.raises(NotPosted, match="no address"):
        await post(target, b"{}", {}, private=False)


async def test_an_event_that_cannot_be_told_keeps_no_other_from_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with it: it is tried again later, as after any failure."""

    async def posted(target: Target, body: bytes, headers: Any, *, private: bool) -> int:
        if target.path == "/bad":
            raise RuntimeError("nobody has thought of this")
        return 204

    monkeypatch.setattr("llmx.serve.webhooks.post", posted)
    store = SqliteStore(tmp_path / "jobs.db")
    for number, path in enumerate(("bad", "good")):
        job = Job(f"job_{number}", "", {}, 1, 1, 1.0, webhook=f"https://hooks.example/{path}")
        await store.create(job, [], None)
        await store.cancel(job.id)
    deliverer = Deliverer(store, ServeSettings(webhook_hosts=["hooks.example"]), SECRET.encode())
    assert await deliverer.round(SECRET.encode()) == 2
    assert await store.due(0.0, 10) == []
    await store.aclose()


@given(st.binary(max_size=200), st.integers(0, 2**40), st.text("abcdef0123", max_size=20))
def test_a_signature_is_that_of_standard_webhooks(body: bytes, stamp: int, id: str) -> None:
    """HMAC-SHA256 over id, time and body; clocks may be off by five minutes, and not by more."""
    content = f"{id}.{stamp}.".encode() + body
    digest = hmac.new(SECRET.encode(), content, hashlib.sha256).digest()
    header = signed(SECRET.encode(), id, stamp, body)
    assert header == "v1," + base64.b64encode(digest).decode()
    headers = {"webhook-id": id, "webhook-timestamp": str(stamp), "webhook-signature": f"v1,AAAA {header}"}
    for skew, good in (
        (0, True),
        (TOLERANCE, True),
        (-TOLERANCE, True),
        (TOLERANCE + 1, False),
        (-TOLERANCE - 1, False),
    ):
        assert verified(SECRET.encode(), headers, body, stamp + skew) is good
    assert not verified(b"another secret", headers, body, stamp)
    assert not verified(SECRET.encode(), headers | {"webhook-timestamp": str(stamp + 1)}, body, stamp)


@given(st.integers(0, 1_000), st.floats(0, 1))
def test_waits_grow_to_an_hour(attempts: int, chance: float) -> None:
    """At least half of what they could be, so that attempts are spread."""
    wait = backoff(attempts, lambda: chance)
    most = min(LONGEST, FIRST * 2.0 ** min(attempts, 30))
    assert most / 2 <= wait <= most


def test_webhooks_are_off_where_no_host_is_listed(open_service: Service) -> None:
    """422, and who can change it."""
    response = open_service.post("/v1/jobs", {**ASK, "rows": [{"a": 1}], "webhook": "https://hooks.example/"})
    assert (response.status_code, response.json()["code"]) == (422, "webhook_refused")
    assert "webhook-hosts" in response.json()["hint"]


def test_hosts_without_a_secret_are_an_error_at_the_start(tmp_path: Path) -> None:
    """Nobody is told unsigned. A secret that anybody could guess is none."""
    (tmp_path / "llmx.toml").write_text('[serve]\nwebhook-hosts = ["a.example"]\n')
    argv = ("serve", "--port", "0", "-m", "openai/m")
    done = llmx(*argv, env=variables(tmp_path), cwd=tmp_path)
    assert (done.returncode, "LLMX_WEBHOOK_SECRET" in done.stderr) == (2, True)
    done = llmx(*argv, env=variables(tmp_path, LLMX_WEBHOOK_SECRET="short"), cwd=tmp_path)
    assert (done.returncode, "too short" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr
