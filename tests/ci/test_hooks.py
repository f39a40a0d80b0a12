"""`.pre-commit-hooks.yaml` is in pre-commit's format, and its hooks run as pre-commit runs them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
KEYS = {
    *(
        "id",
        "name",
        "entry",
        "language",
        "files",
        "exclude",
        "types",
        "types_or",
        "exclude_types",
        "always_run",
    ),
    *("fail_fast", "verbose", "pass_filenames", "require_serial", "description", "language_version"),
    *("minimum_pre_commit_version", "args", "stages", "additional_dependencies"),
}
"""https://pre-commit.com/#creating-new-hooks"""


@pytest.fixture
def hook() -> dict[str, Any]:
    (hook,) = YAML(typ="safe").load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    return dict(hook)


def test_the_format(hook: dict[str, Any]) -> None:
    """What is required is there, and nothing else than what is documented."""
    assert {"id", "name", "entry", "language"} <= hook.keys() <= KEYS


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("schemas/ticket.py", True),
        ("src/schemas/ticket.json", True),
        ("schemas/__init__.py", False),
        ("schemas/ticket.md", False),
        ("myschemas/ticket.py", False),
        ("ticket.py", False),
    ],
)
def test_the_files_it_is_given(hook: dict[str, Any], path: str, wanted: bool) -> None:
    """By default those in folders called schemas."""
    given = re.search(hook["files"], path) is not None and re.search(hook["exclude"], path) is None
    assert wanted == given


def test_it_fails_on_a_schema_that_is_none(hook: dict[str, Any], tmp_path: Path) -> None:
    """All file names come in one command."""
    ready = [str(path) for path in sorted((ROOT / "schemas").glob("[a-z]*.py"))[:2]]
    (tmp_path / "good.json").write_text('{"type": "object", "properties": {"a": {"type": "string"}}}')
    (tmp_path / "bad.json").write_text("{}}")
    executable, *rest = shlex.split(hook["entry"])
    command = [str(Path(sys.executable).with_name(executable)), *rest]
    good = subprocess.run([*command, *ready, "good.json", "good.json"], cwd=tmp_path, capture_output=True)
    bad = subprocess.run([*command, "good.json", "bad.json"], cwd=tmp_path, capture_output=True, text=True)
    assert (good.returncode, bad.returncode) == (0, 2)
    assert "bad.json" in bad.stderr
