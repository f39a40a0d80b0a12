"""An output while a run writes it: the page's data, kept up to date by reading what has been added.

Rows of JSON Lines are followed line by line. Other formats are read anew when they have changed, ever more seldom the
longer that takes. Nothing here is written, and no lock is taken: the run need not know.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmx.environment import Environment
from llmx.errors import LlmxError
from llmx.pages.chunks import Chunk
from llmx.pages.collect import Beside, Collector
from llmx.pages.facts import input_columns, input_rows, summary
from llmx.pages.found import Output, find_output
from llmx.pages.rows import failed_rows, rows_of
from llmx.pages.tail import Tail
from llmx.pages.timeline import Timeline
from llmx.records import to_json
from llmx.records.integers import loads_object

__all__ = ["LivePage"]

PAUSE = 0.5
"""Seconds between two looks at the disk, however many ask."""

AT_ONCE = 0.4
"""Seconds that one look may take: a long file comes to the page piece by piece."""

PATIENCE = 10.0
"""A file that is read anew is left alone for so many times as long as that took."""


class LivePage:
    """What a page that follows an output asks for. For any thread.

    Args:
        name: of the output.
        state_dir: where runs are kept, if not beside their outputs.
        now: seconds of a clock that only goes forward.

    Raises:
        UsageError: there is no such output.
    """

    def __init__(
        self,
        name: str,
        env: Environment,
        state_dir: Path | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._env, self._state_dir, self._now = name, env, state_dir, now
        self._lock = threading.Lock()
        self._epoch = self._version = 0
        self._rest_until = self._looked = float("-inf")
        self._seen: Any = None
        self._more = False
        self._session: Any = None
        self._counted: tuple[Any, int | None] | None = None
        self._stamp: list[Any] = []
        self._said = b""
        self._problem = ""
        self._output = find_output(name, env, state_dir)
        self._begin()
        self._look()

    @property
    def title(self) -> str:
        """Of the window."""
        return f"{Path(self._output.name).name} · llmx view"

    def summary(self, since: str = "") -> bytes:
        """The page's data as JSON; empty when it is still what it was at `since`, an "epoch.version"."""
        with self._lock:
            if self._more or self._now() - self._looked >= PAUSE:
                self._look()
            return b"" if since == f"{self._epoch}.{self._version}" else self._said

    def chunk(self, number: int) -> bytes | None:
        """Some rows, as `Chunk.data`; None when there are none of that number."""
        with self._lock:
            if number == len(self._chunks):
                rest = self._collector.packer.rest()
                return None if rest is None else rest.data
            return self._chunks[number].data if 0 <= number < len(self._chunks) else None

    def _begin(self) -> None:
        """Forget all rows: they are another file's."""
        self._epoch += 1
        key = self._output.manifest.command.get("key") if self._output.manifest else None
        self._key = key if isinstance(key, str) else "id"
        self._collector = Collector(Beside(self._key))
        self._timeline = Timeline()
        self._chunks: list[Chunk] = []
        self._rows, self._failed = Tail(), Tail()

    def _look(self) -> None:
        """Read what is new; what cannot be read now is said, and tried again."""
        self._looked = self._now()
        self._more = False
        try:
            self._output = find_output(self._name, self._env, self._state_dir)
            self._problem = ""
            self._read()
        except (LlmxError, OSError) as error:
            self._problem = f"The output cannot be read now: {error}."
        state = self._state()
        if state != self._seen:
            self._seen = state
            self._version += 1
            self._said = to_json(self._summary())

    def _state(self) -> Any:
        """What the page depends on."""
        collector, run = self._collector, self._output.run
        manifest = self._output.manifest
        counts = (collector.rows, collector.failed, collector.unreadable)
        about = (run and run.state, manifest and (manifest.ended, manifest.cost, manifest.sessions))
        return self._epoch, counts, about, self._timeline.covered, self._problem, self._more

    def _summary(self) -> dict[str, Any]:
        inputs = input_columns(self._output, self._env)
        said = summary(self._output, self._collector, self._timeline, inputs)
        chunks = [[chunk.first, chunk.rows] for chunk in self._chunks]
        done = sum(rows for _, rows in chunks)
        if left := self._collector.packer.rows - done:
            chunks.append([done, left])
        more = {"total": self._total(), "key": self._key, "eval": None, "compare": None, "chunks": chunks}
        notes = [*said["notes"], *([self._problem] if self._problem else [])]
        return {
            **said,
            **more,
            "notes": notes,
            "epoch": self._epoch,
            "version": self._version,
            "more": self._more,
        }

    def _total(self) -> int | None:
        """How many rows there will be; counted once for each session."""
        if self._output.run is None or self._output.run.state != "running":
            return None
        if self._counted is None or self._counted[0] != self._session:
            self._counted = (self._session, input_rows(self._output, self._env))
        return self._counted[1]

    def _read(self) -> None:
        self._check_same()
        if self._output.grows:
            self._follow()
        elif self._now() >= self._rest_until:
            self._read_anew()
        if self._output.run is not None:
            self._timeline.read(self._output.run.folder.journal, self._enough)

    def _check_same(self) -> None:
        """Another session, or another file under the name: all is read again."""
        manifest = self._output.manifest
        session = None if manifest is None else (manifest.started, manifest.sessions)
        rows, failed = self._rows.goes_on(self._output.path), self._failed.goes_on(self._output.errors)
        if self._session not in (None, session) or not rows or not failed:
            self._begin()
        self._session = session

    def _follow(self) -> None:
        for line in self._rows.lines(self._output.path, self._enough):
            if line.strip():
                self._keep(self._collector.add(loads_object(line)))
        for line in self._failed.lines(self._output.errors, self._enough):
            if line.strip():
                self._keep(self._collector.add_failed(loads_object(line)))

    def _enough(self) -> bool:
        """Whether the rest is for the next look."""
        self._more = self._more or self._now() - self._looked >= AT_ONCE
        return self._more

    def _read_anew(self) -> None:
        stamp = _stamp(self._output)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._begin()
        started = self._now()
        for row in rows_of(self._output, self._env):
            self._keep(self._collector.add(row))
        for row in failed_rows(self._output.errors):
            self._keep(self._collector.add_failed(row))
        self._rest_until = self._now() + PATIENCE * (self._now() - started)

    def _keep(self, chunk: Chunk | None) -> None:
        if chunk is not None:
            self._chunks.append(chunk)


def _stamp(output: Output) -> list[Any]:
    """By what a change of the files is noticed."""
    found = []
    for path in (output.path, output.errors):
        status = None if path is None else path.stat()
        found.append(None if status is None else (status.st_ino, status.st_size, status.st_mtime_ns))
    return found
