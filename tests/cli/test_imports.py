"""`--help` pays for nothing but typer: measured by what is imported, not by a clock.

typer itself takes pydantic for a command of its own, so only `llmx --help` and `--version` go without it.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

HEAVY = (
    "aiohttp",
    "anthropic",
    "diskcache",
    "genai_prices",
    "httpx2",
    "instructor",
    "jinja2",
    "jsonschema",
    "openai",
    "orjson",
    "pyarrow",
    "rich.progress",
    "tenacity",
    "xllamacpp",
)


OPTIONLESS = [("--help",), ("--version",)]
WITH_OPTIONS = [
    ("cache", "--help"),
    ("schema", "--help"),
    ("extract", "--help"),
    ("mock", "--help"),
    ("models", "--help"),
]


@pytest.mark.parametrize(
    ("argv", "heavy"),
    [(argv, {*HEAVY, "pydantic"}) for argv in OPTIONLESS] + [(argv, {*HEAVY}) for argv in WITH_OPTIONS],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_help_imports_no_heavy_module(argv: tuple[str, ...], heavy: set[str]) -> None:
    """None of the SDKs, nor what reads, validates or draws."""
    command = [sys.executable, "-X", "importtime", "-m", "llmx", *argv]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    imported = set(re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE))
    assert "llmx.cli.app" in imported
    assert imported & heavy == set()
