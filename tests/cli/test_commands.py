"""The small commands: cache, models, doctor, init, schema, mock, version, help, completion."""

from __future__ import annotations

import json
import re
import signal
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

from commands import Llmx, Mock

from llmx import __version__
from llmx.mock import MockSettings

RUN = ("extract", "rows.jsonl", "-s", "name, age int")


def test_version(llmx: Llmx) -> None:
    """`--version` is one line on stdout."""
    done = llmx("--version")
    assert (done.code, done.out, done.err) == (0, f"llmx {__version__}\n", "")


def test_no_command(llmx: Llmx) -> None:
    """`llmx` alone shows its help, on stderr, with exit code 2."""
    done = llmx()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: llmx [OPTIONS] COMMAND [ARGS]...")


def test_help_is_short_and_on_stdout(llmx: Llmx) -> None:
    """`-h` and `--help` are the same text."""
    assert llmx("extract", "-h").out == llmx("extract", "--help").out != ""


def test_help_names_only_options_that_are_built(llmx: Llmx) -> None:
    """What comes later is not promised."""
    shown = llmx("extract", "--help").out
    for built in ("--max-cost", "--budget", "--spread", "--hedge", "--votes"):
        assert built in shown
    assert "--queue" not in shown


def test_cache_stats_and_clear(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Answers are counted, and forgotten on request: the next run pays again."""
    llmx(*RUN, *mock.openai)
    assert re.fullmatch(r"10 answers, \d+ kB\n", llmx("cache", "stats").out)
    assert llmx("cache", "clear").err == "10 answers removed\n"
    assert llmx("cache", "stats").out.startswith("0 answers, ")
    llmx(*RUN, *mock.openai)
    assert mock.calls == 20


def test_cache_path(llmx: Llmx) -> None:
    """The folder, for other programs."""
    assert llmx("cache", "path").out == f"{Path(llmx.env['LLMX_HOME'], 'cache')}\n"


def test_models(llmx: Llmx) -> None:
    """A line per model, tabs between, ready for cut and grep."""
    lines = llmx("models", "openai").out.splitlines()
    assert len(lines) > 10
    assert all(line.startswith("openai/") and line.count("\t") == 4 for line in lines)


def test_models_as_json(llmx: Llmx) -> None:
    """`--json` is JSON Lines."""
    found = llmx("models", "claude-haiku-4-5", "--json").rows
    assert any(row["model"] == "anthropic/claude-haiku-4-5" for row in found)


def test_doctor(llmx: Llmx) -> None:
    """What works and what is missing, without a key's value."""
    done = llmx("doctor", OPENAI_API_KEY="sk-canary")
    assert done.code == 0
    assert "ok  openai key: OPENAI_API_KEY is set\n" in done.out
    assert "--  anthropic key: not set  hint: export ANTHROPIC_API_KEY=…\n" in done.out
    assert "sk-canary" not in done.out


def test_doctor_reads_the_files_of_secrets(llmx: Llmx) -> None:
    """A key by its file is told by the file's variable; a file that is not there is told as a run would."""
    (llmx.cwd / "secret").write_text("sk-mounted\n")
    files = {"OPENAI_API_KEY_FILE": str(llmx.cwd / "secret"), "ANTHROPIC_API_KEY_FILE": "nowhere"}
    done = llmx("doctor", OPENAI_API_KEY="", **files)
    assert "ok  openai key: OPENAI_API_KEY_FILE is set\n" in done.out
    missing = "ANTHROPIC_API_KEY_FILE: 'nowhere' cannot be read: No such file or directory"
    assert f"--  anthropic key: {missing}  hint: unset ANTHROPIC_API_KEY_FILE\n" in done.out
    assert "sk-mounted" not in done.out + done.err


def test_doctor_tells_of_a_home_that_cannot_be_written(llmx: Llmx) -> None:
    """What llmx cannot work without is exit code 1."""
    (llmx.cwd / "file").write_text("")
    done = llmx("doctor", LLMX_HOME=str(llmx.cwd / "file" / "home"))
    assert done.code == 1
    assert "!!  home: " in done.out


def test_init_and_its_next_step(llmx: Llmx, mock: Mock) -> None:
    """What it writes runs as it is: only the model is left to name."""
    done = llmx("init", "project")
    assert done.code == 0
    assert done.err == (
        "llmx.toml written\nschema.py written\nrows.jsonl written\n"
        "next: cd project && llmx extract rows.jsonl -m local\n"
    )
    project = llmx.cwd / "project"
    ran = llmx("extract", "rows.jsonl", *mock.openai, cwd=project)
    assert ran.code == 0, ran.err
    assert [list(row) for row in ran.rows] == [["id", "text", "topic", "urgent", "order_id"]] * 3


def test_init_leaves_files_alone(llmx: Llmx) -> None:
    """A file that is there is somebody's work."""
    (llmx.cwd / "schema.py").write_text("mine")
    assert "schema.py is there already and was left alone\n" in llmx("init").err
    assert (llmx.cwd / "schema.py").read_text() == "mine"


def test_init_where_a_file_is(llmx: Llmx) -> None:
    """It is no folder, and that is the command's fault."""
    (llmx.cwd / "file").touch()
    done = llmx("init", "file")
    assert (done.code, done.err) == (2, "error: 'file' is a file\nhint: llmx init FOLDER\n")


def test_schema_list(llmx: Llmx) -> None:
    """A line per ready-made schema."""
    done = llmx("schema", "list")
    assert [line.split("\t")[0] for line in done.out.splitlines()] == [
        "address",
        "contact",
        "entities",
        "invoice",
        "product",
        "sentiment",
        "ticket",
    ]


def test_schema_show(llmx: Llmx) -> None:
    """What one provider would be sent is one JSON document on stdout."""
    done = llmx("schema", "show", "name, age int: in years", "--provider", "openai")
    shown = json.loads(done.out)
    assert shown["required"] == ["name", "age"]
    assert shown["properties"]["age"]["description"] == "in years"
    assert done.err == "openai: openai-strict\n"


def test_schema_check(llmx: Llmx) -> None:
    """A verdict per provider and mode."""
    done = llmx("schema", "check", "sentiment")
    assert (done.code, done.out.splitlines()[1:]) == (
        0,
        [
            "openai-strict: ok",
            "openai-tools: ok, told, not enforced",
            "anthropic-native: ok",
            "anthropic-tools: ok, told, not enforced",
            "local: ok",
        ],
    )


def test_the_schema_that_is_shown_is_sent(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """`schema show` is no guess: the provider's log has the same, and the name that instructor adds."""
    shown = json.loads(llmx("schema", "show", RUN[3], "--provider", "openai").out)
    mock = provider(MockSettings(log=True))
    llmx(*RUN, *mock.openai, "-n", "1")
    body = mock.server._provider._log.snapshot()[0]["body"]
    sent = body["response_format"]["json_schema"]["schema"]
    assert {name: value for name, value in sent.items() if name != "title"} == shown


def test_mock_as_a_command(llmx: Llmx, rows: Path) -> None:
    """`llmx mock` says where it listens, serves a run, and ends with a signal and exit code 0."""
    running, _, err = llmx.piped("mock", "--port", "0", "--log")
    try:
        while not (match := re.search(r"http://[\d.:]+", err.read_text())):
            pass
        done = llmx_again(llmx)(*RUN, "-m", "openai/mock", "--base-url", f"{match[0]}/v1")
        assert done.code == 0, done.err
        with urllib.request.urlopen(f"{match[0]}/stats") as answer:
            assert json.load(answer)["calls"] == 10
    finally:
        running.signal(signal.SIGTERM)
        assert running.wait() == 0


def llmx_again(llmx: Llmx) -> Llmx:
    """Another place for the streams of a second command at a time."""
    beside = llmx.cwd.parent / "beside" / "work"
    beside.mkdir(parents=True)
    (beside / "rows.jsonl").write_bytes((llmx.cwd / "rows.jsonl").read_bytes())
    return Llmx(llmx.zygote, beside, llmx.env)


def test_completion(llmx: Llmx) -> None:
    """A script for the shell, and the commands it would complete."""
    import subprocess

    script = llmx(_LLMX_COMPLETE="source_bash")  # --show-completion asks the processes above for the shell
    assert (script.code, "_LLMX_COMPLETE=complete_bash" in script.out) == (0, True)
    done = subprocess.run(
        [sys.executable, "-m", "llmx"],
        env={**llmx.env, "_LLMX_COMPLETE": "complete_bash", "COMP_WORDS": "llmx ex", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["extract"]
