"""Partial files: their names, and who may write them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmx.errors import UsageError
from llmx.records import partials
from llmx.records.partials import building_of, open_partial, partial_of


def test_the_names_of_what_is_written_on_the_way(tmp_path: Path) -> None:
    """Beside the output."""
    assert partial_of(tmp_path / "out.parquet") == tmp_path / "out.parquet.partial"
    assert building_of(tmp_path / "out.parquet") == tmp_path / "out.parquet.building"


def test_a_links_partial_file_is_beside_the_file_it_names(tmp_path: Path) -> None:
    """It becomes that file, and must be on its disk."""
    (tmp_path / "data").mkdir()
    (tmp_path / "out.jsonl").symlink_to("data/real.jsonl")

    assert partial_of(tmp_path / "out.jsonl") == tmp_path / "data/real.jsonl.partial"


def test_only_one_run_may_write(tmp_path: Path) -> None:
    """The other is told whose way it is in."""
    file = open_partial(tmp_path / "out.partial", "out")

    with pytest.raises(UsageError, match=r"another run \(pid \d+\) is writing 'out'") as caught:
        open_partial(tmp_path / "out.partial", "out")
    assert caught.value.hint
    os.close(file)
    os.close(open_partial(tmp_path / "out.partial", "out"))


def test_a_dead_run_holds_nothing(tmp_path: Path) -> None:
    """However it died."""
    code = (
        "import os, signal; from pathlib import Path; from llmx.records.partials import open_partial;"
        "open_partial(Path('out.partial'), 'out'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(partials.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False)

    assert done.returncode == -9
    assert (tmp_path / "out.partial").exists()
    os.close(open_partial(tmp_path / "out.partial", "out"))


def test_a_file_that_became_an_output_in_between_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends renames its partial file, which another may have opened a moment before."""
    partial, lock = tmp_path / "out.partial", partials._lock

    def rename_first(file: int, shown: str) -> None:
        lock(file, shown)
        monkeypatch.setattr(partials, "_lock", lock)
        partial.rename(tmp_path / "out")

    monkeypatch.setattr(partials, "_lock", rename_first)
    file = open_partial(partial, "out")
    os.write(file, b"new")
    os.close(file)

    assert (tmp_path / "out").read_bytes() == b""
    assert partial.read_bytes() == b"new"


def test_a_disk_without_locks_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network file systems are such."""
    import fcntl

    def refuse(*_: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)

    os.close(open_partial(tmp_path / "out.partial", "out"))
