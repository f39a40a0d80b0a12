"""Gates on figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluations import pair

from llmx.errors import UsageError
from llmx.evals import Evaluation, evaluate
from llmx.evals.minimums import Checked, Minimum, check_minimums, parse_minimum


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    """Nine of ten right in `label`, all in `it.er`, and nothing ever in `empty`."""
    gold = [{"label": "a" if row else "b", "it": {"er": "x"}, "empty": None} for row in range(10)]
    return evaluate(*pair(tmp_path, gold, [{**one, "label": "a"} for one in gold]))


def checked(evaluation: Evaluation, text: str) -> Checked:
    """The gate and its figure."""
    return check_minimums(evaluation, [parse_minimum(text)])[0]


@pytest.mark.parametrize(
    ("text", "figure"),
    [
        ("label.accuracy=0", 0.9),
        ("label.f1=0", (18 / 19 + 0) / 2),
        ("label.f1_micro=0", 0.9),
        ("label.recall=0", 0.5),
        ("label.precision=0", 0.45),
        ("label.accuracy_normalized=0", 0.9),
        ("it.er.f1=0", 1.0),
        ("accuracy=0", 29 / 30),
        ("row_accuracy=0", 0.9),
        ("coverage=0", 1.0),
        ("f1=0", ((18 / 19) / 2 + 1) / 2),
    ],
)
def test_the_figure_of_a_name(evaluation: Evaluation, text: str, figure: float):
    """`f1` is the macro one; without a field it is over all."""
    assert checked(evaluation, text).figure == pytest.approx(figure)


def test_at_the_minimum_is_enough(evaluation: Evaluation):
    """0.9 of 9 in 10 passes, anything above does not."""
    assert checked(evaluation, "label.accuracy=0.9").passed
    assert not checked(evaluation, "label.accuracy=0.9001").passed


def test_what_is_undefined_passes_nothing(evaluation: Evaluation):
    """Not even a minimum of 0."""
    found = checked(evaluation, "empty.f1=0")
    assert (found.figure, found.passed) == (None, False)
    assert "undefined" in str(found)


def test_the_message_shows_on_which_side(tmp_path: Path):
    """A figure just below is not rounded up to its minimum."""
    assert "is 0.89999999, which is below the minimum 0.9" in str(Checked(Minimum("a", 0.9), 0.89999999))
    assert "is 0.8000, which is below" in str(Checked(Minimum("a", 0.9), 0.8))


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("labl.f1=0.9", "no field 'labl'", "did you mean 'label'?"),
        ("label.f2=0.9", "no metric 'f2'", "did you mean f1?"),
        ("acuracy=0.9", "no metric 'acuracy'", "did you mean accuracy?"),
        ("label=0.9", "'label' is a field, not a metric", "--min label.accuracy=X"),
        ("it.er=0.9", "'it.er' is a field, not a metric", "--min it.er.accuracy=X"),
        ("label.coverage=1", "no metric 'coverage'", "one of"),
    ],
)
def test_a_name_that_is_none(evaluation: Evaluation, text: str, words: str, hint: str):
    """The nearest is named."""
    with pytest.raises(UsageError, match=words) as raised:
        checked(evaluation, text)
    assert hint in raised.value.hint


@pytest.mark.parametrize("text", ["accuracy", "accuracy=", "=0.9", "accuracy=high", "accuracy=nan"])
def test_no_minimum_at_all(text: str):
    """It has a name and a number."""
    with pytest.raises(UsageError, match="is no minimum"):
        parse_minimum(text)


def test_per_cent_is_told_from_a_share():
    """90 is not a figure that anything reaches."""
    with pytest.raises(UsageError, match="not from 0 to 1") as raised:
        parse_minimum("accuracy=90")
    assert raised.value.hint == "--min accuracy=0.9"


def test_a_field_that_no_prediction_has(tmp_path: Path):
    """A gate on it is an error that says so, not a pass."""
    evaluation = evaluate(*pair(tmp_path, [{"a": "x", "b": "y"}], [{"a": "x"}]))
    with pytest.raises(UsageError, match="'b' was not compared: no prediction has it"):
        checked(evaluation, "b.accuracy=0.5")
