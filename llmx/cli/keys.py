"""`llmx keys`: the API keys of the service; all of their rules are in `llmx.serve.keys`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmx.environment import Environment

if TYPE_CHECKING:
    from decimal import Decimal

    from llmx.serve.keys import Key

__all__ = ["keys"]

keys = typer.Typer(name="keys", help="API keys of `llmx serve`: make, list, revoke.", no_args_is_help=True)

Data = Annotated[str | None, typer.Option("--data", metavar="DIR", help="The service's folder. [llmx-data]")]
File = Annotated[
    str | None,
    typer.Option("--keys", metavar="FILE", help="The file of keys. [keys.json in the service's folder]"),
]


@keys.command()
def create(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What it is called; it owns the jobs made with it.")
    ],
    scope: Annotated[
        str, typer.Option(metavar="SCOPES", help="What it may do, apart by commas: extract, jobs, admin.")
    ] = "extract,jobs",
    rpm: Annotated[int | None, typer.Option(metavar="N", help="Requests per minute.", min=1)] = None,
    daily_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tokens in any 24 hours, input and output together.", min=1),
    ] = None,
    daily_cost: Annotated[str | None, typer.Option(metavar="USD", help="Dollars in any 24 hours.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", metavar="P/NAME", help="A model it may use, repeatable. [all on offer]"
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="The last day it is valid, as 2027-01-31 (UTC). [never]"),
    ] = None,
    data: Data = None,
    file: File = None,
) -> None:
    """Make a key and print it, once: only its SHA-256 is kept."""
    from llmx.serve.keys import Key, create_key

    path = _path(context, data, file)
    key = Key(
        _name(name),
        "",
        _scopes(scope),
        rpm,
        daily_tokens,
        None if daily_cost is None else _dollars(daily_cost),
        tuple(model or ()),
        expires=None if expires is None else _end_of(expires),
    )
    secret = create_key(path, key)
    typer.echo(secret)
    typer.echo(f"kept as a SHA-256 in {path}: the key is not shown again", err=True)


@keys.command(name="list")
def list_(context: typer.Context, data: Data = None, file: File = None) -> None:
    """List the keys: what each may do, its limits, and until when."""
    from llmx.cli.tables import aligned
    from llmx.serve.keys import read_keys

    path = _path(context, data, file)
    found = read_keys(path)
    if not found:
        typer.echo(f"no keys in {path}\nhint: llmx keys create NAME", err=True)
        return
    head = ["key", "scopes", "rpm", "tokens a day", "cost a day", "models", "created", "expires"]
    for line in aligned(head, [_cells(key) for key in found]):
        typer.echo(line)


@keys.command()
def revoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `llmx keys list` has it.")],
    data: Data = None,
    file: File = None,
) -> None:
    """Remove a key: a running service refuses it from the next request on. Its jobs stay."""
    from llmx.serve.keys import revoke_key

    revoke_key(_path(context, data, file), name)
    typer.echo(f"{name} is revoked", err=True)


def _path(context: typer.Context, data: str | None, file: str | None) -> Path:
    from llmx.serve.settings import serve_settings

    env: Environment = context.obj
    return serve_settings({"data": data, "keys": file}, env).key_file


def _name(name: str) -> str:
    import re

    from llmx.errors import UsageError

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", name):
        raise UsageError(f"{name!r} is no name of a key", hint="1 to 64 letters, digits and . _ @ -")
    return name


def _scopes(text: str) -> tuple[str, ...]:
    from llmx.errors import UsageError
    from llmx.serve.keys import SCOPES
    from llmx.text import nearest

    given = [scope.strip() for scope in text.split(",")]
    for scope in given:
        if scope not in SCOPES:
            close = nearest(scope, SCOPES)
            hint = f"did you mean {close!r}?" if close else f"some of {', '.join(SCOPES)}"
            raise UsageError(f"--scope: {scope!r} is no scope", hint=hint)
    return tuple(scope for scope in SCOPES if scope in given)


def _dollars(text: str) -> Decimal:
    from decimal import Decimal, InvalidOperation

    from llmx.errors import UsageError

    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value <= 0:
        raise UsageError(f"--daily-cost {text!r}: not a number of dollars above 0")
    return value


def _end_of(text: str) -> float:
    """When a day ends, in seconds since 1970."""
    from datetime import UTC, datetime, timedelta

    from llmx.errors import UsageError

    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(f"--expires {text!r}: not a date", hint="write it as 2027-01-31") from None
    end = day + timedelta(days=1)
    if end <= datetime.now(UTC):
        raise UsageError(f"--expires {text!r}: that day is over")
    return end.timestamp()


def _cells(key: Key) -> list[str]:
    from datetime import UTC, datetime

    def day(seconds: float) -> str:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"

    return [
        key.name,
        ",".join(key.scopes),
        "" if key.rpm is None else f"{key.rpm:,}",
        "" if key.daily_tokens is None else f"{key.daily_tokens:,}",
        "" if key.daily_cost is None else f"${key.daily_cost:f}",
        ", ".join(key.models) or "all",
        day(key.created),
        "never" if key.expires is None else day(key.expires - 1),
    ]
