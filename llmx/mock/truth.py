"""What the simulated provider's gold answers got right and wrong: the figures that an evaluation must find.

Only answers that left count: no refusals, no spoiled ones, none that was cut off. `GET /truth` shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmx.mock.leaves import Steps
from llmx.mock.logprobs import Belief

__all__ = ["GoldAnswer", "Truth", "Wrong"]


@dataclass(frozen=True, slots=True)
class Wrong:
    """A value that was answered wrongly.

    Args:
        row: the gold row's key.
        path: the value's place, dotted.
        expected: what the gold file says, as the schema has it.
        answered: what was said.
    """

    row: str
    path: str
    expected: Any
    answered: Any


@dataclass(frozen=True, slots=True)
class GoldAnswer:
    """What is said about a row, and what of it is wrong.

    Args:
        value: the whole answer, its evidence included.
        row: the key of the row it was answered for.
        sample: which answer to this request it is, from 0, or the seed that the request gave.
        paths: of the values that the gold file has of this row, and of those that look the same.
        wrong: those of them that it differs in.
        beliefs: how sure the model is of its values.
    """

    value: Any
    row: str
    sample: int
    paths: list[str]
    wrong: list[Wrong]
    beliefs: Mapping[Steps, Belief] = field(default_factory=dict)


class Truth:
    """Counts by model and path, and every wrong value."""

    def __init__(self) -> None:
        self._answers: Counter[str] = Counter()
        self._values: Counter[tuple[str, str]] = Counter()
        self._wrong_values: Counter[tuple[str, str]] = Counter()
        self._wrong: list[dict[str, Any]] = []
        self._unknown = 0

    @property
    def unknown(self) -> int:
        """Answers to rows that the gold file does not have."""
        return self._unknown

    def guessed(self) -> None:
        """A row was answered that is not in the gold file."""
        self._unknown += 1

    def answered(self, model: str, answer: GoldAnswer) -> None:
        """A row was answered."""
        self._answers[model] += 1
        self._values.update((model, path) for path in answer.paths)
        for one in answer.wrong:
            self._wrong_values[model, one.path] += 1
            place = {"row": one.row, "model": model, "sample": answer.sample, "path": one.path}
            self._wrong.append({**place, "expected": one.expected, "answered": one.answered})

    def counts(self) -> dict[str, int]:
        """For `GET /stats`."""
        return {
            "answers": self._answers.total(),
            "values": self._values.total(),
            "wrong": self._wrong_values.total(),
            "unknown": self._unknown,
        }

    def document(self) -> dict[str, Any]:
        """For `GET /truth`: by model the answers and, by path, the values and how many of them were wrong."""
        models: dict[str, Any] = {
            model: {"answers": count, "fields": {}} for model, count in self._answers.items()
        }
        for (model, path), count in self._values.items():
            wrong = self._wrong_values[model, path]
            models[model]["fields"][path] = {"n": count, "wrong": wrong, "accuracy": (count - wrong) / count}
        return {"models": models, "wrong": self._wrong, "unknown": self._unknown}
