"""What a run was asked and what became of it, as one small JSON file that is replaced in one step.

The manifest is for people and for the next run's question "has anything changed?"; what must not be lost is
in the journal.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from llmx.system import OURS, system

__all__ = ["AtRisk", "InputFile", "Manifest", "read_manifest", "write_manifest"]

DOLLARS = r"^\d+(\.\d+)?(E[+-]?\d{1,2})?$"


class InputFile(BaseModel):
    """What was read: a file as it was then.

    Args:
        path: absolute; "-" for stdin, of which nothing else is known.
        sha256: hex, of the whole content; None for what can be read only once.
    """

    path: str
    size: int | None = None
    modified: float | None = None
    sha256: str | None = None


class AtRisk(BaseModel):
    """What calls may have cost that were not answered, or that were in flight when the process was killed.

    Args:
        cost: US dollars, a decimal as text; the worst case.
        tokens: input and output together.
        unpriced: those of them that are not in `cost`, for no price was looked up.
    """

    cost: Annotated[str, Field(pattern=DOLLARS)] = "0"
    tokens: Annotated[int, Field(ge=0)] = 0
    unpriced: Annotated[int, Field(ge=0)] = 0


class Manifest(BaseModel):
    """See the module.

    Args:
        version: of this format.
        llmx: the version that wrote it.
        state: "running" also when the process was killed and nobody has gone on.
        command: the options as given, as the library takes them; paths as the user wrote them, relative to `cwd`.
        fields: names of what is extracted, before `--prefix` and `--into`; of an exploded list those of its elements.
        server: the address that the user gave, by an option or a variable; None for the provider's own.
        hashes: hex digests of what makes a question: schema, prompt, model, server, params; and of input and prices.
        retry: the session asks again about the failed rows of a run that had come to its end.
        started, ended: ISO 8601, UTC.
        rows: counts of the last session: settled, total, ok, failed, cached, coalesced, resumed, written.
        usage: tokens that were paid for, by kind, in all sessions together.
        failed_at: where a session of this output has left failed rows that are there still.
        lost, maybe_billed: answers of all sessions that could not be kept, and calls that got none and may have been
            billed; neither is part of usage and cost.
        cost: US dollars of all sessions, a decimal as text; None when unknown.
        at_risk: what it may be more.
    """

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    version: int = 1
    llmx: str = ""
    state: str = "running"
    exit_code: int | None = None
    reason: str | None = None
    pid: int | None = None
    cwd: str = ""
    command: dict[str, Any] = {}
    output: str = "-"
    errors: str | None = None
    schema_name: str = ""
    fields: list[str] = []
    model: str = ""
    server: str | None = None
    inputs: list[InputFile] = []
    selection: dict[str, Any] = {}
    hashes: dict[str, str] = {}
    started: str = ""
    ended: str | None = None
    sessions: int = 1
    retry: bool = False
    rows: dict[str, int | None] = {}
    calls: int = 0
    answers: int = 0
    failed_at: str | None = None
    lost: int = 0
    maybe_billed: int = 0
    usage: dict[str, int] = {}
    cost: Annotated[str, Field(pattern=DOLLARS)] | None = "0"
    at_risk: AtRisk = AtRisk()


def read_manifest(path: Path) -> Manifest | None:
    """The manifest, None when there is none that can be read: as good as a run that left none."""
    try:
        return Manifest.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):  # pydantic's ValidationError is a ValueError
        return None


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Replace the manifest, for good. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    # The standard library's: a name that is no UTF-8 has lone surrogates, which no other takes. Escaped, it is JSON.
    text = json.dumps(manifest.model_dump(), indent=2, ensure_ascii=False)
    data = text.encode("utf-8", "backslashreplace") + b"\n"
    try:
        _write(fresh, data)
        system().replace(fresh, path)
    except OSError:
        with suppress(OSError):  # half a file helps nobody, and a full disk needs the room
            fresh.unlink(missing_ok=True)
        raise
    system().sync_folder(path.parent)


def _write(path: Path, data: bytes) -> None:
    """A file of its owner's alone, on the disk."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | OURS, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[system().write(file, rest) :]
        system().sync(file)
    finally:
        os.close(file)
