"""Where a run lies: `.llmx/<output>/` beside its output, a folder under `--state-dir`, or one of llmx's own.

A folder of ours holds what people asked about their data, so it is its owner's alone, and neither version
control nor backups should take it.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

from msgspec import Struct

from llmx.environment import private
from llmx.errors import OutputFailed, UsageError
from llmx.journal.lines import scan
from llmx.journal.lock import Lock, owner
from llmx.journal.manifest import read_manifest
from llmx.system import OURS, system

__all__ = [
    "KEPT",
    "STATE",
    "RunFolder",
    "folders_in",
    "forget_old",
    "fresh_folder",
    "run_folder",
    "runs_home",
]

STATE = ".llmx"

KEPT = 30 * 86_400.0
"""Seconds that the runs of standard output are kept after they were last written."""

_STAMP = "%Y%m%d-%H%M%S"

_FILES = (
    "journal.jsonl",
    "journal.old.jsonl",
    "index.sqlite*",
    "manifest.json*",
    "errors.jsonl*",
    "lock",
    "reserve",
)

RESERVE = 64 * 1024
"""Bytes, for a manifest and a line of the journal."""

_MARKS = {
    ".gitignore": "*\n",
    "CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This is a cache directory tag, see https://bford.info/cachedir/\n",
}


class RunFolder(Struct, frozen=True):
    """The files of one run; none of them need be there."""

    path: Path

    @property
    def journal(self) -> Path:
        """Every paid answer, and how every row ended."""
        return self.path / "journal.jsonl"

    @property
    def manifest(self) -> Path:
        """What was asked, and what became of it."""
        return self.path / "manifest.json"

    @property
    def index(self) -> Path:
        """Where each answer stands in the journal."""
        return self.path / "index.sqlite"

    @property
    def errors(self) -> Path:
        """The failed rows of a run whose results went to standard output."""
        return self.path / "errors.jsonl"

    @property
    def _lock(self) -> Path:
        return self.path / "lock"

    @property
    def _reserve(self) -> Path:
        return self.path / "reserve"

    def hold_room(self) -> None:
        """Take room on the disk for what is written at a run's end, which may come because it is full. Raises OSError."""
        try:
            _put(self._reserve, os.urandom(RESERVE))  # of zeros some file systems keep nothing
        except OSError:
            self.give_room()
            raise

    def give_room(self) -> None:
        """The end has come."""
        with suppress(OSError):
            self._reserve.unlink(missing_ok=True)

    def acquire(self, shown: str) -> Lock:
        """Make the folder and take its lock.

        Args:
            shown: the output's name for messages.

        Raises:
            UsageError: another run holds it.
            OutputFailed: the system refuses to make it.
        """
        try:
            with private():
                _make(self.path)
                return Lock(self._lock, shown)
        except OSError as error:
            hint = "-o FILE or --state-dir DIR in a folder that can be written to, or --no-store"
            # What mkdir says of a file in a folder's place is true, and of no help.
            taken = isinstance(error, FileExistsError)
            reason = os.strerror(errno.ENOTDIR) if taken else error.strerror or str(error)
            if error.errno == errno.ELOOP:
                reason, hint = "a link stands in its place, which is not followed", "--state-dir DIR"
            raise OutputFailed(f"cannot keep the run in {str(self.path)!r}: {reason}", hint=hint) from error

    def owner(self) -> int | None:
        """The pid of the process that is writing it, 0 when unknown; None when nobody is."""
        return owner(self._lock)

    def modified(self) -> float:
        """When it was last written, in seconds since 1970; 0 when it is gone.

        One that has just been made and has no file yet is new, too: nobody may take it for an old one.
        """
        try:
            return max(path.stat().st_mtime for path in (self.path, *self.path.iterdir()))
        except OSError:
            return 0.0

    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def is_ours(self) -> bool:
        """Whether its files are those of a run, as they are not in any folder that has files of these names."""
        manifest = read_manifest(self.manifest)
        return (manifest is not None and manifest.llmx != "") or _is_journal(self.journal)

    def forget(self, shown: str) -> None:
        """Remove a run that nobody is writing. Raises UsageError when somebody is, and OSError."""
        lock = Lock(self._lock, shown)
        try:
            self.remove()
        finally:
            lock.close()

    def remove(self) -> None:
        """Remove the run, whose lock we hold, and what marked its folder when it was the last.

        Only our own files: where there are others, they stay, and so does the folder.
        """
        for pattern in _FILES:
            for file in self.path.glob(pattern):
                file.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()
        parent = self.path.parent
        if parent.name == STATE and {entry.name for entry in os.scandir(parent)} <= set(_MARKS):
            for name in _MARKS:
                (parent / name).unlink(missing_ok=True)
            with suppress(OSError):  # another run has begun in between
                parent.rmdir()


def run_folder(output: Path, state_dir: Path | None) -> RunFolder:
    """The folder of the run that writes `output`.

    Raises:
        UsageError: it would have the output's own name.
    """
    if state_dir is not None and state_dir.resolve() == output.parent.resolve():
        problem = f"--state-dir: {str(state_dir)!r} is the folder of the output itself"
        raise UsageError(problem, hint="--state-dir DIR, another folder, or none")
    return RunFolder((state_dir or output.parent / STATE) / output.name)


def runs_home(home: Path) -> Path:
    """Where the runs of standard output are, below llmx's own folder."""
    return home / "runs"


def fresh_folder(home: Path) -> RunFolder:
    """A new folder for a run of standard output; its name begins with the local time. Not made here."""
    name = f"{time.strftime(_STAMP)}-{os.getpid()}"
    names = chain(
        [name], (f"{name}-{number}" for number in count(2))
    )  # one process may begin several in a second
    return RunFolder(next(path for path in map(runs_home(home).joinpath, names) if not path.exists()))


def folders_in(parent: Path) -> Iterator[RunFolder]:
    """The runs in a folder, by name."""
    try:
        entries = sorted(os.scandir(parent), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield RunFolder(Path(entry.path))


def forget_old(home: Path, *, now: float) -> None:
    """Remove the runs of standard output that nobody has gone on with for 30 days."""
    for folder in folders_in(runs_home(home)):
        if not _is_young(folder.path.name, now) and now - folder.modified() > KEPT:
            with suppress(OSError, UsageError):  # going on, somebody else's, or gone: not worth a run
                folder.forget(folder.path.name)


def _is_young(name: str, now: float) -> bool:
    """Whether a folder's name alone says that it is not old yet: there may be thousands of them."""
    earliest = time.strftime(_STAMP, time.localtime(now - KEPT + 86_400))
    return name[:8].isdigit() and name > earliest


def _is_journal(path: Path) -> bool:
    """Whether there is a line in it that is as we write them."""
    try:
        with path.open("rb") as file:
            return any(line.entry is not None for line in scan(file))
    except OSError:
        return False


def _make(folder: Path) -> None:
    """The folder and those above it; one of ours says to other tools that it is.

    A link in its place is refused: a repository that somebody has copied must not lead us elsewhere.
    """
    for path in (folder.parent, folder):
        if path.is_symlink() and (path is folder or path.name == STATE):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    if folder.parent.name == STATE:
        for name, text in _MARKS.items():
            _put(folder.parent / name, text.encode())
    system().sync_folder(folder.parent)


def _put(path: Path, data: bytes) -> None:
    """A small file, unless there is one."""
    with suppress(FileExistsError):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OURS, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
