"""Runs that are on disk, whoever made them and however they ended: found, described, forgotten.

What a run was asked is in its manifest, what became of it there and, of one that was killed, in its journal.
Nothing here runs rows.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.journal import (
    STATE,
    Manifest,
    RunFolder,
    folders_in,
    read_manifest,
    run_folder,
    runs_home,
    settled_so_far,
)
from llmx.outputs import errors_path, flows
from llmx.records import partial_of
from llmx.text import nearest

__all__ = ["Run", "as_argv", "find_run", "find_runs"]


class Run(Struct, frozen=True):
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

    @property
    def command(self) -> dict[str, Any]:
        """Its options, with the address that a variable may have given; none when nobody knows."""
        if self.manifest is None:
            return {}
        server = {"base_url": self.manifest.server} if self.manifest.server else {}
        return {**self.manifest.command, **server}

    @property
    def so_far(self) -> tuple[int, int] | None:
        """At least how many rows ended well and failed, of a run that has not said so itself."""
        if self.manifest is None or self.manifest.rows:
            return None
        return settled_so_far(self.folder.index)

    def check_idle(self) -> None:
        """Raises UsageError while somebody is writing it."""
        if self.owner is not None:
            who = f" (pid {self.owner})" if self.owner else ""
            raise UsageError(
                f"the run of {self.name!r} is going on{who}", hint="wait for it to end, or stop it"
            )

    def is_of_another(self, output: Path) -> bool:
        """Whether it writes another file: in a state folder, outputs of one name exclude each other."""
        if self.manifest is None or Path(self.manifest.output).name != output.name:
            return False
        return os.path.normpath(self.cwd / self.manifest.output) != os.path.normpath(output)

    def errors(self, env: Environment) -> Path | None:
        """The file of its failed rows, that of a stopped run included; None when there is none.

        Beside what a stopped run has left there may be that of an earlier, complete one.
        """
        for path in self._errors_paths(env):
            for found in (partial_of(path), path):
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

    def command_from(self, cwd: Path, *, without: str = "") -> str | None:
        """The command that goes on with it, to be run in a folder; None when nobody knows.

        Args:
            without: an option that it is to leave out.
        """
        if self.manifest is None:
            return None
        options = {name: value for name, value in self.command.items() if name != without}
        there = "" if self.cwd == cwd else f"cd {shlex.quote(str(self.cwd))} && "
        rows = "… | " if "-" in options.get("inputs", []) else ""
        return there + rows + shlex.join(["llmx", *as_argv(options)])


def find_runs(env: Environment, state_dir: Path | None = None) -> list[Run]:
    """The runs of outputs in the current folder and those of standard output, or those in a state folder; oldest first."""
    places = [state_dir] if state_dir else [env.cwd / STATE, runs_home(env.home)]
    found = [_run(folder, env) for place in places for folder in folders_in(place)]
    return sorted((run for run in found if run), key=lambda run: run.folder.modified())


def find_run(name: str, env: Environment, state_dir: Path | None = None, *, whole: bool = False) -> Run:
    """One run.

    Args:
        name: its output, its folder, or, of standard output, its name below llmx's home or the beginning of it.
        whole: the beginning of a name is none.

    Raises:
        UsageError: there is none, or there are several.
    """
    for folder in _candidates(name, env, state_dir):
        run = _run(folder, env)
        if run is not None and not (state_dir and run.is_of_another(env.cwd / name)):
            return run
    runs = find_runs(env, state_dir)
    begun = [] if whole else [run for run in runs if run.name.startswith(name)]
    if len(begun) == 1:
        return begun[0]
    close = nearest(name, [run.name for run in runs])
    elsewhere = "" if state_dir else "; --state-dir DIR, if it is kept elsewhere"
    hint = f"did you mean {close!r}?" if close else f"llmx runs list{elsewhere}"
    raise UsageError(f"no run of {name!r}" if not begun else f"several runs begin with {name!r}", hint=hint)


def _candidates(name: str, env: Environment, state_dir: Path | None) -> Iterator[RunFolder]:
    if not flows(name, env):
        yield run_folder(env.cwd / name, state_dir)
    yield RunFolder(env.cwd / name)
    yield RunFolder(runs_home(env.home) / name)


def _run(folder: RunFolder, env: Environment) -> Run | None:
    """The run in a folder; None when there is none, as in any other folder."""
    if not _is_run(folder, env):
        return None
    manifest = _where_it_is(read_manifest(folder.manifest), folder)
    beside = manifest is not None and folder.path.name == Path(manifest.output).name
    name = _short(Path(manifest.cwd) / manifest.output, env) if manifest and beside else folder.path.name
    return Run(name, folder, manifest, folder.owner())


def _where_it_is(manifest: Manifest | None, folder: RunFolder) -> Manifest | None:
    """The manifest of a run beside its output, whose tree may have been moved or copied since.

    Else what is done with the copy would be done to the original.
    """
    if manifest is None or folder.path.parent.name != STATE or Path(manifest.output).is_absolute():
        return manifest
    if not manifest.cwd:  # edited, or cut: it does not say where it was
        return manifest
    below = os.path.relpath(manifest.cwd, Path(manifest.cwd, manifest.output).parent)
    cwd = os.path.normpath(folder.path.absolute().parent.parent / below)
    return manifest if cwd == os.path.normpath(manifest.cwd) else manifest.model_copy(update={"cwd": cwd})


def _is_run(folder: RunFolder, env: Environment) -> bool:
    """Elsewhere than in folders of ours a file's name is no proof: what is taken for a run can be removed."""
    if folder.path.parent.name == STATE or folder.path.parent == runs_home(env.home):
        return any(path.is_file() for path in (folder.manifest, folder.journal, folder.errors))
    return folder.is_ours()


def _short(path: Path, env: Environment) -> str:
    return str(path.relative_to(env.cwd)) if path.is_relative_to(env.cwd) else str(path)


def as_argv(command: Mapping[str, Any]) -> list[str]:
    """The arguments of `llmx` that give these options, as `as_options` has them; without what would start it over."""
    # What the config file gives a name to stands there, and is read again.
    left_out = ("inputs", "fresh", "endpoints", "budgets")
    options = {name: value for name, value in command.items() if name not in left_out}
    words = [word for name, value in options.items() for word in _as_words(name, value)]
    inputs = [str(path) for path in command.get("inputs") or []]
    if any(path.startswith("-") and path != "-" for path in inputs):
        return ["extract", *words, "--", *inputs]
    return ["extract", *inputs, *words]


_TWO_WAY = ("spans", "meta", "csv_safe", "spread")
"""Options that can be said no to, as a config file may say yes."""


def _as_words(name: str, value: Any) -> list[str]:
    option = name.replace("_", "-")
    if isinstance(value, bool):
        no = [f"--no-{option}"] if name in _TWO_WAY else []
        return [f"--{option}"] if value else no
    if name == "model":
        models = [value] if isinstance(value, str) else value
        return [word for model in models for word in ("--model", str(model))]
    return [f"--{option}", _as_word(value)]


def _as_word(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_quoted, map(str, value)))
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"  # durations have no exponent
    return str(value)


def _quoted(name: str) -> str:
    """A name as it stands among others that are apart by commas: in quotes, as in CSV, where it must be."""
    plain = name and not any(char in ',"' or char.isspace() for char in name)
    return name if plain else '"{}"'.format(name.replace('"', '""'))
