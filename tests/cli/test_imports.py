"""`--help` pays for nothing but typer, `--version` and a shell's completion not even for that.

Measured by what is imported, not by a clock. typer itself takes pydantic for a command of its own, so only `llmx --help`
goes without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Mock

HEAVY = (
    "aiohttp",
    "anthropic",
    "diskcache",
    "fastapi",
    "genai_prices",
    "httpx2",
    "instructor",
    "jinja2",
    "jsonschema",
    "numpy",
    "openai",
    "opentelemetry",
    "orjson",
    "prometheus_client",
    "pyarrow",
    "rapidfuzz",
    "rich.progress",
    "tenacity",
    "xllamacpp",
)


OPTIONLESS = [("--help",)]
WITH_OPTIONS = [
    ("cache", "--help"),
    ("schema", "--help"),
    ("extract", "--help"),
    ("estimate", "--help"),
    ("eval", "--help"),
    ("calibrate", "--help"),
    ("mock", "--help"),
    ("worker", "--help"),
    ("models", "--help"),
    ("serve", "--help"),
    ("keys", "--help"),
]


@pytest.mark.parametrize(
    ("argv", "heavy"),
    [(argv, {*HEAVY, "pydantic"}) for argv in OPTIONLESS] + [(argv, {*HEAVY}) for argv in WITH_OPTIONS],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_help_imports_no_heavy_module(argv: tuple[str, ...], heavy: set[str]) -> None:
    """None of the SDKs, nor what reads, validates or draws."""
    imported = imports(argv)
    assert "llmx.cli.app" in imported
    assert imported & heavy == set()


TELLING = """
import atexit, sys
from llmx.__main__ import entry
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
entry()
"""


def imports(argv: tuple[str, ...], **variables: str) -> set[str]:
    """The modules that a command imports."""
    command = [sys.executable, "-c", TELLING, *argv]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    assert done.returncode == 0
    return set(done.stderr.splitlines()[-1].split())


def test_the_version_and_completion_import_no_command_line() -> None:
    """A script asks for the one, a shell for the other at every key."""
    asked = {"_LLMX_COMPLETE": "complete_bash", "COMP_WORDS": "llmx ext", "COMP_CWORD": "1"}
    assert imports(("--version",)) & {"typer", "llmx.cli.app", "json"} == set()
    assert "llmx.cli.complete" in imports((), **asked)
    assert imports((), **asked) & {"typer", "llmx.cli.app", "asyncio", "dataclasses"} == set()


def test_a_command_imports_no_other(tmp_path: Path) -> None:
    """`llmx cache path` does not pay for `llmx extract`."""
    imported = imports(("cache", "path"), LLMX_HOME=str(tmp_path))
    assert "llmx.cli.cache" in imported
    assert {name for name in imported if name.startswith("llmx.cli.")} & {
        "llmx.cli.extract",
        "llmx.cli.runs",
        "llmx.cli.mock",
    } == set()


SDKS = {"openai", "anthropic", "instructor", "aiohttp", "httpx2"}


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_run_whose_plan_is_kept_imports_no_sdk(wire: str, mock: Mock, tmp_path: Path) -> None:
    """Whatever the rows and the prompt: what instructor makes of the schema is on the disk."""
    rows = tmp_path / "rows.jsonl"
    name = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}[wire]
    variables = {"LLMX_HOME": str(tmp_path / "home"), name: "mock"}
    address = ("-m", f"{wire}/mock", "--base-url", f"{mock.url}/v1")
    seen = []
    for text in ("Ada, 36", "Bob, 41"):
        rows.write_text(f'{{"text": "{text}"}}\n')
        command = ("extract", str(rows), "-s", "name, age int", *address, "--system", f"of {text}")
        seen.append(imports((*command, "-o", str(tmp_path / f"{text}.jsonl")), **variables))
    assert mock.calls == 2
    assert seen[0] >= {"instructor"}
    assert seen[1] & SDKS <= {"httpx2"}  # which the price list takes for a client that is never started
