"""What `llmx eval` and `llmx calibrate` share: how two files are compared, and where things are said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from llmx.cli.options import option
from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.text import harmless

if TYPE_CHECKING:
    from llmx.evals import Options
    from llmx.evals.matching import Comparison

__all__ = [
    "Compare",
    "Fields",
    "Gold",
    "GoldFormat",
    "InputFormat",
    "Into",
    "Key",
    "Prefix",
    "check_apart",
    "comparing",
    "show",
    "tell",
]

ROWS = "jsonl csv tsv parquet"

Gold = Annotated[
    str,
    option(
        "--gold", metavar="FILE", help="The right answers: a column gold, or columns named like the fields."
    ),
]
Key = Annotated[
    str | None,
    option("--key", metavar="COL", help="The column by which rows belong together. [the run's own, else id]"),
]
Fields = Annotated[
    str | None,
    option(
        "--fields",
        metavar="COLS",
        help="What to compare, apart by commas; FIELD=COLUMN where gold names it otherwise. [all that gold has]",
    ),
]
Compare = Annotated[
    list[str] | None,
    option(
        "--compare",
        metavar="FIELD=HOW",
        help="How to compare a field: exact, normalized, number[:TOL|:5%], boolean, date[:dmy|:mdy], set[:normalized], "
        "list[:normalized] or fuzzy[:0.9]; repeatable. [by its values]",
    ),
]
Prefix = Annotated[
    str | None,
    option("--prefix", metavar="P", help="The predicted fields are columns Pname. [the run's own]"),
]
Into = Annotated[
    str | None,
    option("--into", metavar="FIELD", help="The predicted fields are in this column. [the run's own]"),
]
InputFormat = Annotated[
    str | None,
    option(
        "--input-format",
        metavar="F",
        help="Of PREDICTIONS: jsonl, csv, tsv or parquet. [by the suffix]",
        choices=ROWS,
    ),
]
GoldFormat = Annotated[
    str | None,
    option("--gold-format", metavar="F", help="The same of the gold file.", choices=ROWS),
]


def comparing(
    key: str | None,
    fields: str | None,
    compare: Sequence[str] | None,
    prefix: str | None,
    into: str | None,
    format: str | None,
    gold_format: str | None,
    errors: Path | None,
) -> Options:
    """How two files are compared, as the command line says it. Raises UsageError."""
    from llmx.evals import Options
    from llmx.evals.evaluating import named
    from llmx.settings import parse_names

    if prefix and into is not None:
        raise UsageError("--prefix and --into exclude each other")
    try:
        wanted = None if fields is None else named(parse_names(fields))
    except ValueError as error:
        raise UsageError(f"--fields: {error}") from error
    return Options(key, wanted, _comparisons(compare or ()), prefix, into, format, gold_format, errors)


def _comparisons(texts: Sequence[str]) -> dict[str, Comparison]:
    """`FIELD=HOW` by field."""
    from llmx.evals.matching import parse_comparison

    found = {}
    for text in texts:
        path, equals, how = text.rpartition("=")
        if not equals or not path.strip():
            raise UsageError(f"--compare: {text!r} is no comparison", hint="--compare FIELD=normalized")
        found[path.strip()] = parse_comparison(how.strip())
    return found


def check_apart(env: Environment, option: str, output: str, inputs: Iterable[str | None]) -> None:
    """Raise UsageError where nothing could be written, or what is would take the place of what is read."""
    from llmx.records import same_file
    from llmx.records.outputs import check_place

    try:
        check_place(output, env)
    except UsageError as error:
        raise UsageError(f"{option}: {error}", hint=error.hint) from error
    for name in inputs:
        if name not in (None, "-") and same_file(env.cwd / output, env.cwd / str(name)):
            raise UsageError(f"{option}: {output!r} is also an input", hint=f"give {option} another name")


def tell(env: Environment, remarks: Sequence[str]) -> None:
    """What the user should know, each in a line on standard error."""
    for remark in remarks:
        print(f"warning: {harmless(remark) if env.stderr.isatty() else remark}", file=env.stderr)


def show(env: Environment, text: str) -> None:
    """Print to standard output."""
    env.stdout.write(text.encode("utf-8", "backslashreplace"))
    env.stdout.flush()
