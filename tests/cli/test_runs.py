"""`llmx runs` and `llmx retry`: what is kept of earlier runs, and how to go on with them."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Finished, Llmx, Mock
from rehearsal import read_rows, some_rows, write_rows

from llmx.journal import RunFolder, read_manifest, run_folder, runs_home
from llmx.mock import MockSettings

Provider = Callable[[MockSettings], Mock]

RUN = ("extract", "rows.jsonl", "-s", "name, age int")
ONE_BY_ONE = ("--retries", "0", "-c", "1")


@pytest.fixture
def failing(provider: Provider) -> Mock:
    """A provider whose first two calls end in a 500."""
    return provider(MockSettings(fail_first=2))


@pytest.fixture
def failed(llmx: Llmx, failing: Mock, rows: Path) -> Mock:
    """A run into `out.jsonl` that has come to its end, with two failed rows."""
    done = llmx(*RUN, *failing.openai, *ONE_BY_ONE, "-o", "out.jsonl")
    assert (done.code, failing.calls) == (3, 10)
    return failing


def folder_of(llmx: Llmx, output: str = "out.jsonl") -> RunFolder:
    return run_folder(llmx.cwd / output, None)


def ids(path: Path) -> list[int]:
    return [row["id"] for row in read_rows(path)]


def edited(folder: RunFolder, **fields: Any) -> None:
    """A manifest that says otherwise."""
    said = json.loads(folder.manifest.read_text())
    folder.manifest.write_text(json.dumps({**said, **fields}))


def killed(folder: RunFolder) -> None:
    """What a process that was killed has left: it did not get to say how it ended."""
    edited(folder, state="running", exit_code=None, ended=None, rows={}, pid=4711)


def damaged(folder: RunFolder) -> None:
    folder.manifest.write_text('{"version": 1, "state":')


def facts(done: Finished) -> dict[str, str]:
    return {name: text.strip() for name, _, text in (line.partition(":") for line in done.out.splitlines())}


def kept_for_stdout(llmx: Llmx) -> str:
    """The name of the one run of standard output."""
    (folder,) = runs_home(Path(llmx.env["LLMX_HOME"])).iterdir()
    return folder.name


# runs list


def test_no_runs(llmx: Llmx) -> None:
    """Said on stderr; a script finds nothing."""
    done = llmx("runs", "list")
    assert (done.code, done.out, done.err) == (0, "", "no runs\n")
    assert llmx("runs", "list", "--json").out == ""


def test_list(llmx: Llmx, failed: Mock) -> None:
    """A line per run: how it ended, its rows, what it has cost, when, and which model."""
    llmx(*RUN, *failed.openai, "-n", "3")
    head, first, second = llmx("runs", "list").out.splitlines()
    assert head.split() == ["run", "state", "ok", "failed", "cost", "last", "written", "model"]
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d"
    assert re.fullmatch(rf"out\.jsonl +complete +8 +2 +cost unknown +{when} +openai/mock", first)
    assert re.fullmatch(
        rf"{kept_for_stdout(llmx)} +complete +3 +0 +cost unknown +{when} +openai/mock", second
    )


def test_list_as_json(llmx: Llmx, failed: Mock) -> None:
    """The manifest, and where it is; a line per run."""
    (run,) = llmx("runs", "list", "--json").rows
    folder = folder_of(llmx)
    assert (run["run"], run["folder"], run["state"], run["exit_code"]) == (
        "out.jsonl",
        str(folder.path),
        "complete",
        3,
    )
    assert (run["rows"]["ok"], run["rows"]["failed"], run["pid"]) == (8, 2, None)
    assert run["command"]["output"] == "out.jsonl"


def test_list_of_all_states(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Whatever became of it, it is listed."""
    llmx(*RUN, *mock.openai, "-n", "1", "-o", "complete.jsonl")
    complete = folder_of(llmx, "complete.jsonl").path
    for name in ("stopped", "killed", "running", "damaged", "gone"):
        folder = folder_of(llmx, f"{name}.jsonl")
        shutil.copytree(complete, folder.path)
        edited(folder, output=f"{name}.jsonl")
    edited(folder_of(llmx, "stopped.jsonl"), state="stopped", exit_code=130, reason="interrupted")
    killed(folder_of(llmx, "killed.jsonl"))
    damaged(folder_of(llmx, "damaged.jsonl"))
    folder_of(llmx, "gone.jsonl").manifest.unlink()
    lock = folder_of(llmx, "running.jsonl").acquire("x")
    lines = llmx("runs", "list").out.splitlines()[1:]
    lock.close()
    states = dict(line.split()[:2] for line in lines)
    assert states == {
        "complete.jsonl": "complete",
        "stopped.jsonl": "stopped",
        "killed.jsonl": "killed",
        "running.jsonl": "running",
        "damaged.jsonl": "unknown",
        "gone.jsonl": "unknown",
    }


def test_list_of_a_state_dir(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """By flag, or by the variable that the run had it from."""
    llmx(*RUN, *mock.openai, "-o", "out.jsonl", "--state-dir", "state")
    assert llmx("runs", "list").err == "no runs\n"
    assert llmx("runs", "list", "--state-dir", "state").out.splitlines()[1].startswith("out.jsonl ")
    assert llmx("runs", "list", LLMX_STATE_DIR="state").out.splitlines()[1].startswith("out.jsonl ")


# runs show


def test_show(llmx: Llmx, failed: Mock) -> None:
    """What was asked, what became of it, how to go on."""
    shown = facts(llmx("runs", "show", "out.jsonl"))
    started = shown.pop("started")
    assert re.fullmatch(r"\S+\+00:00, ended \S+\+00:00", started)
    assert re.fullmatch(r"8 answers · [\d,]+ \+ [\d,]+ tokens · cost unknown", shown.pop("paid for"))
    url = failed.openai[-1]
    assert shown == {
        "run": "out.jsonl",
        "folder": str(folder_of(llmx).path),
        "state": "complete, exit code 3",
        "model": "openai/mock",
        "schema": "name, age int",
        "rows": "10 of 10: 8 ok, 2 failed",
        "input": f"{llmx.cwd / 'rows.jsonl'} (640 bytes)",
        "errors": str(llmx.cwd / "out.errors.jsonl"),
        "again": "llmx extract rows.jsonl --schema 'name, age int' --model openai/mock "
        f"--base-url {url} --output out.jsonl --concurrency 1 --retries 0",
    }


def test_what_show_says_can_be_run(llmx: Llmx, failed: Mock) -> None:
    """As it is: it asks about the failed rows again."""
    command = facts(llmx("runs", "show", "out.jsonl"))["again"]
    done = llmx(*shlex.split(command)[1:])
    assert (done.code, failed.calls, ids(llmx.cwd / "out.jsonl")) == (0, 12, list(range(10)))


def test_show_from_elsewhere(llmx: Llmx, failed: Mock) -> None:
    """By the output as it is seen from there; the command says where it belongs."""
    shown = facts(llmx("runs", "show", "work/out.jsonl", cwd=llmx.cwd.parent))
    assert shown["run"] == "work/out.jsonl"
    assert shown["again"].startswith(f"cd {llmx.cwd} && llmx extract ")


@pytest.mark.parametrize(
    ("change", "state", "counted"),
    [
        (
            lambda folder: edited(folder, state="stopped", exit_code=130, reason="interrupted", sessions=2),
            "stopped, exit code 130, interrupted, 2 sessions",
            "10 of 10: 8 ok, 2 failed",
        ),
        (killed, "killed", "at least 10: 8 ok, 2 failed"),
        (lambda folder: (killed(folder), folder.index.unlink()), "killed", "not counted"),
        (lambda folder: (killed(folder), folder.index.write_text("x" * 4096)), "killed", "not counted"),
    ],
    ids=["stopped", "killed", "without an index", "with a bad index"],
)
def test_show_a_run_that_did_not_end(
    llmx: Llmx, failed: Mock, change: Callable[[RunFolder], None], state: str, counted: str
) -> None:
    """Why, as far as that is known."""
    change(folder_of(llmx))
    shown = facts(llmx("runs", "show", "out.jsonl"))
    assert (shown["state"], shown["rows"]) == (state, counted)


def test_show_a_run_that_goes_on(llmx: Llmx, failed: Mock) -> None:
    """By whom."""
    lock = folder_of(llmx).acquire("x")
    assert facts(llmx("runs", "show", "out.jsonl"))["state"] == f"running, pid {os.getpid()}"
    lock.close()


def test_show_a_run_whose_manifest_is_damaged(llmx: Llmx, failed: Mock) -> None:
    """What there is to say of it."""
    damaged(folder_of(llmx))
    done = llmx("runs", "show", "out.jsonl")
    assert (done.code, facts(done)) == (
        0,
        {"run": "out.jsonl", "folder": str(folder_of(llmx).path), "state": "unknown"},
    )
    assert llmx("runs", "show", "out.jsonl", "--json").rows == [
        {"run": "out.jsonl", "folder": str(folder_of(llmx).path), "state": "unknown", "pid": None}
    ]


@pytest.mark.parametrize(
    "argv", [("runs", "show", "out.jsonl"), ("runs", "list"), ("report", "out.jsonl"), ("retry", "out.jsonl")]
)
def test_a_manifest_that_says_nothing(llmx: Llmx, failed: Mock, argv: tuple[str, ...]) -> None:
    """An object without what a run writes there is a damaged one; no command fails on it without a word."""
    folder_of(llmx).manifest.write_text("{}")
    done = llmx(*argv)
    assert done.code in (0, 2)
    assert "Traceback" not in done.err


def test_show_a_name_that_no_run_has(llmx: Llmx, failed: Mock) -> None:
    """The nearest one is named."""
    done = llmx("runs", "show", "oot.jsonl")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: no run of 'oot.jsonl'\nhint: did you mean 'out.jsonl'?\n"


def test_show_where_there_are_none(llmx: Llmx) -> None:
    """Where to look."""
    done = llmx("runs", "show", "out.jsonl")
    assert (done.code, done.err) == (
        2,
        "error: no run of 'out.jsonl'\nhint: llmx runs list; --state-dir DIR, if it is kept elsewhere\n",
    )


# runs errors


def test_errors(llmx: Llmx, failed: Mock) -> None:
    """As the run has written them."""
    done = llmx("runs", "errors", "out.jsonl")
    assert done.code == 0
    assert done.rows == read_rows(llmx.cwd / "out.errors.jsonl")
    assert [row["_error"]["type"] for row in done.rows] == ["retries_exhausted"] * 2


def test_errors_are_input(llmx: Llmx, failed: Mock) -> None:
    """As in `llmx runs errors OUT | llmx extract -`."""
    given = llmx("runs", "errors", "out.jsonl").out.encode()
    done = llmx("extract", "-", "-s", "name, age int", *failed.openai, stdin=given)
    assert [list(row) for row in done.rows] == [["id", "text", "name", "age"]] * 2
    assert failed.calls == 12


def test_errors_of_standard_output(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """They have no other place than the run's folder."""
    done = llmx(*RUN, *failing.openai, *ONE_BY_ONE)
    name = kept_for_stdout(llmx)
    kept = runs_home(Path(llmx.env["LLMX_HOME"])) / name / "errors.jsonl"
    assert done.err.endswith(f"failed rows: {kept}\nagain: llmx retry {name}\n")
    assert [row["id"] for row in llmx("runs", "errors", name).rows] == [0, 1]


def test_errors_of_none(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """There are no failed rows: nothing on stdout, and no error."""
    llmx(*RUN, *mock.openai, "-o", "out.jsonl")
    done = llmx("runs", "errors", "out.jsonl")
    assert (done.code, done.out, done.err) == (0, "", "no failed rows are kept of out.jsonl\n")


def test_errors_that_are_compressed(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """As `--errors` may have it."""
    llmx(*RUN, *failing.openai, *ONE_BY_ONE, "-o", "out.jsonl", "--errors", "bad.jsonl.gz")
    assert gzip.decompress((llmx.cwd / "bad.jsonl.gz").read_bytes()).count(b"\n") == 2
    assert [row["id"] for row in llmx("runs", "errors", "out.jsonl").rows] == [0, 1]


def test_errors_that_somebody_has_edited(llmx: Llmx, failed: Mock) -> None:
    """A line that is none is named, after those before it."""
    path = llmx.cwd / "out.errors.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + b"no json\n")
    done = llmx("runs", "errors", "out.jsonl")
    assert (done.code, len(done.rows)) == (1, 1)
    assert done.err == f"error: {path}:2: not a failed row as it was written\n"


def test_errors_with_half_a_character(llmx: Llmx, failed: Mock) -> None:
    """What a model has said is shown as it was."""
    path = llmx.cwd / "out.errors.jsonl"
    path.write_text('{"id": 1, "_error": {"raw": "\\ud800"}}\n')
    assert llmx("runs", "errors", "out.jsonl").rows == [{"id": 1, "_error": {"raw": "\ud800"}}]


def test_errors_of_an_older_version(llmx: Llmx) -> None:
    """Its folder holds them and nothing else."""
    folder = RunFolder(runs_home(Path(llmx.env["LLMX_HOME"])) / "20250101-000000-1")
    folder.path.mkdir(parents=True)
    folder.errors.write_text('{"id": 1}\n')
    assert llmx("runs", "errors", "20250101").rows == [{"id": 1}]
    assert llmx("runs", "list").out.splitlines()[1].split()[:2] == ["20250101-000000-1", "unknown"]
    done = llmx("retry", "20250101")
    assert (done.code, done.err) == (
        2,
        "error: nobody knows what was asked in the run '20250101-000000-1'\n"
        "hint: llmx runs errors 20250101-000000-1 | llmx extract - …\n",
    )


# runs clean


def test_clean_one(llmx: Llmx, failed: Mock) -> None:
    """What is kept of it is gone, and its output is not."""
    done = llmx("runs", "clean", "out.jsonl")
    assert (done.code, done.out) == (0, "")
    assert re.fullmatch(r"out\.jsonl \(complete, 0\.\d MB\)\n1 run forgotten, 0\.\d MB\n", done.err)
    assert sorted(path.name for path in llmx.cwd.iterdir()) == ["out.errors.jsonl", "out.jsonl", "rows.jsonl"]


def test_clean_one_twice(llmx: Llmx, failed: Mock) -> None:
    """Under two names, it is forgotten once."""
    done = llmx("runs", "clean", "out.jsonl", ".llmx/out.jsonl")
    assert (done.code, done.err.splitlines()[-1].startswith("1 run forgotten")) == (0, True)


def test_clean_says_what_it_would_do(llmx: Llmx, failed: Mock) -> None:
    """And does nothing."""
    done = llmx("runs", "clean", "out.jsonl", "--dry-run")
    assert done.err.splitlines()[-1].startswith("1 run would be forgotten, ")
    assert folder_of(llmx).journal.exists()


def test_clean_the_old(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Those last written 30 days ago, or as long as is said."""
    for name in ("old", "new"):
        llmx(*RUN, *mock.openai, "-n", "1", "-o", f"{name}.jsonl")
    old = folder_of(llmx, "old.jsonl").path
    for path in (*old.iterdir(), old):
        os.utime(path, (0, 0))
    assert llmx("runs", "clean").err.splitlines()[-1].startswith("1 run forgotten, ")
    assert (old.exists(), folder_of(llmx, "new.jsonl").journal.exists()) == (False, True)
    assert llmx("runs", "clean", "--older-than", "0s").err.splitlines()[-1].startswith("1 run forgotten, ")


@pytest.mark.parametrize("argv", [("out.jsonl",), ("--older-than", "0s")], ids=["named", "old"])
def test_clean_leaves_a_run_that_goes_on(llmx: Llmx, failed: Mock, argv: tuple[str, ...]) -> None:
    """Named, it is an error; among the old ones it is none."""
    lock = folder_of(llmx).acquire("x")
    done = llmx("runs", "clean", *argv)
    lock.close()
    assert folder_of(llmx).journal.exists()
    if len(argv) == 1:
        hint = "hint: wait for it to end, or stop it\n"
        message = f"error: the run of 'out.jsonl' is going on (pid {os.getpid()})\n"
        assert (done.code, done.err) == (2, message + hint)
    else:
        assert (done.code, done.err) == (0, "0 runs forgotten, 0.0 MB\n")


def test_clean_with_a_wrong_time(llmx: Llmx) -> None:
    """What a time is."""
    done = llmx("runs", "clean", "--older-than", "a year")
    assert (done.code, done.err) == (
        2,
        "error: --older-than: 'a year' is no duration; write 90, 90s, 10m, 2h or 30d\n",
    )


@pytest.mark.parametrize("name", [".", "site", "runs/first"])
def test_clean_never_touches_a_folder_that_is_no_run(llmx: Llmx, name: str) -> None:
    """Whatever its files are called."""
    folder = llmx.cwd / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("manifest.json", "errors.jsonl", "journal.jsonl", "thesis.tex"):
        (folder / file).write_text('{"name": "theirs"}\n')
    assert llmx("runs", "clean", name).err.startswith(f"error: no run of {name!r}\n")
    assert sorted(path.name for path in folder.iterdir()) == [
        "errors.jsonl",
        "journal.jsonl",
        "manifest.json",
        "thesis.tex",
    ]


def test_clean_of_a_state_dir_leaves_what_is_no_run(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """It is the user's folder."""
    llmx(*RUN, *mock.openai, "-o", "out.jsonl", "--state-dir", "state")
    theirs = llmx.cwd / "state" / "site"
    theirs.mkdir()
    (theirs / "manifest.json").write_text('{"name": "theirs"}\n')
    done = llmx("runs", "clean", "--state-dir", "state", "--older-than", "0s")
    assert done.err.startswith("out.jsonl (complete")
    assert [path.name for path in (llmx.cwd / "state").iterdir()] == ["site"]


def test_a_run_after_clean_pays_unless_the_cache_has_it(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """As its help says."""
    for off, calls in (((), 10), (("--cache", "off"), 20)):
        llmx("runs", "clean", "--older-than", "0s")
        assert llmx(*RUN, *mock.openai, "-o", "out.jsonl", *off).code == 0
        assert mock.calls == calls


def test_names_do_not_drive_a_terminal(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """A file may be called anything."""
    llmx(*RUN, *mock.openai, "-n", "1", "-o", "a\x1b[31mb.jsonl")
    for argv in (("list",), ("show", "a\x1b[31mb.jsonl"), ("clean", "--older-than", "0s")):
        screen = llmx.on_screen("runs", *argv)
        assert screen.wait() == 0
        assert "\x1b" not in screen.text
        assert "b.jsonl" in screen.text


# retry, in place


def test_retry_asks_about_the_failed_rows(llmx: Llmx, failed: Mock) -> None:
    """And about no others; the output is put together anew, and there are no errors any more."""
    done = llmx("retry", "out.jsonl")
    assert (done.code, done.out, failed.calls) == (0, "", 12)
    assert "10 rows: 10 ok (8 cached), 0 failed" in done.err
    assert ids(llmx.cwd / "out.jsonl") == list(range(10))
    assert not (llmx.cwd / "out.errors.jsonl").exists()
    assert facts(llmx("runs", "show", "out.jsonl"))["rows"] == "10 of 10: 10 ok, 0 failed"


def test_retry_with_another_cap(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """A cap that has no room for a retry is raised as its hint says."""
    capped = (*ONE_BY_ONE, "--max-output-tokens", "50", "--max-tokens", "20000", "--cache", "off")
    llmx(*RUN, *failing.openai, *capped, "-o", "out.jsonl")
    manifest = read_manifest(folder_of(llmx).manifest)
    assert manifest is not None
    edited(folder_of(llmx), command={**manifest.command, "max_tokens": 1000})
    done = llmx("retry", "out.jsonl")
    assert (done.code, failing.calls) == (5, 10)
    (hint,) = [line for line in done.err.splitlines() if line.startswith("hint: ")]
    assert llmx("retry", "out.jsonl", *hint.split()[1:3]).code in (0, 5)
    assert failing.calls > 10
    assert llmx("retry", "out.jsonl", "--max-tokens", "20000").code == 0
    assert ids(llmx.cwd / "out.jsonl") == list(range(10))


def test_retry_of_a_run_that_had_started_over(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """It does not start over once more."""
    llmx(*RUN, *failing.openai, *ONE_BY_ONE, "-o", "out.jsonl", "--fresh", "--cache", "off")
    done = llmx("retry", "out.jsonl")
    assert (done.code, failing.calls) == (0, 12)
    assert "10 rows: 10 ok (8 resumed), 0 failed" in done.err


def test_retry_from_elsewhere(llmx: Llmx, failed: Mock) -> None:
    """The command's paths lead to where they led."""
    done = llmx("retry", "work/out.jsonl", cwd=llmx.cwd.parent)
    assert (done.code, failed.calls, ids(llmx.cwd / "out.jsonl")) == (0, 12, list(range(10)))
    assert not (llmx.cwd.parent / "out.jsonl").exists()


def test_retry_of_a_state_dir(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """Where the run is kept has to be said, as it was then."""
    llmx(*RUN, *failing.openai, *ONE_BY_ONE, "-o", "out.jsonl", "--state-dir", "state")
    assert llmx("retry", "out.jsonl").code == 2
    assert llmx("retry", "out.jsonl", "--state-dir", "state").code == 0
    assert (failing.calls, (llmx.cwd / ".llmx").exists()) == (12, False)


def test_a_retry_that_stops_says_how_to_go_on(llmx: Llmx, provider: Provider, rows: Path) -> None:
    """By itself: what it has paid for is there the next time, and so is the failed rows' file, from where it was given."""
    mock = provider(MockSettings(fail_first=3, quota_after=8))
    llmx(*RUN, *mock.openai, *ONE_BY_ONE, "-o", "out.jsonl")
    for _ in range(2):
        done = llmx("retry", "work/out.jsonl", cwd=llmx.cwd.parent)
        assert (done.code, done.err.splitlines()[-1]) == (7, "resume: llmx retry work/out.jsonl"), done.err


def test_a_retry_that_was_stopped_goes_on(llmx: Llmx, failed: Mock, provider: Provider) -> None:
    """The run had come to its end before."""
    edited(folder_of(llmx), state="stopped", exit_code=130, retry=True)
    assert llmx("retry", "out.jsonl").code == 0
    assert json.loads(folder_of(llmx).manifest.read_text())["state"] == "complete"


def test_a_retry_that_was_stopped_is_ended_before_another(llmx: Llmx, failed: Mock) -> None:
    """Its failed rows are not all of them."""
    edited(folder_of(llmx), state="stopped", exit_code=130, retry=True)
    done = llmx("retry", "out.jsonl", "-o", "more.jsonl")
    assert (done.code, failed.calls) == (2, 10)
    assert done.err.endswith("was stopped half-way\nhint: llmx retry out.jsonl\n")


def test_retry_in_a_copy_leaves_the_original_alone(llmx: Llmx, failed: Mock) -> None:
    """A run is where its output is, wherever its command was given."""
    copy = shutil.copytree(llmx.cwd, llmx.cwd.with_name("copy"))
    before = (llmx.cwd / "out.jsonl").read_bytes(), (llmx.cwd / "out.errors.jsonl").read_bytes()
    assert len(llmx("runs", "errors", "out.jsonl", cwd=copy).rows) == 2
    assert (llmx("retry", "out.jsonl", cwd=copy).code, failed.calls) == (0, 12)
    assert (ids(copy / "out.jsonl"), (copy / "out.errors.jsonl").exists()) == (list(range(10)), False)
    assert before == ((llmx.cwd / "out.jsonl").read_bytes(), (llmx.cwd / "out.errors.jsonl").read_bytes())


def test_a_retry_apart_leaves_the_rows_to_review_alone(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """They are of the whole run; and without a file there is nothing to look at."""
    llmx(*RUN, *failing.openai, *ONE_BY_ONE, "-o", "out.jsonl", "--review", "look.jsonl")
    assert len(ids(llmx.cwd / "look.jsonl")) == 2
    assert llmx("retry", "out.jsonl", "-o", "more.jsonl").code == 0
    assert llmx("retry", "out.jsonl", "-o", "-").code == 0
    assert len(ids(llmx.cwd / "look.jsonl")) == 2
    assert llmx("retry", "out.jsonl").code == 0
    assert not (llmx.cwd / "look.jsonl").exists()


def test_a_second_retry_apart_tells_the_same_attempts(llmx: Llmx, provider: Provider, rows: Path) -> None:
    """What the run itself had spent on a row is told again."""
    mock = provider(MockSettings(refusal_rate=0.5, seed=3))
    command = ("extract", "-", "-s", "name, age int", *mock.openai, "-o", "out.jsonl", "--cache", "off")
    assert llmx(*command, stdin=rows.read_bytes()).code == 3
    told = []
    for name in ("one", "two"):
        assert llmx("retry", "out.jsonl", "-o", f"{name}.jsonl").code == 3
        told.append({row["_error"]["attempts"] for row in read_rows(llmx.cwd / f"{name}.errors.jsonl")})
    assert told[0] == told[1]


def test_retry_never_writes_over_the_input(llmx: Llmx, failed: Mock, rows: Path) -> None:
    """Which another retry would need."""
    before = rows.read_bytes()
    done = llmx("retry", "out.jsonl", "-o", "rows.jsonl")
    assert (done.code, failed.calls, rows.read_bytes()) == (2, 10, before)
    assert "-o: 'rows.jsonl' is the run's input" in done.err


def test_retry_of_a_run_whose_journal_is_gone(llmx: Llmx, failed: Mock) -> None:
    """It would ask about all rows."""
    for file in (folder_of(llmx).journal, folder_of(llmx).index):
        file.unlink()
    done = llmx("retry", "out.jsonl")
    assert (done.code, failed.calls) == (2, 10)
    assert "the journal of that run is gone" in done.err


def test_retry_of_an_old_run_does_not_forget_it(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """Runs of standard output are kept for 30 days, and those that are in use for longer."""
    assert llmx(*RUN, *failing.openai, *ONE_BY_ONE).code == 3
    old = runs_home(Path(llmx.env["LLMX_HOME"])) / "20250101-101010-7"
    (old.parent / kept_for_stdout(llmx)).rename(old)
    for path in (old, *old.iterdir()):
        os.utime(path, (0, 0))
    done = llmx("retry", old.name)
    assert (done.code, len(done.rows), old.exists()) == (0, 2, True), done.err


def test_runs_of_one_name_in_a_state_dir(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """They would have one folder: the second is refused, and the first is not taken for the other's."""
    codes = []
    for name in ("a", "b"):
        (llmx.cwd / name).mkdir()
        codes.append(llmx(*RUN, *mock.openai, "-o", f"{name}/out.jsonl", "--state-dir", "state").code)
    assert codes == [0, 2]
    assert facts(llmx("runs", "show", "./a/out.jsonl", "--state-dir", "state"))["run"] == "a/out.jsonl"
    done = llmx("retry", "b/out.jsonl", "--state-dir", "state")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: no run of 'b/out.jsonl'")


def test_a_tree_that_has_moved_with_its_state_dir(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """As from one CI job to the next."""
    command = (*RUN, *mock.openai, "--cache", "off", "-o", "out.jsonl", "--state-dir", "state")
    assert llmx(*command).code == 0
    moved = llmx.cwd.rename(llmx.cwd.with_name("moved"))
    llmx.cwd.mkdir()
    assert llmx(*command, cwd=moved).code == 0
    assert mock.calls == 10


def test_retry_of_rows_that_fail_again(llmx: Llmx, provider: Provider, rows: Path) -> None:
    """Exit code 3, and they are failed rows as before."""
    mock = provider(MockSettings(malformed_rate=0.5, seed=3))
    argv = (*RUN, *mock.openai, "-o", "out.jsonl", "--reasks", "0", "-c", "1")
    assert llmx(*argv).code == 3
    before = ids(llmx.cwd / "out.errors.jsonl")
    assert 0 < len(before) < 10
    llmx("retry", "out.jsonl")
    assert mock.calls == 10 + len(before)
    after = ids(llmx.cwd / "out.errors.jsonl")
    assert set(after) < set(before)
    assert sorted(ids(llmx.cwd / "out.jsonl") + after) == list(range(10))


# retry, apart


def test_retry_into_a_file_of_its_own(llmx: Llmx, failed: Mock) -> None:
    """What comes of the failed rows, and nothing else; the output and its errors stay."""
    before = (llmx.cwd / "out.jsonl").read_bytes(), (llmx.cwd / "out.errors.jsonl").read_bytes()
    done = llmx("retry", "out.jsonl", "-o", "more.jsonl")
    assert (done.code, failed.calls) == (0, 12)
    rows = read_rows(llmx.cwd / "more.jsonl")
    assert [list(row) for row in rows] == [["id", "text", "name", "age"]] * 2
    assert [row["id"] for row in rows] == [0, 1]
    assert before == ((llmx.cwd / "out.jsonl").read_bytes(), (llmx.cwd / "out.errors.jsonl").read_bytes())


def test_retry_never_writes_over_the_run(llmx: Llmx, failed: Mock) -> None:
    """The failed rows are its input."""
    before = (llmx.cwd / "out.jsonl").read_bytes()
    done = llmx("retry", "out.jsonl", "-o", "./out.jsonl")
    assert (done.code, failed.calls) == (2, 10)
    assert "'./out.jsonl' is the run's own output" in done.err
    assert (llmx.cwd / "out.jsonl").read_bytes() == before


def test_retry_onto_standard_output(llmx: Llmx, failed: Mock) -> None:
    """`-o -`."""
    done = llmx("retry", "out.jsonl", "-o", "-")
    assert (done.code, [row["id"] for row in done.rows], failed.calls) == (0, [0, 1], 12)


VALIDATED = """
from pydantic import BaseModel, field_validator

class Model(BaseModel):
    name: str

    @field_validator("name")
    def check(cls, value: str) -> str:
        if {condition}:
            raise ValueError("not this one")
        return value
"""


@pytest.mark.parametrize("argv", [(), ("-o", "more.jsonl")], ids=["stdout", "file"])
def test_retry_apart_tries_what_was_paid_for(
    llmx: Llmx, mock: Mock, rows: Path, argv: tuple[str, ...]
) -> None:
    """The run's own journal has the answers that a mended validator takes; the run it is in stays as it is."""
    schema = llmx.cwd / "schema.py"
    schema.write_text(VALIDATED.format(condition="True"))
    command = ("extract", "-", "-s", "schema.py:Model", *mock.openai, "--reasks", "0", "--cache", "off")
    llmx(*command, "-o", "out.jsonl", "--max-failures", "10", stdin=rows.read_bytes())
    journal = folder_of(llmx).journal.read_bytes()
    schema.write_text(VALIDATED.format(condition="False"))
    done = llmx("retry", "out.jsonl", *argv)
    assert (done.code, mock.calls) == (0, 10), done.err
    assert len(read_rows(llmx.cwd / "more.jsonl") if argv else done.rows) == 10
    assert folder_of(llmx).journal.read_bytes() == journal


def test_retry_apart_asks_about_what_still_fails(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """And the answers that come are its own: it goes on with them when it is given again."""
    (llmx.cwd / "schema.py").write_text(VALIDATED.format(condition="True"))
    command = ("extract", "-", "-s", "schema.py:Model", *mock.openai, "--reasks", "0", "--cache", "off")
    llmx(*command, "-o", "out.jsonl", stdin=rows.read_bytes())
    assert (llmx("retry", "out.jsonl", "-o", "more.jsonl").code, mock.calls) == (3, 20)
    (llmx.cwd / "schema.py").write_text(VALIDATED.format(condition="False"))
    assert (llmx("retry", "out.jsonl", "-o", "more.jsonl").code, mock.calls) == (0, 20)


def test_retry_apart_says_how_to_go_on(llmx: Llmx, provider: Provider, rows: Path) -> None:
    """By itself, for the other run's answers are of use again."""
    mock = provider(MockSettings(fail_first=2, quota_after=9))
    assert llmx(*RUN, *mock.openai, *ONE_BY_ONE, "-o", "out.jsonl").code == 3
    done = llmx("retry", "out.jsonl", "-o", "more.jsonl")
    assert (done.code, done.err.splitlines()[-1]) == (7, "resume: llmx retry out.jsonl -o more.jsonl")


def test_retry_apart_while_the_run_goes_on(llmx: Llmx, failed: Mock) -> None:
    """Two retries of one run."""
    lock = folder_of(llmx).acquire("out.jsonl")
    try:
        assert llmx("retry", "out.jsonl", "-o", "more.jsonl").code == 2
    finally:
        lock.close()


def test_retry_of_standard_input(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """Its rows are gone, but those that failed are kept: what comes of them goes to stdout."""
    argv = ("extract", "-", "-s", "name, age int", *failing.openai, *ONE_BY_ONE, "-o", "out.jsonl")
    assert llmx(*argv, stdin=rows.read_bytes()).code == 3
    done = llmx("retry", "out.jsonl")
    assert (done.code, [row["id"] for row in done.rows], failing.calls) == (0, [0, 1], 12)
    assert ids(llmx.cwd / "out.jsonl") == list(range(2, 10))


def test_retry_of_standard_output(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """By the name of its run."""
    assert llmx(*RUN, *failing.openai, *ONE_BY_ONE).code == 3
    done = llmx("retry", kept_for_stdout(llmx))
    assert (done.code, [row["id"] for row in done.rows], failing.calls) == (0, [0, 1], 12)


def test_retry_of_standard_input_onto_standard_output(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """The dash is no file."""
    argv = ("extract", "-", "-s", "name, age int", *failing.openai, *ONE_BY_ONE, "-o", "out.jsonl")
    assert llmx(*argv, stdin=rows.read_bytes()).code == 3
    done = llmx("retry", "out.jsonl", "-o", "-")
    assert (done.code, [row["id"] for row in done.rows]) == (0, [0, 1]), done.err


def test_retry_in_a_copy_never_writes_over_its_input(llmx: Llmx, failed: Mock) -> None:
    """That of the copy."""
    copy = shutil.copytree(llmx.cwd, llmx.cwd.with_name("copy"))
    before = (copy / "rows.jsonl").read_bytes()
    assert llmx("retry", "out.jsonl", "-o", "rows.jsonl", cwd=copy).code == 2
    assert (copy / "rows.jsonl").read_bytes() == before


def test_retry_where_the_input_is_gone(llmx: Llmx, failed: Mock, rows: Path) -> None:
    """The failed rows are still there."""
    rows.unlink()
    done = llmx("retry", "out.jsonl")
    assert (done.code, [row["id"] for row in done.rows]) == (0, [0, 1])
    said = f"the run's input {str(rows)!r} is not there any more: what comes of the failed rows goes to standard output"
    assert done.err.splitlines()[0] == said


def test_retry_asks_the_same_server(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """That of a variable, too, which need not be set any more."""
    llmx.env["OPENAI_API_KEY"] = "key-for-tests"
    model = ("-m", "openai/mock", *ONE_BY_ONE, "-o", "out.jsonl")
    assert llmx(*RUN, *model, OPENAI_BASE_URL=f"{failing.url}/v1").code == 3
    assert f"--base-url {failing.url}/v1" in facts(llmx("runs", "show", "out.jsonl"))["again"]
    done = llmx("retry", "out.jsonl", OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert (done.code, failing.calls, "changed" in done.err) == (0, 12, False), done.err


TABLES = """
[endpoint.named]
model = "openai/{model}"
base-url = "{url}/v1"

[budget.labelling]
daily-tokens = {tokens}
"""


def configured(llmx: Llmx, mock: Mock, *, tokens: int, model: str = "mock") -> None:
    """A config file that names the provider and a budget."""
    (llmx.cwd / "llmx.toml").write_text(TABLES.format(url=mock.url, tokens=tokens, model=model))


@pytest.mark.parametrize("argv", [(), ("-o", "more.jsonl")], ids=["in place", "apart"])
def test_retry_reads_todays_tables(llmx: Llmx, failing: Mock, rows: Path, argv: tuple[str, ...]) -> None:
    """A budget that was lowered since holds; one that was raised lets the retry through."""
    configured(llmx, failing, tokens=9_000_000)
    named = ("-m", "named", "--budget", "labelling", "--max-output-tokens", "100")
    assert llmx(*RUN, *named, *ONE_BY_ONE, "-o", "out.jsonl", OPENAI_API_KEY="key-for-tests").code == 3
    configured(llmx, failing, tokens=10)
    assert llmx("retry", "out.jsonl", *argv, OPENAI_API_KEY="key-for-tests").code == 5
    configured(llmx, failing, tokens=9_000_000)
    assert llmx("retry", "out.jsonl", *argv, OPENAI_API_KEY="key-for-tests").code == 0


def test_retry_asks_no_other_model_by_the_same_name(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """An endpoint that has become another one would be asked about all rows."""
    configured(llmx, failing, tokens=9_000_000)
    named = (*RUN, "-m", "named", *ONE_BY_ONE, "-o", "out.jsonl")
    assert llmx(*named, OPENAI_API_KEY="key-for-tests").code == 3
    configured(llmx, failing, tokens=9_000_000, model="another")
    done = llmx("retry", "out.jsonl", OPENAI_API_KEY="key-for-tests")
    assert (done.code, failing.calls) == (2, 10)
    assert "but changed since: model" in done.err


@pytest.mark.parametrize("argv", [(), ("-o", "more.jsonl")], ids=["in place", "apart"])
def test_retry_asks_no_other_question(llmx: Llmx, failing: Mock, rows: Path, argv: tuple[str, ...]) -> None:
    """A prompt that was edited would ask about all rows: that is another command."""
    (llmx.cwd / "prompt.txt").write_text("Who? {{ text }}")
    command = (*RUN, *failing.openai, *ONE_BY_ONE, "-o", "out.jsonl", "-p", "@prompt.txt")
    assert llmx(*command).code == 3
    (llmx.cwd / "prompt.txt").write_text("Who is it? {{ text }}")
    done = llmx("retry", "out.jsonl", *argv)
    assert (done.code, failing.calls) == (2, 10)
    *_, error, hint = done.err.splitlines()
    assert error == "error: a retry asks what was asked, but changed since: prompt"
    assert shlex.split(hint)[1:4] == ["llmx", "extract", "rows.jsonl"]


def test_retry_asks_about_no_other_rows(llmx: Llmx, failed: Mock, rows: Path) -> None:
    """Nor about rows that are new in the input; those that failed can be asked about apart."""
    write_rows(rows, some_rows(11))
    done = llmx("retry", "out.jsonl")
    assert (done.code, failed.calls) == (2, 10)
    assert "changed since: input rows" in done.err
    assert llmx("retry", "out.jsonl", "-o", "more.jsonl").code == 0


def test_a_run_with_failed_rows_says_how_to_retry(llmx: Llmx, failing: Mock, rows: Path) -> None:
    """By a command that can be run as it is, and what all sessions have paid for is said when there are several."""
    done = llmx(*RUN, *failing.openai, *ONE_BY_ONE, "-o", "out.jsonl", "--state-dir", "state")
    *_, again = done.err.splitlines()
    assert again == "again: llmx retry --state-dir state out.jsonl"
    assert "sessions" not in done.err
    done = llmx(*shlex.split(again)[2:])
    assert (done.code, failing.calls) == (0, 12)
    assert any(line.startswith("all 2 sessions: 10 answers · ") for line in done.err.splitlines()), done.err


def test_a_run_whose_rows_cannot_be_read_is_not_worth_a_retry(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Asking again mends no line."""
    with rows.open("a") as file:
        file.write("no json\n")
    done = llmx(*RUN, *mock.openai, "-o", "out.jsonl")
    assert (done.code, "again:" in done.err) == (3, False)


def test_retry_apart_keeps_the_question(llmx: Llmx, failing: Mock) -> None:
    """The prompt's file is found from elsewhere, and restrictions of the rows are not applied once more."""
    write_rows(llmx.cwd / "rows.jsonl", some_rows(10))
    (llmx.cwd / "prompt.txt").write_text("Who? {{ text }}")
    argv = (
        *RUN,
        *failing.openai,
        *ONE_BY_ONE,
        "-o",
        "out.jsonl",
        "-p",
        "@prompt.txt",
        "-n",
        "4",
        "--prefix",
        "p_",
    )
    assert llmx(*argv).code == 3
    done = llmx("retry", "work/out.jsonl", "-o", "-", cwd=llmx.cwd.parent)
    assert (done.code, failing.calls) == (0, 6)
    assert [list(row) for row in done.rows] == [["id", "text", "p_name", "p_age"]] * 2
    assert "--prompt shows the model: text" in done.err


# retry, refused


def test_retry_of_no_failed_rows(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """There is nothing to ask about."""
    llmx(*RUN, *mock.openai, "-o", "out.jsonl")
    done = llmx("retry", "out.jsonl")
    told = "the run of out.jsonl has no failed rows: nothing to do\n"
    assert (done.code, done.err, mock.calls) == (0, told, 10)


def test_retry_of_a_run_that_asked_nobody(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """What was offline on purpose does not go online by another name."""
    llmx(*RUN, *mock.openai, "-o", "out.jsonl", "--offline")
    done = llmx("retry", "out.jsonl")
    error, hint = done.err.splitlines()
    assert (done.code, error) == (2, "error: the run of 'out.jsonl' was --offline: nobody may be asked")
    assert hint.startswith("hint: llmx extract rows.jsonl ")
    assert "--offline" not in hint
    assert (llmx(*shlex.split(hint)[2:]).code, mock.calls) == (0, 10)


def test_retry_of_failed_rows_that_are_gone(llmx: Llmx, failed: Mock) -> None:
    """Apart there is nothing to ask about; in place they are in the input."""
    (llmx.cwd / "out.errors.jsonl").unlink()
    done = llmx("retry", "out.jsonl", "-o", "more.jsonl")
    assert (done.code, done.err) == (
        2,
        "error: the failed rows of the run 'out.jsonl' are not there any more\n",
    )
    assert (llmx("retry", "out.jsonl").code, failed.calls) == (0, 12)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_retry_of_a_run_that_has_not_ended(llmx: Llmx, failed: Mock, how: str) -> None:
    """It is resumed first, by the command that is named."""
    folder = folder_of(llmx)
    killed(folder) if how == "killed" else edited(folder, state="stopped", exit_code=130)
    for cwd, name, where in (
        (llmx.cwd, "out.jsonl", ""),
        (llmx.cwd.parent, "work/out.jsonl", f"cd {llmx.cwd} && "),
    ):
        done = llmx("retry", name, cwd=cwd)
        error, hint = done.err.splitlines()
        assert (done.code, error) == (2, f"error: the run of {name!r} has not come to its end")
        assert hint.startswith(f"hint: {where}llmx extract rows.jsonl --schema 'name, age int' ")
    assert failed.calls == 10


def test_retry_of_a_run_that_goes_on(llmx: Llmx, failed: Mock) -> None:
    """By whom."""
    lock = folder_of(llmx).acquire("x")
    done = llmx("retry", "out.jsonl")
    lock.close()
    assert (done.code, done.err) == (
        2,
        f"error: the run of 'out.jsonl' is going on (pid {os.getpid()})\nhint: wait for it to end, or stop it\n",
    )


def test_retry_of_a_run_whose_manifest_is_damaged(llmx: Llmx, failed: Mock) -> None:
    """Its failed rows can be given to another command."""
    damaged(folder_of(llmx))
    done = llmx("retry", "out.jsonl")
    assert (done.code, done.err) == (
        2,
        "error: nobody knows what was asked in the run 'out.jsonl'\n"
        "hint: llmx runs errors out.jsonl | llmx extract - …\n",
    )


def test_retry_of_a_name_that_no_run_has(llmx: Llmx, failed: Mock) -> None:
    """The nearest one is named."""
    done = llmx("retry", "oot.jsonl")
    assert (done.code, done.err) == (2, "error: no run of 'oot.jsonl'\nhint: did you mean 'out.jsonl'?\n")
