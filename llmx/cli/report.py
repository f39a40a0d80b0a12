"""`llmx report`: one HTML file about an output; all of it is made in `llmx.pages`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmx.cli.runs import StateDir
from llmx.environment import Environment
from llmx.text import harmless, plural

__all__ = ["report"]


def report(
    context: typer.Context,
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="An output of `llmx extract`, complete or not.")
    ],
    gold: Annotated[
        str | None,
        typer.Option(
            "--gold", metavar="FILE", help="Rows with the right values, in a column gold or as columns."
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="OTHER", help="Another output, to be seen beside this one."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="COL",
            help="The column that tells which row is which; default: the run's own, or id.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="The report, - for standard output; default: OUT.report.html.",
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", help="Rows that can be looked at; all are counted.", min=0)
    ] = 200_000,
    state_dir: StateDir = None,
) -> None:
    """Write one HTML file about an output: figures, fields, errors, evaluation, and every row. It needs no network."""
    from llmx.pages import Asked, write_report

    env: Environment = context.obj
    place = None if state_dir is None else env.cwd / state_dir
    asked = Asked(output, gold, compare, key, target, place, rows)
    written = write_report(asked, env)
    where = (
        "standard output" if written.path is None else str(written.path.name if target is None else target)
    )
    lines = [
        f"report of {plural(written.rows, 'row')} in {where}, {written.size / 1e6:,.1f} MB",
        *written.notes,
    ]
    for line in lines:
        print(harmless(line) if env.stderr.isatty() else line, file=env.stderr)
