"""`llmx report`, as a user gives it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from commands import Llmx, Mock
from paged import page_env, rows_in, summary_in, write_lines

from llmx.cli.app import main
from llmx.journal import run_folder
from llmx.journal.lines import encode
from llmx.mock import MockSettings

RUN = ("extract", "rows.jsonl", "-s", "tone good|bad", "-o", "out.jsonl", "--key", "id", "--meta")


@pytest.fixture
def run(llmx: Llmx, mock: Mock, rows: Path) -> Path:
    """A complete run of ten rows; the folder of its journal."""
    write_lines(rows, [{"id": number, "text": f"row {number}"} for number in range(10)])
    assert llmx(*RUN, *mock.openai).code == 0
    return run_folder(llmx.cwd / "out.jsonl", None).path


def test_a_report(llmx: Llmx, run: Path) -> None:
    """One file beside the output with all that the run has left; the talk is on standard error."""
    done = llmx("report", "out.jsonl")
    assert (done.code, done.out) == (0, "")
    assert re.fullmatch(r"report of 10 rows in out\.report\.html, 0\.\d MB\n", done.err)
    said = summary_in(llmx.cwd / "out.report.html")
    assert (said["state"], said["rows"]["ok"], said["notes"]) == ("complete", 10, [])
    assert (said["run"]["model"], said["run"]["exitCode"], said["run"]["answers"]) == ("openai/mock", 0, 10)
    assert said["inputs"] == ["id", "text"]
    assert sum(bucket[0] for bucket in said["timeline"]["buckets"].values()) == 10
    first = rows_in(llmx.cwd / "out.report.html")[0]
    assert (first["k"], first["r"]["text"], first["m"]["model"]) == ("0", "row 0", "mock")
    assert "-o out.jsonl" not in said["run"]["command"] or str(llmx.cwd) not in said["run"]["command"]


def test_a_report_on_standard_output(llmx: Llmx, run: Path) -> None:
    """For a pipe; nothing else is on it."""
    done = llmx("report", "out.jsonl", "-o", "-")
    assert done.out.startswith("<!doctype html>")
    assert done.out.endswith("</html>\n")
    assert "report of 10 rows in standard output" in done.err
    assert not (llmx.cwd / "out.report.html").exists()


def test_a_report_of_failed_rows(llmx: Llmx, provider: Any, rows: Path) -> None:
    """They are counted by kind, and among the rows."""
    failing = provider(MockSettings(refusal_rate=0.5, seed=3))
    llmx("extract", "rows.jsonl", "-s", "tone good|bad", "-o", "out.jsonl", *failing.openai)
    failed = len((llmx.cwd / "out.errors.jsonl").read_text().splitlines())
    assert llmx("report", "out.jsonl").code == 0
    said = summary_in(llmx.cwd / "out.report.html")
    assert [(group["type"], group["count"]) for group in said["errors"]] == [("refusal", failed)]
    assert sum("e" in row for row in rows_in(llmx.cwd / "out.report.html")) == failed > 0


def test_a_state_dir(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """By flag, or by the config file that the run had it from."""
    (llmx.cwd / "llmx.toml").write_text('state-dir = "state"\n')
    assert llmx(*RUN, *mock.openai).code == 0
    assert llmx("report", "out.jsonl").code == 0
    assert summary_in(llmx.cwd / "out.report.html")["run"]["model"] == "openai/mock"
    (llmx.cwd / "llmx.toml").unlink()
    assert "Nothing is kept of the run" in llmx("report", "out.jsonl").err
    assert llmx("report", "out.jsonl", "--state-dir", "state").err.count("\n") == 1


def test_a_file_without_a_run(llmx: Llmx) -> None:
    """It gets what can be known, and says what is not."""
    write_lines(llmx.cwd / "some.jsonl", [{"a": 1}, {"a": 2}])
    done = llmx("report", "some.jsonl")
    assert done.code == 0
    assert "Nothing is kept of the run that wrote this file" in done.err
    said = summary_in(llmx.cwd / "some.report.html")
    assert (said["run"], said["timeline"], said["inputs"], said["rows"]["ok"]) == (None, None, None, 2)


@pytest.mark.parametrize(
    ("name", "content", "report"),
    [
        ("out.csv", 'id,tags,note\n1,"[""a""]",\n2,[],x\n', "out.csv.report.html"),
        ("out.tsv", 'id\ttags\tnote\n1\t["a"]\t\n2\t[]\tx\n', "out.tsv.report.html"),
    ],
)
def test_text_formats(name: str, content: str, report: str, llmx: Llmx) -> None:
    """Everything is text there; lists and nulls are what they were all the same."""
    (llmx.cwd / name).write_text(content)
    assert llmx("report", name).code == 0
    fields = {field["path"]: field for field in summary_in(llmx.cwd / report)["fields"]}
    assert (fields["tags"]["kind"], fields["note"]["null"], fields["id"]["kind"]) == ("list", 1, "number")


def test_an_empty_output(llmx: Llmx) -> None:
    """A report of no rows is one."""
    (llmx.cwd / "out.jsonl").touch()
    done = llmx("report", "out.jsonl")
    assert (done.code, done.err.splitlines()[0][:17]) == (0, "report of 0 rows ")
    assert rows_in(llmx.cwd / "out.report.html") == []


def test_rows_so_far(llmx: Llmx, run: Path) -> None:
    """Of a run that goes on, or has stopped: the rows in the .partial, and that they are not all."""
    (llmx.cwd / "out.jsonl").rename(llmx.cwd / "out.jsonl.partial")
    lock = run_folder(llmx.cwd / "out.jsonl", None).acquire("out.jsonl")
    done = llmx("report", "out.jsonl")
    lock.close()
    assert "The run is going on: these are the rows so far." in done.err
    assert summary_in(llmx.cwd / "out.report.html")["state"] == "running"
    done = llmx("report", "out.jsonl.partial")
    assert (done.code, summary_in(llmx.cwd / "out.report.html")["rows"]["ok"]) == (0, 10)


def test_a_line_that_is_cut(llmx: Llmx) -> None:
    """It is left out, and that is said."""
    write_lines(llmx.cwd / "out.jsonl", [{"a": 1}, '{"a": '])
    done = llmx("report", "out.jsonl")
    assert (done.code, "1 line is no row and left out." in done.err) == (0, True)


def test_a_damaged_journal(llmx: Llmx, run: Path) -> None:
    """Damaged lines are left out, and that is said; the rest is told."""
    journal = run / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"t":"answer"', b'"t":"answEr"', 2) + b"garbage\n")
    done = llmx("report", "out.jsonl")
    assert done.code == 0
    assert "3 lines of the run's journal are damaged and left out." in done.err
    said = summary_in(llmx.cwd / "out.report.html")
    assert sum(each["answers"] for each in said["timeline"]["endpoints"]) == 8


def test_a_journal_of_a_newer_llmx(llmx: Llmx, run: Path) -> None:
    """It is not guessed at."""
    (run / "journal.jsonl").write_bytes(encode({"t": "journal", "id": "x", "version": 99}))
    done = llmx("report", "out.jsonl")
    assert (done.code, "by a newer llmx" in done.err) == (0, True)
    assert summary_in(llmx.cwd / "out.report.html")["timeline"] is None


def test_a_run_without_manifest_or_journal(llmx: Llmx, run: Path) -> None:
    """What was lost is said to be unknown."""
    (run / "manifest.json").write_text("{")
    (run / "journal.jsonl").unlink()
    done = llmx("report", "out.jsonl")
    assert (done.code, "manifest is missing" in done.err, "tells no times" in done.err) == (0, True, True)


def test_an_input_that_has_gone(llmx: Llmx, run: Path) -> None:
    """Then nobody knows which columns were read, and all are shown alike."""
    (llmx.cwd / "rows.jsonl").unlink()
    assert llmx("report", "out.jsonl").code == 0
    assert summary_in(llmx.cwd / "out.report.html")["inputs"] is None


def test_two_runs(llmx: Llmx, run: Path) -> None:
    """Rows are found by the run's key, whatever their order; failed ones, too."""
    there = [json.loads(line) for line in (llmx.cwd / "out.jsonl").read_text().splitlines()][::-1]
    there[0]["tone"] = "other"
    write_lines(llmx.cwd / "there.jsonl", [*there[:8], {"id": 99}])
    write_lines(llmx.cwd / "there.errors.jsonl", [{**there[8], "_error": {"type": "refusal"}}])
    assert llmx("report", "out.jsonl", "--compare", "there.jsonl").code == 0
    compare = summary_in(llmx.cwd / "out.report.html")["compare"]
    assert {name: compare[name] for name in ("same", "changed", "alone", "onlyThere", "changedFields")} == {
        "same": 7,
        "changed": 2,
        "alone": 1,
        "onlyThere": 1,
        "changedFields": {"tone": 1},
    }


REFUSED = [
    (("report", "x/y.csv"), "no such output: 'x/y.csv'", "llmx runs list"),
    (("report", "outt.jsonl"), "no such output: 'outt.jsonl'", "did you mean 'out.jsonl'?"),
    (("report", "."), "'.' is a folder", "name an output in it"),
    (("report", "notes.txt"), "'notes.txt' is no file of rows", "name an output of llmx extract"),
    (("report", "out.jsonl", "--key", "idd"), "no column 'idd' in 'out.jsonl'", "did you mean 'id'?"),
    (("report", "out.jsonl", "--compare", "gone.jsonl"), "no such output: 'gone.jsonl'", ""),
    (
        ("report", "out.jsonl", "--compare", "keyless.jsonl"),
        "no column 'id' in 'keyless.jsonl'",
        "the columns are a",
    ),
    (
        ("report", "keyless.jsonl", "--compare", "out.jsonl"),
        "--compare: no column is known",
        "--key COL, one of a",
    ),
    (("report", "empty.jsonl", "--compare", "out.jsonl"), "--compare: no rows in 'empty.jsonl'", ""),
    (("report", "out.jsonl", "--gold", "gone.jsonl"), "no such file: 'gone.jsonl'", "--gold FILE"),
    (("report", "out.jsonl", "-o", "folder"), "-o: 'folder' is a folder", "-o FILE.html"),
    (("report", "out.jsonl", "-o", "no/where.html"), "-o: 'no/where.html' is in no folder that is there", ""),
    (
        ("report", "out.jsonl", "-o", "out.jsonl"),
        "-o: 'out.jsonl' is what the report is made of",
        "-o FILE.html",
    ),
]


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    REFUSED,
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_refused(argv: tuple[str, ...], message: str, hint: str, llmx: Llmx) -> None:
    """Exit code 2 with what is wrong and what to do; no file is written, and none is harmed."""
    write_lines(llmx.cwd / "out.jsonl", [{"id": 1, "a": 1}])
    write_lines(llmx.cwd / "keyless.jsonl", [{"a": 1}])
    (llmx.cwd / "empty.jsonl").touch()
    (llmx.cwd / "notes.txt").write_text("hello")
    (llmx.cwd / "folder").mkdir()
    before = {path.name: path.read_bytes() for path in llmx.cwd.iterdir() if path.is_file()}
    done = llmx(*argv)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {message}")
    assert hint in done.err
    assert before == {path.name: path.read_bytes() for path in llmx.cwd.iterdir() if path.is_file()}


def test_an_earlier_report_stays_when_the_next_one_fails(llmx: Llmx) -> None:
    """A file that ends in the middle of a compressed stream is an error, and no half of a page is left."""
    import gzip

    write_lines(llmx.cwd / "out.jsonl", [{"a": 1}])
    whole = gzip.compress((b'{"a": "' + bytes(range(97, 120)) * 3 + b'"}\n') * 50_000)
    (llmx.cwd / "out.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (llmx.cwd / "page.html").write_text("earlier")
    done = llmx("report", "out.jsonl.gz", "-o", "page.html")
    assert (done.code, "the file is cut" in done.err) == (1, True)
    assert sorted(path.name for path in llmx.cwd.iterdir()) == ["out.jsonl", "out.jsonl.gz", "page.html"]
    assert (llmx.cwd / "page.html").read_text() == "earlier"


def test_a_full_disk(llmx: Llmx) -> None:
    """It is the report that cannot be written, and that is said."""
    write_lines(llmx.cwd / "out.jsonl", [{"a": 1}])
    done = llmx("report", "out.jsonl", "-o", "/dev/full")
    assert (done.code, done.err.splitlines()[0]) == (
        1,
        "error: cannot write '/dev/full': No space left on device",
    )


def test_a_closed_standard_output(llmx: Llmx, tmp_path: Path) -> None:
    """As by `>&-`."""
    write_lines(tmp_path / "out.jsonl", [{"a": 1}])
    env = page_env(tmp_path)
    env.stdout.close()
    assert main(["report", "out.jsonl", "-o", "-"], env) == 1
    assert "cannot write 'stdout': it is closed" in env.stderr.getvalue()  # type: ignore[attr-defined]  # a StringIO


def test_an_archive_that_is_still_written(llmx: Llmx) -> None:
    """It has no end yet; the rows so far are there."""
    import zlib

    pack = zlib.compressobj(wbits=31)
    data = pack.compress(b'{"a": 1}\n{"a": 2}\n') + pack.flush(zlib.Z_SYNC_FLUSH)
    (llmx.cwd / "out.jsonl.gz.partial").write_bytes(data)
    done = llmx("report", "out.jsonl.gz")
    assert done.code == 0
    assert summary_in(llmx.cwd / "out.report.html")["rows"]["ok"] == 2


# Gold: the evaluations' interface, of which a stand-in is enough here.


def stand_in(matched: int) -> ModuleType:
    """Evaluations of one field, which compare rows by their key in memory."""

    def evaluate(predictions: Path, gold: Path, key: str | None = None) -> Any:
        right, given = (
            {str(row[key]): row for row in map(json.loads, path.read_text().splitlines())}
            for path in (gold, predictions)
        )

        def disagreements() -> Iterator[Any]:
            for name, row in given.items():
                if name in right and right[name]["tone"] != row["tone"]:
                    yield SimpleNamespace(
                        key=name, path="tone", expected=right[name]["tone"], predicted=row["tone"]
                    )

        rows = {"matched": matched, "missing": 1, "extra": 0}
        fields = {"tone": {"n": 2, "accuracy": 0.5, "ci95": {"accuracy": [0.1, 0.9]}}}
        return SimpleNamespace(document=lambda: {"rows": rows, "fields": fields}, disagreements=disagreements)

    module = ModuleType("llmx.evals")
    module.evaluate = evaluate  # type: ignore[attr-defined]
    return module


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """A folder with an output and gold."""
    write_lines(tmp_path / "out.jsonl", [{"id": 1, "tone": "good"}, {"id": 2, "tone": "bad"}])
    write_lines(tmp_path / "gold.jsonl", [{"id": 1, "tone": "good"}, {"id": 2, "tone": "good"}])
    return tmp_path


def test_gold(judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The evaluation's figures, what is confused with what, and what gold has in each row that differs."""
    monkeypatch.setitem(sys.modules, "llmx.evals", stand_in(2))
    assert main(["report", "out.jsonl", "--gold", "gold.jsonl"], page_env(judged)) == 0
    said = summary_in(judged / "out.report.html")["eval"]
    assert (said["gold"], said["disagreements"], said["confused"]) == (
        "gold.jsonl",
        1,
        {"tone": [["good", "bad", 1]]},
    )
    assert said["fields"]["tone"]["ci95"] == [0.1, 0.9]
    assert [row.get("g") for row in rows_in(judged / "out.report.html")] == [None, {"tone": "good"}]


def test_gold_without_overlap(judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake, and none of the model's."""
    monkeypatch.setitem(sys.modules, "llmx.evals", stand_in(0))
    env = page_env(judged)
    assert main(["report", "out.jsonl", "--gold", "gold.jsonl"], env) == 2
    said = env.stderr.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert said.startswith(
        "error: no row of 'gold.jsonl' has the key of a row of 'out.jsonl'\nhint: --key COL"
    )
    assert not (judged / "out.report.html").exists()


def test_gold_where_there_are_no_evaluations(judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said in words."""
    monkeypatch.setitem(sys.modules, "llmx.evals", None)
    env = page_env(judged)
    assert main(["report", "out.jsonl", "--gold", "gold.jsonl"], env) == 2
    assert "this llmx has no evaluations" in env.stderr.getvalue()  # type: ignore[attr-defined]  # a StringIO
