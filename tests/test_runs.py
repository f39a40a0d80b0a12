"""Runs that are on disk: found by name, described, and given back as the command that goes on with them."""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from llmx.cli.app import build_app
from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.journal import Manifest, RunFolder, run_folder, runs_home, write_manifest
from llmx.journal.journal import Journal
from llmx.runs import Run, as_argv, find_run, find_runs
from llmx.settings import Settings, as_options

LOOK = "llmx runs list; --state-dir DIR, if it is kept elsewhere"


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    """A folder to work in, and a home."""
    (tmp_path / "work").mkdir()
    variables = {"LLMX_HOME": str(tmp_path / "home")}
    return Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), variables, tmp_path / "work")


Make = Callable[..., RunFolder]


@pytest.fixture
def make(env: Environment) -> Make:
    """Makes the run of an output in the folder, or of standard output under a name."""

    def made(output: str = "out.jsonl", *, name: str = "", at: float = 0.0, **fields: Any) -> RunFolder:
        flows = bool(name)
        place = runs_home(env.home) / name if flows else run_folder(env.cwd / output, None).path
        folder = RunFolder(place)
        folder.acquire("x").close()
        said = {"llmx": "1", "cwd": str(env.cwd), "output": "-" if flows else output, **fields}
        write_manifest(folder.manifest, Manifest(**said))
        for path in (*folder.path.iterdir(), folder.path):
            os.utime(path, (at, at))
        return folder

    return made


def names(runs: list[Run]) -> list[str]:
    return [run.name for run in runs]


def refused(name: str, env: Environment) -> tuple[str, str]:
    with pytest.raises(UsageError) as caught:
        find_run(name, env)
    return str(caught.value), caught.value.hint


# Found


def test_runs_are_listed_the_newest_last(env: Environment, make: Make):
    """Those of outputs here, by their outputs' names, and those of standard output, by their folders'."""
    make("b.jsonl", at=20)
    make(name="20260101-000000-1", at=30)
    make("a.jsonl", at=10)
    assert names(find_runs(env)) == ["a.jsonl", "b.jsonl", "20260101-000000-1"]


def test_no_runs(env: Environment):
    """Nothing is there, and nothing is made."""
    assert find_runs(env) == []
    assert list(env.cwd.iterdir()) == []


def test_the_runs_of_a_state_dir(env: Environment, tmp_path: Path):
    """And no others: each by its output's name, as seen from here."""
    for cwd, output in ((env.cwd, "out.jsonl"), (tmp_path / "elsewhere", "far.jsonl")):
        folder = RunFolder(tmp_path / "state" / output)
        folder.acquire("x").close()
        write_manifest(folder.manifest, Manifest(llmx="1", cwd=str(cwd), output=output))
    found = find_runs(env, tmp_path / "state")
    assert names(found) == ["out.jsonl", str(tmp_path / "elsewhere" / "far.jsonl")]


@pytest.mark.parametrize("name", ["out.jsonl", ".llmx/out.jsonl", "./out.jsonl"])
def test_a_run_is_found_by_its_output(env: Environment, make: Make, name: str):
    """Or by its folder."""
    folder = make()
    assert find_run(name, env).folder == RunFolder(folder.path)


def test_a_run_elsewhere_is_found_by_its_output(env: Environment, make: Make, tmp_path: Path):
    """However it is named; it is called as it is seen from here."""
    make("sub/out.jsonl")
    assert find_run("sub/out.jsonl", env).name == "sub/out.jsonl"
    assert find_run(str(env.cwd / "sub" / "out.jsonl"), env).name == "sub/out.jsonl"


@pytest.mark.parametrize("name", ["20260101-000000-1", "20260101"])
def test_a_run_of_standard_output_is_found_by_its_name(env: Environment, make: Make, name: str):
    """Or by the beginning of it."""
    make(name="20260101-000000-1")
    make(name="20260202-000000-1")
    assert find_run(name, env).name == "20260101-000000-1"


def test_a_beginning_that_several_have(env: Environment, make: Make):
    """Nothing is guessed."""
    make(name="20260101-000000-1")
    make(name="20260101-000000-2")
    message, hint = refused("20260101", env)
    assert message == "several runs begin with '20260101'"
    assert hint.startswith("did you mean '20260101-000000-") or hint == "llmx runs list"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("oot.jsonl", "did you mean 'out.jsonl'?"), ("zzz", LOOK), ("-", LOOK)],
)
def test_a_name_that_no_run_has(env: Environment, make: Make, name: str, hint: str):
    """The nearest one, or where all are."""
    make()
    assert refused(name, env) == (f"no run of {name!r}", hint)


@pytest.mark.parametrize("file", ["manifest.json", "journal.jsonl", "errors.jsonl"])
@pytest.mark.parametrize("name", [".", "data", "runs/first"])
def test_a_folder_of_the_users_is_no_run(env: Environment, name: str, file: str):
    """Whatever files it has: what is taken for a run can be forgotten."""
    folder = env.cwd / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text('{"name": "theirs"}\n')
    assert refused(name, env)[0] == f"no run of {name!r}"


def test_a_folder_with_failed_rows_alone_is_a_run(env: Environment):
    """As earlier versions left it; nobody knows what was asked."""
    folder = RunFolder(runs_home(env.home) / "20250101-000000-1")
    folder.path.mkdir(parents=True)
    folder.errors.write_text("{}\n")
    run = find_run("20250101", env)
    assert (run.state, run.command_from(env.cwd), run.errors(env)) == ("unknown", None, folder.errors)


# Described


@pytest.mark.parametrize(
    ("said", "state"), [("complete", "complete"), ("stopped", "stopped"), ("running", "killed")]
)
def test_how_a_run_ended(env: Environment, make: Make, said: str, state: str):
    """One that says that it goes on, and that nobody is writing, was killed."""
    make(state=said)
    assert find_run("out.jsonl", env).state == state


def test_a_run_that_goes_on(env: Environment, make: Make):
    """Whatever its manifest says, which may be that of the session before."""
    lock = make(state="complete").acquire("x")
    run = find_run("out.jsonl", env)
    assert (run.state, run.owner) == ("running", os.getpid())
    lock.close()


def test_a_run_whose_manifest_is_damaged(env: Environment, make: Make):
    """It is there, under its folder's name, and that is all."""
    folder = make()
    Journal(folder.journal, on_failure=pytest.fail).close()
    folder.manifest.write_text("{")
    run = find_run("out.jsonl", env)
    assert (run.name, run.state, run.manifest, run.command_from(env.cwd)) == (
        "out.jsonl",
        "unknown",
        None,
        None,
    )


def test_the_failed_rows_are_beside_the_output(env: Environment, make: Make):
    """By the name that was given, or made of the output's."""
    make()
    make("other.jsonl", errors="bad.jsonl")
    for name in ("out.errors.jsonl", "bad.jsonl"):
        (env.cwd / name).write_text("{}\n")
    assert find_run("out.jsonl", env).errors(env) == env.cwd / "out.errors.jsonl"
    assert find_run("other.jsonl", env).errors(env) == env.cwd / "bad.jsonl"


def test_the_failed_rows_of_a_stopped_run(env: Environment, make: Make):
    """They are those so far, not those of the complete run before it."""
    make()
    (env.cwd / "out.errors.jsonl").write_text("{}\n")
    (env.cwd / "out.errors.jsonl.partial").write_text("{}\n")
    assert find_run("out.jsonl", env).errors(env) == env.cwd / "out.errors.jsonl.partial"


def test_no_failed_rows(env: Environment, make: Make):
    """There is no file of them."""
    make()
    assert find_run("out.jsonl", env).errors(env) is None


def test_the_command_that_goes_on(env: Environment, make: Make, tmp_path: Path):
    """As a shell takes it; from elsewhere, by way of its folder."""
    spaced = tmp_path / "it's here"
    make(
        cwd=str(spaced),
        output=str(env.cwd / "out.jsonl"),
        command={"inputs": ["a b.jsonl"], "schema": "name?"},
    )
    run = find_run("out.jsonl", env)
    assert run.command_from(spaced) == "llmx extract 'a b.jsonl' --schema 'name?'"
    assert run.command_from(spaced, without="schema") == "llmx extract 'a b.jsonl'"
    moved = run.command_from(env.cwd)
    assert moved is not None
    assert shlex.split(moved)[:3] == ["cd", str(spaced), "&&"]


# The command of options


def parsed(argv: list[str]) -> Settings:
    """What the command line makes of arguments."""
    command: Any = typer.main.get_command(build_app())
    assert argv[0] == "extract"
    context = command.commands["extract"].make_context("extract", argv[1:])
    given = {name: value for name, value in context.params.items() if value is not None}
    return Settings.of({**given, "inputs": given.get("inputs") or ["-"]})


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NAME = TEXT.filter(bool)
SECONDS = st.floats(1e-6, 1e9).map(lambda value: f"{value:.9f}") | st.sampled_from(
    ["90", "1.5m", "250ms", "0.01ms", "30d"]
)
COUNT = st.integers(1, 10_000).map(str)
NUMBER = st.floats(60, 1e12).map(repr)
FLAG = st.booleans()

OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "model": st.lists(NAME, min_size=1, max_size=3),
    "base_url": NAME,
    "mode": st.sampled_from(["auto", "json_schema", "tools", "json"]),
    "temperature": st.floats(0, 2).map(repr),
    "max_output_tokens": COUNT,
    "key_file": NAME,
    "spans": FLAG,
    "input": st.lists(NAME, min_size=1, max_size=3),
    "prompt": TEXT,
    "system": TEXT,
    "examples": TEXT,
    "input_format": st.sampled_from(["jsonl", "csv", "tsv", "parquet", "text"]),
    "output_format": st.sampled_from(["jsonl", "csv", "tsv", "parquet"]),
    "limit": st.integers(0, 10**12).map(str),
    "sample": COUNT,
    "seed": st.integers(-(10**12), 10**12).map(str),
    "max_row_bytes": st.sampled_from(["1000", "10MB", "64MiB"]),
    "max_expansion": NUMBER,
    "key": NAME,
    "keep": st.lists(NAME, min_size=1, max_size=3),
    "prefix": TEXT,
    "into": NAME,
    "explode": NAME,
    "meta": FLAG,
    "output": TEXT,
    "errors": TEXT,
    "order": st.sampled_from(["input", "done"]),
    "summary": TEXT,
    "csv_safe": FLAG,
    "concurrency": COUNT,
    "rpm": NUMBER,
    "tpm": NUMBER,
    "retries": st.integers(0, 100).map(str),
    "reasks": st.integers(0, 100).map(str),
    "timeout": SECONDS,
    "spread": FLAG,
    "patience": SECONDS,
    "max_wait": SECONDS,
    "hedge": FLAG,
    "evidence": FLAG,
    "require_evidence": FLAG,
    "votes": st.integers(1, 99).map(str),
    "logprobs": FLAG,
    "cascade": st.lists(NAME, min_size=1, max_size=3),
    "calibration": NAME,
    "min_confidence": st.floats(0, 1).map(repr),
    "review": TEXT,
    "transport": st.sampled_from(["auto", "sdk"]),
    "workers": st.integers(1, 64),
    "max_cost": st.decimals("0.01", 10**6, places=2).map(str),
    "max_tokens": COUNT,
    "budget": NAME,
    "cache": st.sampled_from(["exact", "semantic", "off"]),
    "similarity": st.floats(0, 1).map(repr),
    "cache_ttl": SECONDS,
    "offline": FLAG,
    "state_dir": NAME,
    "no_store": FLAG,
    "confirm_above": st.decimals(0, 10**6, allow_nan=False, places=2).map(str),
    "max_failures": st.integers(0, 99_999).map(str) | st.sampled_from(["5%", "0.5%", "33.3%", "100%"]),
    "dry_run": FLAG,
}


def test_every_option_is_tried():
    """What is new must be repeatable, too; to start over is not repeated, and config files are read again."""
    elsewhere = {"inputs", "schema_", "fresh", "endpoints", "budgets"}
    assert set(Settings.model_fields) - elsewhere == set(OPTIONS)


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {"schema": TEXT, "inputs": st.lists(NAME, min_size=1, max_size=3)}, optional=OPTIONS
    )
)
def test_as_argv_is_the_inverse_of_parsing(given_options: dict[str, Any]):
    """Whatever was given, the command that goes on with it is the same to the last setting."""
    asked = Settings.of(given_options)
    argv = as_argv(as_options(asked))
    assert parsed(argv) == asked
    assert parsed(shlex.split(shlex.join(argv))) == asked


@pytest.mark.parametrize("names", [['say "hi"'], ["a, b", "c"], [" a "], ["\ta"], ["é ü"], ['"'], ["a\nb"]])
def test_names_that_need_quotes(names: list[str]):
    """As in CSV, which is how they are read."""
    command = {"inputs": ["-"], "schema": "x", "keep": names}
    assert parsed(as_argv(command)).keep == names


def test_names_that_need_none():
    """They are written as a person would."""
    assert as_argv({"keep": ["id", "größe"]}) == ["extract", "--keep", "id,größe"]


@pytest.mark.parametrize("inputs", [["-"], ["-x.jsonl"], ["a", "--help"], ["--", "-"]])
def test_inputs_that_look_like_options(inputs: list[str]):
    """They are none."""
    assert parsed(as_argv({"inputs": inputs, "schema": "x", "output": "-o"})).inputs == inputs


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ({"fresh": True}, []),
        ({"meta": True, "offline": True}, ["--meta", "--offline"]),
        ({"spans": False, "meta": False, "csv_safe": False}, ["--no-spans", "--no-meta", "--no-csv-safe"]),
        ({"no_store": False, "offline": False}, []),
        ({"timeout": 1e-05, "rpm": 600.0}, ["--timeout", "0.00001", "--rpm", "600.0"]),
        ({"max_output_tokens": 7}, ["--max-output-tokens", "7"]),
        ({"model": ["fast", "openai/a,b"]}, ["--model", "fast", "--model", "openai/a,b"]),
        ({"model": "openai/m"}, ["--model", "openai/m"]),
        ({"spread": True, "hedge": True}, ["--spread", "--hedge"]),
        ({"spread": False, "hedge": False}, ["--no-spread"]),
        ({"max_cost": "2.50", "budget": "team"}, ["--max-cost", "2.50", "--budget", "team"]),
        ({"endpoints": {"fast": {"model": "openai/m"}}, "budgets": {"team": {"daily-cost": "5"}}}, []),
    ],
)
def test_words(command: dict[str, Any], words: list[str]):
    """What would start over is left out, and what config files name; a no is said where one might say yes."""
    assert as_argv(command) == ["extract", *words]


@pytest.mark.parametrize("models", [["openai/a"], ["openai/a", "anthropic/b"], ["a, b", 'say "hi"', " c "]])
def test_a_chain_of_models_is_repeated_in_its_order(models: list[str]):
    """One option each: what is in a name, a path for instance, takes none apart."""
    argv = as_argv({"inputs": ["-"], "schema": "x", "model": models})
    assert argv.count("--model") == len(models)
    assert parsed(argv).model == models
