"""The user's own installer as the second way."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from llmx.providers.index_settings import IndexSettings
from llmx.providers.installers import installer_commands, installer_variables, run_installer


def never(seconds: float) -> None:
    """Instead of sleeping."""


def program(folder: Path, name: str) -> str:
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return str(file)


def test_own_pip_comes_first(tmp_path: Path) -> None:
    """Then uv, then any other Python on the path."""
    uv, other = program(tmp_path, "uv"), program(tmp_path, "python3")
    commands = [*installer_commands("a==1", tmp_path, {"PATH": str(tmp_path)})]
    assert [command[0] for command in commands] == [sys.executable, uv, other]


def test_nothing_is_installed_beside_the_package(tmp_path: Path) -> None:
    """What the wheel declares would be compiled for minutes."""
    program(tmp_path, "uv")
    for command in installer_commands("a==1", tmp_path, {"PATH": str(tmp_path)}):
        assert "--no-deps" in command


def test_without_any_installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no commands."""
    monkeypatch.setattr("llmx.providers.installers.find_spec", lambda _: None)
    assert [*installer_commands("a==1", tmp_path, {"PATH": str(tmp_path)})] == []


def test_each_is_told_what_the_other_knows() -> None:
    """pip set up for a private index keeps uv from the public one, and the other way round."""
    settings = IndexSettings(indexes=("http://a/simple", "http://b/simple"), find_links=("/w",))
    told = installer_variables({"UV_INDEX_URL": "http://old/simple", "HOME": "/h"}, settings)
    assert told == {
        "HOME": "/h",
        "PIP_INDEX_URL": "http://a/simple",
        "PIP_EXTRA_INDEX_URL": "http://b/simple",
        "PIP_FIND_LINKS": "/w",
        "UV_DEFAULT_INDEX": "http://a/simple",
        "UV_INDEX": "http://b/simple",
        "UV_FIND_LINKS": "/w",
    }


def test_no_index_is_passed_on() -> None:
    """Neither installer then asks any index."""
    assert installer_variables({}, IndexSettings()) == {"PIP_NO_INDEX": "1", "UV_NO_INDEX": "1"}


def test_progress_follows_the_folder(tmp_path: Path) -> None:
    """The bytes that are in it, temporary files too; nothing is printed."""
    seen: list[int] = []
    script = (
        "import os, pathlib, sys; pathlib.Path(os.environ['TMPDIR'], 'x').write_bytes(bytes(10));"
        "print('secret'); open(sys.argv[1]).read()"
    )
    pipe = tmp_path / "pipe"
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(pipe)

    def watch(done: int) -> None:
        seen.append(done)
        if done == 10 and seen.count(10) == 1:  # the command waits until its file has been seen
            os.close(os.open(pipe, os.O_WRONLY))

    assert run_installer([sys.executable, "-c", script, str(pipe)], folder, {}, watch, never)
    assert seen[-1] == 10


def test_a_failed_command_is_false(tmp_path: Path) -> None:
    """So is one that cannot be started."""
    assert not run_installer([sys.executable, "-c", "exit(1)"], tmp_path, {}, lambda done: None, never)
    assert not run_installer([str(tmp_path / "none")], tmp_path, {}, lambda done: None, never)


def test_an_interruption_ends_the_command(tmp_path: Path) -> None:
    """No installer goes on behind the user's back."""

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_installer([sys.executable, "-c", "input()"], tmp_path, {}, interrupt, never)
