"""What `llmx schema infer` does: rows read, a file written, and the reasons told on stderr."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from llmx.environment import Environment
from llmx.errors import OutputFailed, UsageError
from llmx.text import harmless, plural

if TYPE_CHECKING:
    from llmx.records import RecordSource
    from llmx.schemas.inference import Inferred

__all__ = ["Wanted", "propose"]

MOST_SHOWN = 60
"""Notes: of a row with hundreds of columns the rest is counted."""


class Wanted(Struct, frozen=True):
    """The command's arguments, as given."""

    inputs: list[str]
    gold: str | None
    columns: str | None
    name: str
    output: str
    force: bool
    limit: int | None
    input_format: str | None
    examples: bool


def propose(env: Environment, wanted: Wanted) -> None:
    """Write the proposed file.

    Raises:
        UsageError: the rows hold nothing to propose, or a file is there already.
        OutputFailed: it cannot be written.
    """
    from llmx.records import open_source
    from llmx.schemas.inference import infer
    from llmx.settings import parse_names

    if wanted.gold and wanted.columns:
        raise UsageError("--gold and --columns exclude each other", hint="give the one that holds the fields")
    path = None if wanted.output == "-" else env.cwd / wanted.output
    _check_free(path, wanted)
    if wanted.inputs == ["-"] and env.stdin.isatty():
        raise UsageError("stdin is a terminal", hint="llmx schema infer rows.jsonl")
    source = open_source(wanted.inputs, env=env, format=wanted.input_format, limit=wanted.limit)
    try:
        found = infer(
            source,
            columns=parse_names(wanted.columns) if wanted.columns else (),
            gold=wanted.gold,
            name=wanted.name,
            as_text=_all_delimited(source, wanted.input_format),
            examples=wanted.examples,
        )
    finally:
        source.close()
    _write(env, path, found.source, wanted)
    for line in chain(_told(found), (f"warning: {one}" for one in source.warnings), _next(wanted)):
        print(harmless(line), file=env.stderr)


def _check_free(path: Path | None, wanted: Wanted) -> None:
    if path is not None and path.is_dir():
        raise UsageError(f"{wanted.output!r} is a folder", hint=f"-o {wanted.output}/schema.py")
    if path is not None and path.exists() and not wanted.force:
        raise UsageError(f"{wanted.output!r} is there already", hint="--force overwrites it")
    if path is not None and path.suffix != ".py":
        raise UsageError(f"{wanted.output!r} is no Python file", hint="-o schema.py")


def _all_delimited(source: RecordSource, format: str | None) -> bool:
    """Whether every input is of a format that has only texts."""
    from llmx.records.delimited import DELIMITERS
    from llmx.records.formats import suffix_format

    formats = [format or (suffix_format(str(path)).format if path else "jsonl") for path in source.paths]
    return all(one in DELIMITERS for one in formats)


def _write(env: Environment, path: Path | None, text: str, wanted: Wanted) -> None:
    data = text.encode()
    if path is None:
        env.stdout.write(data)
        env.stdout.flush()
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        _check_free(path, wanted)  # somebody may have written it while the rows were read
        temporary.replace(path)
    except OSError as error:
        raise OutputFailed(f"cannot write {wanted.output!r}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _told(found: Inferred) -> Iterator[str]:
    """What was read, what was decided and why, what was left out."""
    where = f" in the column {found.gold!r}" if found.gold else ""
    skipped = f"; {plural(found.skipped, 'row')} without an answer" if found.skipped else ""
    yield f"{plural(found.rows, 'row')}{where}{skipped}"
    decided = [note for note in found.notes if not note.left_out]
    for note in decided[:MOST_SHOWN]:
        yield f"  {note.path}: {note.text}"
    if len(decided) > MOST_SHOWN:
        yield f"  and {plural(len(decided) - MOST_SHOWN, 'field')} more"
    left_out = [note for note in found.notes if note.left_out]
    for note in left_out[:MOST_SHOWN]:
        yield f"  left out: {': '.join(filter(None, [note.path, note.text]))}"


def _next(wanted: Wanted) -> Iterator[str]:
    if wanted.output != "-":
        spec = shlex.quote(f"{wanted.output}:{wanted.name}")
        yield f"next: read it, mend the descriptions, then: llmx schema check {spec}"
