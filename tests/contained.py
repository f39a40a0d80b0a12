"""Dockerfile and compose.yaml, taken apart for tests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class Instruction:
    """One instruction of the Dockerfile, its continued lines joined, with the stage that it stands in."""

    stage: str
    name: str
    text: str


def instructions() -> list[Instruction]:
    """The Dockerfile's instructions in order; what stands before the first FROM has the stage ""."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: list[Instruction] = []
    stage = ""
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stage = rest.rpartition(" AS ")[2]
        found.append(Instruction(stage, name, rest))
    return found


def composed(*arguments: str) -> dict[str, Any]:
    """compose.yaml as Docker Compose understands it, with nothing set in the environment."""
    command = [str(SCRIPTS / "docker-compose"), *arguments, "config", "--format", "json"]
    variables = {"PATH": os.defpath, "HOME": "/nonexistent"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document
