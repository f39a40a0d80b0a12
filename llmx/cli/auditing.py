"""`llmx cache audit`: how often the model answers otherwise than the semantic cache did."""

# Annotations are no strings here: typer would evaluate each, twice, at every start.

import asyncio
import re
import sys
import tempfile
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from llmx.environment import Environment
from llmx.errors import BelowThreshold, UsageError
from llmx.text import harmless, plural

if TYPE_CHECKING:
    from llmx.auditing import Audit, Questions
    from llmx.planning import Plan
    from llmx.settings import Settings

__all__ = ["audit"]

Text = str | None


def audit(
    context: typer.Context,
    sample: Annotated[
        int, typer.Option("--sample", min=1, metavar="N", help="How many hits to ask about.")
    ] = 50,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Chooses them.")] = 0,
    model: Annotated[
        Text, typer.Option("--model", "-m", metavar="P/NAME", help="Ask this model, not the one of the run.")
    ] = None,
    max_cost: Annotated[
        Text, typer.Option("--max-cost", metavar="USD", help="Never spend more on it.")
    ] = None,
    max_tokens: Annotated[
        Text, typer.Option("--max-tokens", metavar="N", help="The same in tokens, for each run of the hits.")
    ] = None,
    rpm: Annotated[Text, typer.Option("--rpm", metavar="N", help="Requests per minute.")] = None,
    max_different: Annotated[
        Text,
        typer.Option("--max-different", metavar="P%", help="Exit with 6 when more are answered otherwise."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """Ask the model about rows that the semantic cache has answered, and tell how often it answers otherwise.

    Hits of all runs since the last `llmx cache clear`, those of the library with a schema of Python's own aside.
    """
    from llmx.auditing import Audit, chosen
    from llmx.caches.rows import kept_hits, semantic_folder

    env: Environment = context.obj
    limit = _limit(max_different)
    limits = {"max_cost": max_cost, "max_tokens": max_tokens, "rpm": rpm}
    hits = kept_hits(semantic_folder(env.home))
    found = Audit(len(hits))
    for questions in chosen(hits, sample, seed):
        code = _ask(questions, env, model, _left(limits, found), found)
        if code:
            _tell(found, env, as_json=as_json)
            return code
    _tell(found, env, as_json=as_json)
    if limit is not None and found.share is not None and found.share > limit:
        raise BelowThreshold(
            f"--max-different {max_different}: {found.share:.1%} were answered otherwise",
            hint="a higher --similarity, or --cache exact",
        )
    return 0


def _limit(given: str | None) -> float | None:
    """A percentage as a share."""
    if given is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", given)
    if match is None or float(match[1]) > 100:
        raise UsageError(f"--max-different: {given!r} is no percentage", hint="--max-different 1%")
    return float(match[1]) / 100


def _left(limits: Mapping[str, Any], found: "Audit") -> dict[str, Any]:
    """The limits, less what the runs before this one have spent."""
    left = {name: value for name, value in limits.items() if value is not None}
    if "max_cost" in left and found.cost:  # which a run has kept to: it is a number
        rest = Decimal(left["max_cost"]) - Decimal(str(found.cost))
        left["max_cost"] = str(max(rest, Decimal("1e-9")))
    return left


def _ask(
    questions: "Questions", env: Environment, model: str | None, limits: Mapping[str, Any], found: "Audit"
) -> int:
    """Ask about some hits, and count what comes of it; the exit code of a run that was stopped, else 0."""
    from llmx.auditing import compared
    from llmx.cli.running import run_settings

    place = replace(env, cwd=questions.cwd)
    with tempfile.TemporaryDirectory(prefix="llmx-audit-") as name:
        folder = Path(name)
        questions.write_rows(folder)
        settings = questions.settings(folder, model, limits)
        planned = _planned(questions, settings, place, found)
        if planned is None:
            return 0
        if model is None:
            questions = _unchanged(questions, planned, place, found)
        if not questions.hits:
            return 0
        questions.write_rows(folder)
        code = run_settings(settings, place, sys.argv[1:])
        found.add(compared(questions, planned, folder))
        _add_cost(folder, found)
        return code


def _planned(questions: "Questions", settings: "Settings", env: Environment, found: "Audit") -> "Plan | None":
    """The run, None where its command cannot be given again: a file of it is gone, or is another one."""
    from llmx.auditing import check_place
    from llmx.planning import plan

    try:
        check_place(questions)
        return plan(settings, env)
    except UsageError as error:
        found.outdated += len(questions.hits)
        text = f"warning: {plural(len(questions.hits), 'hit')} cannot be asked about again: {error}"
        print(harmless(text) if env.stderr.isatty() else text, file=env.stderr)
        return None


def _unchanged(questions: "Questions", planned: "Plan", env: Environment, found: "Audit") -> "Questions":
    """Those hits whose question is the one that it was."""
    from llmx.auditing import still_asked
    from llmx.connecting import Quiet

    same = asyncio.run(still_asked(questions, planned, env, Quiet(lambda text: None)))
    found.outdated += len(questions.hits) - len(same)
    return replace(questions, hits=same)


def _add_cost(folder: Path, found: "Audit") -> None:
    from llmx.records.integers import loads_object

    file = folder / "summary.json"
    cost = (loads_object(file.read_bytes()) or {}).get("cost") if file.exists() else None
    found.cost = None if cost is None or found.cost is None else found.cost + float(cost)


def _tell(found: "Audit", env: Environment, *, as_json: bool) -> None:
    from llmx.records import to_json

    if as_json:
        typer.echo(to_json(found.as_json()).decode())
        return
    for line in found.lines():
        typer.echo(harmless(line) if env.stdout.isatty() else line)
