"""docs/schemas.md shows what the commands make."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

from llmx.schemas.advice import RULES
from llmx.schemas.inference import infer
from llmx.types import Record

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "schemas.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    """The text of the first fenced block of a language that holds something."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return next(text for text in found if containing in text)


def test_the_proposed_file_is_what_is_made_of_the_rows() -> None:
    """Of those that the page writes."""
    lines = [line for line in block("sh", "labelled.jsonl").splitlines() if line.startswith("{")]
    rows = [Record(index, json.loads(line), index + 1, "labelled.jsonl") for index, line in enumerate(lines)]
    found = infer(rows, name="Complaint")
    assert found.source == block("python", "class Complaint")
    told = block("text", "in the column 'gold'")
    assert [f"  {note.path}: {note.text}" for note in found.notes] == told.splitlines()[1:-1]


def test_the_table_of_rules_is_current() -> None:
    """It is what docs/generate.py makes of them, and names every one."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.rules_page(PAGE) == PAGE
    assert [rule.code for rule in RULES] == re.findall(r"^\| `(R\d\d)`", PAGE, re.MULTILINE)
