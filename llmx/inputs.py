"""The files that a run reads, as they are when it begins: noted, and compared with those of the session before.

A digest of a large file takes minutes, so it is made beside the run, and waited for only where size and time
do not tell whether a file is another one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from llmx.detached import in_thread
from llmx.journal import InputFile
from llmx.layers.stop import Stop

__all__ = ["Inputs"]


class Inputs:
    """The inputs of one session.

    Args:
        paths: None for standard input.
        earlier: those of the session before; what has their path, size and time has their digest.

    Attributes:
        files: in the order of `paths`; each gets its digest as soon as that is known.
    """

    def __init__(self, paths: Sequence[Path | None], earlier: Sequence[InputFile]) -> None:
        self._earlier = earlier
        known = {(file.path, file.size, file.modified): file.sha256 for file in earlier}
        self.files = [_look(path) for path in paths]
        for file in self.files:
            file.sha256 = known.get((file.path, file.size, file.modified))
        unknown = [file for file in self.files if file.size is not None and file.sha256 is None]
        self._hashed = in_thread(lambda: _hash(unknown))

    def await_digests(self, seconds: float) -> bool:
        """Whether all digests are there, or come while one waits. Blocks."""
        with suppress(TimeoutError):
            self._hashed.result(seconds)
        return all(file.sha256 for file in self.files if file.size is not None)

    async def changed(self, stop: Stop) -> bool:
        """Whether the content is another than in the session before. Raises Stopped, for it may take a while."""
        if len(self.files) != len(self._earlier):
            return True
        pairs = list(zip(self.files, self._earlier, strict=True))
        if any(now.size != then.size for now, then in pairs):
            return True
        unsure = [(now, then) for now, then in pairs if now.size is not None and not _same(now, then)]
        if unsure:
            with stop.interruptible():
                await asyncio.wrap_future(self._hashed)
        return any(now.sha256 != then.sha256 for now, then in unsure)


def _same(now: InputFile, then: InputFile) -> bool:
    return (now.path, now.modified) == (then.path, then.modified)


def _look(path: Path | None) -> InputFile:
    if path is None or not path.is_file():
        return InputFile(path="-" if path is None else str(path))
    status = path.stat()
    return InputFile(path=str(path), size=status.st_size, modified=status.st_mtime)


def _hash(files: Sequence[InputFile]) -> None:
    for file in files:
        try:
            with Path(file.path).open("rb") as stream:
                file.sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError:  # gone meanwhile: the run itself will say so
            continue
