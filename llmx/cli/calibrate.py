"""`llmx calibrate`: from which confidence on predictions can be trusted, by right answers.

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
from llmx.errors import OutputFailed, UsageError

if TYPE_CHECKING:
    from llmx.evals.calibration import Calibration

__all__ = ["calibrate"]

Text = str | None


def calibrate(
    context: typer.Context,
    predictions: Annotated[
        str, typer.Argument(metavar="PREDICTIONS", help="A file of predictions with confidences.")
    ],
    gold: Gold,
    key: Key = None,
    output: Annotated[
        Text,
        option("--output", "-o", metavar="PATH", help="Write the calibration, for other commands, as JSON."),
    ] = None,
    target: Annotated[
        float, option("--target", metavar="X", help="The accuracy to promise, between 0 and 1. [0.95]")
    ] = 0.95,
    level: Annotated[
        float,
        option("--confidence-level", metavar="X", help="How certain the promise is, between 0 and 1. [0.95]"),
    ] = 0.95,
    fields: Fields = None,
    compare: Compare = None,
    prefix: Prefix = None,
    into: Into = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the calibration as JSON.")] = False,
    input_format: InputFormat = None,
    gold_format: GoldFormat = None,
) -> None:
    """Find the lowest confidence from which on an accuracy can be promised, per field and for whole rows."""
    from llmx.evals.calibrating import calibrate as found_by

    env: Environment = context.obj
    _check(env, predictions, {"--target": target, "--confidence-level": level})
    if output is not None:
        check_apart(env, "--output", output, (predictions, gold))
    options = comparing(key, fields, compare, prefix, into, input_format, gold_format, None)
    found = found_by(predictions, gold, options, env, target=target, level=level)
    tell(env, found.remarks)
    if output is not None:
        _write(env.cwd / output, output, found.calibration)
    show(env, found.calibration.encoded().decode() if as_json else _table(env, found.calibration))


def _check(env: Environment, predictions: str, shares: dict[str, float]) -> None:
    if env.stdout.closed:
        raise OutputFailed("cannot write 'stdout': it is closed")
    if predictions == "-":
        raise UsageError("predictions are read twice, which standard input cannot be", hint="give a file")
    for name, share in shares.items():
        if not 0 < share < 1:
            hint = f"{name} {share / 100:g}" if 2 <= share < 100 else f"{name} 0.95"
            raise UsageError(f"{name}: {share:g} is not between 0 and 1", hint=hint)


def _table(env: Environment, calibration: "Calibration") -> str:
    from llmx.evals.table import drawn
    from llmx.evals.thresholds import calibration_lines, calibration_sections

    width = shutil.get_terminal_size().columns
    lines, tables = calibration_lines(calibration), calibration_sections(calibration)
    return drawn(lines, tables, terminal=env.stdout.isatty(), width=width)


def _write(path: Path, name: str, calibration: "Calibration") -> None:
    """Replace the file in one step: who reads it has the old one or the new one."""
    from llmx.records import is_stream

    fresh = path if is_stream(path) else path.with_name(path.name + ".new")
    try:
        fresh.write_bytes(calibration.encoded())
        if fresh != path:
            fresh.replace(path)
    except OSError as error:
        if fresh != path:
            fresh.unlink(missing_ok=True)
        raise OutputFailed(f"cannot write the calibration {name!r}: {error.strerror}") from error
