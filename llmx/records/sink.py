"""Rows on their way out: the right end of the pipeline.

A sink encodes rows and hands them to a target; it knows nothing of order, errors or runs.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from llmx.environment import Environment
from llmx.records.cells import DelimitedEncoder
from llmx.records.compression import compressor
from llmx.records.delimited import DELIMITERS
from llmx.records.formats import suffix_format
from llmx.records.inputs import shown
from llmx.records.outputs import check_output, check_place, sink_format
from llmx.records.targets import FileTarget, PackedTarget, StreamTarget, Target, failed
from llmx.records.values import to_json

__all__ = ["Sink", "check_output", "open_sink"]


class Sink(Protocol):
    """Takes rows until it is told how the run ended.

    Attributes:
        warnings: what the user should know, one sentence each; complete after `close` or `abandon`.
    """

    warnings: list[str]

    def write(self, row: Mapping[str, Any]) -> None:
        """Hand the row to the system. Raises OutputFailed; BrokenPipeError when stdout's reader has gone."""
        ...

    def close(self) -> None:
        """The run is done: the output becomes final, and stays it whatever happens to the machine."""
        ...

    def abandon(self) -> None:
        """The run stopped: `PATH.partial` keeps the rows so far, PATH is what it was before."""
        ...


def open_sink(
    path: str,
    *,
    env: Environment,
    format: str | None = None,
    columns: Sequence[str] | None = None,
    csv_safe: bool = False,
) -> Sink:
    """Open an output for writing.

    Args:
        path: a file, relative to `env.cwd`, compressed if it ends in `.gz` or `.zst`; "-" for stdout. A pipe or
            a device is written as it is, without `.partial`.
        format: one of `SINK_FORMATS`; None goes by suffix, without one JSON Lines.
        columns: known names in order, for the header of CSV and TSV; nested ones with dots. The first row's
            are added to them.
        csv_safe: put `'` before text cells that a spreadsheet would run.

    Raises:
        UsageError: the path is a folder, its folder is missing, or the format is unknown.
        OutputFailed: the system refuses to open it.
    """
    kind = sink_format(path, format)
    place = None if path == "-" else check_place(path, env)
    if kind == "parquet":
        from llmx.records.parquet_sink import ParquetSink

        return ParquetSink(place, env.stdout, shown(path))
    target = _target(path, place, env)
    if kind in DELIMITERS:
        return _DelimitedSink(target, DelimitedEncoder(DELIMITERS[kind], columns, safe=csv_safe))
    return _JsonlSink(target)


def _target(path: str, place: Path | None, env: Environment) -> Target:
    if place is None:
        return StreamTarget(env.stdout, "stdout")
    target: Target
    if place.exists() and not stat.S_ISREG(place.stat().st_mode):
        try:
            target = StreamTarget(place.open("wb", buffering=0), shown(path), owned=True)
        except OSError as error:
            raise failed(shown(path), error) from error
    else:
        target = FileTarget(place, shown(path))
    compression = suffix_format(path).compression
    return PackedTarget(target, compressor(compression)) if compression else target


class _JsonlSink:
    """One object a line."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.warnings: list[str] = []

    def write(self, row: Mapping[str, Any]) -> None:
        """See `Sink.write`."""
        self._target.write(to_json(row if isinstance(row, dict) else dict(row)) + b"\n")

    def close(self) -> None:
        """See `Sink.close`."""
        self._target.close()

    def abandon(self) -> None:
        """See `Sink.abandon`."""
        self._target.abandon()


class _DelimitedSink:
    """A header and a line per row."""

    def __init__(self, target: Target, encoder: DelimitedEncoder) -> None:
        self._target = target
        self._encoder = encoder
        self._started = False
        self.warnings: list[str] = []

    def write(self, row: Mapping[str, Any]) -> None:
        """See `Sink.write`."""
        header = b"" if self._started else self._encoder.header(row)
        self._target.write(header + self._encoder.encode(row))
        self._started = True

    def close(self) -> None:
        """See `Sink.close`; without a row, the header is all there is."""
        self._end()
        self._target.close()

    def abandon(self) -> None:
        """See `Sink.abandon`."""
        self._end()
        self._target.abandon()

    def _end(self) -> None:
        if not self._started and (header := self._encoder.header({})):
            self._target.write(header)
        self.warnings = self._encoder.warnings()
