"""The options of an operator: those of a run that are the same for all rows a service or a worker is given.

They are declared once, by `llmx extract`, and taken over; so are their variables and their keys in the config file.
"""

# Annotations are no strings here: typer would evaluate each, twice, at every start.

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from llmx.cli.extract import extract
from llmx.cli.options import option

__all__ = ["OPERATED", "declared", "operator_options"]

OPERATED = (
    "model",
    "base_url",
    "mode",
    "temperature",
    "max_output_tokens",
    "key_file",
    "max_row_bytes",
    "max_expansion",
    "concurrency",
    "rpm",
    "tpm",
    "retries",
    "reasks",
    "timeout",
    "patience",
    "max_wait",
    "transport",
    "cache",
    "similarity",
    "cache_ttl",
)
"""Options of a run that an operator gives; those that `llmx extract` does not have are left out."""

_MODEL = Annotated[
    list[str] | None,
    option(
        "--model",
        "-m",
        metavar="P/NAME",
        help="A model on offer: openai/…, anthropic/…, local, an [endpoint.NAME] of the config file; repeatable, the "
        "first is the default.",
    ),
]


def declared(command: Any, name: str, own: Mapping[str, Any]) -> Any:
    """The command under the signature that typer reads: its own options, then those of an operator.

    Args:
        own: annotations by parameter; every one may be left out.
    """
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    options = inspect.signature(extract).parameters
    context = options["context"]
    mine = [inspect.Parameter(key, keyword, default=None, annotation=value) for key, value in own.items()]
    taken = [
        options[key].replace(annotation=_MODEL) if key == "model" else options[key]
        for key in OPERATED
        if key in options
    ]
    signature = inspect.Signature([context, *mine, *taken], return_annotation=int)
    command.__name__ = name
    command.__signature__ = signature
    command.__annotations__ = {key: param.annotation for key, param in signature.parameters.items()}
    return command


def operator_options(given: Mapping[str, Any], context: typer.Context) -> dict[str, Any]:
    """What an operator's options come to, as `Settings.of` takes them: with the endpoints that the config file names.

    Raises:
        UsageError: one is wrong, or no model is on offer.
    """
    from llmx.cli.running import operated

    return operated(
        {key: value for key, value in given.items() if key in OPERATED and value is not None}, context
    )
