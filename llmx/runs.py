"""Runs that are on disk, whoever made them and however they ended: found, described, forgotten.

What a run was asked is in its manifest, what became of it there and, of one that was killed, in its journal.
Nothing here runs rows.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.journal import Manifest, RunFolder, folders_in, read_manifest, run_folder, runs_home
from llmx.outputs import errors_path, flows
from llmx.records import partial_of
from llmx.text import nearest

__all__ = ["Run", "as_argv", "find_run", "find_runs"]


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Args:
        name: as a person would call it: its output, or the name of its folder.
        manifest: None for a folder that has none that can be read.
        owner: the pid of the process that is writing it, 0 when unknown; None when nobody is.
    """

    name: str
    folder: RunFolder
    manifest: Manifest | None
    owner: int | None

    @property
    def state(self) -> str:
        """ "running", "complete", "stopped", "killed" (it did not get to say how it ended) or "unknown"."""
        if self.owner is not None:
            return "running"
        if self.manifest is None:
            return "unknown"
        return "killed" if self.manifest.state == "running" else self.manifest.state

    @property
    def cwd(self) -> Path:
        """Where its command was given."""
        return Path(self.manifest.cwd) if self.manifest else self.folder.path

    def errors(self, env: Environment) -> Path | None:
        """The file of its failed rows, that of a stopped run included; None when there is none."""
        for path in self._errors_paths(env):
            for found in (path, partial_of(path)):
                if found.is_file():
                    return found
        return None

    def _errors_paths(self, env: Environment) -> Iterator[Path]:
        if self.manifest is not None:
            place = Environment(env.stdin, env.stdout, env.stderr, env.variables, self.cwd)
            named = errors_path(self.manifest.output, self.manifest.errors, place)
            if named is not None:
                yield named
        yield self.folder.errors

    @property
    def command(self) -> str | None:
        """The command that goes on with it, to be run where it was given; None when nobody knows."""
        return shlex.join(["llmx", *as_argv(self.manifest.command)]) if self.manifest else None


def find_runs(env: Environment, state_dir: Path | None = None) -> list[Run]:
    """The runs of outputs in the current folder and those of standard output, or those in a state folder; oldest first."""
    places = [state_dir] if state_dir else [env.cwd / ".llmx", runs_home(env.home)]
    found = [_run(folder, env) for place in places for folder in folders_in(place)]
    return sorted((run for run in found if run), key=lambda run: run.folder.modified())


def find_run(name: str, env: Environment, state_dir: Path | None = None) -> Run:
    """One run.

    Args:
        name: its output, its folder, or, of standard output, its name below llmx's home or the beginning of it.

    Raises:
        UsageError: there is none, or there are several.
    """
    for folder in _candidates(name, env, state_dir):
        if (run := _run(folder, env)) is not None:
            return run
    runs = find_runs(env, state_dir)
    begun = [run for run in runs if run.name.startswith(name)]
    if len(begun) == 1:
        return begun[0]
    close = nearest(name, [run.name for run in runs])
    hint = f"did you mean {close!r}?" if close else "llmx runs list"
    raise UsageError(f"no run of {name!r}" if not begun else f"several runs begin with {name!r}", hint=hint)


def _candidates(name: str, env: Environment, state_dir: Path | None) -> Iterator[RunFolder]:
    if not flows(name, env):
        yield run_folder(env.cwd / name, state_dir)
    yield RunFolder(env.cwd / name)
    yield RunFolder(runs_home(env.home) / name)


def _run(folder: RunFolder, env: Environment) -> Run | None:
    """The run in a folder; None when there is none, as in any other folder."""
    if not (folder.manifest.is_file() or folder.journal.is_file() or folder.errors.is_file()):
        return None
    manifest = read_manifest(folder.manifest)
    beside = manifest is not None and folder.path.name == Path(manifest.output).name
    name = _short(Path(manifest.cwd) / manifest.output, env) if manifest and beside else folder.path.name
    return Run(name, folder, manifest, folder.owner())


def _short(path: Path, env: Environment) -> str:
    return str(path.relative_to(env.cwd)) if path.is_relative_to(env.cwd) else str(path)


def as_argv(command: Mapping[str, Any]) -> list[str]:
    """The arguments of `llmx` that give these options, as `as_options` has them."""
    options = {name: value for name, value in command.items() if name not in ("inputs", "fresh")}
    words = [word for name, value in options.items() for word in _as_words(name, value)]
    return ["extract", *map(str, command.get("inputs", [])), *words]


def _as_words(name: str, value: Any) -> list[str]:
    option = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [option] if value else []
    return [option, _names(value) if isinstance(value, list) else str(value)]


def _names(values: Sequence[Any]) -> str:
    """Names apart by commas, as an option has them."""
    return ",".join(json.dumps(str(v)) if any(c in str(v) for c in ', "') else str(v) for v in values)
