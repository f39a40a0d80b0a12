"""What a run demands of answers beyond the schema: evidence, votes, confidence, a cascade.

The options are checked against each other here, and become what the layers need. Nothing here knows rows or endpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.prompts import Example, Prompt
from llmx.schemas import Schema
from llmx.settings import Settings
from llmx.types import Judgement

if TYPE_CHECKING:
    from llmx.evals.calibration import Calibration

__all__ = ["Promise", "check_demands", "enough", "exemplary", "judge", "promise", "wrapped"]

SURE_HINT = "--votes 3, or --logprobs with a server that tells them"


def check_demands(settings: Settings) -> None:
    """Raises UsageError for options that do not go together."""
    sure = settings.votes > 1 or settings.logprobs
    for option, given in _THRESHOLDS.items():
        if getattr(settings, given) is not None and not sure:
            raise UsageError(f"{option} needs to know how sure an answer is", hint=SURE_HINT)
    if settings.calibration is not None and settings.min_confidence is not None:
        raise UsageError("--calibration and --min-confidence exclude each other", hint="the one or the other")
    _check_certainty(settings)
    if settings.similarity is not None and settings.cache != "semantic":
        raise UsageError("--similarity has no effect without --cache semantic", hint="--cache semantic")
    if settings.cascade and len(settings.cascade) == 1:
        raise UsageError(
            f"--cascade {settings.cascade[0]}: there is nobody to turn to", hint="--cascade CHEAP,STRONG"
        )
    if settings.cascade and settings.spread:
        raise UsageError("--cascade and --spread exclude each other", hint="leave out --spread")


def _check_certainty(settings: Settings) -> None:
    """Refuse to look for full agreement where votes are weighed by log-probabilities: nothing is ever quite certain."""
    threshold = settings.min_confidence is not None or settings.calibration is not None
    if threshold or not settings.logprobs:
        return
    options = {"--review": settings.review is not None, "--cascade": settings.cascade and settings.votes > 1}
    if option := next((name for name, given in options.items() if given), None):
        raise UsageError(
            f"{option} with --logprobs needs to be told how sure is sure enough: no model is quite certain of its words",
            hint="--min-confidence 0.9, or --calibration FILE",
        )


_THRESHOLDS = {"--min-confidence": "min_confidence", "--calibration": "calibration"}


def wrapped(settings: Settings, schema: Schema) -> Schema | None:
    """The schema of answers around the user's, None where it is asked for as it is."""
    if not settings.evidence:
        return None
    from llmx.quality.envelope import evidenced

    return evidenced(schema)


def exemplary(settings: Settings, schema: Schema, examples: Sequence[Example]) -> Sequence[Example]:
    """Few-shot examples in the form in which answers are asked for."""
    asked = wrapped(settings, schema)
    if asked is None or not examples:
        return examples
    from llmx.quality.evidence import with_quotes

    return [
        Example(example.data, with_quotes(example.answer, example.data, asked.json_schema))
        for example in examples
    ]


def enough(settings: Settings, env: Environment) -> float | None:
    """The confidence that an answer must have, None where none is asked for. Raises UsageError."""
    found = _calibration(settings, env)
    if found is None:
        return settings.min_confidence
    if found.row_threshold is None:
        raise UsageError(
            f"--calibration {str(settings.calibration)!r}: no confidence is high enough for what it was to promise",
            hint="llmx calibrate with a lower --target, or with more rows of gold",
        )
    return found.row_threshold


class Promise(Struct, frozen=True):
    """What a calibration promises of the rows that are sure enough.

    Args:
        accuracy: the share that is right in every field, at least.
        level: how certain that is, both from 0 to 1.
        rows: of gold that it was found by.
    """

    accuracy: float
    level: float
    rows: int

    def __str__(self) -> str:
        return f"at least {self.accuracy:.1%} right in every field, at {self.level:.0%} confidence ({self.rows:,} rows of gold)"


def promise(settings: Settings, env: Environment) -> Promise | None:
    """What is promised of the rows that a cascade's cheaper models settle; None where nothing is."""
    found = _calibration(settings, env) if settings.cascade else None
    return None if found is None else Promise(found.promised, found.level, found.rows.n)


def _calibration(settings: Settings, env: Environment) -> Calibration | None:
    if settings.calibration is None:
        return None
    from llmx.evals.calibration import load_calibration

    return load_calibration(env.cwd / settings.calibration, shown=str(settings.calibration))


def judge(settings: Settings, prompt: Prompt) -> Judgement | None:
    """Who finds out how far answers can be trusted; None where nobody wants to know."""
    if not settings.evidence and not settings.logprobs:
        return None
    from llmx.quality.judge import Judge

    return Judge(settings.evidence, settings.require_evidence, settings.logprobs, prompt.shown)
