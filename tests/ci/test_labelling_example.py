"""examples/08-labelling-ci: the job's figures are what the simulated provider says it got wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Mock
from ruamel.yaml import YAML

from .conftest import ROOT, truth
from .test_action import ACTION

EXAMPLE = ROOT / "examples" / "08-labelling-ci"
WORKFLOW = EXAMPLE / "labels.yml"
PAGE = ROOT / "docs" / "ci.md"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy that a run may write to."""
    return Path(
        shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("out.*", ".llmx"))
    )


@pytest.fixture
def label(example: Path, variables: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    """Runs the example's script against a provider."""

    def label(mock: Mock, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = {
            **variables,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), variables["PATH"]]),
            "LLMX_HOME": str(tmp_path / "home"),
            "OPENAI_BASE_URL": f"{mock.url}/v1",
            **more,
        }
        command = ["sh", str(example / "run.sh"), *arguments]
        return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    return label


def start(provider: Callable[..., Mock], example: Path, errors: float) -> Mock:
    return provider(example / "gold.csv", rows=example / "messages.csv", errors=errors)


def test_its_figures_are_the_truth(provider: Callable[..., Mock], example: Path, label: Any) -> None:
    """Field by field, to the last value, for a known rate of errors."""
    mock = start(provider, example, 0.1)
    done = label(mock)
    assert done.returncode in (0, 6), done.stderr
    (model,) = truth(mock)["models"].values()
    assert 0 < sum(field["wrong"] for field in model["fields"].values())
    figures = json.loads((example / "out.eval.json").read_text(encoding="utf-8"))
    assert figures["rows"]["matched"] == model["answers"] == 24
    for path, field in model["fields"].items():
        assert figures["fields"][path]["n"] == field["n"]
        assert figures["fields"][path]["accuracy"] == pytest.approx(field["accuracy"])


@pytest.mark.parametrize(("errors", "code"), [(0.0, 0), (0.6, 6)])
def test_its_gate(
    provider: Callable[..., Mock], example: Path, label: Any, tmp_path: Path, errors: float, code: int
) -> None:
    """Right answers pass, and wrong ones do not; both times the summary says so."""
    summary = tmp_path / "summary.md"
    done = label(start(provider, example, errors), GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == code, done.stderr
    assert "topic" in summary.read_text(encoding="utf-8")


def test_a_second_run_asks_nobody(provider: Callable[..., Mock], example: Path, label: Any) -> None:
    """The answers are in the cache, even where neither the output nor its run is there any more."""
    mock = start(provider, example, 0.0)
    assert label(mock).returncode == 0
    assert mock.calls == 32
    rows = (example / "out.jsonl").read_bytes()
    shutil.rmtree(example / ".llmx")
    (example / "out.jsonl").unlink()
    assert label(mock).returncode == 0
    assert mock.calls == 32
    assert rows == (example / "out.jsonl").read_bytes()


def test_a_job_that_cannot_begin(provider: Callable[..., Mock], example: Path, label: Any) -> None:
    """Ends with the extraction's own exit code, and is not evaluated."""
    done = label(start(provider, example, 0.0), "--model", "nonsense")
    assert done.returncode == 2
    assert not (example / "out.eval.json").exists()


def workflows() -> list[str]:
    """The example's workflow and those of the page."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [WORKFLOW.read_text(encoding="utf-8"), *(block for block in blocks if "jobs:" in block)]


def test_workflows_are_in_githubs_format(tmp_path: Path) -> None:
    """GitHub's schema of a workflow has nothing to say against them, nor has the action against what they give it."""
    assert len(workflows()) == 2
    for text in workflows():
        path = tmp_path / "workflow.yml"
        path.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
        done = subprocess.run([*command, str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        steps = YAML(typ="safe").load(text)["jobs"]["label"]["steps"]
        (step,) = [step for step in steps if "llmx" in step.get("uses", "")]
        required = {name for name, one in ACTION["inputs"].items() if one.get("required")}
        assert required <= step["with"].keys() <= ACTION["inputs"].keys()
        assert [key for key in step["with"] if "secrets." in str(step["with"][key])] == []


def test_the_page_has_every_input_and_output() -> None:
    """Its two tables leave none out."""
    named = re.findall(r"^\| (`[^|]+`) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    names = re.findall(r"`([\w-]+)`", " ".join(named))
    assert sorted(names) == sorted([*ACTION["inputs"], *ACTION["outputs"]])
