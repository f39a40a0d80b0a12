"""How an option is declared: help, and an environment variable by one rule."""

from __future__ import annotations

from typing import Any

import typer

__all__ = ["option", "variable"]


def variable(long: str) -> str:
    """The environment variable of an option: `--max-failures` has LLMX_MAX_FAILURES."""
    return "LLMX_" + long.strip("-").upper().replace("-", "_")


def option(
    *names: str,
    help: str,
    panel: str | None = None,
    metavar: str | None = None,
    choices: str = "",
    **more: Any,
) -> Any:
    """A typer option with its variable.

    Args:
        names: the long name first, e.g. "--schema", "-s".
        choices: values that a shell may complete, apart by blanks; they are not checked here.
    """
    if choices:
        more["autocompletion"] = lambda incomplete: [
            value for value in choices.split() if value.startswith(incomplete)
        ]
    return typer.Option(
        *names,
        help=help,
        metavar=metavar,
        rich_help_panel=panel,
        envvar=variable(names[0].split("/")[0]),
        show_envvar=False,
        show_default=False,
        **more,
    )
