"""The manifest: replaced in one step, and read as far as it can be."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from llmx.journal.manifest import InputFile, Manifest, read_manifest, write_manifest
from llmx.system import System, installed

WHOLE = Manifest(
    llmx="1.2.3",
    state="stopped",
    exit_code=130,
    reason="interrupted",
    cwd="/data",
    command={"schema": "name", "limit": 5, "keep": ["id"], "meta": True, "temperature": 0.5},
    output="out.jsonl",
    schema_name="name",
    model="openai/m",
    inputs=[InputFile(path="/data/in.jsonl", size=7, modified=1.5, sha256="00"), InputFile(path="-")],
    selection={"limit": 5, "sample": None},
    hashes={"schema": "aa"},
    started="2026-01-01T00:00:00+00:00",
    ended="2026-01-01T00:00:01+00:00",
    sessions=2,
    rows={"settled": 3, "total": None},
    calls=4,
    answers=5,
    usage={"input": 6, "output": 7},
    cost="0.0001",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "manifest.json"


def test_what_was_written_is_read(path: Path):
    """Every field of it."""
    write_manifest(path, WHOLE)
    assert read_manifest(path) == WHOLE


def test_it_is_for_people(path: Path):
    """Indented JSON, letters as they are, a newline at its end."""
    write_manifest(path, Manifest(schema_name="Größe"))
    text = path.read_text(encoding="utf-8")
    assert text.startswith('{\n  "version": 1,\n')
    assert text.endswith("}\n")
    assert '"schema_name": "Größe"' in text


def test_a_name_that_is_no_utf_8(path: Path):
    """Files may be called anything."""
    odd = Manifest(cwd="/data/\udcff", output="\udcff.jsonl", command={"output": "\udcff.jsonl"})
    write_manifest(path, odd)
    assert read_manifest(path) == odd
    assert json.loads(path.read_bytes())["output"] == "\udcff.jsonl"


def test_it_is_private(path: Path):
    """Whatever the umask: it quotes prompts and paths."""
    previous = os.umask(0)
    try:
        write_manifest(path, WHOLE)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_leaves_no_other_file(path: Path):
    """What it was made of has become it."""
    write_manifest(path, WHOLE)
    assert [entry.name for entry in path.parent.iterdir()] == ["manifest.json"]


class Steps(System):
    """Notes what is done; fails at the step it is told."""

    def __init__(self, fails_at: str = "") -> None:
        self.fails_at = fails_at
        self.done: list[str] = []

    def _step(self, name: str) -> None:
        self.done.append(name)
        if name == self.fails_at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write(self, file: int, data: bytes | memoryview) -> int:
        self._step("write")
        return super().write(file, data)

    def sync(self, file: int) -> None:
        self._step("sync")

    def replace(self, source: Path, target: Path) -> None:
        self._step("replace")
        super().replace(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._step("sync folder")


def test_it_is_replaced_for_good(path: Path):
    """On the disk before it gets its name, and then its name too."""
    steps = Steps()
    with installed(steps):
        write_manifest(path, WHOLE)
    assert steps.done == ["write", "sync", "replace", "sync folder"]


@pytest.mark.parametrize("step", ["write", "sync", "replace"])
def test_a_failure_leaves_the_earlier_one(path: Path, step: str):
    """Whole, as it was; the next one gets through."""
    write_manifest(path, WHOLE)
    with installed(Steps(step)), pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_manifest(path, Manifest(state="complete"))
    assert read_manifest(path) == WHOLE
    write_manifest(path, Manifest(state="complete"))
    assert read_manifest(path) == Manifest(state="complete")


def test_a_kernel_that_takes_it_in_pieces(path: Path):
    """A write may take less than it was given."""

    class Sipping(System):
        def write(self, file: int, data: bytes | memoryview) -> int:
            return super().write(file, data[:100])

    with installed(Sipping()):
        write_manifest(path, WHOLE)
    assert read_manifest(path) == WHOLE


def test_none_is_there(path: Path):
    """A run may have left none."""
    assert read_manifest(path) is None


def test_a_folder_of_its_name(path: Path):
    """It cannot be read, and that is no reason to crash."""
    path.mkdir()
    assert read_manifest(path) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 64,
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"rows": {"ok": "many"}}',
        b'{"inputs": [{}]}',
        b'{"command": []}',
        b'{"cost": "much"}',
    ],
    ids=lambda content: content[:20].decode("latin-1"),
)
def test_a_damaged_one_is_none(path: Path, content: bytes):
    """As good as a run that left none."""
    path.write_bytes(content)
    assert read_manifest(path) is None


def test_every_beginning_of_one_is_none(path: Path):
    """A copy that was cut is not taken for half a run."""
    write_manifest(path, WHOLE)
    data = path.read_bytes()
    for end in range(0, len(data) - 2, 37):
        path.write_bytes(data[:end])
        assert read_manifest(path) is None


def test_an_older_one_is_read(path: Path):
    """What it does not say has a value that says nothing."""
    path.write_text('{"llmx": "0.1", "output": "out.jsonl"}')
    assert read_manifest(path) == Manifest(llmx="0.1", output="out.jsonl")


def test_a_newer_one_is_read(path: Path):
    """What is not known here is passed over."""
    newer: dict[str, Any] = {**WHOLE.model_dump(), "version": 2, "later": {"a": 1}}
    newer["inputs"][0]["etag"] = "x"
    path.write_text(json.dumps(newer))
    assert read_manifest(path) == WHOLE.model_copy(update={"version": 2})


@pytest.mark.parametrize("cost", ["0", "0.0123", "1.2E-7", "0E-10", None])
def test_costs(path: Path, cost: str | None):
    """A decimal however it is written, or unknown."""
    write_manifest(path, Manifest(cost=cost))
    read = read_manifest(path)
    assert read is not None
    assert read.cost == cost
