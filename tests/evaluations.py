"""Small files for evaluations."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A file of JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def table(path: Path, head: Sequence[str], *rows: Sequence[Any]) -> Path:
    """A file of CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def pair(
    folder: Path, gold: Sequence[Mapping[str, Any]], predicted: Sequence[Mapping[str, Any]]
) -> tuple[Path, Path]:
    """Predictions and gold with an `id` from 0; gold as an object under `gold`."""
    right = [{"id": row, "text": "…", "gold": fields} for row, fields in enumerate(gold)]
    ours = [{"id": row, **fields} for row, fields in enumerate(predicted)]
    return jsonl(folder / "out.jsonl", ours), jsonl(folder / "gold.jsonl", right)
