"""An output as it lies on the disk: its rows, its failed rows, and the run that wrote it, as far as they are there."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.journal import Manifest
from llmx.outputs import errors_path
from llmx.records import SINK_FORMATS, partial_of
from llmx.records.formats import suffix_format
from llmx.records.partials import is_partial, without_partial
from llmx.runs import Run, find_run
from llmx.text import nearest

__all__ = ["Output", "find_output"]


class Output(Struct, frozen=True):
    """One output.

    Args:
        name: as the user named it, without `.partial`.
        path: of its rows, which may be those so far; None where a run has not written any yet.
        errors: of its failed rows; None when there are none.
        run: None where nothing is kept of it.
    """

    name: str
    path: Path | None
    errors: Path | None
    run: Run | None

    @property
    def manifest(self) -> Manifest | None:
        """What was asked, if anybody knows."""
        return None if self.run is None else self.run.manifest

    @property
    def is_whole(self) -> bool:
        """Whether the rows are those of a complete output, and not those so far."""
        return self.path is not None and not is_partial(self.path)

    @property
    def grows(self) -> bool:
        """Whether rows, and failed ones, are lines of JSON as they are, so that what is added can be read by itself."""
        files = [suffix_format(str(path)) for path in (self.path or self.name, self.errors or "errors.jsonl")]
        return all(file.format == "jsonl" and file.compression is None for file in files)

    @property
    def format(self) -> str:
        """Of the rows: "jsonl", "json", "csv", "tsv" or "parquet"."""
        return suffix_format(str(self.path or self.name)).format or "jsonl"


def find_output(name: str, env: Environment, state_dir: Path | None = None) -> Output:
    """Look for an output and what belongs to it.

    Args:
        name: of the file, or of the `.partial` that it is while a run goes on.
        state_dir: where runs are kept, if not beside their outputs.

    Raises:
        UsageError: there is no such output, it is a folder, or its suffix is of no format that rows are written in.
    """
    name = str(without_partial(Path(name)))
    if suffix_format(name).format not in {*SINK_FORMATS, "json"}:
        hint = "name an output of llmx extract: .jsonl, .csv, .tsv or .parquet"
        raise UsageError(f"{name!r} is no file of rows", hint=hint)
    if (env.cwd / name).is_dir():
        raise UsageError(
            f"{name!r} is a folder", hint="name an output in it: a .jsonl, .csv, .tsv or .parquet"
        )
    run = _run(name, env, state_dir)
    path = _rows(env.cwd / name)
    if path is None and (run is None or run.state != "running"):
        raise _not_there(name, env)
    return Output(name, path, _errors(name, run, env), run)


def _run(name: str, env: Environment, state_dir: Path | None) -> Run | None:
    try:
        run = find_run(name, env, state_dir, whole=True)
    except UsageError:  # a file without a run is good enough
        return None
    manifest = run.manifest
    if manifest is not None and Path(run.cwd, manifest.output).name != Path(name).name:
        return None
    return run


def _rows(path: Path) -> Path | None:
    """The complete file, or the rows so far where a run has begun them since."""
    found = [each for each in (partial_of(path), path) if each.is_file()]
    return max(found, key=lambda each: each.stat().st_mtime_ns, default=None)


def _errors(name: str, run: Run | None, env: Environment) -> Path | None:
    if run is not None and (path := run.errors(env)) is not None:
        return path
    beside = errors_path(name, None, env)
    places = () if beside is None else (partial_of(beside), beside)
    return next((place for place in places if place.is_file()), None)


def _not_there(name: str, env: Environment) -> UsageError:
    folder = (env.cwd / name).parent
    try:
        neighbours = [each.name for each in folder.iterdir() if each.is_file()]
    except OSError:
        neighbours = []
    close = nearest(Path(name).name, neighbours)
    hint = f"did you mean {str(Path(name).with_name(close))!r}?" if close else "llmx runs list"
    return UsageError(f"no such output: {name!r}", hint=hint)
