"""The documents are complete and true: commands, options, errors, exit codes, links."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from llmx import errors
from llmx.errors import Interrupted, LlmxError, RowError
from llmx.job import PRECEDENCE

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [README, *DOCS, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md"]
REFERENCE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
ERRORS = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names_of_commands() -> list[str]:
    return re.findall(r"^## `(llmx[\w -]*)`$", REFERENCE, re.MULTILINE)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_row_of_a_table_has_its_cells(path: Path) -> None:
    """A bar in a cell, in code too, must be escaped, or the rest of the row is lost (GFM, section 4.10)."""
    widths: list[tuple[int, int]] = []
    table = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        table = (table or cells) if cells else 0
        widths.append((cells, table))
    assert [(cells, table) for cells, table in widths if cells != table] == []


def test_the_command_reference_is_current() -> None:
    """docs/cli.md is what docs/generate.py makes of the commands."""
    assert generator().document() == REFERENCE


def test_every_command_has_a_section_with_all_its_options() -> None:
    """No command, argument or option is missing from the reference."""
    import typer

    from llmx.cli.app import build_app

    sections = dict(
        zip(names_of_commands(), re.split(r"^## ", REFERENCE, flags=re.MULTILINE)[1:], strict=True)
    )
    app = typer.main.get_command(build_app())
    for path, command in generator().commands(app, "llmx"):
        options = [name for param in command.params for name in (*param.opts, *param.secondary_opts)]
        missing = [name for name in options if name.startswith("-") and f"`{name}`" not in sections[path]]
        assert missing == [], path


def test_every_option_and_command_has_words() -> None:
    """Nothing in the reference is left without a description."""
    without = [line for line in REFERENCE.splitlines() if re.fullmatch(r"\| `.*\|\s*\|", line)]
    assert without == []


OF_OTHERS = {
    *("--check",),  # ruff's
    *(
        "--data-binary",
        "--etag-compare",
        "--etag-save",
        "--fail",
        "--fail-with-body",
        "--no-buffer",
        "--silent",
    ),  # curl's
    *(
        "--build",
        "--build-arg",
        "--detach",
        "--env",
        "--env-file",
        "--interactive",
        "--no-deps",
        "--no-healthcheck",
    ),
    *(
        "--profile",
        "--rm",
        "--scale",
        "--secret",
        "--tag",
        "--user",
        "--volume",
        "--volumes",
        "--wait",
        "--workdir",
    ),
}
"""Options that pages give to other programs than llmx; the last two lines are Docker's."""


@pytest.mark.parametrize("page", [README, *DOCS], ids=lambda page: page.stem)
def test_every_option_that_is_named_exists(page: Path) -> None:
    """An option in a page's text or commands is one that some command has."""
    known = set(re.findall(r"--[a-z][a-z-]*", REFERENCE))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text(encoding="utf-8")))
    assert named - known - OF_OTHERS == set()


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "LlmxError"])
def test_every_error_is_explained(name: str) -> None:
    """errors.md names every class, and the type by which a failed row's error goes."""
    kind: type[LlmxError] = getattr(errors, name)
    assert f"`{name}`" in ERRORS
    if issubclass(kind, RowError) and kind is not RowError:
        assert f"`{kind('').type}`" in ERRORS


def test_every_exit_code_is_explained() -> None:
    """errors.md's first table has every code that llmx ends with."""
    table = ERRORS.split("## Exit codes")[1].split("\n## ")[0]
    told = {
        int(code) for cell in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in cell.split(",")
    }
    classes = [getattr(errors, name) for name in errors.__all__]
    signals = {Interrupted(number).exit_code for number in (1, 2, 15)}
    codes = {0, 3, *PRECEDENCE, *signals, *(kind.exit_code for kind in classes)}
    assert codes <= told


def test_the_order_of_exit_codes_is_the_codes_own() -> None:
    """errors.md tells which code wins in the order that the job applies."""
    match = re.search(r"the first in this order: ([\d, ]+)\.", ERRORS)
    assert match is not None
    assert [int(code) for code in match[1].split(",")] == [*PRECEDENCE, 3]


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Relative links name files that exist."""
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link.split("#")[0]).exists()]
    assert broken == []


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_nobody_is_told_to_install_somebody_elses_package(page: Path) -> None:
    """`llmx` on the package index is another project, and `llmx-extract` is not published."""
    assert re.search(r"install\s+[-\w\s]*['\"]?llmx", page.read_text(encoding="utf-8")) is None


def test_the_readme_begins_with_two_commands_that_do_the_set_up() -> None:
    """The first block of commands is the demo and the checks, and both scripts are there."""
    first = re.search(
        r"^```(?:console|sh)\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert first is not None
    commands = re.findall(r"^\$ sh (\S+)", first[1], re.MULTILINE)
    assert commands == ["examples/demo.sh", "tests/run.sh"]
    assert all((ROOT / command).is_file() for command in commands)


def test_every_ready_made_schema_is_in_the_changelog() -> None:
    """The list of ready-made schemas in CHANGELOG.md leaves none out."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    names = [path.stem for path in (ROOT / "schemas").glob("[a-z]*.py")]
    assert [name for name in names if name not in changes] == []


def test_the_layers_are_those_that_are_checked() -> None:
    """CONTRIBUTING.md lists the layers that import-linter holds, in their order."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    held = [re.findall(r"\w+", layer) for layer in project["tool"]["importlinter"]["contracts"][0]["layers"]]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```text\n")[1].split("```")[0]
    told = [re.split(r"\s{2,}", line)[0].split() for line in text.splitlines() if not line.startswith(" ")]
    assert held == told
