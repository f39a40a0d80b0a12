"""`llmx view`: the page of an output while its run goes on; the page and its server are in `llmx.pages`."""

from __future__ import annotations

import html
import os
import sys
import tempfile
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from llmx.cli.runs import StateDir
from llmx.environment import Environment

__all__ = ["view"]


def view(
    context: typer.Context,
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="An output of `llmx extract`, finished or being written.")
    ],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65_535)] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser.")] = False,
    state_dir: StateDir = None,
) -> None:
    """Show an output in the browser, its rows and figures as they come while a run goes on. Ctrl-C ends it."""
    from llmx.pages import LivePage, serve_page

    env: Environment = context.obj
    page = LivePage(output, env, None if state_dir is None else env.cwd / state_dir)
    with ExitStack() as stack:
        serve_page(page, port, _announced(env, stack, opens=not no_open and _has_screen(env)))
    if env.stderr.isatty():
        print(file=env.stderr)  # the terminal has written ^C


def _announced(env: Environment, stack: ExitStack, *, opens: bool) -> Callable[[str], None]:
    """Says the address, and opens it."""

    def announce(url: str) -> None:
        print(f"viewing on {url} (Ctrl-C ends it)", file=env.stderr, flush=True)
        if opens:
            _open(url, stack)

    return announce


def _has_screen(env: Environment) -> bool:
    """Whether a browser would have a window: else the one that is found may take the terminal."""
    if not env.stderr.isatty():
        return False
    return sys.platform in ("darwin", "win32") or any(
        env.variables.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def _open(url: str, stack: ExitStack) -> None:
    """Open a file that leads to the address: on a command line everybody on this machine could read the token."""
    handle, name = tempfile.mkstemp(prefix="llmx-view-", suffix=".html")  # its owner's alone
    path = Path(name)
    stack.callback(path.unlink, missing_ok=True)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(
            f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(url)}"><title>llmx</title>'
        )
    webbrowser.open(path.as_uri())
