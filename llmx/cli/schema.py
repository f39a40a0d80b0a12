"""`llmx schema`: what a schema is, what each provider would be sent of it, and what it would refuse.

Importing this module imports typer and nothing heavier.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from llmx.schemas import Dialect, Schema

__all__ = ["schema"]

schema = typer.Typer(
    name="schema",
    help="Schemas: list the ready-made ones, propose one from rows, check one, show what providers are sent.",
    no_args_is_help=True,
)

Provider = Literal["openai", "anthropic", "local"]
Spec = Annotated[
    str,
    typer.Argument(
        metavar="SCHEMA",
        help="A ready-made name, path.py:Model, module:Model, file.json, or an inline schema.",
    ),
]

_DIALECTS: dict[Provider, tuple[Dialect, ...]] = {
    "openai": ("openai-strict", "openai-tools"),
    "anthropic": ("anthropic-native", "anthropic-tools"),
    "local": ("local",),
}
"""Of each provider, the better first: it is used wherever it can take the schema."""


@schema.command(name="list")
def list_(context: typer.Context) -> None:
    """List the ready-made schemas: name, tab, one line about each."""
    import sys

    from llmx.schemas.ready import ready_made, summary

    found = ready_made()
    width = max(map(len, found), default=0)
    for name, path in found.items():
        line = f"{name:<{width}}  {summary(path)}" if sys.stdout.isatty() else f"{name}\t{summary(path)}"
        typer.echo(line)


@schema.command()
def show(
    context: typer.Context,
    spec: Spec,
    provider: Annotated[Provider | None, typer.Option(help="Only what this provider is sent.")] = None,
) -> None:
    """Print the JSON Schema that each provider would be sent, with a heading on stderr."""
    import json

    from llmx.schemas import supports, wire_schema

    loaded = _loaded(context, spec)
    for name in [provider] if provider else _DIALECTS:
        usable = [dialect for dialect in _DIALECTS[name] if supports(loaded, dialect)]
        if not usable:
            typer.echo(f"{name}: refused, see: llmx schema check", err=True)
            continue
        typer.echo(f"{name}: {usable[0]}", err=True)
        typer.echo(json.dumps(wire_schema(loaded, usable[0]).schema, indent=2, ensure_ascii=False))
    if provider and not usable:
        raise _refused([provider])


@schema.command()
def check(
    context: typer.Context,
    specs: Annotated[
        list[str],
        typer.Argument(
            metavar="SCHEMA...",
            help="As for --schema; of a file.py without :Model every model in it is checked.",
        ),
    ],
    provider: Annotated[Provider | None, typer.Option(help="Only what this provider makes of it.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 2 for a warning, too; notes never fail.")
    ] = False,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE", help="A rule that is not to be told, such as R08 or no-way-out; repeatable."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Say what lowers accuracy and what each provider refuses or weakens; exit 2 if none can take a schema."""
    from llmx.cli.checking import check_all
    from llmx.environment import Environment

    env = context.obj if isinstance(context.obj, Environment) else Environment()
    names = [provider] if provider else list(_DIALECTS)
    dialects = tuple(dialect for name in names for dialect in _DIALECTS[name])
    check_all(env, specs, dialects, names, strict=strict, ignore=ignore or [], as_json=as_json)


@schema.command()
def rules(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON array.")] = False,
) -> None:
    """List the rules of `llmx schema check` about accuracy, each with the evidence for it."""
    from llmx.cli.checking import rules_as_json, rules_as_text

    typer.echo(rules_as_json() if as_json else rules_as_text())


@schema.command()
def infer(
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Files or folders with rows or gold answers; `-` is stdin."),
    ],
    gold: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The column whose objects hold the fields: gold, if there is one."
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="COLS", help="The columns that are fields, apart by commas, where no column holds them."
        ),
    ] = None,
    name: Annotated[str, typer.Option(metavar="MODEL", help="The class's name.")] = "Row",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="PATH", help="Where to write the file; `-` is stdout.")
    ] = "-",
    force: Annotated[bool, typer.Option("--force", help="Overwrite PATH if it is there.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="Look at the first N rows only.")
    ] = None,
    input_format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="jsonl, csv, tsv or parquet, where the suffix does not say."),
    ] = None,
    no_examples: Annotated[
        bool, typer.Option("--no-examples", help="Put no values of the rows into descriptions.")
    ] = False,
) -> None:
    """Propose a Pydantic file from rows or gold answers; what was decided, and why, is on stderr."""
    from llmx.cli.inferring import Wanted, propose
    from llmx.environment import Environment

    env = context.obj if isinstance(context.obj, Environment) else Environment()
    propose(env, Wanted(inputs, gold, columns, name, output, force, limit, input_format, not no_examples))


def _loaded(context: typer.Context, spec: str) -> Schema:
    from llmx.environment import Environment
    from llmx.schemas import load_schema

    cwd = context.obj.cwd if isinstance(context.obj, Environment) else Path.cwd()
    return load_schema(spec, cwd=cwd)


def _refused(names: list[Provider]) -> Exception:
    from llmx.errors import UsageError

    return UsageError(
        f"the schema is refused by {', '.join(names)}",
        hint="mend what `llmx schema check` calls refused",
    )
