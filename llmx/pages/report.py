"""`out.report.html`: one pass over an output, and over what it is laid beside, into one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct

from llmx.environment import Environment
from llmx.errors import OutputFailed, UsageError
from llmx.outputs import errors_path
from llmx.pages.chunks import Chunk
from llmx.pages.collect import Beside, Collector
from llmx.pages.document import chunk_as_html, document, summary_as_html
from llmx.pages.facts import input_columns, notes, summary
from llmx.pages.found import Output, find_output
from llmx.pages.lookup import Lookup, key_text
from llmx.pages.rows import columns_in, failed_rows, rows_of
from llmx.pages.scores import Scores, evaluated
from llmx.pages.timeline import Timeline
from llmx.records import is_stream, same_file
from llmx.text import nearest

__all__ = ["Asked", "Written", "write_report"]

MOST_ROWS = 200_000
"""Rows that can be looked at in the page, unless the user says otherwise."""


class Asked(Struct, frozen=True):
    """What a report is to be of.

    Args:
        output: its name, relative to the current folder.
        gold, compare: files that it is laid beside.
        key: the column that tells which row is which; by default that of the run, or "id".
        target: the report's name, "-" for standard output; by default beside the output.
        state_dir: where runs are kept, if not beside their outputs.
        most_rows: rows that can be looked at; all are counted.
    """

    output: str
    gold: str | None = None
    compare: str | None = None
    key: str | None = None
    target: str | None = None
    state_dir: Path | None = None
    most_rows: int = MOST_ROWS


class Written(Struct, frozen=True):
    """A report that was written.

    Args:
        path: where; None for standard output.
        rows: all that were counted, failed ones included.
        size: in bytes.
        notes: what its reader should know.
    """

    path: Path | None
    rows: int
    size: int
    notes: list[str]


def write_report(asked: Asked, env: Environment) -> Written:
    """Write the report of an output.

    Raises:
        UsageError: something is not there, or no rows can be told apart by the key; nothing was written.
        InputFailed: a file of rows is damaged.
        OutputFailed: the report cannot be written.
    """
    output = find_output(asked.output, env, asked.state_dir)
    target = _target(asked, output, env)
    with ExitStack() as stack:
        beside, about = _laid_beside(asked, output, env, stack)
        page = _Page(output, beside, about, asked.most_rows, env)
        size = _write(page.pieces(), target, env)
    collector = page.collector
    said = notes(output, collector, page.timeline)
    return Written(target, collector.rows + collector.failed, size, said)


class _Page:
    """The page of one output; `pieces` may be taken once."""

    def __init__(
        self, output: Output, beside: Beside, about: dict[str, Any], most_rows: int, env: Environment
    ) -> None:
        self._output, self._beside, self._about, self._env = output, beside, about, env
        self.collector, self.timeline = Collector(beside, most_rows), Timeline()

    def pieces(self) -> Iterator[str]:
        """The whole of it, in pieces."""
        yield from document(f"{Path(self._output.name).name} · llmx report", self._data())

    def _data(self) -> Iterator[str]:
        sizes: list[list[int]] = []
        for number, chunk in enumerate(self._chunks()):
            sizes.append([chunk.first, chunk.rows])
            yield chunk_as_html(number, chunk)
        if self._output.run is not None:
            self.timeline.read(self._output.run.folder.journal)
        inputs = input_columns(self._output, self._env)
        said = summary(self._output, self.collector, self.timeline, inputs)
        yield summary_as_html({**said, **self._about, **self._compared(), "chunks": sizes})

    def _compared(self) -> dict[str, Any]:
        """How many rows differ from the other run, now that all have come."""
        if self._beside.other is None:
            return {}
        counts = {**self.collector.compared, "onlyThere": self._beside.other.unmet()}
        return {"compare": {**self._about["compare"], **counts, "changedFields": self.collector.changed}}

    def _chunks(self) -> Iterator[Chunk]:
        for row in rows_of(self._output, self._env):
            if chunk := self.collector.add(row):
                yield chunk
        for row in failed_rows(self._output.errors):
            if chunk := self.collector.add_failed(row):
                yield chunk
        if chunk := self.collector.packer.cut():
            yield chunk


def _laid_beside(
    asked: Asked, output: Output, env: Environment, stack: ExitStack
) -> tuple[Beside, dict[str, Any]]:
    """Gold and another run, looked up by key; and what the page says of them."""
    key = _key(asked, output, columns_in(output, env))
    scores = None if asked.gold is None else _scores(asked.gold, output, key, env, stack)
    about: dict[str, Any] = {
        "key": key,
        "eval": None if scores is None else scores.as_json(),
        "compare": None,
    }
    other = None
    if asked.compare is not None:
        other = stack.enter_context(Lookup())
        about["compare"] = _other(asked, str(key), other, env)
    return Beside(key, None if scores is None else scores.wrong, other), about


def _key(asked: Asked, output: Output, columns: list[str]) -> str | None:
    """The column that tells rows apart. Raises UsageError where one is needed and nobody knows which."""
    manifest = output.manifest
    said = manifest.command.get("key") if manifest is not None else None
    if asked.key is not None and columns and asked.key not in columns:
        close = nearest(asked.key, columns)
        known = "the columns are " + ", ".join(columns)
        hint = f"did you mean {close!r}? {known}" if close else known
        raise UsageError(f"no column {asked.key!r} in {asked.output!r}", hint=hint)
    found = asked.key or next(
        (name for name in (said, "id") if isinstance(name, str) and name in columns), None
    )
    option = "--gold" if asked.gold is not None else "--compare" if asked.compare is not None else None
    if option is not None and found is None and columns:
        hint = "--key COL, one of " + ", ".join(name for name in columns if not name.startswith("_"))
        raise UsageError(f"{option}: no column is known that tells rows apart", hint=hint)
    if option is not None and not columns:
        raise UsageError(
            f"{option}: no rows in {asked.output!r} to be laid beside it", hint=f"llmx report {asked.output}"
        )
    return found


def _scores(gold: str, output: Output, key: str | None, env: Environment, stack: ExitStack) -> Scores:
    path = env.cwd / gold
    if not path.exists():
        raise UsageError(f"no such file: {gold!r}", hint="--gold FILE, rows with the right values")
    assert output.path is not None  # without rows there is no key, and that was refused
    scores = evaluated(output.path, path, str(key), gold)
    stack.callback(scores.wrong.close)
    return scores


def _other(asked: Asked, key: str, lookup: Lookup, env: Environment) -> dict[str, Any]:
    """Put the other run's rows and failed rows into a lookup; what the page says of it."""
    assert asked.compare is not None
    other = find_output(asked.compare, env, asked.state_dir)
    if other.path is not None and key not in (columns := columns_in(other, env)):
        hint = "the columns are " + ", ".join(columns) if columns else f"llmx report {asked.output}"
        raise UsageError(f"no column {key!r} in {asked.compare!r}", hint=hint)
    for rows in (rows_of(other, env), failed_rows(other.errors)):
        found = ((key_text(row.get(key)), row) for row in rows if row is not None)
        lookup.put_all((name, row) for name, row in found if name is not None)
    manifest = other.manifest
    model = manifest.model if manifest is not None else None
    return {"name": Path(other.name).name, "model": model, "doubles": lookup.doubles}


def _target(asked: Asked, output: Output, env: Environment) -> Path | None:
    """Where the report goes. Raises UsageError where that is a folder, or one of the files that it is made of."""
    if asked.target == "-":
        return None
    path = _default(output, env) if asked.target is None else env.cwd / asked.target
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "is in no folder that is there"
        raise UsageError(f"-o: {str(asked.target)!r} {what}", hint="-o FILE.html")
    used = [output.path, output.errors, *(env.cwd / name for name in (asked.gold, asked.compare) if name)]
    if any(each is not None and each.exists() and path.exists() and same_file(path, each) for each in used):
        raise UsageError(f"-o: {str(asked.target)!r} is what the report is made of", hint="-o FILE.html")
    return path


def _default(output: Output, env: Environment) -> Path:
    """Beside the output, under a name that follows the rule of its failed rows."""
    errors = errors_path(output.name, None, env)
    assert errors is not None  # an output that flows has no file, and was refused
    return errors.with_name(errors.name.removesuffix(".errors.jsonl") + ".report.html")


def _write(pieces: Iterator[str], target: Path | None, env: Environment) -> int:
    """Write the file, or to standard output; its size in bytes. A file is whole or not there, or the earlier one."""
    if target is None:
        if env.stdout.closed:
            raise OutputFailed("cannot write 'stdout': it is closed")
        return _write_all(pieces, env.stdout)
    try:
        return _write_stream(pieces, target) if is_stream(target) else _replace(pieces, target)
    except OSError as error:  # a full disk does not say of which file
        reason = error.strerror or error
        raise OutputFailed(
            f"cannot write {str(target)!r}: {reason}", hint="-o FILE.html, elsewhere"
        ) from error


def _write_stream(pieces: Iterator[str], target: Path) -> int:
    with target.open("wb") as stream:
        return _write_all(pieces, stream)


def _replace(pieces: Iterator[str], target: Path) -> int:
    fresh = target.with_name(target.name + ".new")
    try:
        size = _write_stream(pieces, fresh)
        fresh.replace(target)
    except BaseException:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    return size


def _write_all(pieces: Iterator[str], file: BinaryIO) -> int:
    size = 0
    for piece in pieces:
        data = piece.encode()
        file.write(data)
        size += len(data)
    file.flush()
    return size
