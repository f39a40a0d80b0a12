"""`llmx estimate`: what a run would cost and take, for some models side by side.

Its options are those of `llmx extract` that a plan depends on: declared there, and taken over here.
"""

# Annotations are no strings here: typer would evaluate each, twice, at every start.

import inspect
from typing import Annotated, Any

import typer

from llmx.cli.extract import extract
from llmx.cli.options import option

__all__ = ["estimate"]

LEFT_OUT = frozenset(
    {"output_format", "errors", "order", "summary", "csv_safe", "spread", "hedge", "workers"}
    | {"dry_run", "offline", "confirm_above", "max_failures", "review", "calibration", "min_confidence"}
)
"""Options of a run that no plan depends on."""


def _command(context: typer.Context, **given: Any) -> int:
    """Plan a run: rows, tokens, cost, time. Nobody is called.

    Several -m stand side by side. The plan goes to stdout, how its figures are known to stderr. Options are those of `llmx extract`, and so are their
    variables and keys in llmx.toml. Docs: docs/planning.md.
    """
    from llmx.cli.planning import run_estimate

    wanted = {name: value for name, value in given.items() if value is not None}
    return run_estimate(wanted, context)


_MODEL = Annotated[
    list[str] | None,
    option(
        "--model",
        "-m",
        metavar="P/NAME",
        help="As of a run: openai/…, anthropic/…, local, an [endpoint.NAME] of the config file; repeatable: each is "
        "planned for, side by side.",
    ),
]

_MORE = {
    "probe": Annotated[
        str | None,
        typer.Option(
            "--probe",
            metavar="N",
            help="Really ask each model about N rows, spread over the input, and measure; the run has them for nothing.",
        ),
    ],
    "as_json": Annotated[bool, typer.Option("--json", help="One JSON object; see docs/planning.md.")],
}


def _declared() -> inspect.Signature:
    """The context, the options of a run that matter, and those of the plan alone."""
    options = inspect.signature(extract).parameters
    taken = [
        param.replace(annotation=_MODEL) if name == "model" else param
        for name, param in options.items()
        if name not in LEFT_OUT
    ]
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    more = [
        inspect.Parameter("probe", keyword, default=None, annotation=_MORE["probe"]),
        inspect.Parameter("as_json", keyword, default=False, annotation=_MORE["as_json"]),
    ]
    return inspect.Signature([*taken, *more], return_annotation=int)


def _typed(signature: inspect.Signature) -> Any:
    """The command under the signature that typer reads."""
    command: Any = _command
    command.__name__ = "estimate"
    command.__signature__ = signature
    command.__annotations__ = {name: param.annotation for name, param in signature.parameters.items()}
    return command


estimate = _typed(_declared())
