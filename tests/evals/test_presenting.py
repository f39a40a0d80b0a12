"""Figures and tables as text."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluations import pair

from llmx.environment import Environment
from llmx.evals import Options, evaluate
from llmx.evals.judging import Judged, judge
from llmx.evals.markdown import escaped
from llmx.evals.presenting import percent, shown
from llmx.evals.table import as_table


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (None, "undefined"),
        (1.0, "100 %"),
        (0.99999, "99.9 %"),
        (0.5, "50.0 %"),
        (0.00001, "0.1 %"),
        (0.0, "0 %"),
    ],
)
def test_per_cent(figure: float | None, text: str):
    """All and none are told from nearly."""
    assert percent(figure) == text


def test_a_long_value_is_cut():
    """And nothing is a dash."""
    assert shown("x" * 100) == "x" * 59 + "…"
    assert (shown(None), shown(["a", 1]), shown(True)) == ("–", '["a",1]', "true")


def judged(folder: Path, names: str = "abcdefghijkl") -> Judged:
    """Twelve labels, each taken for another now and then."""
    gold = [{"label": one} for one in names * 6]
    predicted = [{"label": one} for one in names * 5 + names[1:] + names[0]]
    return Judged(evaluate(*pair(folder, gold, predicted)), worst=3)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_narrow_screen_gets_all_columns(tmp_path: Path, width: int):
    """In several tables, none of whose lines is too long."""
    text = as_table(judged(tmp_path), terminal=True, width=width)
    for name in (
        "accuracy",
        "95 %",
        "F1 macro",
        "F1 micro",
        "correct",
        "wrong",
        "missing",
        "spurious",
        "empty",
    ):
        assert name in text, name
    plain = as_table(judged(tmp_path), terminal=False)
    assert max(map(len, plain.splitlines())) > 40
    assert "…" not in text


def test_a_matrix_of_few_labels_and_a_list_of_many(tmp_path: Path):
    """Up to ten labels are a matrix; of more, what is confused more than once."""
    assert "expected in rows" in as_table(judged(tmp_path, "abc"), terminal=False)
    assert "expected in rows" not in as_table(judged(tmp_path), terminal=False)
    gold = [{"label": one} for one in "abcdefghijkl" * 6]
    predicted = [{"label": "b" if one == "a" else one} for one in "abcdefghijkl" * 6]
    text = as_table(Judged(evaluate(*pair(tmp_path, gold, predicted))), terminal=False)
    lines = text.split("label: most often confused")[1].split()
    assert lines[:3] == ["expected", "predicted", "rows"]
    assert lines[4:7] == ["a", "b", "6"]


@pytest.mark.parametrize("text", ["plain words", "81.9–87.7", "A-1042", "50 %"])
def test_plain_text_is_left_alone(text: str):
    """Escapes where they are not needed make a raw page hard to read."""
    assert escaped(text) == text


def test_markdown_has_gates_and_remarks(tmp_path: Path):
    """A page says at its top whether the gates are passed, and why not."""
    from llmx.evals.markdown import as_markdown
    from llmx.evals.minimums import parse_minimum

    ours, gold = pair(tmp_path, [{"a": "x"}, {"a": "x"}], [{"a": "x"}])
    bad = judge(ours, gold, Options(), Environment(), minimums=[parse_minimum("coverage=1")])
    page = as_markdown(bad)
    assert page.startswith("## Evaluation: FAILED\n")
    assert "- coverage is 0.5000, which is below the minimum 1" in page
    assert "1 of 2 labelled rows have no prediction" in page
    good = judge(ours, gold, Options(), Environment(), minimums=[parse_minimum("accuracy=1")])
    assert as_markdown(good).startswith("## Evaluation: passed\n")
