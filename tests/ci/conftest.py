"""What the tests of continuous integration share: a checkout that is set up, rows with gold, and a provider."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from commands import Mock, mocked

from llmx.mock import GoldSettings, MockSettings

ROOT = Path(__file__).parents[2]
TONES = ("good", "bad", "mixed")
SCHEMA = "tone good|bad|mixed, stars int"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The action as a runner has it, its environment made already."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    for name in ("action.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / ".ci" / "setup").write_text("# set up already\n")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Forty rows in `rows.csv`, and their answers in `gold.csv`."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    rows = [("id", "text"), *((f"r{n}", f"Review no. {n} of many") for n in range(40))]
    gold = [("id", "tone", "stars"), *((f"r{n}", TONES[n % 3], n % 5) for n in range(40))]
    for name, lines in (("rows.csv", rows), ("gold.csv", gold)):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(lines)
    return folder


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """A job's variables but for the provider's address."""
    (tmp_path / "temp").mkdir()
    return {
        "PATH": os.pathsep.join(["/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(tmp_path / "user"),
        "LANG": "C.UTF-8",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "OPENAI_API_KEY": "mock",
    }


@pytest.fixture
def provider() -> Iterator[Callable[..., Mock]]:
    """Starts a simulated provider that knows the answers of a gold file."""
    with ExitStack() as stack:

        def start(gold: Path, **settings: Any) -> Mock:
            return stack.enter_context(mocked(MockSettings(gold=GoldSettings(gold, **settings))))

        yield start


def truth(mock: Mock) -> dict[str, Any]:
    """What it got wrong."""
    with urllib.request.urlopen(f"{mock.url}/truth") as response:
        document: dict[str, Any] = json.load(response)
    return document
