"""Real limits on the real command: bounded files, folders that cannot be written to, devices and disks that are full."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Finished, Llmx, Mock
from faults.evidence import answers, asked
from faults.scene import CONCURRENCY, Scene
from rehearsal import some_rows, write_rows

from llmx.mock import MockSettings

Provider = Callable[[MockSettings], Mock]

KEPT = MockSettings(log=True)
WITHOUT_CACHE = ("--cache", "off")
ROWS = 100
POWERLESS = [{"powerless": True}]


def error_of(done: Finished) -> str:
    """The one error that a command names."""
    (error,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.err
    return error


@pytest.mark.parametrize("size", [1_000, 10_000, 40_000, 60_000])
def test_a_bound_on_the_size_of_files(size: int, llmx: Llmx, provider: Provider) -> None:
    """`ulimit -f`: exit code 1 and the system's words, whichever file meets it; the next run goes on."""
    scene = Scene(llmx, provider(KEPT), *WITHOUT_CACHE, rows=ROWS)
    done = scene.run(fault=[{"file_size": size}])
    assert done.code == 1
    assert error_of(done)
    assert not scene.output.exists()
    assert scene.mock.calls - len(answers(scene.journal)) <= CONCURRENCY
    assert scene.run().code == 0
    assert [row["id"] for row in scene.results] == list(range(ROWS))
    assert scene.ledger.paid_twice <= CONCURRENCY


@pytest.mark.parametrize("options", [(), ("--no-store",)])
def test_a_folder_that_cannot_be_written_to(options: tuple[str, ...], llmx: Llmx, provider: Provider) -> None:
    """It is told before anybody is asked, whatever is kept of the run."""
    scene = Scene(llmx, provider(KEPT), *WITHOUT_CACHE, *options)
    llmx.cwd.chmod(0o555)
    done = llmx(*scene.command, fault=POWERLESS)
    llmx.cwd.chmod(0o755)
    assert done.code == 1
    assert error_of(done).endswith(": Permission denied")
    assert scene.mock.calls == 0
    assert scene.left_over() == []


def test_a_state_that_cannot_be_written_to(llmx: Llmx, provider: Provider) -> None:
    """That of an earlier run, too: nothing is asked, and the earlier output stays."""
    scene = Scene(llmx, provider(KEPT), *WITHOUT_CACHE)
    assert scene.run().code == 0
    state = scene.journal.parent
    for path in (*state.iterdir(), state):
        path.chmod(0o555 if path == state else 0o444)
    done = llmx(*scene.command, fault=POWERLESS)
    state.chmod(0o700)
    assert done.code == 1
    assert error_of(done).endswith(": Permission denied")
    assert (scene.mock.calls, len(scene.results)) == (10, 10)


def test_a_full_device(llmx: Llmx, provider: Provider) -> None:
    """`-o /dev/full`: no further calls, and a second try pays for none of the answers again."""
    mock = provider(KEPT)
    write_rows(llmx.cwd / "rows.jsonl", some_rows(ROWS))
    command = ("extract", "rows.jsonl", "-s", "name, age int", "-o", "/dev/full", "-c", "2", *WITHOUT_CACHE)
    done = llmx(*command, *mock.openai)
    assert done.code == 1
    assert error_of(done) == "error: cannot write '/dev/full': No space left on device"
    first = asked(mock)
    assert 1 <= len(first) <= 2 * CONCURRENCY
    assert llmx(*command, *mock.openai).code == 1
    assert not set(asked(mock)[len(first) :]) & set(first)


@pytest.fixture
def small_disk(llmx: Llmx) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = llmx.cwd.parent / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(small_disk: Path, llmx: Llmx, provider: Provider) -> None:
    """Exit code 1; when there is room again, the same command goes on and pays for what is missing."""
    scene = Scene(replace(llmx, cwd=small_disk), provider(MockSettings(log=True)), *WITHOUT_CACHE, rows=300)
    done = scene.run()
    assert done.code == 1
    assert error_of(done).endswith(": No space left on device")
    assert 0 < scene.mock.calls < 300
    assert not scene.output.exists()
    assert scene.mock.calls - len(answers(scene.journal)) <= CONCURRENCY
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert scene.run().code == 0
    assert [row["id"] for row in scene.results] == list(range(300))
    assert scene.ledger.paid_twice <= CONCURRENCY


def test_a_cap_outlives_a_full_disk(small_disk: Path, llmx: Llmx, provider: Provider) -> None:
    """The run knew how its calls ended: only answers that could not be written down count at their worst."""
    cap = ("--max-tokens", "200000", "-c", "32")  # of which the calls in flight may come to most
    scene = Scene(
        replace(llmx, cwd=small_disk), provider(MockSettings(log=True)), *WITHOUT_CACHE, *cap, rows=300
    )
    assert scene.run().code == 1
    assert 0 < scene.mock.calls < 300
    assert not (scene.journal.parent / "reserve").exists()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert scene.run().code == 0
    assert [row["id"] for row in scene.results] == list(range(300))


def test_a_full_disk_under_a_budget(small_disk: Path, llmx: Llmx, provider: Provider) -> None:
    """To begin all budgets anew is no way out: room is."""
    (llmx.cwd / "llmx.toml").write_text("[budget.dev]\ndaily-tokens = 1000000\n")
    env = {**llmx.env, "LLMX_HOME": str(small_disk)}
    scene = Scene(replace(llmx, env=env), provider(KEPT), "--budget", "dev", *WITHOUT_CACHE)
    (small_disk / "others").write_bytes(bytes(236 * 1024))
    done = scene.run()
    assert done.code == 1
    assert error_of(done).startswith("error: cannot use the budgets in")
    assert error_of(done).endswith(": No space left on device")
    assert "hint: make room, then run the same command again" in done.err
    assert scene.mock.calls == 0
