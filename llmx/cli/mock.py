"""`llmx mock`: the simulated provider as a command; all of its behaviour is in `llmx.mock`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

__all__ = ["mock"]


def mock(
    host: Annotated[str, typer.Option(help="Loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65_535)] = 8787,
    latency: Annotated[
        str, typer.Option(help="Seconds per answer: constant (0.2) or p50:p99 (0.2:1.5).")
    ] = "0",
    rpm: Annotated[int | None, typer.Option(help="Requests admitted in any 60 s.", min=1)] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens admitted in any 60 s.", min=1)] = None,
    error_rate: Annotated[
        float, typer.Option(help="Share answered with 500, 503 or 529.", min=0, max=1)
    ] = 0.0,
    malformed_rate: Annotated[
        float, typer.Option(help="Share whose answer breaks the schema.", min=0, max=1)
    ] = 0.0,
    hang_rate: Annotated[float, typer.Option(help="Share never answered.", min=0, max=1)] = 0.0,
    drop_rate: Annotated[float, typer.Option(help="Share cut off in mid-response.", min=0, max=1)] = 0.0,
    refusal_rate: Annotated[float, typer.Option(help="Share that the model declines.", min=0, max=1)] = 0.0,
    key: Annotated[
        list[str] | None, typer.Option(help="An API key it accepts, repeatable; default: any.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model it has, repeatable; default: any.")] = None,
    quota_after: Annotated[int | None, typer.Option(help="Answers until the credit is spent.", min=0)] = None,
    fail_first: Annotated[int, typer.Option(help="Calls at the start that get a 500.", min=0)] = 0,
    malformed_until: Annotated[
        int, typer.Option(help="Attempts per row that are malformed, so that re-asks succeed.", min=0)
    ] = 0,
    seed: Annotated[int, typer.Option(help="Decides every fault and latency.")] = 0,
    log: Annotated[bool, typer.Option("--log", help="Keep request bodies for GET /log.")] = False,
    no_limit_headers: Annotated[
        bool, typer.Option("--no-limit-headers", help="Send no rate-limit headers.")
    ] = False,
    retry_after: Annotated[
        Literal["seconds", "ms", "date"], typer.Option(help="How a 429 names its wait.")
    ] = "seconds",
) -> None:
    """Run a simulated provider on this machine, for rehearsals, tests and benchmarks.

    It speaks OpenAI's and Anthropic's formats and answers with objects valid for your schema, made of
    words of your rows. GET /stats says what it saw. It costs nothing and knows nothing.
    """
    from llmx.mock import Latency, MockSettings, run

    settings = MockSettings(
        latency=Latency.parse(latency),
        rpm=rpm,
        tpm=tpm,
        limit_headers=not no_limit_headers,
        retry_after=retry_after,
        error_rate=error_rate,
        malformed_rate=malformed_rate,
        hang_rate=hang_rate,
        drop_rate=drop_rate,
        refusal_rate=refusal_rate,
        keys=tuple(key or ()),
        models=tuple(model or ()),
        quota_after=quota_after,
        fail_first=fail_first,
        malformed_until=malformed_until,
        seed=seed,
        log=log,
    )
    run(settings, host, port, lambda line: typer.echo(line, err=True))
