"""compose.yaml is one that Docker Compose takes, and keeps to what docs/containers.md says of it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from contained import ROOT, SCRIPTS, composed

from llmx.cli.app import build_app
from llmx.providers import parse_model

GPU = ("--profile", "gpu", "--env-file", ".compose/gpu.env")
LOCAL = ("--env-file", ".compose/local.env")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """All services, those of profiles too, by name."""
    services: dict[str, dict[str, Any]] = composed(*GPU)["services"]
    return services


def test_it_fits_the_schema_of_compose_files() -> None:
    """The Compose specification's own JSON Schema, in the release that check-jsonschema brings."""
    command = [str(SCRIPTS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("arguments", [(), GPU, LOCAL], ids=["plain", "gpu", "local"])
def test_docker_compose_takes_it(arguments: tuple[str, ...]) -> None:
    """Without a warning, such as one of a variable that is not set."""
    names = set(composed(*arguments)["services"])
    assert names == {"api", "worker", "redis"} | ({"model"} if arguments == GPU else set())


def test_the_api_alone_is_published_and_to_this_machine(services: dict[str, dict[str, Any]]) -> None:
    """Whoever wants it wider says so by LLMX_PUBLISH."""
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports.keys() == {"api"}
    assert [port["host_ip"] for port in ports["api"]] == ["127.0.0.1"]


def test_redis_can_be_reached_from_the_service_alone(services: dict[str, dict[str, Any]]) -> None:
    """Its network leads nowhere, and the model is not on it."""
    on_queue = {name for name, service in services.items() if "queue" in service["networks"]}
    assert on_queue == {"api", "worker", "redis"}
    assert list(services["redis"]["networks"]) == ["queue"]
    assert composed()["networks"]["queue"]["internal"] is True


@pytest.mark.parametrize("name", ["api", "worker", "redis", "model"])
def test_a_service_is_held_in(services: dict[str, dict[str, Any]], name: str) -> None:
    """No privileges, bounded logs and time to stop, back after a crash; read-only and bounded but for vLLM."""
    service = services[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert {"stop_grace_period", "logging"} <= service.keys()
    if name != "model":
        assert service["read_only"] is True
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    for other in ("privileged", "network_mode", "pid", "ipc", "container_name"):
        assert other not in service


def test_workers_can_be_many(services: dict[str, dict[str, Any]]) -> None:
    """`--scale worker=3`: a worker has no name, no port and no file of its own."""
    assert services["worker"].keys().isdisjoint({"container_name", "ports", "hostname"})
    assert services["worker"]["volumes"] == services["api"]["volumes"]


def test_images_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    """Each has a version."""
    for service in services.values():
        assert re.fullmatch(r"[\w./-]+:v?[\w.-]+", service["image"])
        assert not service["image"].endswith(":latest")


def test_secrets_are_files(services: dict[str, dict[str, Any]]) -> None:
    """No variable holds one; those that name a file name a secret that the service is given."""
    for service in services.values():
        given = {secret["target"] for secret in service.get("secrets", ())}
        for name, value in service.get("environment", {}).items():
            if re.search(r"KEY|TOKEN|SECRET|PASSWORD", name):
                assert name.endswith("_FILE")
                assert value in given


def test_a_model_of_ones_own_is_asked_by_its_name(services: dict[str, dict[str, Any]]) -> None:
    """What .compose/gpu.env lets vLLM serve is what it lets llmx ask for, at vLLM's address."""
    asked = parse_model(services["api"]["environment"]["LLMX_MODEL"])
    assert (asked.provider, asked.name) == ("openai", services["model"]["command"][0])
    assert services["api"]["environment"]["LLMX_BASE_URL"] == "http://model:8000/v1"


def test_a_worker_is_well_while_its_file_is_touched(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """The check is of the file that the worker is told to touch: 0 while it is young, 1 when it is old or not there."""
    command = services["worker"]["command"]
    place = command[command.index("--health-file") + 1]
    alive = tmp_path / "alive"
    check = [text.replace(place, str(alive)) for text in services["worker"]["healthcheck"]["test"][1:]]
    assert str(alive) in check[-1]
    check[0] = sys.executable
    assert asked(check).returncode == 1
    alive.touch()
    assert asked(check).returncode == 0
    os.utime(alive, (time.time() - 31, time.time() - 31))
    assert asked(check).returncode == 1


@pytest.mark.parametrize("name", ["api", "worker"])
def test_commands_and_their_options_exist(services: dict[str, dict[str, Any]], name: str) -> None:
    """Every option that compose.yaml gives is one of the command's, and takes the value that it is given."""
    parsed(services[name]["command"])


def test_commands_of_the_page_exist() -> None:
    """What docs/containers.md has llmx do in a container is something that it can do."""
    text = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8").replace("\\\n", "")
    inside = re.findall(
        r"^\$ docker (?:compose run .* api|run .* llmx) (.*?)(?: [<>] .*)?$", text, re.MULTILINE
    )
    assert len(inside) == 3
    for words in inside:
        parsed(shlex.split(words))


def parsed(words: list[str]) -> None:
    """Have a command take its options, without running it."""
    command: Any = typer.main.get_command(build_app())
    while getattr(command, "commands", None):
        name, *words = words
        command = command.commands[name]
    with command.make_context(command.name, list(words)):
        pass


def test_variables_exist(services: dict[str, dict[str, Any]]) -> None:
    """Every variable of llmx that compose.yaml sets is read by an option."""
    extract = getattr(typer.main.get_command(build_app()), "commands", {})["extract"]
    known = {param.envvar for param in extract.params}
    for name in ("api", "worker"):
        given = {one for one in services[name]["environment"] if one.startswith("LLMX_")}
        assert given <= known


def test_redis_starts_as_it_is_told(services: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """A real server takes the options, and the health check tells it from none."""
    program = shutil.which("redis-server")
    assert program is not None, "no redis-server: sh .ci/programs"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = services["redis"]["command"][1:]
    here = ["--port", port, "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    check = [*services["redis"]["healthcheck"]["test"][1:], "-p", port]
    check = [check[0], *check[-2:], *check[1:-2]]
    assert asked(check).returncode == 1
    server = subprocess.Popen([program, *options, *here], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while asked(check).returncode and time.monotonic() < deadline:
            assert server.poll() is None
        assert asked(check).stdout == "PONG\n"
        for name, value in (
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory-policy", "noeviction"),
        ):
            assert asked([*check[:-1], "CONFIG", "GET", name]).stdout.split() == [name, value]
    finally:
        server.terminate()
        server.wait()


def asked(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)
