"""Rows on their way out: the right end of the pipeline.

A sink encodes rows and hands them to a target; it knows nothing of order, errors or runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from llmx.environment import Environment
from llmx.records.cells import DelimitedEncoder
from llmx.records.compression import compressor
from llmx.records.delimited import DELIMITERS
from llmx.records.formats import suffix_format
from llmx.records.growing import Growing, Mark
from llmx.records.inputs import shown
from llmx.records.outputs import check_output, check_place, is_stream, sink_format
from llmx.records.shape import CONFIDENCE, EVIDENCE
from llmx.records.targets import (
    FileTarget,
    PackedTarget,
    StreamTarget,
    Target,
    Through,
    failed,
)
from llmx.records.terminal import TerminalTarget
from llmx.records.values import to_json

__all__ = ["Sink", "check_output", "open_sink"]


class Sink(Protocol):
    """Takes rows until it is told how the run ended."""

    @property
    def warnings(self) -> list[str]:
        """What the user should know, one sentence each; complete after `close` or `abandon`."""
        ...

    @property
    def rows_left(self) -> Path | None:
        """The file where the rows are now: the final one, or its partial one; None when there is none."""
        ...

    @property
    def growing(self) -> Growing | None:
        """Where it is known how far the file has come, and a later run can go on with it; None elsewhere."""
        ...

    def write(self, *rows: Mapping[str, Any]) -> None:
        """Hand the rows to the system, together where they are small.

        Raises OutputFailed; BrokenPipeError when stdout's reader has gone.
        """
        ...

    @property
    def taken(self) -> bool:
        """Whether whoever reads has taken all that was written."""
        ...

    async def drained(self) -> None:
        """Return when whoever reads has taken what was written. Raises like `write`."""
        ...

    def ending(self) -> Iterator[None]:
        """Write what comes behind the last row; at each step `drained` may be awaited. `close` does it, too."""
        ...

    def close(self) -> None:
        """The run is done: the output becomes final, and stays it whatever happens to the machine."""
        ...

    def abandon(self) -> None:
        """The run stopped: `PATH.partial` keeps the rows so far, PATH is what it was before.

        Without a row, `PATH.partial` too is what it was before.
        """
        ...


def open_sink(
    path: str,
    *,
    env: Environment,
    format: str | None = None,
    columns: Mapping[str, bool] | None = None,
    csv_safe: bool = False,
) -> Sink:
    """Open an output for writing.

    Args:
        path: a file, relative to `env.cwd`, compressed if it ends in `.gz` or `.zst`; "-" for stdout. A pipe or
            a device is written as it is, without `.partial`; on a terminal, what would drive it is escaped.
        format: one of `SINK_FORMATS`; None goes by suffix, without one JSON Lines.
        columns: for the header of CSV and TSV, see `DelimitedEncoder`; the first row's are added to them. Of Parquet, too,
            `_evidence` and `_confidence` among them are one cell.
        csv_safe: put `'` before text cells that a spreadsheet would run.

    Raises:
        UsageError: the path is a folder, its folder is missing, the format is unknown, or another run is
            writing the file.
        OutputFailed: the system refuses to open it.
    """
    kind = sink_format(path, format)
    place = None if path == "-" else check_place(path, env)
    stream = _stream(path, place, env) if place is None or is_stream(place) else None
    if kind == "parquet":
        from llmx.records.parquet_sink import ParquetSink

        return ParquetSink(place, stream, shown(path), whole=_by_path(columns or {}))
    target = _packed(path, stream or FileTarget(env.cwd / path, shown(path)))
    if kind in DELIMITERS:
        return _DelimitedSink(target, DelimitedEncoder(DELIMITERS[kind], columns, safe=csv_safe))
    return _JsonlSink(target)


def _by_path(columns: Mapping[str, bool]) -> frozenset[str]:
    """The columns that are added to say something of each value, by its path."""
    return frozenset(name for name, whole in columns.items() if whole and name in (EVIDENCE, CONFIDENCE))


def _stream(path: str, place: Path | None, env: Environment) -> Target:
    """stdout, or the pipe or device that a path names."""
    try:
        # Appending: a file behind /dev/stdout may hold what other commands have written.
        stream = env.stdout if place is None else place.open("ab", buffering=0)
    except OSError as error:
        raise failed(shown(path), error) from error
    target = StreamTarget(stream, "stdout" if place is None else shown(path), owned=place is not None)
    return TerminalTarget(target) if stream.isatty() else target


def _packed(path: str, target: Target) -> Target:
    compression = None if path == "-" else suffix_format(path).compression
    return PackedTarget(target, compressor(compression)) if compression else target


TOGETHER = 2**16
"""Bytes from which on a write is not put off for more rows."""


def _together(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines joined to what is written at once; no more than these few are held."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= TOGETHER:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _line(row: Mapping[str, Any]) -> bytes:
    return to_json(row if type(row) is dict else dict(row)) + b"\n"


class _JsonlSink(Through):
    """One object a line."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.warnings: list[str] = []

    def write(self, *rows: Mapping[str, Any]) -> None:
        """See `Sink.write`."""
        for lines in _together(map(_line, rows)):
            self._target.write(lines)


class _DelimitedSink(Through):
    """A header and a line per row; without a row, the header is all there is."""

    def __init__(self, target: Target, encoder: DelimitedEncoder) -> None:
        super().__init__(target)
        self._encoder = encoder
        self._started = False

    @property
    def warnings(self) -> list[str]:
        """See `Sink`."""
        return self._encoder.warnings()

    @property
    def growing(self) -> Growing | None:
        """See `Sink.growing`."""
        return None if self._target.growing is None else _Headed(self, self._target.growing)

    @property
    def state(self) -> dict[str, Any]:
        """What has to be known to go on behind the rows so far, as JSON: nothing before the header."""
        return self._encoder.state if self._started else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on as whoever was in this state."""
        self._started = bool(state)
        if state:
            self._encoder.restore(state)

    def write(self, *rows: Mapping[str, Any]) -> None:
        """See `Sink.write`."""
        for lines in _together(map(self._line, rows)):
            self._target.write(lines)

    def _line(self, row: Mapping[str, Any]) -> bytes:
        header = b"" if self._started else self._encoder.header(row)
        self._started = True
        return header + self._encoder.encode(row)

    def _end(self) -> None:
        if not self._started and (header := self._encoder.header({})):
            self._target.write(header)


class _Headed:
    """A file whose rows stand under a header."""

    def __init__(self, sink: _DelimitedSink, file: Growing) -> None:
        self._sink = sink
        self._file = file

    @property
    def mark(self) -> Mark:
        """See `Growing.mark`."""
        return replace(self._file.mark, encoder=self._sink.state)

    def holds(self, mark: Mark) -> bool:
        """See `Growing.holds`."""
        return self._file.holds(mark)

    def go_on(self, mark: Mark) -> None:
        """See `Growing.go_on`."""
        self._file.go_on(mark)
        self._sink.restore(mark.encoder)
