"""A key is in the request and nowhere else; a row is only where rows belong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from commands import Finished, Llmx
from hostile import REPLIES, answering, key_in
from scripted import Received, Reply, Scripted

KEY = "sk-proj-CANARY-0123456789abcdefghij"
ROW = "row-canary: Ann of 12 Elm Street is 41 years old and owes nobody a thing"

MODELS = {
    "openai": ("-m", "openai/gpt-5-mini", "/v1"),
    "anthropic": ("-m", "anthropic/claude-haiku-4-5", ""),
    "groq": ("-m", "groq/llama", ""),
}
VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "groq": "GROQ_API_KEY"}

RUN = ("extract", "rows.jsonl", "-s", "name str", "-o", "out.jsonl", "--summary", "summary.json")
ONCE = ("--retries", "0", "--reasks", "1")


@pytest.fixture(autouse=True)
def _surroundings(llmx: Llmx) -> None:
    (llmx.cwd / "rows.jsonl").write_text(json.dumps({"text": ROW}) + "\n")
    temporary = llmx.cwd.parent / "tmp"
    temporary.mkdir()
    llmx.env["TMPDIR"] = str(temporary)


def aimed(provider: Scripted, wire: str = "openai") -> tuple[str, ...]:
    """The options that name the scripted server."""
    option, model, path = MODELS[wire]
    return (option, model, "--base-url", provider.url + path)


def holders(llmx: Llmx, canary: str, *, but: Iterable[Path] = ()) -> list[str]:
    """The files that hold the canary, in whatever letters: of working folder, home, temporary folder and streams."""
    folder, skipped = llmx.cwd.parent, set(but)
    files = [path for path in folder.rglob("*") if path.is_file() and path not in skipped]
    needle = canary.lower().encode()
    return sorted(str(path.relative_to(folder)) for path in files if needle in path.read_bytes().lower())


BELONGS = re.compile(
    r"work/(rows|out|out\.errors)\.jsonl(\.partial)?|work/\.llmx/out\.jsonl/.*|home/(cache|runs)/.*|stdout"
)
"""Where a row's text may be: what the user named, the run's folder, the cache, the runs of standard output."""


def check_rows(llmx: Llmx) -> None:
    """The row is not on standard error, not in the summary, not in temporary files: neither whole nor its beginning."""
    assert [path for path in holders(llmx, ROW[:30]) if not BELONGS.fullmatch(path)] == []


def check_ended(done: Finished) -> None:
    """It ended as a command should, whatever came of it."""
    assert "Traceback" not in done.err
    assert done.code in (0, 2, 3, 4, 7)


# Keys


@pytest.mark.parametrize("reply", REPLIES)
def test_key_and_row_whatever_is_answered(llmx: Llmx, provider: Scripted, reply: str) -> None:
    """Even if the server repeats them, no file and no stream holds the key, and the row is only where rows belong."""
    provider.reply = REPLIES[reply]
    check_ended(llmx(*RUN, *ONCE, *aimed(provider), OPENAI_API_KEY=KEY))
    assert {key_in(request) for request in provider.received} == {KEY}
    assert holders(llmx, KEY) == []
    check_rows(llmx)


@pytest.mark.parametrize("wire", ["anthropic", "groq"])
@pytest.mark.parametrize(
    "reply",
    [
        "answer that repeats the request",
        "invalid answers that hold the key",
        "400 that repeats everything",
        "401 that repeats the key",
        "500",
        "a redirect",
    ],
)
def test_the_key_of_another_wire(llmx: Llmx, provider: Scripted, wire: str, reply: str) -> None:
    """The other adapters keep it as close."""
    provider.reply = REPLIES[reply]
    check_ended(llmx(*RUN, *ONCE, *aimed(provider, wire), **{VARIABLES[wire]: KEY}))
    assert {key_in(request) for request in provider.received} == {KEY}
    assert holders(llmx, KEY) == []


@pytest.mark.parametrize("reply", ["answer", "401 that repeats the key", "invalid answers that hold the key"])
def test_the_key_of_a_key_file(llmx: Llmx, provider: Scripted, reply: str) -> None:
    """It stays in its file."""
    keys = llmx.cwd.parent / "keys"
    keys.write_text(f"OPENAI_API_KEY={KEY}\n")
    keys.chmod(0o600)
    provider.reply = REPLIES[reply]
    check_ended(llmx(*RUN, *ONCE, *aimed(provider), "--key-file", str(keys)))
    assert {key_in(request) for request in provider.received} == {KEY}
    assert holders(llmx, KEY, but=[keys]) == []


@pytest.mark.parametrize(
    "command",
    [
        ("extract", "rows.jsonl", "-s", "name str", "-m", "openai/gpt-5-mini", "--dry-run"),
        ("extract", "rows.jsonl", "-s", "name str", "-m", "groq/llama", "--dry-run"),
        ("estimate", "rows.jsonl", "-s", "name str", "-m", "openai/gpt-5-mini", "-m", "groq/llama"),
        ("extract", "rows.jsonl", "-s", "name str"),
        ("doctor",),
        ("models", "openai"),
        ("cache", "stats"),
    ],
    ids=" ".join,
)
def test_commands_that_call_nobody(llmx: Llmx, command: tuple[str, ...]) -> None:
    """They say at most that a key is set."""
    check_ended(llmx(*command, OPENAI_API_KEY=KEY, GROQ_API_KEY=KEY))
    assert holders(llmx, KEY) == []


@pytest.mark.parametrize("wire", MODELS)
def test_the_sdks_own_logs(llmx: Llmx, provider: Scripted, wire: str) -> None:
    """Whoever switches them on sees requests, without the key."""
    provider.reply = REPLIES["answer"]
    logs = {"OPENAI_LOG": "debug", "ANTHROPIC_LOG": "debug", "GROQ_LOG": "debug"}
    check_ended(llmx(*RUN, *aimed(provider, wire), **{VARIABLES[wire]: KEY}, **logs))
    assert holders(llmx, KEY) == []


def test_the_process_list(llmx: Llmx, provider: Scripted) -> None:
    """While a call is under way, no process on this machine has the key in its command line."""
    seen: list[str] = []

    def look(request: Received) -> Reply:
        seen.append(" ".join(_command_lines()))
        return answering(request, '{"name": "Ann"}')

    provider.reply = look
    command = [sys.executable, "-m", "llmx", *RUN, *aimed(provider)]
    done = subprocess.run(command, cwd=llmx.cwd, env={**llmx.env, "OPENAI_API_KEY": KEY}, capture_output=True)
    assert done.returncode == 0
    assert provider.url in seen[0]  # the command itself is among them
    assert KEY not in seen[0]


def _command_lines() -> Iterable[str]:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue


if not Path("/proc/self/cmdline").exists():
    test_the_process_list = pytest.mark.skip("there is no /proc")(test_the_process_list)


# Secrets in addresses


@pytest.mark.parametrize("wire", MODELS)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry-run"])
def test_a_password_in_the_base_url(llmx: Llmx, wire: str, dry: tuple[str, ...]) -> None:
    """It is refused before anything is written, without repeating it, and the hint says where a key goes."""
    option, model, path = MODELS[wire]
    url = f"https://user:{KEY}@127.0.0.1:9{path}"
    done = llmx(*RUN, option, model, "--base-url", url, *dry, **{VARIABLES[wire]: "k"})
    assert done.code == 2
    assert VARIABLES[wire] in done.err.splitlines()[1]
    assert holders(llmx, KEY) == []


def test_a_password_in_an_address_of_the_environment_or_the_config(llmx: Llmx) -> None:
    """Wherever it comes from."""
    url = f"https://user:{KEY}@127.0.0.1:9/v1"
    model = ("-m", "openai/gpt-5-mini")
    assert llmx(*RUN, *model, OPENAI_API_KEY="k", OPENAI_BASE_URL=url).code == 2
    assert llmx(*RUN, *model, OPENAI_API_KEY="k", LLMX_BASE_URL=url).code == 2
    assert holders(llmx, KEY) == []
    config = llmx.cwd / "llmx.toml"
    config.write_text(f'base-url = "{url}"\n')
    assert llmx(*RUN, *model, OPENAI_API_KEY="k").code == 2
    assert holders(llmx, KEY, but=[config]) == []


@pytest.mark.parametrize("wire", MODELS)
@pytest.mark.parametrize(
    "proxy",
    [f"http://user:{KEY}@127.0.0.1:9", f"http://user:{KEY}/@127.0.0.1:9", f"odd://user:{KEY}@127.0.0.1:9"],
)
def test_a_password_of_a_proxy(llmx: Llmx, provider: Scripted, wire: str, proxy: str) -> None:
    """One that does not answer, and two that are none."""
    done = llmx(*RUN, *ONCE, *aimed(provider, wire), HTTP_PROXY=proxy, **{VARIABLES[wire]: "k"})
    assert done.code == (7 if proxy.endswith(f"{KEY}@127.0.0.1:9") and proxy.startswith("http:") else 2)
    assert provider.received == []
    assert holders(llmx, KEY) == []
    assert "Traceback" not in done.err


def test_an_option_for_keys_that_there_is_not(llmx: Llmx) -> None:
    """Whoever tries one is told so, and not with the key."""
    for given in (("--api-key", KEY), (f"--api-key={KEY}",)):
        assert llmx(*RUN, *given).code == 2
    assert holders(llmx, KEY) == []


# Rows


@pytest.mark.parametrize(
    "reply", ["answer", "400 that repeats everything", "invalid answers that hold the key"]
)
def test_rows_of_standard_output(llmx: Llmx, provider: Scripted, reply: str) -> None:
    """They are there, and in the run's folder below the home."""
    provider.reply = REPLIES[reply]
    check_ended(llmx(*RUN, *ONCE, *aimed(provider), "-o", "-", OPENAI_API_KEY=KEY))
    check_rows(llmx)


@pytest.mark.parametrize("reply", ["answer", "invalid answers that hold the key"])
@pytest.mark.parametrize("output", ["out.jsonl", "-"])
def test_what_is_ours_is_its_owners_alone(llmx: Llmx, provider: Scripted, reply: str, output: str) -> None:
    """Folders 0700 and files 0600 whatever the umask; what the user named follows it."""
    provider.reply = REPLIES[reply]
    before = os.umask(0)
    try:
        command = [sys.executable, "-m", "llmx", *RUN, *ONCE, *aimed(provider), "-o", output]
        subprocess.run(
            command, cwd=llmx.cwd, env={**llmx.env, "OPENAI_API_KEY": KEY}, capture_output=True, check=False
        )
    finally:
        os.umask(before)
    home, state = Path(llmx.env["LLMX_HOME"]), llmx.cwd / ".llmx"
    ours = [home, *home.rglob("*"), *([state, *state.rglob("*")] if state.exists() else [])]
    assert len(ours) > 2
    wrong = {
        str(path): oct(path.stat().st_mode) for path in ours if path.stat().st_mode & 0o777 != _mode(path)
    }
    assert wrong == {}
    theirs = [
        path
        for name in ("out.jsonl", "out.errors.jsonl", "summary.json")
        if (path := llmx.cwd / name).exists()
    ]
    assert {path.stat().st_mode & 0o777 for path in theirs} == {0o666}


def _mode(path: Path) -> int:
    return 0o700 if path.is_dir() else 0o600


def test_no_store_keeps_nothing(llmx: Llmx, provider: Scripted) -> None:
    """Neither a journal nor a cache holds the row: only the output does."""
    provider.reply = REPLIES["answer"]
    assert llmx(*RUN, *aimed(provider), "--no-store", OPENAI_API_KEY=KEY).code == 0
    assert holders(llmx, ROW) == ["work/out.jsonl", "work/rows.jsonl"]
    assert not (llmx.cwd / ".llmx").exists()
