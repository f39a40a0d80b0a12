"""The receiver of webhooks in examples/09-service takes what is genuine, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

RECEIVER = Path(__file__).parents[2] / "examples" / "09-service" / "receiver.py"
SECRET = b"a secret of the operator's"
BODY = json.dumps({"type": "job.succeeded", "data": {"id": "j1", "cost": "0.01"}}).encode()


@pytest.fixture(params=[SECRET.decode(), f"whsec_{base64.b64encode(SECRET).decode()}"], ids=["text", "whsec"])
def receiver(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """The receiver in a process of its own, with the secret in both of its forms."""
    process = subprocess.Popen(
        [sys.executable, str(RECEIVER), "0"],
        env={"LLMX_WEBHOOK_SECRET": request.param},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.terminate()


def signed(body: bytes = BODY, *, secret: bytes = SECRET, at: float | None = None) -> dict[str, str]:
    """The headers of a delivery, by Standard Webhooks."""
    sent = str(int(time.time() if at is None else at))
    digest = hmac.digest(secret, f"evt_1.{sent}.".encode() + body, hashlib.sha256)
    signature = "v1," + base64.b64encode(digest).decode()
    return {"Webhook-Id": "evt_1", "Webhook-Timestamp": sent, "Webhook-Signature": signature}


def test_what_is_genuine_is_taken_once(receiver: subprocess.Popen[str]) -> None:
    """A delivery that comes again is answered with 2xx, too, and not acted on."""
    address = _address(receiver)
    rotated = signed()
    rotated["Webhook-Signature"] = (
        f"v1,b3RoZXI= {rotated['Webhook-Signature']}"  # while a secret changes there are two
    )
    assert [_posted(address, BODY, headers) for headers in (signed(), rotated)] == [204, 204]
    receiver.terminate()
    assert receiver.stdout is not None
    assert receiver.stdout.read() == "job.succeeded j1 0.01\n"


def test_what_is_not_genuine_is_refused(receiver: subprocess.Popen[str]) -> None:
    """Another secret, another body, an old or a future time, a time that is none, no signature."""
    address = _address(receiver)
    wrong: list[dict[str, Any]] = [
        signed(secret=b"another"),
        signed(b"another body"),
        signed(at=time.time() - 301),
        signed(at=time.time() + 400),
        {**signed(), "Webhook-Timestamp": "-1"},
        {**signed(), "Webhook-Signature": "v1,"},
        {},
    ]
    assert {_posted(address, BODY, headers) for headers in wrong} == {401}


def _address(receiver: subprocess.Popen[str]) -> str:
    assert receiver.stderr is not None
    return receiver.stderr.readline().strip().removeprefix("http://")


def _posted(address: str, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("POST", "/", body, headers)
    status = connection.getresponse().status
    connection.close()
    return status
