"""How answers from a gold file are given, as one frozen value; nothing here reads or answers.

A part of `MockSettings`; `llmx.mock.gold` acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llmx.errors import UsageError

__all__ = ["GoldSettings", "parse_confidence", "parse_model_error"]


@dataclass(frozen=True, slots=True)
class GoldSettings:
    """What the answers are, and how often they are wrong.

    Args:
        path: the gold file: rows with their right answers, in any format that `llmx extract` reads.
        key: the column that names a row; None takes "id" where there is one, else the row's number.
        rows: a file with the rows themselves, where the gold file has their keys and answers alone.
        errors: the share of values answered wrongly, 0 to 1.
        model_errors: the same for single models, by the name that requests give.
        confidence: the mean probability of right values and of wrong ones, 0 to 1, where log-probabilities
            are asked for.
    """

    path: Path
    key: str | None = None
    rows: Path | None = None
    errors: float = 0.0
    model_errors: tuple[tuple[str, float], ...] = ()
    confidence: tuple[float, float] = (0.95, 0.6)

    def __post_init__(self) -> None:
        _check_share("--gold-errors", self.errors)
        for name, rate in self.model_errors:
            _check_share(f"--model-errors {name}", rate)
        for mean in self.confidence:
            _check_share("--gold-confidence", mean)

    def error_rate(self, model: str) -> float:
        """The share of this model's values that are wrong."""
        return dict(self.model_errors).get(model, self.errors)


def parse_model_error(text: str) -> tuple[str, float]:
    """From `"gpt-5-nano=0.2"`; a provider's name before the model's is taken off, since requests do not say it.

    Raises:
        UsageError: no name, or no number.
    """
    name, _, rate = text.rpartition("=")
    name = name.removeprefix("openai/").removeprefix("anthropic/")
    try:
        return _named(name), float(rate)
    except ValueError as error:
        raise UsageError(
            f"not a model and its share of errors: {text!r}", hint="e.g. --model-errors gpt-5-nano=0.2"
        ) from error


def parse_confidence(text: str) -> tuple[float, float]:
    """From `"0.95:0.6"`: of right values, of wrong ones.

    Raises:
        UsageError: not two numbers.
    """
    try:
        right, wrong = map(float, text.split(":"))
    except ValueError as error:
        raise UsageError(
            f"not two probabilities: {text!r}",
            hint="of right values and of wrong ones, e.g. --gold-confidence 0.95:0.6",
        ) from error
    return right, wrong


def _named(name: str) -> str:
    if not name:
        raise ValueError("no name")
    return name


def _check_share(option: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise UsageError(
            f"{option} is {share!r}, which is not between 0 and 1", hint="a share of 5 % is 0.05"
        )
