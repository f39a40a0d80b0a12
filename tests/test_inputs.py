"""The files that a run reads, compared with those of the session before."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from pathlib import Path

import pytest
from commands import wait_for
from fakes import settle_down

from llmx import inputs as module
from llmx.errors import Interrupted, Stopped
from llmx.inputs import Inputs
from llmx.journal import InputFile
from llmx.layers.stop import Stop


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An input."""
    path = tmp_path / "in.jsonl"
    path.write_text("one")
    return path


def noted(*paths: Path | None, earlier: tuple[InputFile, ...] = ()) -> tuple[InputFile, ...]:
    """The files with their digests."""
    found = Inputs(paths, earlier)
    wait_for(lambda: all(file.sha256 for file in found.files if file.size is not None))
    return tuple(found.files)


def changed(*paths: Path | None, earlier: tuple[InputFile, ...]) -> bool:
    return asyncio.run(Inputs(paths, earlier).changed(Stop()))


def test_what_is_noted(file: Path):
    """Of standard input nothing is known."""
    one, two = noted(file, None)
    assert one == InputFile(
        path=str(file), size=3, modified=file.stat().st_mtime, sha256=hashlib.sha256(b"one").hexdigest()
    )
    assert two == InputFile(path="-")


def test_a_file_as_it_was_is_not_read_again(file: Path, monkeypatch: pytest.MonkeyPatch):
    """Its digest is that of the session before."""
    earlier = noted(file)
    monkeypatch.setattr(module, "_hash", lambda files: files[0])
    assert noted(file, earlier=earlier) == earlier
    assert not changed(file, earlier=earlier)


def test_a_file_that_was_only_touched_is_the_same(file: Path):
    """Its content counts, and not its date."""
    earlier = noted(file)
    os.utime(file, (0, 0))
    assert not changed(file, earlier=earlier)


def test_a_file_under_another_name_is_the_same(file: Path):
    """Its content counts."""
    earlier = noted(file)
    assert not changed(file.rename(file.with_name("other.jsonl")), earlier=earlier)


@pytest.mark.parametrize("text", ["two", "longer"])
def test_another_content(file: Path, text: str):
    """Of the same size, too."""
    earlier = noted(file)
    file.write_text(text)
    os.utime(file, (0, 0))
    assert changed(file, earlier=earlier)


def test_one_more_file(file: Path):
    """And one less."""
    one, two = noted(file), noted(file, None)
    assert changed(file, None, earlier=one)
    assert changed(file, earlier=two)


def test_a_pipe_cannot_be_compared(file: Path):
    """Another kind of input is another one."""
    earlier = noted(None)
    assert not changed(None, earlier=earlier)
    assert changed(file, earlier=earlier)


def test_a_digest_that_was_never_made(file: Path):
    """Of a run that was killed early: nobody knows, so it is told."""
    (known,) = noted(file)
    earlier = (known.model_copy(update={"sha256": None}),)
    assert not changed(file, earlier=earlier)
    os.utime(file, (0, 0))
    assert changed(file, earlier=earlier)


async def test_a_large_file_holds_nobody_up(file: Path, monkeypatch: pytest.MonkeyPatch):
    """Not at the start; and a signal ends the wait for its digest."""
    earlier = (InputFile(path=str(file), size=3, modified=0.0, sha256="00"),)
    done = threading.Event()
    monkeypatch.setattr(module, "_hash", lambda files: done.wait())
    stop = Stop()
    waiting = asyncio.ensure_future(Inputs([file], earlier).changed(stop))
    await settle_down()
    assert not waiting.done()
    stop.set(Interrupted(2))
    with pytest.raises(Stopped):
        await waiting
    done.set()


def test_a_file_that_is_gone_has_no_digest(file: Path):
    """The run itself will say so."""
    earlier = noted(file)
    os.utime(file, (0, 0))
    found = Inputs([file], earlier)
    file.unlink()
    assert isinstance(asyncio.run(found.changed(Stop())), bool)
