"""`llmx cache`: look at the exact and the semantic cache, audit the latter, or forget both."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import typer

from llmx.cli.auditing import audit
from llmx.environment import Environment
from llmx.text import plural

if TYPE_CHECKING:
    from llmx.caches.exact import ExactCache

__all__ = ["cache"]

cache = typer.Typer(name="cache", help="The cache of answers.", no_args_is_help=True)


def _opened(env: Environment) -> ExactCache:
    from llmx.caches.exact import ExactCache, cache_folder

    return ExactCache(cache_folder(env.home), ttl=None, warn=lambda text: typer.echo(text, err=True))


@cache.command()
def stats(context: typer.Context) -> None:
    """How many answers are kept, and how large they are."""
    opened = _opened(context.obj)
    try:
        found = opened.stats()
    finally:
        opened.close()
    size = f"{found.size / 1e6:,.1f} MB" if found.size >= 1e6 else f"{found.size / 1e3:,.0f} kB"
    typer.echo(f"{plural(found.entries, 'answer')}, {size}")
    if (semantic := _semantic(context.obj)) is not None:
        answers, hits = semantic
        typer.echo(f"semantic: {plural(answers, 'answer')}, {plural(hits, 'hit')} that can be audited")


@cache.command()
def clear(context: typer.Context) -> None:
    """Forget every answer: the next runs pay for them again."""
    opened = _opened(context.obj)
    try:
        removed = opened.clear()
    finally:
        opened.close()
    typer.echo(f"{plural(removed, 'answer')} removed", err=True)
    if (rows := _forget_semantic(context.obj)) is not None:
        typer.echo(f"semantic: {plural(rows, 'answer')} removed", err=True)


def _semantic(env: Environment) -> tuple[int, int] | None:
    """Answers and hits of the semantic cache, None where there is none."""
    from llmx.caches.rows import open_table, semantic_folder, telling

    folder = semantic_folder(env.home)
    table = open_table(folder, lambda text: typer.echo(text, err=True), writes=False)
    if table is None:
        return None
    with telling(folder), closing(table):
        return table.stats()


def _forget_semantic(env: Environment) -> int | None:
    from llmx.caches.rows import open_table, semantic_folder, telling

    folder = semantic_folder(env.home)
    if not folder.exists():
        return None
    table = open_table(folder, lambda text: typer.echo(text, err=True), writes=True)
    assert table is not None
    with telling(folder), closing(table):
        return table.clear()


cache.command()(audit)


@cache.command()
def path(context: typer.Context) -> None:
    """Where the cache is."""
    from llmx.caches.exact import cache_folder

    env: Environment = context.obj
    typer.echo(str(cache_folder(env.home)))
