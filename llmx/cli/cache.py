"""`llmx cache`: look at the exact cache, or forget it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

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


@cache.command()
def clear(context: typer.Context) -> None:
    """Forget every answer: the next runs pay for them again."""
    opened = _opened(context.obj)
    try:
        removed = opened.clear()
    finally:
        opened.close()
    typer.echo(f"{plural(removed, 'answer')} removed", err=True)


@cache.command()
def path(context: typer.Context) -> None:
    """Where the cache is."""
    from llmx.caches.exact import cache_folder

    env: Environment = context.obj
    typer.echo(str(cache_folder(env.home)))
