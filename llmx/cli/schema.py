"""`llmx schema`: what a schema is, what each provider would be sent of it, and what it would refuse.

Importing this module imports typer and nothing heavier.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from llmx.schemas import Dialect, Finding, Schema

__all__ = ["schema"]

schema = typer.Typer(
    name="schema",
    help="Schemas: list the ready-made ones, show what providers are sent, check what they refuse.",
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
            metavar="SCHEMA",
            help="Ready-made names, path.py:Model, module:Model, file.json, or inline schemas.",
        ),
    ],
    provider: Annotated[Provider | None, typer.Option(help="Only what this provider makes of it.")] = None,
) -> None:
    """Say what each provider would refuse, weaken or rewrite; exit 2 if none can take a schema."""
    from llmx.errors import UsageError

    names = [provider] if provider else list(_DIALECTS)
    unusable = []
    for spec in specs:
        try:
            _check(context, spec, names)
        except UsageError as error:
            if len(specs) == 1:
                raise
            where = "" if spec in str(error) else f"{spec}: "
            typer.echo(f"error: {where}{error}", err=True)
            unusable.append(spec)
    if unusable:
        raise UsageError(
            f"{len(unusable)} of {len(specs)} schemas cannot be used: {', '.join(unusable)}",
            hint=f"llmx schema check {shlex.quote(unusable[0])}",
        )


def _check(context: typer.Context, spec: str, names: list[Provider]) -> None:
    """Print one schema's findings. Raises UsageError: it is none, or no provider can take it."""
    from llmx.schemas import lint, supports, wire_schema

    loaded = _loaded(context, spec)
    typer.echo(f"{loaded.name}: {', '.join(loaded.fields)}")
    _report("", lint(loaded))
    for dialect in (dialect for name in names for dialect in _DIALECTS[name]):
        _report(dialect, wire_schema(loaded, dialect).findings)
    if not any(supports(loaded, dialect) for name in names for dialect in _DIALECTS[name]):
        raise _refused(names)


def _loaded(context: typer.Context, spec: str) -> Schema:
    from llmx.environment import Environment
    from llmx.schemas import load_schema

    cwd = context.obj.cwd if isinstance(context.obj, Environment) else Path.cwd()
    return load_schema(spec, cwd=cwd)


def _report(dialect: str, findings: tuple[Finding, ...]) -> None:
    """A dialect's verdict, and a line for each finding; rewritten places are only counted."""
    if dialect:
        typer.echo(f"{dialect}: {_verdict(dialect, findings)}")
    for finding in findings:
        if finding.level != "rewritten":
            hint = f" ({finding.hint})" if finding.hint else ""
            typer.echo(f"  {finding.level}  {finding.path or 'the whole'}: {finding.message}{hint}")


def _verdict(dialect: str, findings: tuple[Finding, ...]) -> str:
    levels = [finding.level for finding in findings]
    if "refused" in levels:
        return "refused"
    told = ["told, not enforced"] if dialect.endswith("-tools") else []
    counted = [f"{levels.count(level)} {level}" for level in ("weakened", "rewritten") if level in levels]
    return ", ".join(["ok", *told, *counted])


def _refused(names: list[Provider]) -> Exception:
    from llmx.errors import UsageError

    return UsageError(
        f"the schema is refused by {', '.join(names)}",
        hint="mend what `llmx schema check` calls refused",
    )
