"""All inputs as one lazy iterator of records: the left end of the pipeline.

It reads only as far as it is asked, holds no more than a chunk, and is for one thread at a time. It does
not know what becomes of a record.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from llmx.environment import Environment
from llmx.errors import InputFailed, UnreadableRow, UsageError
from llmx.records.compression import MAX_EXPANSION
from llmx.records.counting import count_rows
from llmx.records.delimited import DELIMITERS, DelimitedReader
from llmx.records.inputs import Input, Stamp, find_inputs
from llmx.records.jsonl import JsonlReader
from llmx.records.lines import MAX_ROW_BYTES, Damaged
from llmx.records.reader import Reader, Unreadable
from llmx.records.text import TextFileReader, TextLinesReader
from llmx.records.values import to_json
from llmx.text import nearest
from llmx.types import Record

__all__ = ["RecordSource", "open_source"]


def open_source(
    inputs: Sequence[str],
    *,
    env: Environment,
    format: str | None = None,
    key: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    max_row_bytes: int = MAX_ROW_BYTES,
    max_expansion: float = MAX_EXPANSION,
) -> RecordSource:
    """Check every input and return the source of their rows, in the order given.

    Args:
        inputs: files, folders, "-" for stdin; relative to `env.cwd`.
        format: one of `FORMATS` for all inputs; None goes by suffix, without one JSON Lines.
        key: the column that is a row's identity; a row without a value in it is unreadable.
        limit: only the first rows, so many.
        sample: so many rows of those, drawn uniformly, in input order; they are held in memory.
        seed: of the sample; the same seed draws the same rows of the same input.
        max_row_bytes: a longer line, CSV row, Parquet row, text file or JSON array is not read.
        max_expansion: to how many times its size an archive may unpack, beyond the first 64 MiB.

    Raises:
        UsageError: an input is not there, cannot be read or has no known format; a header has two columns
            of one name; no column is called `key`.
    """
    for name, count in (("--limit", limit), ("--sample", sample)):
        if count is not None and count < 0:
            raise UsageError(f"{name} must not be negative: {count}")
    found = find_inputs(inputs, format, env)
    source = RecordSource(found, env, key=key, max_row_bytes=max_row_bytes, max_expansion=max_expansion)
    source.restrict(limit, sample, seed)
    return source


class RecordSource:
    """Records, and `Unreadable` where there should be one; iterate once. Made by `open_source`.

    Attributes:
        columns: names of the columns, in order, as far as headers and first rows tell; later rows may have more.
        first: the first row of an input that can be read only once, None of others: what it is known by.
        warnings: what the user should know, complete when all rows have been read.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        env: Environment,
        *,
        key: str | None,
        max_row_bytes: int,
        max_expansion: float,
    ) -> None:
        self._inputs = inputs
        self._stdin = env.stdin
        self._key = key
        self._max_row_bytes = max_row_bytes
        self._max_expansion = max_expansion
        self._started: Reader | None = None
        self._limit: int | None = None
        self.warnings: list[str] = []
        self._open: set[BinaryIO] = set()
        self._iterator: Iterator[Record | Unreadable] = self._read()
        try:
            self.columns: list[str] = self._look_ahead()
            self.first = self._peek() if inputs[0].live else None
        except BaseException:
            self.close()
            raise

    def restrict(self, limit: int | None, sample: int | None, seed: int) -> None:
        """Give only the first `limit` rows, and of those a `sample`. Before the first row only."""
        if limit is not None:
            self._iterator = islice(self._iterator, limit)
        if sample is not None:
            self._iterator = _sampled(self._iterator, sample, seed)
        self._limit = min((count for count in (limit, sample) if count is not None), default=None)

    def _peek(self) -> Record | Unreadable | None:
        """The first row, which stays where it is; None when there is none."""
        rows = self._iterator
        try:
            first = next(rows, None)
        except InputFailed as error:
            self._iterator = _failing(error)
            return None
        self._iterator = rows if first is None else chain([first], rows)
        return first

    def __iter__(self) -> Iterator[Record | Unreadable]:
        return self._iterator

    @property
    def paths(self) -> list[Path | None]:
        """Where the inputs are, in order; None for stdin."""
        return [source.path for source in self._inputs]

    def total(self) -> int | None:
        """How many rows will come, unreadable ones included; None when only reading would tell.

        Good for progress, not for a promise: huge files are extrapolated. They are looked at once.
        """
        counted = self._counted
        return counted if counted is None or self._limit is None else min(counted, self._limit)

    @cached_property
    def _counted(self) -> int | None:
        total = 0
        for source in self._inputs:
            rows = count_rows(source)
            if rows is None:
                return None
            total += rows
        return total

    def close(self) -> None:
        """Close what is open, stdin excepted. A `next()` that another thread is in may then fail."""
        while self._open:
            self._open.pop().close()

    def _read(self) -> Iterator[Record | Unreadable]:
        index = 0
        key = self._key
        for position, source in enumerate(self._inputs):
            origin = source.origin
            try:
                with self._reader(source, self._started if position == 0 else None) as reader:
                    for line, row in reader.rows():
                        if key is None and type(row) is dict:
                            yield Record(index, row, line, origin)
                        else:
                            yield self._settled(index, line, origin, row)
                        index += 1
            except (Damaged, OSError, UsageError) as error:
                yield self._ended(index, source, error)
                index += 1

    def _ended(self, index: int, source: Input, error: Damaged | OSError | UsageError) -> Record | Unreadable:
        """What stands for a text that cannot be read. Raises InputFailed: of a file of rows, nobody knows the rest."""
        reason = error.strerror or error if isinstance(error, OSError) else error
        message = str(error) if isinstance(error, UsageError) else f"{source.origin}: {reason}"
        if source.format == "text" and source.path is not None:
            return self._settled(index, None, source.origin, UnreadableRow(message, raw=""))
        hint = getattr(error, "hint", "") or "mend the input and run the same command again"
        raise InputFailed(message, hint=hint) from error

    def _settled(
        self, index: int, line: int | None, origin: str, row: dict[str, Any] | UnreadableRow
    ) -> Record | Unreadable:
        if isinstance(row, UnreadableRow):
            return Unreadable(index, line, origin, row, row.raw or "")
        if self._key is None:
            return Record(index, row, line, origin)
        identity = _identity(row.get(self._key))
        if identity is not None:
            return Record(index, row, line, origin, identity)
        where = origin if line is None else f"{origin}:{line}"
        raw = to_json(row).decode()
        error = UnreadableRow(f"{where}: no value in the key column {self._key!r}", raw=raw)
        return Unreadable(index, line, origin, error, raw)

    def _look_ahead(self) -> list[str]:
        """The columns of every input that can be looked at twice, and of the first in any case."""
        names: dict[str, None] = {}
        for position, source in enumerate(self._inputs):
            if source.format == "text" and source.path is not None:
                found = ["path", "text"]
            elif source.live and position > 0:
                continue
            else:
                found = self._columns_of(source)
            self._check_key(source.origin, found)
            names |= dict.fromkeys(found)
        return list(names)

    def _columns_of(self, source: Input) -> list[str]:
        try:
            if source.live:
                self._started = self._reading(source, self._stream(source))
                return self._started.columns()
            with self._reader(source) as reader:
                return reader.columns()
        except Damaged as error:
            raise UsageError(f"{source.origin}: {error}", hint=error.hint) from error
        except OSError as error:
            raise UsageError(f"cannot read {source.origin!r}: {error.strerror or error}") from error

    def _check_key(self, origin: str, columns: Sequence[str]) -> None:
        if self._key is None or not columns or self._key in columns:
            return
        like = nearest(self._key, columns)
        known = "the columns are " + ", ".join(columns)
        hint = f"did you mean {like!r}? {known}" if like else known
        raise UsageError(f"no column {self._key!r} in {origin!r}", hint=hint)

    @contextmanager
    def _reader(self, source: Input, started: Reader | None = None) -> Iterator[Reader]:
        """The reader that has begun, else a fresh one whose stream is closed afterwards."""
        if started is not None:
            yield started
            return
        stream = self._stream(source)
        try:
            _check_unchanged(source, "since its columns were looked at")
            yield self._reading(source, stream)
            self._check_read(source)
        finally:
            self._close(stream)

    def _check_read(self, source: Input) -> None:
        """A file that has only grown was read to an end of it, and that is told. Raises Damaged for other changes."""
        now = _stamp(source)
        if source.stamp is not None and now is not None and source.stamp.has_grown(now):
            grown = source.stamp.change(now)
            self.warnings.append(
                f"{source.origin}: {grown} while it was read; rows at its end may be missing"
            )
        _check_unchanged(source, "while it was read")

    def _stream(self, source: Input) -> BinaryIO:
        if source.path is None:
            stream = self._stdin
        else:
            stream = source.path.open("rb", buffering=0)
            self._open.add(stream)
        if source.format != "parquet":
            return stream
        from llmx.records.parquet import seekable

        file = seekable(stream, source.origin, self._max_expansion)
        if file is not stream:
            self._close(stream)
            self._open.add(file)
        return file

    def _close(self, stream: BinaryIO) -> None:
        if stream is not self._stdin:
            stream.close()
            self._open.discard(stream)

    def _reading(self, source: Input, stream: BinaryIO) -> Reader:
        limit, origin, expansion = self._max_row_bytes, source.origin, self._max_expansion
        if source.format in DELIMITERS:
            delimiter = DELIMITERS[source.format]
            return DelimitedReader(stream, origin, limit, delimiter=delimiter, expansion=expansion)
        if source.format == "text":
            reader = TextFileReader if source.path else TextLinesReader
            return reader(stream, origin, limit, expansion=expansion)
        if source.format == "parquet":
            from llmx.records.parquet import ParquetReader

            return ParquetReader(stream, origin, limit)
        array = source.format == "json"
        return JsonlReader(stream, origin, limit, live=source.live, array=array, expansion=expansion)


def _check_unchanged(source: Input, when: str) -> None:
    """Raise `Damaged` for a file that is not what it was when it was found: its rows would be of two files.

    A text is one row and read at once. A file that has gone could be read to its end all the same.
    """
    now = _stamp(source)
    if source.stamp is None or now is None or source.stamp.has_grown(now):
        return
    if change := source.stamp.change(now):
        hint = "run the same command again when nobody writes to it, or on a copy"
        raise Damaged(f"{change} {when}", hint=hint)


def _stamp(source: Input) -> Stamp | None:
    """What a file of rows is known by now; None of others, and of one that has gone."""
    if source.path is None or source.format == "text":
        return None
    try:
        return Stamp.of(source.path.stat())
    except FileNotFoundError:
        return None


def _failing(error: InputFailed) -> Iterator[Record | Unreadable]:
    """No rows, but an error that was met early."""
    yield from ()
    raise error


def _identity(value: Any) -> str | None:
    """The key as text: a string as it is, other values as JSON; None where there is none."""
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else to_json(value, sort_keys=True).decode()


def _sampled(rows: Iterator[Record | Unreadable], size: int, seed: int) -> Iterator[Record | Unreadable]:
    """A uniform sample without replacement, in input order, holding `size` rows.

    Reservoir sampling, algorithm R: J. S. Vitter, "Random sampling with a reservoir", ACM Transactions on
    Mathematical Software 11(1), 1985, section 2, https://doi.org/10.1145/3147.3165.
    """
    draw = random.Random(seed).randrange  # noqa: S311  # a sample, not a secret
    reservoir = list(islice(rows, size))
    for seen, row in enumerate(rows, size + 1):
        place = draw(seen)
        if place < size:
            reservoir[place] = row
    yield from sorted(reservoir, key=lambda row: row.index)
