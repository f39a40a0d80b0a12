"""The Dockerfile keeps to what docs/containers.md says of the image."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import tomllib
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from contained import ROOT, SCRIPTS, Instruction
from packaging.requirements import Requirement

LOCKS = {"service": {"serve", "redis", "otel", "semantic", "zstd"}, "all": {"all"}}


def test_hadolint_finds_nothing() -> None:
    """What the field's own linter says of a Dockerfile, it does not say of ours."""
    done = subprocess.run([str(SCRIPTS / "hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_base_is_pinned(instructions: list[Instruction]) -> None:
    """A stage stands on one before it, or on an image with a version of its own."""
    arguments = dict(one.text.split("=", 1) for one in instructions if one.name == "ARG" and not one.stage)
    stages: set[str] = set()
    for one in instructions:
        if one.name == "FROM":
            base = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], one.text.split()[0])
            assert base in stages or re.fullmatch(r"[a-z]+:\d+\.\d+-slim", base), base
            stages.add(one.stage)


def test_the_user_is_a_number_and_not_root(image: list[Instruction]) -> None:
    """Nothing runs as root, and an orchestrator can see that without a look into the image."""
    users = [one.text for one in image if one.name == "USER"]
    assert users == ["10001:10001"]


def test_nothing_is_fetched_by_address(instructions: list[Instruction]) -> None:
    """No ADD, and no download that has no hash."""
    assert [one for one in instructions if one.name == "ADD"] == []
    fetching = [one for one in instructions if re.search(r"\b(curl|wget)\b|https?://", one.text)]
    assert [one.text for one in fetching if one.name == "RUN"] == []
    for one in instructions:
        if "pip install" in one.text or "pip wheel" in one.text:
            assert one.text.count("--require-hashes") + one.text.count("--no-index") == len(
                re.findall(r"pip (?:--python \S+ )?(?:install|wheel)", one.text)
            )


def test_no_secret_is_an_argument_or_a_variable(instructions: list[Instruction]) -> None:
    """Arguments and variables can be read in an image's history; secrets are mounted."""
    named = [one.text.split("=")[0] for one in instructions if one.name in ("ARG", "ENV")]
    assert [name for name in named if re.search(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", name, re.I)] == []


def test_the_image_installs_nothing_that_builds(image: list[Instruction]) -> None:
    """Its own stage makes a user and copies; pip and venv stay in the stage that builds."""
    runs = " ".join(one.text for one in image if one.name == "RUN")
    assert not re.search(r"\b(apt-get|pip|venv|gcc|build-essential)\b", runs)


def test_the_entry_is_the_command(image: list[Instruction]) -> None:
    """`docker run llmx extract …` is `llmx extract …`, without a shell in between, so that signals reach it."""
    said = {one.name: one.text for one in image if one.name in ("ENTRYPOINT", "CMD", "STOPSIGNAL", "VOLUME")}
    assert json.loads(said["ENTRYPOINT"]) == ["llmx"]
    assert json.loads(said["CMD"]) == ["--help"]
    assert (said["STOPSIGNAL"], said["VOLUME"]) == ("SIGTERM", "/data")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_all_that_its_extras_need(lock: str) -> None:
    """Every package of the extras is in it with a hash; the `service` lock leaves the large ones out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = LOCKS[lock] if lock == "service" else extras.keys() - {"all"}
    needed = [*project["dependencies"], *(text for extra in wanted for text in extras[extra])]
    locked = (ROOT / ".ci" / f"requirements-{lock}.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([\w.-]+)==\S+.*\\\n    --hash=sha256:", locked, re.MULTILINE))
    assert {Requirement(text).name for text in needed} - pinned == set()
    assert ("pyarrow" in pinned) == ("xllamacpp" in pinned) == (lock == "all")


def test_locks_agree() -> None:
    """What the image runs is what the checks have run: one version of a package in all lock files."""
    versions: dict[str, set[str]] = {}
    for path in (ROOT / ".ci").glob("requirements*.txt"):
        for name, version in re.findall(
            r"^([\w.-]+==\S+)(.*)\\$", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            versions.setdefault(name.split("==")[0] + version, set()).add(name)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_what_is_copied_is_let_in(instructions: list[Instruction]) -> None:
    """.dockerignore shuts out all but what COPY takes, and what it lets in is there."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for one in instructions
        if one.name == "COPY" and "--from" not in one.text
        for source in shlex.split(one.text)[:-1]
    }
    assert let_in == copied
    for pattern in let_in:
        assert list(ROOT.glob(pattern)), pattern
    for kept_out in (".git", ".env", "secrets", ".venv", "tests"):
        assert not any(fnmatch(kept_out, pattern) for pattern in let_in)


class _Health(BaseHTTPRequestHandler):
    """Answers /healthz with the server's status."""

    def do_GET(self) -> None:
        """See `BaseHTTPRequestHandler`."""
        self.send_response(self.server.status if self.path == "/healthz" else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said."""


def checked(image: list[Instruction], port: int) -> int:
    """How the image's health check ends with the service at another port; a proxy that is none is set."""
    (check,) = [one.text for one in image if one.name == "HEALTHCHECK"]
    name, *arguments = json.loads(check.partition(" CMD ")[2])
    assert name == "python"
    arguments = [text.replace("8090", str(port)) for text in arguments]
    variables = {**os.environ, "http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=variables, stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1)])
def test_the_health_check_tells_by_the_status(image: list[Instruction], status: int, code: int) -> None:
    """0 for a service that is well, 1 for any other; no proxy stands between."""
    with HTTPServer(("127.0.0.1", 0), _Health) as server:
        server.status = status  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert checked(image, server.server_port) == code
        thread.join()


def test_the_health_check_fails_where_nobody_listens(image: list[Instruction]) -> None:
    """A service that has not begun to listen, or has gone, is not healthy."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        assert checked(image, held.getsockname()[1]) == 1
