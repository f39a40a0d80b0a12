"""`llmx worker`: declares the options of a worker and starts it; everything it does is in `llmx.cluster.working`."""

# Annotations are no strings here: typer would evaluate each, twice, at every start.

from typing import Annotated, Any

import typer

from llmx.cli.operating import declared, operator_options

__all__ = ["worker"]

_OWN = {
    "queue": Annotated[
        str | None,
        typer.Option(
            "--queue",
            metavar="redis://HOST:PORT/0",
            help="The Redis of `llmx serve --queue`. With a password: by LLMX_QUEUE or LLMX_QUEUE_FILE.",
        ),
    ],
    "data": Annotated[
        str | None,
        typer.Option(
            "--data", metavar="DIR", help="The folder of `llmx serve --data`, on storage that both share."
        ),
    ],
    "shards": Annotated[
        str | None, typer.Option("--shards", metavar="N", help="Shards of jobs that are run at once. [2]")
    ],
    "health_file": Annotated[
        str | None,
        typer.Option(
            "--health-file",
            metavar="PATH",
            help="Touched every 5 s while the worker is alive, for health checks.",
        ),
    ],
}


def _command(context: typer.Context, **given: Any) -> int:
    """Run shards of the jobs that `llmx serve --queue redis://…` is given, beside others, on this machine or another.

    The first Ctrl-C or TERM gives its shards back, for others to go on with, once the calls in flight have ended; a second one
    ends it at once. Models and their options are those of `llmx serve`. Docs: docs/workers.md.
    """
    own = {name: value for name, value in given.items() if name in _OWN}
    options = operator_options(given, context)
    from llmx.cli.working import run_worker

    return run_worker(own, options, context.obj)


worker = declared(_command, "worker", _OWN)
