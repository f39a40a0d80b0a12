"""Let the user's installer fetch a package's file, where our own client cannot.

Installers know ways to connect that settings alone do not tell: keyrings, credential helpers, proxies that
want more than a password. They are the second choice, for they start over when interrupted. Their output
is never shown: it may name hosts and credentials.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from llmx.providers.index_settings import IndexSettings

__all__ = ["installer_commands", "installer_variables", "run_installer"]

POLL_SECONDS = 0.2


def installer_commands(requirement: str, folder: Path, variables: Mapping[str, str]) -> Iterator[list[str]]:
    """Commands that put a package, without what it depends on, into `folder`, best first.

    pip leaves its wheel there, uv the files in it.

    Args:
        requirement: such as "name==1.0".
        variables: the environment's: where to look for programs.
    """
    pip = ["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"]
    pip += ["--only-binary", ":all:", "--dest", str(folder), requirement]
    if find_spec("pip") is not None:
        yield [sys.executable, *pip]
    path = variables.get("PATH")
    if uv := shutil.which("uv", path=path):
        install = ["pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--link-mode", "copy"]
        yield [uv, *install, "--python", sys.executable, "--target", str(folder), requirement]
    for name in ("python3", "python"):
        other = shutil.which(name, path=path)
        if other and Path(other).resolve() != Path(sys.executable).resolve():
            yield [other, *pip]


def installer_variables(variables: Mapping[str, str], settings: IndexSettings) -> dict[str, str]:
    """The environment in which either installer looks where the user's own one would, and nowhere else.

    Without it, pip set up for a private index alone would not keep uv from asking the public one.
    """
    index, *extra = settings.indexes or ("",)
    told = {
        "PIP_INDEX_URL": index,
        "PIP_EXTRA_INDEX_URL": " ".join(extra),
        "PIP_NO_INDEX": "" if index else "1",
        "UV_DEFAULT_INDEX": index,
        "UV_INDEX": " ".join(extra),
        "UV_NO_INDEX": "" if index else "1",
        "UV_FIND_LINKS": ",".join(settings.find_links),
        "PIP_FIND_LINKS": " ".join(settings.find_links),
    }
    kept = {name: value for name, value in variables.items() if name not in {*told, "UV_INDEX_URL"}}
    return kept | {name: value for name, value in told.items() if value}


def run_installer(
    command: list[str],
    folder: Path,
    variables: Mapping[str, str],
    progress: Callable[[int], None],
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Run one of the commands; whether it says that it succeeded.

    Args:
        folder: where files grow while it works.
        progress: called with the bytes in `folder`, again and again; what it raises ends the command.
    """
    # pip downloads into the temporary folder: there it can be watched, and it vanishes with ours.
    environment = {**variables, "TMPDIR": str(folder)}
    try:
        process = subprocess.Popen(  # noqa: S603  the program is the user's own installer
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return False
    try:
        while process.poll() is None:
            progress(_bytes_in(folder))
            sleep(POLL_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    return process.returncode == 0


def _bytes_in(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).stat().st_size
            except FileNotFoundError:
                continue  # a temporary file that has just gone
    return total
