"""The commands and programs in README.md and docs/ run as they stand.

The `sh` and the `python` blocks of a page run in order in one empty folder that holds the examples, with `llmx mock` in
the place of OpenAI, Anthropic and of servers at port 8000; those of a page that starts the service run together, with
it at a free port. `console` blocks are not run.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXAMPLE_SERVER = "http://127.0.0.1:8000"
EXAMPLE_SERVICE = "127.0.0.1:8090"
STARTS_SERVICE = "llmx serve "
NEED_MORE = ("containers", "workers")
"""Pages whose commands need a container engine, which tests/containers looks up, or several machines: tests/cluster has them."""


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and where it begins."""

    language: str
    text: str
    where: str

    @property
    def local(self) -> bool:
        """Whether it runs the embedded model."""
        return re.search(r"(-m|--model) local\b", self.text) is not None

    @property
    def prepares(self) -> bool:
        """Whether it asks no model and looks at no run's output, so that the blocks after it may need what it makes."""
        return re.search(r"llmx (extract|eval|calibrate|report|view|retry)\b", self.text) is None


def blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(match[1], match[2], f"{page.relative_to(ROOT)}:{line}"))
    return [block for block in found if block.language in languages]


def pages_with(language: str, *, local: bool) -> list[Path]:
    alone = [page for page in PAGES if not serves(page)]
    return [page for page in alone if any(block.local == local for block in blocks(page, language))]


def serves(page: Path) -> bool:
    return any(STARTS_SERVICE in block.text for block in blocks(page, "sh"))


def run(block: Block, command: list[str], folder: Path, variables: dict[str, str], url: str) -> None:
    port = variables["PORT"]
    text = block.text.replace(EXAMPLE_SERVER, url).replace(EXAMPLE_SERVICE, f"127.0.0.1:{port}")
    text = text.replace(STARTS_SERVICE, f"{STARTS_SERVICE}--port {port} ")
    done = subprocess.run(
        [*command, text], cwd=folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{block.where} ended with {done.returncode}\n{block.text}\n{done.stderr}"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder but for the examples, which pages name; what they leave running ends, too."""
    work = tmp_path / "work"
    shutil.copytree(ROOT / "examples", work / "examples", ignore=shutil.ignore_patterns("out.*", ".llmx"))
    yield work
    for path in work.glob("*.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(path.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("page", [page for page in PAGES if serves(page)], ids=lambda page: page.stem)
def test_a_page_of_the_service_runs(
    page: Path, folder: Path, surroundings: dict[str, str], mock_url: str
) -> None:
    """Commands and programs in their order, against the service that the page starts."""
    interpreters = {"sh": ["sh", "-euc"], "python": [sys.executable, "-c"]}
    for block in blocks(page, *interpreters):
        run(block, interpreters[block.language], folder, surroundings, mock_url)


@pytest.mark.parametrize("page", pages_with("sh", local=False), ids=lambda page: page.stem)
def test_the_commands_of_a_page_succeed(
    page: Path, folder: Path, surroundings: dict[str, str], mock_url: str
) -> None:
    """Every command of a page ends with exit code 0 when the page is followed from its top."""
    for block in blocks(page, "sh"):
        if not block.local:
            run(block, ["sh", "-euc"], folder, surroundings, mock_url)


@pytest.mark.local_model
@pytest.mark.parametrize("page", pages_with("sh", local=True), ids=lambda page: page.stem)
def test_the_commands_with_the_embedded_model_succeed(
    page: Path, folder: Path, with_weights: dict[str, str], mock_url: str
) -> None:
    """Every command of a page that runs the embedded model does so without a key."""
    keyless = {name: value for name, value in with_weights.items() if "API_KEY" not in name}
    for block in blocks(page, "sh"):
        if block.local or block.prepares:
            run(block, ["sh", "-euc"], folder, keyless, mock_url)


@pytest.mark.parametrize("page", pages_with("python", local=False), ids=lambda page: page.stem)
def test_the_programs_of_a_page_run(
    page: Path, folder: Path, surroundings: dict[str, str], mock_url: str
) -> None:
    """Every Python block is a whole program that ends without an exception."""
    for block in blocks(page, "python"):
        run(block, [sys.executable, "-c"], folder, surroundings, mock_url)


def test_few_commands_are_left_out() -> None:
    """What cannot be run in a test stays the exception."""
    pages = [page for page in PAGES if page.stem not in NEED_MORE]
    left_out = [block.where for page in pages for block in blocks(page, "console")]
    assert len(left_out) <= 8, left_out


def test_every_block_has_a_known_language() -> None:
    """A block whose language is misspelt would silently not be run."""
    known = {"console", "json", "python", "sh", "text", "toml", "yaml"}
    languages = {match[1] for page in PAGES for match in FENCE.finditer(page.read_text(encoding="utf-8"))}
    assert languages <= known


def test_every_toml_block_is_a_config_file(tmp_path: Path) -> None:
    """What the pages show of the config file is accepted as one."""
    from llmx.config import load_budgets, load_tables
    from llmx.environment import Environment

    blocks = [
        match[2]
        for page in PAGES
        for match in FENCE.finditer(page.read_text(encoding="utf-8"))
        if match[1] == "toml"
    ]
    (tmp_path / "llmx.toml").write_text("\n".join(blocks))
    env = Environment(variables={"XDG_CONFIG_HOME": str(tmp_path)}, cwd=tmp_path)
    assert set(load_tables(env).endpoints) == {"first", "second", "ours"}
    assert set(load_budgets(env)) == {"labelling"}
