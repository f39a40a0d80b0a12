"""The image's commands as its user runs them, in a root that is read-only. `.ci/containers` builds it and sets the variables."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from commands import Mock, mocked
from contained import composed

from llmx._version import __version__
from llmx.mock import Latency, MockSettings

IMAGE = os.environ.get("CONTAINER_IMAGE", "")
IMAGE_ROOT = os.environ.get("CONTAINER_ROOT", "")
PATIENCE = 60

pytestmark = pytest.mark.skipif(not IMAGE_ROOT, reason="no image: sh .ci/containers")

CONTAINED = """
set -e
mount --make-rprivate /
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$data" "$root/data"
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o size=1m,mode=755 tmpfs "$root/run"
mkdir "$root/run/secrets" && cp "$secrets"/* "$root/run/secrets/"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=64k,mode=755 tmpfs "$root/dev"
for device in null zero urandom random; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
exec chroot --userspec="$user" "$root" /usr/bin/env -i "$@"
"""
"""What a container engine does that is told `--read-only --tmpfs /tmp --cap-drop ALL -v …:/data`, but for the network: that is
the machine's, so that the simulated provider can be reached. The command is process 1."""


@dataclass
class Container:
    """Runs commands in the image.

    Args:
        config: the image's: user, variables, entry point, health check.
        data: the folder at /data.
        secrets: the folder at /run/secrets.
    """

    config: dict[str, Any]
    data: Path
    secrets: Path
    variables: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *command: str, entry: bool = True, **options: Any) -> subprocess.Popen[str]:
        """Start a command behind the image's entry point, or as it stands."""
        given = [*self.config["Env"], *(f"{name}={value}" for name, value in self.variables.items())]
        words = [*(self.config["Entrypoint"] if entry else ()), *command]
        inside = f'cd {self.config["WorkingDir"]} && exec "$@"'
        isolated = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            CONTAINED,
            "contained",
        ]
        places = {"root": IMAGE_ROOT, "data": str(self.data), "secrets": str(self.secrets)}
        process = subprocess.Popen(
            [*isolated, *given, "/bin/sh", "-c", inside, "sh", *words],
            env={"PATH": os.environ["PATH"], "user": self.config["User"], **places},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.started.append(process)
        return process

    def run(self, *command: str, entry: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.start(*command, entry=entry)
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    """A container with empty data, as a volume is that was made anew, and no secret."""
    config = json.loads(Path(IMAGE).read_text(encoding="utf-8"))["Docker"]["config"]
    data, secrets = tmp_path / "data", tmp_path / "secrets"
    user, group = map(int, config["User"].split(":"))
    for folder in (data, secrets):
        folder.mkdir(mode=0o700)
    (secrets / "none").write_text("")
    os.chown(data, user, group)
    tmp_path.chmod(0o755)
    made = Container(config, data, secrets)
    yield made
    for process in made.started:
        if process.poll() is None:
            os.kill(first_process(process.pid), signal.SIGKILL)  # and with it all of its namespace
        process.communicate()


@pytest.fixture
def rows(container: Container) -> Path:
    """A hundred rows at /data/rows.jsonl."""
    path = container.data / "rows.jsonl"
    path.write_text("".join(f'{{"id": {n}, "text": "Ada, {n} years"}}\n' for n in range(100)))
    return path


@pytest.fixture
def provider() -> Iterator[Callable[..., Mock]]:
    """Starts a simulated provider."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(mocked(MockSettings(**settings)))


def test_it_is_its_user_in_a_root_that_cannot_be_written(container: Container) -> None:
    """User 10001 without capabilities; /data and /tmp are all that it may write."""
    script = "id -u; id -g; grep CapEff /proc/self/status; touch /opt/llmx/x /x /etc/x; touch /data/x /tmp/x && echo wrote"
    done = container.run("sh", "-c", script, entry=False)
    assert done.stdout.split() == ["10001", "10001", "CapEff:", "0000000000000000", "wrote"]
    assert done.stderr.count("Read-only file system") == 3


def test_nothing_in_the_image_is_its_users(container: Container) -> None:
    """Even in a root that is not read-only there is nothing to change but /data and folders for anybody's files."""
    user = container.config["User"].split(":")[0]
    found = subprocess.run(
        ["find", IMAGE_ROOT, "-xdev", "(", "-uid", user, "-o", "-perm", "-o+w", "!", "-type", "l", ")"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    inside = {path.removeprefix(IMAGE_ROOT) for path in found}
    assert inside - {path for path in inside if path.startswith("/dev/")} <= {
        "/data",
        "/tmp",
        "/var/tmp",
        "/run/lock",
    }


def test_nothing_that_builds_and_no_secret_is_in_it() -> None:
    """No compiler, no pip, no index settings, no lists of Debian's packages."""
    root = Path(IMAGE_ROOT)
    for pattern in (
        "usr/bin/*gcc*",
        "usr/bin/pip*",
        "opt/llmx/bin/pip*",
        "etc/pip.conf",
        "root/.cache",
        "wheels",
        "src",
    ):
        assert list(root.glob(pattern)) == []
    assert list((root / "var/lib/apt/lists").glob("*_*")) == []
    assert list((root / "opt/llmx/lib").glob("python3*/site-packages/pip")) == []


def test_all_of_it_is_compiled() -> None:
    """Beside every module stands its bytecode, marked as never to be compared with it (PEP 552)."""
    modules = list(Path(IMAGE_ROOT, "opt/llmx/lib").rglob("*.py"))
    assert len(modules) > 1000
    for module in modules:
        (compiled,) = (module.parent / "__pycache__").glob(f"{module.stem}.cpython-*[0-9].pyc")
        with compiled.open("rb") as file:
            assert file.read(8)[4:] == b"\x01\x00\x00\x00", compiled


def test_it_tells_its_version(container: Container) -> None:
    """The image's command is this checkout's."""
    done = container.run("--version")
    assert (done.returncode, done.stdout.split()[-1]) == (0, __version__)


def test_it_says_what_works(container: Container) -> None:
    """`llmx doctor` finds its home on the volume."""
    done = container.run("doctor")
    assert done.returncode == 0
    assert "ok  home: /data/home" in done.stdout


def test_it_extracts_with_a_key_from_a_file(
    container: Container, rows: Path, provider: Callable[..., Mock]
) -> None:
    """A mounted secret is the key; rows, journal and cache are on the volume."""
    mock = provider()
    (container.secrets / "openai_api_key").write_text("sk-mounted\n")
    container.variables = {
        "OPENAI_API_KEY_FILE": "/run/secrets/openai_api_key",
        "OPENAI_BASE_URL": f"{mock.url}/v1",
    }
    done = container.run("extract", "rows.jsonl", "-s", "name, age int", "-m", "openai/a", "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert len((container.data / "out.jsonl").read_text().splitlines()) == 100
    assert (container.data / "home").is_dir()
    assert "sk-mounted" not in done.stdout + done.stderr


def test_a_signal_reaches_process_1(container: Container, rows: Path, provider: Callable[..., Mock]) -> None:
    """As process 1 without an init: SIGTERM ends a run with 143, resumable, and running again does the rest."""
    mock = provider(latency=Latency(0.5, 0.5))
    container.variables = {"OPENAI_API_KEY": "mock", "OPENAI_BASE_URL": f"{mock.url}/v1"}
    command = ("extract", "rows.jsonl", "-s", "name, age int", "-m", "openai/a", "-c", "4", "-o", "out.jsonl")
    process = container.start(*command)
    deadline = time.monotonic() + PATIENCE
    while not (partial := container.data / "out.jsonl.partial").exists() or not partial.stat().st_size:
        assert process.poll() is None
        assert time.monotonic() < deadline
    os.kill(first_process(process.pid), signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, err
    assert not (container.data / "out.jsonl").exists()
    assert container.run(*command).returncode == 0
    assert len((container.data / "out.jsonl").read_text().splitlines()) == 100


def first_process(pid: int) -> int:
    """The process that is number 1 in the namespace that `unshare`, this process, has made."""
    deadline = time.monotonic() + PATIENCE
    while not (children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        assert time.monotonic() < deadline
    inside = re.search(
        r"^NSpid:\s+\d+\s+(\d+)$", Path(f"/proc/{children[0]}/status").read_text(), re.MULTILINE
    )
    assert inside is not None
    assert inside[1] == "1"
    return int(children[0])


def test_the_service_starts_is_healthy_answers_and_drains(
    container: Container, provider: Callable[..., Mock]
) -> None:
    """With a key that was made before it began, `llmx serve` is what docs/containers.md says, health check and all."""
    mock = provider()
    container.variables = {"OPENAI_API_KEY": "mock", "OPENAI_BASE_URL": f"{mock.url}/v1"}
    port = free_port()
    check = [word.replace("8090", str(port)) for word in container.config["Healthcheck"]["Test"][1:]]
    key = container.run("keys", "create", "laptop").stdout.strip()
    assert container.run(*check, entry=False).returncode == 1
    process = container.start("serve", "--port", str(port), "-m", "openai/a")
    deadline = time.monotonic() + PATIENCE
    while container.run(*check, entry=False).returncode:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
    question = '{"schema": "name str", "rows": [{"text": "Ada"}]}'
    status, answer = sent(port, key, "POST", "/v1/extract", question)
    assert status == 200, answer
    assert json.loads(answer)["results"][0]["source"] == "model"
    assert sent(port, key[:-1], "POST", "/v1/extract", question)[0] == 401
    ended(process)


def test_the_services_of_the_compose_file_work_together(
    container: Container, provider: Callable[..., Mock], tmp_path: Path
) -> None:
    """API, worker and Redis, each with its own command: a job that is handed to the one is done by the other."""
    services = composed()["services"]
    mock = provider()
    container.variables = {
        "OPENAI_API_KEY": "mock",
        "OPENAI_BASE_URL": f"{mock.url}/v1",
        "LLMX_MODEL": "openai/a",
    }
    key, port = container.run("keys", "create", "laptop").stdout.strip(), free_port()
    with ExitStack() as stack:
        redis = stack.enter_context(redis_started(services["redis"]["command"][1:], tmp_path / "redis"))
        here = {"redis:6379": f"127.0.0.1:{redis}", "0.0.0.0": "127.0.0.1", "8090": str(port)}
        for name in ("api", "worker"):
            process = container.start(*(replaced(word, here) for word in services[name]["command"]))
            stack.callback(ended, process)
            check = services[name].get("healthcheck", container.config["Healthcheck"])
            healthy(process, [replaced(word, here) for word in check.get("test") or check["Test"]])
        status, job = sent(
            port, key, "POST", "/v1/jobs", '{"schema": "name str", "rows": [{"text": "Ada"}, {"text": "Bo"}]}'
        )
        assert status == 202
        status, rows = sent(port, key, "GET", f"/v1/jobs/{json.loads(job)['id']}/results?follow=true")
        assert (status, len(rows.splitlines())) == (200, 2)


def free_port() -> int:
    """One that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def redis_started(options: list[str], folder: Path) -> Iterator[int]:
    """A Redis server with the options of compose.yaml, at a free port."""
    folder.mkdir()
    port = free_port()
    here = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with subprocess.Popen(["redis-server", *options, *here], stdout=subprocess.DEVNULL) as server:
        try:
            while subprocess.run(
                ["redis-cli", "-e", "-p", str(port), "ping"], capture_output=True
            ).returncode:
                assert server.poll() is None
            yield port
        finally:
            server.terminate()


def replaced(word: str, here: dict[str, str]) -> str:
    """A word of a command with the addresses that hold on this machine."""
    for there, address in here.items():
        word = word.replace(there, address)
    return word


def healthy(process: subprocess.Popen[str], check: list[str]) -> None:
    """Wait until a health check is content inside the container."""
    inside = ["nsenter", "--target", str(first_process(process.pid)), "--mount", "--root"]
    deadline = time.monotonic() + PATIENCE
    command = [*inside, "/opt/llmx/bin/python", *check[2:]]
    while (done := subprocess.run(command, capture_output=True, text=True)).returncode:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, done.stderr


def ended(process: subprocess.Popen[str]) -> None:
    """End a container by a signal to its process 1; it must end by itself."""
    if process.poll() is None:
        os.kill(first_process(process.pid), signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 143), err


def sent(port: int, key: str, method: str, path: str, body: str | None = None) -> tuple[int, str]:
    """What the service at a port says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text
