"""`llmx serve`: declares the options of the service and starts it; everything it does is in `llmx.serve`."""

# Annotations are no strings here: typer would evaluate each, twice, at every start.

from typing import Annotated, Any

import typer

from llmx.cli.operating import declared, operator_options

__all__ = ["serve"]


_OWN = {
    "host": Annotated[
        str | None, typer.Option("--host", metavar="ADDRESS", help="Where to listen. [127.0.0.1]")
    ],
    "port": Annotated[str | None, typer.Option("--port", metavar="N", help="0 takes a free one. [8090]")],
    "data": Annotated[
        str | None,
        typer.Option("--data", metavar="DIR", help="The folder of jobs, uploads and keys. [llmx-data]"),
    ],
    "queue": Annotated[
        str | None,
        typer.Option(
            "--queue",
            metavar="sqlite|redis://HOST:PORT/0",
            help="Where jobs wait: in the service's folder, or in a Redis that workers share. [sqlite]",
        ),
    ],
    "keys": Annotated[
        str | None,
        typer.Option(
            "--keys", metavar="FILE", help="API keys, by `llmx keys`. [keys.json in the service's folder]"
        ),
    ],
    "shards": Annotated[
        str | None,
        typer.Option(
            "--shards", metavar="N", help="Shards of jobs that this process runs at once; 0: workers do. [2]"
        ),
    ],
}


def _command(context: typer.Context, **given: Any) -> int:
    """Serve extraction over HTTP: POST /v1/extract now, POST /v1/jobs for later. Ctrl-C drains, a second one ends it.

    Without API keys it listens on this machine only. Its own options have variables LLMX_SERVE_… and keys in the table
    [serve] of llmx.toml; the others are those of `llmx extract`. Docs: docs/serve.md.
    """
    own = {name: value for name, value in given.items() if name in _OWN}
    options = operator_options(given, context)
    from llmx.cli.serving import run_service

    return run_service(own, options, context.obj)


serve = declared(_command, "serve", _OWN)
