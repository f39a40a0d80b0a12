"""`llmx eval`."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from commands import Llmx, Mock
from evaluations import jsonl, pair, table


@pytest.fixture
def files(llmx: Llmx) -> None:
    """Predictions for four of five rows; of ten values two are wrong."""
    gold = [{"topic": topic, "n": 1} for topic in ("a", "b", "a", "b", "a")]
    predicted = [{"topic": topic, "n": 1} for topic in ("a", "b", "b", "b")]
    pair(llmx.cwd, gold, [*predicted[:3], {"topic": "b", "n": 2}])


COMMAND = ("eval", "out.jsonl", "--gold", "gold.jsonl")


@pytest.mark.usefixtures("files")
def test_a_table(llmx: Llmx):
    """Figures go to standard output, what is odd about the files to standard error."""
    done = llmx(*COMMAND, "--worst", "1")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "4 rows compared in 2 fields: 75.0 % of the values are right, 2 rows in every field"
    assert lines[1] == "1 row of gold without a prediction: coverage 80.0 %"
    cells = next(line.split() for line in lines if line.startswith(" topic"))
    assert cells[:4] == ["topic", "exact", "75.0", "%"]
    assert "Worst rows" in done.out
    assert done.err.splitlines() == [
        "warning: 1 of 5 labelled rows have no prediction: the figures are over the others; llmx eval --min coverage=1 forbids it"
    ]
    assert "\x1b" not in done.out


@pytest.mark.usefixtures("files")
def test_json(llmx: Llmx):
    """One document, unrounded, whose figures others can rely on."""
    done = llmx(*COMMAND, "--json", "--min", "accuracy=0.5")
    document = json.loads(done.out)
    assert document["rows"].items() >= {"matched": 4, "missing": 1, "extra": 0}.items()
    assert document["fields"]["topic"]["f1_macro"] == pytest.approx((2 / 3 + 4 / 5) / 2, abs=1e-15)
    assert document["minimums"] == [{"name": "accuracy", "minimum": 0.5, "figure": 0.75, "passed": True}]
    assert [row["key"] for row in document["worst"]] == ["2", "3"]


@pytest.mark.usefixtures("files")
def test_two_files_from_one_pipe(llmx: Llmx):
    """Standard input can be one of the files only; it is not told as an empty one."""
    done = llmx("eval", "-", "--gold", "-")
    assert (done.code, "standard input can be one of the files only" in done.err) == (2, True)


@pytest.mark.usefixtures("files")
def test_a_minimum_that_is_not_reached(llmx: Llmx):
    """Exit code 6, after the table, with every figure that is below."""
    done = llmx(*COMMAND, "--min", "topic.f1=0.9", "--min", "n.accuracy=0.7", "--min", "coverage=1")
    assert done.code == 6
    assert "Minimums" in done.out
    assert "error: topic.f1 is 0.7333, which is below the minimum 0.9; coverage is 0.8000, which" in done.err


@pytest.mark.usefixtures("files")
def test_minimums_out_of_the_environment(llmx: Llmx):
    """Like every option; several are apart by blanks."""
    llmx.env["LLMX_MIN"] = "topic.f1=0.9 accuracy=0.1"
    done = llmx(*COMMAND)
    assert done.code == 6
    assert "topic.f1" in done.err


def test_a_baseline(llmx: Llmx):
    """Exit code 6 when a field is significantly worse; not for what may be chance."""
    gold = [{"a": "x"}] * 20
    pair(llmx.cwd, gold, [{"a": "n"}] * 20)
    jsonl(llmx.cwd / "then.jsonl", [{"id": row, "a": "x"} for row in range(20)])
    jsonl(llmx.cwd / "near.jsonl", [{"id": row, "a": "x" if row < 3 else "n"} for row in range(20)])
    worse = llmx(*COMMAND, "--baseline", "then.jsonl")
    assert worse.code == 6
    assert "WORSE" in worse.out
    assert "error: a is significantly worse than in the baseline" in worse.err
    assert llmx(*COMMAND, "--baseline", "near.jsonl").code == 0
    assert llmx(*COMMAND, "--baseline", "near.jsonl", "--alpha", "0.5").code == 6


def test_markdown_shows_values_and_obeys_none(llmx: Llmx):
    """Whatever is in a row makes no link, image, cell or HTML of the summary."""
    odd = "![x](http://e.example/) | <img src=x> `a` @team\n# b"
    pair(llmx.cwd, [{"a|b": "x"}], [{"a|b": odd}])
    done = llmx(*COMMAND, "--markdown")
    assert done.code == 0
    widths = {line.replace("\\|", "").count("|") for line in done.out.splitlines() if line.startswith("| ")}
    assert widths == {12, 5}
    for text in ("![", "](", "<img", " @team", "\n# b", "://"):
        assert text not in done.out
    assert r"a\|b" in done.out


def test_junit(llmx: Llmx):
    """Every minimum and every field is a test case; odd characters leave it well-formed."""
    pair(llmx.cwd, [{"a": "x", "b\x01<": "x", "c": 1}], [{"a": "\x00n", "b\x01<": "x"}])
    done = llmx(*COMMAND, "--junit", "junit.xml", "--min", "a.accuracy=0.5", "--min", "accuracy=0.5")
    assert done.code == 6
    suite = ET.parse(llmx.cwd / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "skipped": "1",
    }
    failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failed == ["a.accuracy >= 0.5"]


def test_a_junit_report_that_cannot_be_written(llmx: Llmx, files: None):
    """A folder that is not there is said before anything is read; else it is the disk's fault."""
    done = llmx(*COMMAND, "--junit", "none/junit.xml")
    assert (done.code, done.out) == (2, "")
    assert "error: --junit: the folder 'none' of the output does not exist\nhint: mkdir -p none" in done.err
    done = llmx(*COMMAND, "--junit", "/proc/junit.xml")
    assert done.code == 1
    assert "error: cannot write the JUnit report '/proc/junit.xml'" in done.err


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--json", "--markdown"), "--json and --markdown exclude each other"),
        (("--alpha", "5"), "--alpha: 5 is not between 0 and 1"),
        (("--worst", "-1"), "--worst must not be negative"),
        (("--min", "topc.f1=0.9"), "--min: no field 'topc'"),
        (("--min", "topic.f1=90"), "'90' in 'topic.f1=90' is not from 0 to 1"),
        (("--compare", "topc=exact"), "--compare: no field 'topc'"),
        (("--compare", "topic"), "--compare: 'topic' is no comparison"),
        (("--compare", "topic=exakt"), "--compare: no comparison 'exakt'"),
        (("--fields", "topc"), "--fields: gold has no field 'topc'"),
        (("--fields", '"topic'), "--fields: "),
        (("--key", "nr"), "no column 'nr'"),
        (("--prefix", "a", "--into", "b"), "--prefix and --into exclude each other"),
        (("--junit", "gold.jsonl"), "--junit: 'gold.jsonl' is also an input"),
        (("--baseline", "none.jsonl"), "--baseline: predictions: "),
        (("--gold-format", "xml"), "gold: unknown --gold-format 'xml'"),
    ],
)
def test_a_wrong_command(llmx: Llmx, arguments: tuple[str, ...], words: str):
    """Exit code 2, one line that says what, and no figures."""
    done = llmx(*COMMAND, *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert "Traceback" not in done.err


def test_predictions_from_a_pipe(llmx: Llmx, files: None):
    """`-` is standard input."""
    done = llmx("eval", "-", "--gold", "gold.jsonl", "--json", stdin=(llmx.cwd / "out.jsonl").read_bytes())
    assert json.loads(done.out)["rows"]["matched"] == 4


def test_after_a_run(llmx: Llmx, mock: Mock):
    """Key and prefix are the run's own, failed rows are named, and the gold column was never shown."""
    rows = [{"nr": row, "text": f"row {row}", "gold": {"tone": "good"}} for row in range(4)]
    jsonl(llmx.cwd / "rows.jsonl", rows)
    with (llmx.cwd / "rows.jsonl").open("a") as file:
        file.write('{"nr": 4, "text": "", "gold": {"tone": "good"}}\n')
    model = ("-m", "openai/mock", "--base-url", f"{mock.url}/v1")
    llmx.env["OPENAI_API_KEY"] = "mock"
    shape = ("--key", "nr", "--keep", "nr", "--prefix", "llm_", "-o", "out.jsonl")
    run = llmx("extract", "rows.jsonl", "-s", "tone good|bad", *model, *shape)
    assert run.code in (0, 3), run.err
    done = llmx("eval", "out.jsonl", "--gold", "rows.jsonl", "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    failed = 5 - document["rows"]["matched"]
    assert list(document["fields"]) == ["tone"]
    assert document["rows"]["missing"] == failed
    assert sum((document["rows"]["failed"] or {}).values()) == failed


def test_an_errors_file_beside_the_predictions(llmx: Llmx, files: None):
    """What is missing and known to have failed is said with its reason."""
    error = {"type": "invalid_answer", "message": "…", "line": 5, "raw": "", "attempts": 3, "cost": 0.1}
    jsonl(llmx.cwd / "out.errors.jsonl", [{"id": 4, "text": "…", "_error": error}])
    done = llmx(*COMMAND)
    assert "1 row of gold without a prediction, 1 of which failed (invalid_answer 1): coverage" in done.out


def test_a_terminal_gets_no_control_characters(llmx: Llmx):
    """Values of rows cannot drive it, and markup in them is text."""
    pair(llmx.cwd, [{"a": "x"}], [{"a": "\x1b]0;title\x07[/oops] [red]b"}])
    screen = llmx.on_screen(*COMMAND)
    assert screen.wait() == 0
    assert "\x1b]0" not in screen.text
    assert "[/oops] [red]b" in screen.text


def test_csv_against_parquet_and_spaces(llmx: Llmx):
    """Any two formats."""
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    table(llmx.cwd / "gold.csv", ["id", "n", "ok", "tags"], [1, "3", "true", '["a"]'], [2, "", "false", ""])
    rows = pyarrow.table({"id": [1.0, 2.0], "n": [3, None], "ok": [True, False], "tags": [["a"], []]})
    pyarrow.parquet.write_table(rows, llmx.cwd / "out.parquet")
    done = llmx("eval", "out.parquet", "--gold", "gold.csv", "--min", "accuracy=1", "--json")
    assert done.code == 0, done.out + done.err
    assert {path: one["compared_by"] for path, one in json.loads(done.out)["fields"].items()} == {
        "n": "number",
        "ok": "boolean",
        "tags": "set",
    }


def test_the_right_answers_are_asked_for(llmx: Llmx, tmp_path: Path):
    """Without --gold nothing can be said."""
    done = llmx("eval", "out.jsonl")
    assert done.code == 2
    assert "--gold" in done.err
