"""What a run demands of answers beyond the schema: evidence, votes, confidence, a cascade.

The options are checked against each other here, and become what the layers need. Nothing here knows rows or endpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.prompts import Example, Prompt
from llmx.schemas import Schema
from llmx.settings import Settings
from llmx.types import Judgement

__all__ = ["check_demands", "enough", "exemplary", "judge", "wrapped"]

SURE_HINT = "--votes 3, or --logprobs with a server that tells them"


def check_demands(settings: Settings) -> None:
    """Raises UsageError for options that do not go together."""
    sure = settings.votes > 1 or settings.logprobs
    for option, given in _THRESHOLDS.items():
        if getattr(settings, given) is not None and not sure:
            raise UsageError(f"{option} needs to know how sure an answer is", hint=SURE_HINT)
    if settings.calibration is not None and settings.min_confidence is not None:
        raise UsageError("--calibration and --min-confidence exclude each other", hint="the one or the other")
    if settings.cascade and len(settings.cascade) == 1:
        raise UsageError(
            f"--cascade {settings.cascade[0]}: there is nobody to turn to", hint="--cascade CHEAP,STRONG"
        )
    if settings.cascade and settings.spread:
        raise UsageError("--cascade and --spread exclude each other", hint="leave out --spread")


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
    if settings.calibration is None:
        return settings.min_confidence
    from llmx.evals.calibration import load_calibration

    found = load_calibration(env.cwd / settings.calibration)
    if found.row_threshold is None:
        raise UsageError(
            f"--calibration {str(settings.calibration)!r}: no confidence is high enough for what it was to promise",
            hint="llmx calibrate with a lower --target, or with more rows of gold",
        )
    return found.row_threshold


def judge(settings: Settings, prompt: Prompt) -> Judgement | None:
    """Who finds out how far answers can be trusted; None where nobody wants to know."""
    if not settings.evidence and not settings.logprobs:
        return None
    from llmx.quality.judge import Judge

    return Judge(settings.evidence, settings.require_evidence, settings.logprobs, prompt.shown)
