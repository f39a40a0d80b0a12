"""The service as a user runs it: a process on loopback, and a client that asks it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2

PATIENCE = 60.0
PROVIDER_KEY = "sk-of-the-operator-that-nobody-may-see"
ASK: dict[str, Any] = {"schema": "name, age int"}


class Service:
    """A process that serves.

    Args:
        data: its folder.
        url: where it listens.
        key: the API key that requests are sent with, "" for none.
    """

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, url: str, key: str) -> None:
        self.process = process
        self.data = folder / "data"
        self.log_file = folder / "log"
        self.url = url
        self.key = key
        self.client = httpx2.Client(base_url=url, headers=self.headers, timeout=PATIENCE)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self.client.get(path, **more)

    def post(self, path: str, body: Any, **more: Any) -> httpx2.Response:
        return self.client.post(path, json=body, **more)

    def extract(self, *texts: str, **more: Any) -> httpx2.Response:
        """Extract from rows of these texts."""
        return self.post("/v1/extract", {**ASK, **more, "rows": [{"text": text} for text in texts]})

    def job(
        self, rows: int | list[dict[str, Any]], *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Any:
        """Hand in a job of rows; its document."""
        given = [{"text": f"Row {n} is Ada"} for n in range(rows)] if isinstance(rows, int) else rows
        response = self.post("/v1/jobs", {**ASK, **more, "rows": given}, headers=headers)
        assert response.status_code == 202, response.text
        return response.json()

    def ended(self, id: str) -> Any:
        """A job's document once it has ended."""
        deadline = time.monotonic() + PATIENCE
        while (job := self.get(f"/v1/jobs/{id}").json())["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, job
            time.sleep(0.05)
        return job

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def raw(self, data: bytes) -> bytes:
        """What is answered to bytes, until the connection is closed or nothing more comes."""
        with closing(self.connect()) as connection:
            connection.sendall(data)
            return received(connection)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE)


def received(connection: socket.socket) -> bytes:
    """All that still comes."""
    pieces = []
    try:
        while piece := connection.recv(65_536):
            pieces.append(piece)
    except (ConnectionResetError, TimeoutError):
        pass
    return b"".join(pieces)


def llmx(*argv: str, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command, run to its end."""
    command = [sys.executable, "-m", "llmx", *argv]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE)


def variables(folder: Path, **more: str) -> dict[str, str]:
    """All that a service has of variables."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "user"),
        "LANG": "C.UTF-8",
        "LLMX_HOME": str(folder / "home"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "OPENAI_API_KEY": PROVIDER_KEY,
        **more,
    }


@contextmanager
def serving(
    folder: Path,
    provider: str,
    *options: str,
    config: str = "",
    scopes: str = "",
    key_options: tuple[str, ...] = (),
    **more: str,
) -> Iterator[Service]:
    """A service for as long as the context lasts.

    Args:
        provider: the address of the mock, without /v1.
        config: of the table [serve], as TOML.
        scopes: of the key that is made and used; "" for a service without keys.
        more: variables.
    """
    folder.mkdir(exist_ok=True)
    env = variables(folder, **more)
    (folder / "llmx.toml").write_text(f"[serve]\n{config}\n")
    data = ("--data", "data")
    key = ""
    if scopes:
        made = llmx("keys", "create", "tester", "--scope", scopes, *key_options, *data, env=env, cwd=folder)
        assert made.returncode == 0, made.stderr
        key = made.stdout.strip()
    model = ("-m", "openai/mock", "--base-url", f"{provider}/v1")
    command = [sys.executable, "-m", "llmx", "serve", "--port", "0", *data, *model, *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log)
    try:
        with closing(_started(process, folder, key)) as service:
            yield service
    finally:
        process.kill()
        process.wait()


class _Closing(Service):
    def close(self) -> None:
        self.client.close()


def _started(process: subprocess.Popen[bytes], folder: Path, key: str) -> _Closing:
    deadline = time.monotonic() + PATIENCE
    while True:
        said = (folder / "log").read_text(encoding="utf-8", errors="replace")
        if match := re.search(r"serving on (http://\S+)", said):
            return _Closing(process, folder, match[1], key)
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.02)


def events(text: str) -> list[tuple[str, Any, str | None]]:
    """The events of a stream: name, data, id; comments left out."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("event", ""), json.loads(fields["data"]), fields.get("id")))
    return found
