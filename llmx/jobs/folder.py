"""Where a job's files lie on the storage that all its workers share.

    jobs/ID/unreadable.jsonl               rows that could not be read, as they stand among failed rows
    jobs/ID/shards/00000/rows.jsonl        the rows of a shard
    jobs/ID/shards/00000/e2/out.jsonl      what its second worker writes: an ordinary run, its state in e2/.llmx/

Each worker of a shard has a folder of its own, named by the epoch of its lease. One that was paused, and wakes up when its
lease is another's, writes where nobody looks any more.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from llmx.environment import private
from llmx.jobs.ids import is_job
from llmx.journal import STATE
from llmx.system import system

__all__ = ["ERRORS", "OUTPUT", "JobFolder", "ShardFolder", "job_folder", "settle_in", "staging", "sync_tree"]

JOURNAL = "journal.jsonl"

OUTPUT, ERRORS, ROWS, UNREADABLE = "out.jsonl", "out.errors.jsonl", "rows.jsonl", "unreadable.jsonl"

_EPOCH = re.compile(r"e([1-9][0-9]{0,8})")

_LEFT = ("lock", "index.sqlite*", "reserve", "*.new", "*.building")
"""What belongs to the process that wrote it; an index is made anew of its journal, which may have grown meanwhile."""


_TAIL = 4_096
"""Bytes at the end of a journal in which the line that ends it is, if it is there."""


class ShardFolder(Struct, frozen=True):
    """The files of one shard."""

    path: Path

    @property
    def rows(self) -> Path:
        """Its rows, JSON Lines."""
        return self.path / ROWS

    def epoch(self, number: int) -> Path:
        """The folder of a worker."""
        return self.path / f"e{number}"

    def output_of(self, number: int) -> str:
        """The results of a worker's run, as seen from the shard's folder."""
        return f"e{number}/{OUTPUT}"

    def epochs(self) -> list[int]:
        """Those that have a folder, the newest first."""
        if not self.path.is_dir():
            return []
        found = (_EPOCH.fullmatch(entry.name) for entry in self.path.iterdir())
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def last_to(self, number: int) -> int | None:
        """The newest epoch up to `number` that has a folder, None when there is none."""
        return next((epoch for epoch in self.epochs() if epoch <= number), None)

    def begin(self, number: int) -> None:
        """Make the folder of a worker, with all that the one before it has left. Raises OSError.

        Its files are copied, and not moved: who is taken to be dead may be asleep. The journal goes first, so that it knows of no
        more of the output than was copied.
        """
        target = self.epoch(number)
        if target.exists():
            return
        before = self.last_to(number - 1)
        fresh = target.with_name(f".{target.name}.new")
        with private():
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            if before is not None:
                old = self.epoch(before)
                if (old / STATE).is_dir():
                    _copy_tree(old / STATE, fresh / STATE, *_LEFT)
                _copy_tree(old, fresh, *_LEFT, STATE)
                for journal in (fresh / STATE).glob(f"*/{JOURNAL}"):
                    _reopen(journal)
            fresh.rename(target)

    def tidy(self, number: int) -> None:
        """Remove what workers before this one have left; it is done, so nobody goes on with theirs."""
        for epoch in self.epochs():
            if epoch < number:
                shutil.rmtree(self.epoch(epoch), ignore_errors=True)


def _copy_tree(source: Path, target: Path, *without: str) -> None:
    """Copy a folder whose files somebody may be renaming; one that is gone is made anew of the journal. Raises OSError."""
    left = shutil.ignore_patterns(*without)
    shutil.copytree(source, target, ignore=left, copy_function=_copy, dirs_exist_ok=True)


def _copy(source: str, target: str) -> None:
    with suppress(FileNotFoundError):
        shutil.copy2(source, target)


class JobFolder(Struct, frozen=True):
    """The files of one job."""

    path: Path

    @property
    def unreadable(self) -> Path:
        """Rows that could not be read; the file is there if there are any."""
        return self.path / UNREADABLE

    def shard(self, number: int) -> ShardFolder:
        """The files of a shard."""
        return ShardFolder(self.path / "shards" / f"{number:05d}")

    def remove(self) -> None:
        """All of it; what cannot be removed stays."""
        shutil.rmtree(self.path, ignore_errors=True)


def _reopen(journal: Path) -> None:
    """Take the end off a journal whose run had ended, but the store was not told: else its failed rows would be asked again.

    Readers of the results have counted rows in which those are missing.
    """
    with journal.open("r+b") as file:
        begin = max(0, file.seek(0, os.SEEK_END) - _TAIL)
        file.seek(begin)
        data = file.read()
        start = data.rstrip(b"\n").rfind(b"\n") + 1
        if b'"t":"end"' in data[start : start + 40]:
            file.truncate(begin + start)


def job_folder(root: Path, id: str) -> JobFolder:
    """The folder of a job below the storage's root. Raises ValueError: the name is none that we have given."""
    if not is_job(id):
        raise ValueError(f"{id!r} is no job")
    return JobFolder(root / "jobs" / id)


def staging(root: Path, id: str) -> JobFolder:
    """Where a job's files are put together; a new, empty folder. Raises OSError."""
    folder = JobFolder(root / "incoming" / f"{id}.new")
    with private():
        folder.path.mkdir(parents=True)
    return folder


def settle_in(root: Path, id: str, staged: JobFolder) -> JobFolder:
    """Move a job's files to their place in one step, for good. Raises OSError."""
    folder = job_folder(root, id)
    sync_tree(staged.path)
    with private():
        folder.path.parent.mkdir(parents=True, exist_ok=True)
    staged.path.rename(folder.path)
    system().sync_folder(folder.path.parent)
    return folder


def sync_tree(path: Path) -> None:
    """Have the disk take what is below a folder. Raises OSError."""
    for folder in _folders(path):
        for entry in os.scandir(folder):
            if entry.is_file(follow_symlinks=False):
                _sync(Path(entry.path))
        with suppress(OSError):  # some network file systems sync no folders
            system().sync_folder(folder)


def _folders(path: Path) -> Iterator[Path]:
    for folder, _, _ in os.walk(path, topdown=False):
        yield Path(folder)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        system().sync(file)
    finally:
        os.close(file)
