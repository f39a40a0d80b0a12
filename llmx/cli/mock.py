"""`llmx mock`: the simulated provider as a command; all of its behaviour is in `llmx.mock`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from llmx.mock import GoldSettings

__all__ = ["mock"]

# What changes with time, apart so that the function stays readable.
_InputTokens = Annotated[
    int | None, typer.Option(help="Input tokens admitted in any 60 s, as Anthropic counts them.", min=1)
]
_OutputTokens = Annotated[
    int | None, typer.Option(help="Output tokens admitted in any 60 s, as Anthropic counts them.", min=1)
]
_LimitWindow = Annotated[
    float, typer.Option(help="Enforce limits in windows of so many seconds: each admits its share.")
]
_LimitsAt = Annotated[
    list[str] | None,
    typer.Option(
        metavar="T:RPM[:TPM]",
        help="Other limits from T seconds after the first call on, - for unchanged; repeatable.",
    ),
]
_Outages = Annotated[
    list[str] | None,
    typer.Option(
        metavar="START:SECONDS",
        help="Answer every call with 503, from START seconds after the first call; repeatable.",
    ),
]
_OutageRetryAfter = Annotated[
    bool, typer.Option("--outage-retry-after", help="Name the end of an outage in its 503s.")
]
_BrownOuts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="START:SECONDS:SHARE",
        help="Answer that share with 503 and the others half as fast, for a time; repeatable.",
    ),
]
_SlowStart = Annotated[
    float, typer.Option(help="Seconds in which latencies fall from 10 times to once what they are.")
]
_Pace = Annotated[
    float | None,
    typer.Option(
        metavar="TOKENS",
        help="Tokens a second after --latency; default: streams end when whole answers come.",
    ),
]
_StallRate = Annotated[
    float, typer.Option(help="Share of streams that stop in mid-answer and stay open.", min=0, max=1)
]
_LateErrorRate = Annotated[
    float, typer.Option(help="Share of streams that end with an error in mid-answer.", min=0, max=1)
]
_UncountedRate = Annotated[
    float, typer.Option(help="Share answered without a word about tokens used.", min=0, max=1)
]
# Answers from a file, apart for the same reason.
_Gold = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Rows with their right answers, as llmx eval takes them: these rows get those answers.",
    ),
]
_GoldKey = Annotated[
    str | None, typer.Option(metavar="COL", help="The column that names a row; default: id, else its number.")
]
_GoldRows = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The rows themselves, where --gold has their keys and answers only."),
]
_GoldErrors = Annotated[
    float, typer.Option(metavar="RATE", help="Share of the values that are wrong, by chance.", min=0, max=1)
]
_ModelErrors = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=RATE", help="The same for one model; repeatable."),
]
_GoldConfidence = Annotated[
    str | None,
    typer.Option(
        metavar="RIGHT:WRONG",
        help="Mean probability of right and of wrong values in log-probabilities. [0.95:0.6]",
    ),
]


def mock(
    host: Annotated[str, typer.Option(help="Loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65_535)] = 8787,
    latency: Annotated[
        str, typer.Option(help="Seconds per answer: constant (0.2) or p50:p99 (0.2:1.5).")
    ] = "0",
    pace: _Pace = None,
    rpm: Annotated[int | None, typer.Option(help="Requests admitted in any 60 s.", min=1)] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens admitted in any 60 s.", min=1)] = None,
    itpm: _InputTokens = None,
    otpm: _OutputTokens = None,
    limit_window: _LimitWindow = 60.0,
    limits_at: _LimitsAt = None,
    outage: _Outages = None,
    outage_retry_after: _OutageRetryAfter = False,
    brown_out: _BrownOuts = None,
    slow_start: _SlowStart = 0.0,
    error_rate: Annotated[
        float, typer.Option(help="Share answered with 500, 503 or 529.", min=0, max=1)
    ] = 0.0,
    malformed_rate: Annotated[
        float, typer.Option(help="Share whose answer breaks the schema.", min=0, max=1)
    ] = 0.0,
    hang_rate: Annotated[float, typer.Option(help="Share never answered.", min=0, max=1)] = 0.0,
    drop_rate: Annotated[float, typer.Option(help="Share cut off in mid-response.", min=0, max=1)] = 0.0,
    refusal_rate: Annotated[float, typer.Option(help="Share that the model declines.", min=0, max=1)] = 0.0,
    stall_rate: _StallRate = 0.0,
    late_error_rate: _LateErrorRate = 0.0,
    uncounted_rate: _UncountedRate = 0.0,
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="An API key it accepts, repeatable, each with its own limits and credit; default: any."
        ),
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model it has, repeatable; default: any.")] = None,
    quota_after: Annotated[int | None, typer.Option(help="Answers until the credit is spent.", min=0)] = None,
    fail_first: Annotated[int, typer.Option(help="Calls at the start that get a 500.", min=0)] = 0,
    malformed_until: Annotated[
        int, typer.Option(help="Attempts per row that are malformed, so that re-asks succeed.", min=0)
    ] = 0,
    seed: Annotated[int, typer.Option(help="Decides every fault, latency and wrong value.")] = 0,
    log: Annotated[bool, typer.Option("--log", help="Keep request bodies for GET /log.")] = False,
    no_limit_headers: Annotated[
        bool, typer.Option("--no-limit-headers", help="Send no rate-limit headers.")
    ] = False,
    retry_after: Annotated[
        Literal["seconds", "ms", "date", "none"], typer.Option(help="How a 429 names its wait.")
    ] = "seconds",
    no_retry_after: Annotated[
        bool, typer.Option("--no-retry-after", help="Name no wait in a 429: --retry-after none.")
    ] = False,
    gold: _Gold = None,
    gold_key: _GoldKey = None,
    gold_rows: _GoldRows = None,
    gold_errors: _GoldErrors = 0.0,
    model_errors: _ModelErrors = None,
    gold_confidence: _GoldConfidence = None,
) -> None:
    """Run a simulated provider on this machine, for rehearsals, tests and benchmarks.

    It speaks OpenAI's and Anthropic's formats and answers with objects valid for your schema, made of
    words of your rows. GET /stats says what it saw. It costs nothing and knows nothing, but for what --gold
    tells it: then GET /truth says which values it answered wrongly.
    """
    from llmx.mock import BrownOut, Latency, LimitsChange, MockSettings, Outage, run

    settings = MockSettings(
        latency=Latency.parse(latency),
        pace=pace,
        rpm=rpm,
        tpm=tpm,
        itpm=itpm,
        otpm=otpm,
        limit_window=limit_window,
        limits_at=tuple(map(LimitsChange.parse, limits_at or ())),
        outages=tuple(map(Outage.parse, outage or ())),
        outage_retry_after=outage_retry_after,
        brown_outs=tuple(map(BrownOut.parse, brown_out or ())),
        slow_start=slow_start,
        limit_headers=not no_limit_headers,
        retry_after="none" if no_retry_after else retry_after,
        error_rate=error_rate,
        malformed_rate=malformed_rate,
        hang_rate=hang_rate,
        drop_rate=drop_rate,
        refusal_rate=refusal_rate,
        stall_rate=stall_rate,
        late_error_rate=late_error_rate,
        uncounted_rate=uncounted_rate,
        keys=tuple(key or ()),
        models=tuple(model or ()),
        quota_after=quota_after,
        fail_first=fail_first,
        malformed_until=malformed_until,
        seed=seed,
        log=log,
        gold=_gold_settings(gold, gold_key, gold_rows, gold_errors, model_errors or [], gold_confidence),
    )
    run(settings, host, port, lambda line: typer.echo(line, err=True))


def _gold_settings(
    gold: Path | None,
    key: str | None,
    rows: Path | None,
    errors: float,
    model_errors: list[str],
    confidence: str | None,
) -> GoldSettings | None:
    """The settings, None without a gold file.

    Raises:
        UsageError: there is no gold file that the other options could be about.
    """
    from llmx.errors import UsageError
    from llmx.mock import GoldSettings
    from llmx.mock.gold_settings import parse_confidence, parse_model_error

    if gold is None:
        if errors or model_errors or (key, rows, confidence) != (None, None, None):
            raise UsageError(
                "options of a gold file, but no gold file",
                hint="add the rows with their answers: --gold FILE",
            )
        return None
    rates = tuple(map(parse_model_error, model_errors))
    return GoldSettings(gold, key, rows, errors, rates, parse_confidence(confidence or "0.95:0.6"))
