"""Lines that are added to a file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from llmx.pages import tail
from llmx.pages.tail import Tail


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@settings(deadline=None)
@given(
    some.lists(some.binary(max_size=6).map(lambda line: line.replace(b"\n", b"")), max_size=12), some.data()
)
def test_every_whole_line_comes_once(lines: list[bytes], data: some.DataObject) -> None:
    """Wherever the file ends when it is looked at."""
    text = b"".join(line + b"\n" for line in lines)
    cuts = sorted({0, len(text), *data.draw(some.lists(some.integers(0, len(text)), max_size=6))})
    with TemporaryDirectory() as folder:
        path, follower, found = Path(folder, "f"), Tail(), []
        for start, end in pairwise(cuts):
            add(path, text[start:end])
            found += follower.lines(path)
        assert found == lines


def test_a_file_that_is_renamed_goes_on(tmp_path: Path) -> None:
    """As an output does when its run has come to its end."""
    follower, path = Tail(), tmp_path / "out.partial"
    assert follower.goes_on(None)
    assert list(follower.lines(None)) == []
    add(path, b"a\nb")
    assert list(follower.lines(path)) == [b"a"]
    final = path.rename(tmp_path / "out")
    add(final, b"\nc\n")
    assert follower.goes_on(final)
    assert list(follower.lines(final)) == [b"b", b"c"]
    assert list(follower.lines(path)) == []


def test_another_file_and_a_shorter_one_do_not(tmp_path: Path) -> None:
    """They are to be read from their beginning."""
    follower, path = Tail(), tmp_path / "out"
    add(path, b"a\nb\n")
    assert list(follower.lines(path)) == [b"a", b"b"]
    path.write_bytes(b"a\n")
    assert not follower.goes_on(path)
    (tmp_path / "new").write_bytes(b"a\nb\nc\n")
    (tmp_path / "new").replace(path)
    assert not follower.goes_on(path)
    path.unlink()
    assert not follower.goes_on(path)


def test_a_line_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not fill the memory; what comes behind it is read."""
    monkeypatch.setattr(tail, "LONGEST", 100)
    follower, path = Tail(), tmp_path / "out"
    add(path, b"x" * 150)
    assert list(follower.lines(path)) == []
    add(path, b"x" * 150 + b"\nnext\n")
    assert list(follower.lines(path)) == [b"next"]
    assert follower.too_long == 1
