"""What the evaluations say of an output, as the page shows it: figures of each field, and where rows differ from gold.

The one place of the pages that knows the evaluations' interface; it is imported when gold is given.
"""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

from llmx.errors import UsageError
from llmx.pages.fields import general
from llmx.pages.lookup import Lookup
from llmx.records import to_json

__all__ = ["Scores", "evaluated"]

SHOWN = ("n", "accuracy", "f1_macro", "f1_micro", "precision_macro", "recall_macro")
"""Figures of a field that the page has a column for: documents hold much more, matrices too."""

CONFUSED = 8
"""Commonest pairs of expected and predicted values that are shown of each field."""

MOST_PAIRS = 5_000
"""Different pairs that are counted over all fields."""

LONGEST = 80
"""Code points of a value among the pairs: longer texts are hardly confused twice."""


class Scores:
    """An evaluation's document, and its disagreements by the row's key.

    Args:
        document: as `llmx eval --json` prints it.
        wrong: by key, an object of PATH -> what gold has.
    """

    def __init__(self, document: dict[str, Any], gold: str) -> None:
        self.document, self.gold = document, gold
        self.wrong = Lookup()
        self.count = 0
        self._held: tuple[str, dict[str, Any]] = ("", {})
        self._pairs: Counter[tuple[str, str, str]] = Counter()

    def note(self, key: str, path: str, expected: Any, predicted: Any) -> None:
        """A field of a row that differs from gold."""
        self.count += 1
        if self._held[0] != key:
            self.finish()
            self._held = (key, {})
        self._held[1][path] = expected
        pair = (general(path), _short(expected), _short(predicted))
        if pair in self._pairs or len(self._pairs) < MOST_PAIRS:
            self._pairs[pair] += 1

    def finish(self) -> None:
        """No more come; or none of the last row."""
        key, parts = self._held
        if parts:
            self.wrong.merge(key, parts)
        self._held = ("", {})

    def as_json(self) -> dict[str, Any]:
        """The figures that are shown, and the commonest confusions of each field as [expected, predicted, rows]."""
        confused: dict[str, list[list[Any]]] = {}
        for (path, expected, predicted), number in self._pairs.most_common():
            pairs = confused.setdefault(path, [])
            if len(pairs) < CONFUSED:
                pairs.append([expected, predicted, number])
        fields = {
            path: {name: field.get(name) for name in SHOWN} | {"ci95": _interval(field.get("ci95"))}
            for path, field in self.document["fields"].items()
        }
        return {
            "rows": self.document["rows"],
            "fields": fields,
            "gold": self.gold,
            "disagreements": self.count,
            "confused": confused,
        }


def _interval(said: Any) -> Any:
    """The accuracy's, where every figure has one."""
    return said.get("accuracy") if isinstance(said, dict) else said


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value).decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def evaluated(predictions: Path, gold: Path, key: str, shown: str) -> Scores:
    """Evaluate predictions against gold.

    Args:
        key: the column that tells which row is which, in both.
        shown: the gold file as the user named it.

    Raises:
        UsageError: the two have no row in common, or what the evaluations say of them; or there are none in this llmx.
    """
    try:
        evaluate = importlib.import_module("llmx.evals").evaluate
    except ModuleNotFoundError as error:
        if error.name != "llmx.evals":
            raise
        raise UsageError("--gold: this llmx has no evaluations", hint="leave --gold out") from error
    evaluation = evaluate(predictions, gold, key)
    document: dict[str, Any] = evaluation.document()
    if not document["rows"]["matched"]:
        hint = f"--key COL, a column whose values both have; {key!r} is not one"
        raise UsageError(f"no row of {shown!r} has the key of a row of {str(predictions.name)!r}", hint=hint)
    scores = Scores(document, shown)
    for each in evaluation.disagreements():
        scores.note(each.key, each.path, each.expected, each.predicted)
    scores.finish()
    return scores
