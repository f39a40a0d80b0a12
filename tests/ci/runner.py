"""Runs a composite action's scripts as a GitHub runner does: expressions filled in, files for what a step says.

Actions that an action uses (`uses:`) are noted and not run: there is nothing of ours in them.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_EXPRESSION = re.compile(r"\$\{\{ ([\w.-]+) \}\}")
_DIFFERS = re.compile(r"([\w.-]+) != '(\w*)'")


@dataclass
class Step:
    """How a step ended: its exit code is None where it was skipped or is another action."""

    name: str
    code: int | None
    log: str = ""


@dataclass
class Job:
    """A job with one step, which uses the action.

    Args:
        action: the folder with `action.yml`.
        workspace: where the user's files are.
        temp: the runner's folder for temporary files.
        env: the variables that the workflow gives to the step that uses the action.
        event: what started the workflow.
    """

    action: Path
    workspace: Path
    temp: Path
    env: dict[str, str]
    event: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The job's summary, so far."""
        path = self.temp / "GITHUB_STEP_SUMMARY"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def run(self, **inputs: str) -> list[Step]:
        """All steps in order; after one that fails only those that always run."""
        document = YAML(typ="safe").load((self.action / "action.yml").read_text(encoding="utf-8"))
        defaults = {name: one.get("default", "") for name, one in document["inputs"].items()}
        values = {**defaults, **{name.replace("_", "-"): value for name, value in inputs.items()}}
        assert values.keys() == defaults.keys(), "an input that the action does not have"
        steps: list[Step] = []
        for step in document["runs"]["steps"]:
            failed = any(done.code for done in steps)
            if self._wanted(str(step.get("if", "success()")), values, steps, failed=failed):
                steps.append(self._step(step, values, steps))
            else:
                steps.append(Step(step["name"], None))
        return steps

    def _wanted(self, condition: str, inputs: dict[str, str], steps: list[Step], *, failed: bool) -> bool:
        terms = condition.split(" && ")
        if failed and "always()" not in terms:
            return False
        comparisons = [_DIFFERS.fullmatch(term) for term in terms if not term.endswith("()")]
        assert None not in comparisons, condition
        return all(self._value(c[1], inputs, steps) != c[2] for c in comparisons if c is not None)

    def _value(self, name: str, inputs: dict[str, str], steps: list[Step]) -> str:
        context, _, rest = name.partition(".")
        if context == "inputs":
            return inputs[rest]
        if context == "env":
            return self.env.get(rest, "")
        if name == "github.action_repository":
            return "some/llmx"
        if name.startswith("github.event."):
            return str(_within(self.event, rest.split(".")[1:]))
        step, _, what = rest.partition(".")
        assert context == "steps", name
        ran = step in self.outputs
        return (
            ("success" if ran else "skipped") if what == "outcome" else self.outputs[step][what.split(".")[1]]
        )

    def _step(self, step: dict[str, Any], inputs: dict[str, str], steps: list[Step]) -> Step:
        if "run" not in step:
            return Step(step["name"], None)
        assert step["shell"] == "sh"
        filled = {
            name: _EXPRESSION.sub(lambda match: self._value(match[1], inputs, steps), value)
            for name, value in step.get("env", {}).items()
        }
        script = self.temp / "script.sh"
        script.write_text(step["run"], encoding="utf-8")
        done = subprocess.run(
            ["sh", "-e", str(script)],
            cwd=self.workspace,
            env={**self.env, **self._surroundings(), **filled},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._take_over(step.get("id", step["name"]))
        return Step(step["name"], done.returncode, done.stdout)

    def _surroundings(self) -> dict[str, str]:
        """The variables of the runner's own, with an empty file for each thing that a step may say."""
        event = self.temp / "event.json"
        event.write_text(json.dumps(self.event), encoding="utf-8")
        for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH"):
            (self.temp / name).write_text("")
        files = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
        return {
            **{name: str(self.temp / name) for name in files},
            "GITHUB_ACTION_PATH": str(self.action),
            "GITHUB_EVENT_PATH": str(event),
            "RUNNER_TEMP": str(self.temp),
        }

    def _take_over(self, step: str) -> None:
        """What a step said is so for those after it."""
        self.outputs[step] = _pairs(self.temp / "GITHUB_OUTPUT")
        self.env |= _pairs(self.temp / "GITHUB_ENV")
        for folder in (self.temp / "GITHUB_PATH").read_text(encoding="utf-8").splitlines():
            self.env["PATH"] = f"{folder}:{self.env['PATH']}"


def _within(value: Any, names: list[str]) -> Any:
    for name in names:
        value = value.get(name, "") if isinstance(value, dict) else ""
    return value


def _pairs(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)
