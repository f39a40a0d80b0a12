"""Request plans on disk: what instructor makes of a schema is the same every time, and importing it takes seconds.

A plan is kept by all that it is made of: schema, mode, parameters, the roles of the messages, the versions of llmx and
instructor, and when the code of ours that makes it was last changed. One that cannot be read is made anew.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from msgspec import Struct

from llmx._version import __version__
from llmx.environment import private
from llmx.providers.forms import Body, Planner, RequestPlan, Shape, gaps_of, planned
from llmx.records.values import to_json

__all__ = ["KEPT", "changed", "kept"]

KEPT = 500
"""Plans that are kept, of some kilobytes each; the oldest ones go first."""


def kept(folder: Path | None, build: Callable[[list[Body]], Body], *parts: Any) -> Planner:
    """The plans of the bodies that `build` makes, from `folder` where they are there.

    Args:
        folder: made when the first plan is put there; None to keep none.
        parts: all that `build` depends on, but for the messages; values that JSON has.
    """

    def plan(shape: Shape) -> RequestPlan:
        if folder is None:
            return planned(build, shape)
        shelf = _Shelf(folder, _digest([__version__, _version_of("instructor"), list(shape), *parts]))
        found = shelf.read(gaps_of(shape))
        if found is None:
            found = planned(build, shape)
            shelf.write(found)
        return found

    return plan


def _digest(parts: list[Any]) -> str:
    """Names stay in their order: that of a schema's fields decides what a model writes first."""
    return hashlib.sha256(to_json(parts)).hexdigest()


def _sum(plan: RequestPlan) -> str:
    """What tells a plan from one in which something was changed."""
    return _digest([list(plan.order), [piece.decode() for piece in plan.pieces]])


def _version_of(package: str) -> str:
    """Which version is installed: the name of its folder of metadata says so, and importlib's way takes 20 ms."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return ""
    place = Path(spec.origin).parent.parent
    names = [path.name for path in place.glob(f"{package}-*-info")]
    return " ".join([*sorted(names), str(changed(spec.origin))])


def changed(file: str) -> int:
    """When a file was, in nanoseconds since 1970; 0 where it is none of its own, as in an archive."""
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return 0


class _Shelf(Struct, frozen=True):
    """The place of one plan."""

    folder: Path
    name: str

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.name}.json"

    def read(self, gaps: Sequence[int]) -> RequestPlan | None:
        """The plan, None when there is none that fits these gaps and is as it was written."""
        try:
            found = orjson.loads(_own_bytes(self._path))
            plan = RequestPlan([piece.encode() for piece in found["pieces"]], found["order"])
            return plan if found["digest"] == _sum(plan) and plan.fits(gaps) else None
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def write(self, plan: RequestPlan) -> None:
        """Keep the plan, where the disk lets us: without it the next run only begins later."""
        pieces = [piece.decode() for piece in plan.pieces]
        text = orjson.dumps({"digest": _sum(plan), "order": plan.order, "pieces": pieces})
        with suppress(OSError), private():
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh = self.folder / f"{uuid4().hex}.new"
            try:
                fresh.write_bytes(text)
                fresh.replace(self._path)
            finally:
                fresh.unlink(missing_ok=True)
            self._prune()

    def _prune(self) -> None:
        found = [(entry.stat().st_mtime, entry.path) for entry in os.scandir(self.folder)]
        for _, path in sorted(found)[: max(0, len(found) - KEPT)]:
            with suppress(OSError):  # a folder, or another user's: the others can go
                Path(path).unlink()


def _own_bytes(path: Path) -> bytes:
    """What a plain file of our own user's holds: a plan goes into every request. Raises OSError: it is none.

    Nobody is waited for, as the reader of a pipe would.
    """
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or (hasattr(os, "geteuid") and found.st_uid != os.geteuid()):
            raise PermissionError(errno.EPERM, "no file of our own", str(path))
        with os.fdopen(number, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(number)
