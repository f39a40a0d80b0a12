"""Folders of shards, as one worker takes over from another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from llmx.jobs.folder import OUTPUT, ShardFolder
from llmx.journal import STATE


def test_files_that_are_renamed_meanwhile_are_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is taken to be dead may just be ending: what it renames is made anew of the journal."""
    folder = ShardFolder(tmp_path)
    old = folder.epoch(1)
    (old / STATE / OUTPUT).mkdir(parents=True)
    (old / STATE / OUTPUT / "journal.jsonl").write_text("")
    (old / f"{OUTPUT}.partial").write_text("{}\n")
    copy = shutil.copy2

    def renamed_first(source: str, target: str) -> None:
        if source.endswith(".partial"):
            Path(source).rename(old / OUTPUT)
        copy(source, target)

    monkeypatch.setattr(shutil, "copy2", renamed_first)
    folder.begin(2)
    assert (folder.epoch(2) / STATE / OUTPUT / "journal.jsonl").is_file()
    assert not (folder.epoch(2) / f"{OUTPUT}.partial").exists()
