"""What an evaluation of many rows takes, beside scikit-learn over the same rows.

    python benchmarks/evaluation.py [--rows 100000] [--runs 3]

Both read the same two files of JSON Lines with six fields (a choice of five, a choice of eighty, a number, a boolean, a list
and a name) in processes of their own. scikit-learn's side joins by key, and makes accuracy, precision, recall and F1, macro
and micro, of each field: no intervals, no counts, no confusion matrix, no disagreements. Then both are asked for the intervals of
accuracy and macro F1 by 2,000 resamples; scikit-learn's side has 20, and its time is scaled.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

FIELDS = ("tone", "intent", "stars", "urgent", "tags", "name")
RESAMPLES = 2000
TRIED = 20


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(SIDES[options.child], *options.files)
        return
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder), options.rows)
        found = {side: [child(side, files) for _ in range(options.runs)] for side in SIDES}
    print(f"| {options.rows:,} rows, {len(FIELDS)} fields | s | | MB |\n|---|---|---|---|")
    base = median(one["seconds"] for one in found["llmx"])
    for side, runs in found.items():
        seconds, memory = median(one["seconds"] for one in runs), median(one["megabytes"] for one in runs)
        print(f"| {WORDS[side]} | {seconds:.2f} | {seconds / base:.1f} | {memory:.0f} |")


def value(draw: random.Random, name: str) -> Any:
    """A right value of a field."""
    match name:
        case "tone":
            return draw.choice("abcde")
        case "intent":
            return f"intent_{draw.randrange(80)}"
        case "stars":
            return draw.randint(1, 5)
        case "urgent":
            return draw.random() < 0.3
        case "tags":
            return draw.sample(["red", "green", "blue", "small", "large", "round"], draw.randint(0, 3))
        case _:
            return f"Person {draw.randrange(10**6)}"


def write(folder: Path, rows: int) -> list[str]:
    """Two files: right answers, and predictions of which nine in ten are right."""
    draw = random.Random(7)
    ours, gold = folder / "out.jsonl", folder / "gold.jsonl"
    with ours.open("w") as predicted, gold.open("w") as right:
        for row in range(rows):
            answer = {name: value(draw, name) for name in FIELDS}
            given = {name: one if draw.random() < 0.9 else value(draw, name) for name, one in answer.items()}
            right.write(json.dumps({"id": row, "text": "x" * 200, "gold": answer}) + "\n")
            predicted.write(json.dumps({"id": row, "text": "x" * 200, **given}) + "\n")
    return [str(ours), str(gold)]


def child(side: str, files: list[str]) -> dict[str, float]:
    """One measurement, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", side, *files], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(side: Callable[[str, str], float], ours: str, gold: str) -> None:
    """Seconds, imports included, and the process's peak memory."""
    start = time.perf_counter()
    more = side(ours, gold)
    seconds = time.perf_counter() - start + more
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "megabytes": memory}))


def by_llmx(ours: str, gold: str) -> float:
    """The whole document: what `llmx eval --json` prints."""
    from llmx.evals import evaluate

    evaluate(ours, gold).document()
    return 0.0


def by_sklearn(ours: str, gold: str) -> float:
    """Figures only."""
    for right, predicted in joined(ours, gold):
        figures(right, predicted)
    return 0.0


def by_sklearn_resampled(ours: str, gold: str) -> float:
    """With intervals of accuracy and macro F1, the usual way; returns the seconds of resamples that were not drawn."""
    import numpy as np
    from sklearn.metrics import accuracy_score, f1_score

    rng = np.random.default_rng(1)
    pairs = list(joined(ours, gold))
    for right, predicted in pairs:
        figures(right, predicted)
    start = time.perf_counter()
    for right, predicted in pairs[:4]:  # of lists and names nobody would wait for it
        sides = np.array(right, dtype=str), np.array(predicted, dtype=str)
        for _ in range(TRIED):
            rows = rng.integers(0, len(right), len(right))
            accuracy_score(sides[0][rows], sides[1][rows])
            f1_score(sides[0][rows], sides[1][rows], average="macro", zero_division=0)
    return (time.perf_counter() - start) * (RESAMPLES / TRIED - 1)


def joined(ours: str, gold: str) -> list[tuple[list[Any], list[Any]]]:
    """Per field what is right and what was predicted."""
    with Path(gold).open() as lines:
        right = {row["id"]: row["gold"] for row in map(json.loads, lines)}
    with Path(ours).open() as lines:
        predicted = [json.loads(line) for line in lines]
    return [
        ([right[row["id"]][name] for row in predicted], [row[name] for row in predicted]) for name in FIELDS
    ]


def figures(right: list[Any], predicted: list[Any]) -> None:
    """Of one field."""
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support
    from sklearn.preprocessing import MultiLabelBinarizer

    sides: tuple[Any, Any] = (right, predicted)
    if isinstance(right[0], list):
        binarizer = MultiLabelBinarizer().fit(right + predicted)
        sides = binarizer.transform(right), binarizer.transform(predicted)
    accuracy_score(*sides)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "more classes than samples": names have as many as rows
        for average in ("macro", "micro"):
            precision_recall_fscore_support(*sides, average=average, zero_division=0)


SIDES: dict[str, Callable[[str, str], float]] = {
    "llmx": by_llmx,
    "sklearn": by_sklearn,
    "resampled": by_sklearn_resampled,
}
WORDS = {
    "llmx": "`llmx.evals.evaluate(…).document()`, intervals included",
    "sklearn": "scikit-learn, figures alone",
    "resampled": "scikit-learn, intervals of four fields (scaled from 20 resamples)",
}


if __name__ == "__main__":
    main()
