"""`llmx eval`: predictions against the right answers, as a table, JSON, Markdown or JUnit, and an exit code for CI.

Importing this module imports typer and nothing heavier.
"""

# Annotations are no strings here: typer would evaluate each, twice, at every start.

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmx.cli.comparing import (
    Compare,
    Fields,
    Gold,
    GoldFormat,
    InputFormat,
    Into,
    Key,
    Prefix,
    check_apart,
    comparing,
    show,
    tell,
)
from llmx.cli.options import option
from llmx.environment import Environment
from llmx.errors import BelowThreshold, OutputFailed, UsageError

if TYPE_CHECKING:
    from llmx.evals.judging import Judged

__all__ = ["eval"]

Text = str | None
Several = list[str] | None

_METAVAR = "FIELD.METRIC=X"


def eval(
    context: typer.Context,
    predictions: Annotated[
        str, typer.Argument(metavar="PREDICTIONS", help="The file to evaluate, - for standard input.")
    ],
    gold: Gold,
    key: Key = None,
    fields: Fields = None,
    compare: Compare = None,
    prefix: Prefix = None,
    into: Into = None,
    minimums: Annotated[
        Several,
        option(
            "--min",
            metavar=_METAVAR,
            help="Exit with 6 when a figure is below: accuracy, f1, row_accuracy or coverage of all, or FIELD.accuracy, FIELD.f1, …; repeatable.",
        ),
    ] = None,
    baseline: Annotated[
        Text,
        option(
            "--baseline",
            metavar="FILE",
            help="Earlier predictions: exit with 6 when a field is significantly worse.",
        ),
    ] = None,
    alpha: Annotated[
        float, option("--alpha", metavar="P", help="The level of that test, for all fields together. [0.05]")
    ] = 0.05,
    worst: Annotated[
        int, option("--worst", metavar="N", help="Show the N rows with the most wrong fields. [5]")
    ] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="All figures as JSON, unrounded.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Markdown, for a step's summary in CI.")
    ] = False,
    junit: Annotated[
        Text,
        option("--junit", metavar="PATH", help="Also write JUnit XML: every minimum and field is a test."),
    ] = None,
    input_format: InputFormat = None,
    gold_format: GoldFormat = None,
) -> None:
    """Hold predictions against the right answers: figures per field, gates for CI (exit code 6), comparison with a baseline."""
    from llmx.evals.judging import judge
    from llmx.evals.minimums import parse_minimum

    env: Environment = context.obj
    _check(env, as_json=as_json, as_markdown=as_markdown, alpha=alpha, worst=worst)
    if [predictions, gold, baseline].count("-") > 1:
        raise UsageError("standard input can be one of the files only", hint="give the others by name")
    if junit is not None:
        check_apart(env, "--junit", junit, (predictions, gold, baseline))
    options = comparing(
        key, fields, compare, prefix, into, input_format, gold_format, _errors(predictions, env)
    )
    gates = [parse_minimum(one) for one in minimums or ()]
    judged = judge(
        predictions, gold, options, env, minimums=gates, baseline=baseline, alpha=alpha, worst=worst
    )
    tell(env, judged.evaluation.remarks)
    if junit is not None:
        _write_junit(env.cwd / junit, junit, judged)
    show(env, _shown(env, judged, as_json=as_json, as_markdown=as_markdown))
    if failures := list(judged.failures()):
        raise BelowThreshold("; ".join(failures), hint="--worst 20 shows the rows to look at first")


def _check(env: Environment, *, as_json: bool, as_markdown: bool, alpha: float, worst: int) -> None:
    if env.stdout.closed:
        raise OutputFailed("cannot write 'stdout': it is closed")
    if as_json and as_markdown:
        raise UsageError("--json and --markdown exclude each other", hint="run it once for each")
    if not 0 < alpha < 1:
        raise UsageError(f"--alpha: {alpha:g} is not between 0 and 1", hint="--alpha 0.05")
    if worst < 0:
        raise UsageError(f"--worst must not be negative: {worst}", hint="--worst 20")


def _errors(predictions: str, env: Environment) -> Path | None:
    """Where the run that wrote the predictions has its failed rows."""
    from llmx.journal import read_manifest, run_folder
    from llmx.outputs import errors_path

    if predictions == "-":
        return None
    run = read_manifest(run_folder(env.cwd / predictions, None).manifest)
    return errors_path(predictions, run.errors if run else None, env)


def _shown(env: Environment, judged: "Judged", *, as_json: bool, as_markdown: bool) -> str:
    if as_json:
        from llmx.records import to_json

        return to_json(judged.document()).decode() + "\n"
    if as_markdown:
        from llmx.evals.markdown import as_markdown as written

        return written(judged)
    from llmx.evals.table import as_table

    terminal = env.stdout.isatty()
    return as_table(judged, terminal=terminal, width=shutil.get_terminal_size().columns)


def _write_junit(path: Path, name: str, judged: "Judged") -> None:
    from llmx.evals.junit import as_junit

    try:
        path.write_bytes(as_junit(judged))
    except OSError as error:
        raise OutputFailed(f"cannot write the JUnit report {name!r}: {error.strerror}") from error
