"""Where a run lies: its owner's alone, known to other tools as what it is, and forgotten without harm to others."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmx.errors import OutputFailed, UsageError
from llmx.journal.folder import (
    KEPT,
    RunFolder,
    folders_in,
    forget_old,
    fresh_folder,
    run_folder,
    runs_home,
)
from llmx.journal.journal import Journal
from llmx.journal.manifest import Manifest, write_manifest

NOW = 2_000_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """That of `work/out.jsonl`, not made yet."""
    (tmp_path / "work").mkdir()
    return run_folder(tmp_path / "work" / "out.jsonl", None)


@pytest.fixture
def _no_umask() -> Iterator[None]:
    previous = os.umask(0)
    yield
    os.umask(previous)


def made(folder: RunFolder, *, llmx: str = "1") -> RunFolder:
    """A whole run that nobody is writing."""
    lock = folder.acquire("out.jsonl")
    Journal(folder.journal, on_failure=pytest.fail).close()
    write_manifest(folder.manifest, Manifest(llmx=llmx))
    folder.errors.write_text("{}\n")
    lock.close()
    return folder


def last_written(folder: RunFolder, at: float) -> RunFolder:
    for path in (*folder.path.iterdir(), folder.path):
        os.utime(path, (at, at))
    return folder


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def modes(path: Path) -> dict[str, int]:
    return {entry.name: stat.S_IMODE(entry.lstat().st_mode) for entry in path.iterdir()}


# Where


def test_it_is_beside_its_output(tmp_path: Path):
    """Under `.llmx`, by the output's name."""
    assert run_folder(tmp_path / "a" / "out.csv.gz", None).path == tmp_path / "a" / ".llmx" / "out.csv.gz"


def test_it_is_where_the_state_is_to_be(tmp_path: Path):
    """`--state-dir`, without a `.llmx` of its own."""
    assert run_folder(tmp_path / "out.jsonl", tmp_path / "state").path == tmp_path / "state" / "out.jsonl"


@pytest.mark.parametrize("state", ["work", "work/../work", "."])
def test_it_never_takes_its_outputs_place(tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch):
    """A folder of the output's name, at its place, would cost the output when all has been paid for."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    state_dir = Path() if state == "." else tmp_path / state
    with pytest.raises(UsageError) as caught:
        run_folder(tmp_path / "work" / "out.jsonl", state_dir)
    assert str(caught.value) == f"--state-dir: {str(state_dir)!r} is the folder of the output itself"


def test_runs_of_standard_output_have_folders_of_their_own(tmp_path: Path):
    """Below llmx's home, by time and process; none is made by being named."""
    path = fresh_folder(tmp_path).path
    assert path.parent == runs_home(tmp_path) == tmp_path / "runs"
    assert path.name.endswith(f"-{os.getpid()}")
    assert not path.parent.exists()


def test_runs_that_begin_in_the_same_second(tmp_path: Path):
    """They have folders of their own, too."""
    folders = []
    for _ in range(3):
        folders.append(fresh_folder(tmp_path).path)
        folders[-1].mkdir(parents=True)
    assert len(set(folders)) == 3


def test_the_files_of_a_run(folder: RunFolder):
    """All in its folder."""
    assert (folder.journal, folder.manifest, folder.errors) == (
        folder.path / "journal.jsonl",
        folder.path / "manifest.json",
        folder.path / "errors.jsonl",
    )


# Made


@pytest.mark.usefixtures("_no_umask")
def test_folders_and_files_are_private(folder: RunFolder):
    """0700 and 0600, whatever the umask."""
    folder.acquire("x").close()
    state = folder.path.parent
    assert modes(state.parent) == {".llmx": 0o700}
    assert modes(state) == {".gitignore": 0o600, "CACHEDIR.TAG": 0o600, "out.jsonl": 0o700}
    assert modes(folder.path) == {"lock": 0o600}


@pytest.mark.usefixtures("_no_umask")
def test_the_folders_above_a_state_dir_are_private(tmp_path: Path):
    """Those that had to be made for it."""
    RunFolder(tmp_path / "a" / "b" / "out.jsonl").acquire("x").close()
    assert (modes(tmp_path), modes(tmp_path / "a")) == ({"a": 0o700}, {"b": 0o700})


def test_other_tools_are_told(folder: RunFolder):
    """Version control ignores it, backups leave it out."""
    folder.acquire("x").close()
    state = folder.path.parent
    assert (state / ".gitignore").read_text() == "*\n"
    assert (state / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")


def test_what_somebody_has_changed_there_stays(folder: RunFolder):
    """A `.gitignore` of theirs is theirs."""
    folder.path.parent.mkdir()
    (folder.path.parent / ".gitignore").write_text("*.log\n")
    folder.acquire("x").close()
    assert (folder.path.parent / ".gitignore").read_text() == "*.log\n"


def test_a_state_dir_is_not_marked(tmp_path: Path):
    """It is the user's folder: there may be other things in it."""
    run_folder(tmp_path / "out.jsonl", tmp_path / "state").acquire("x").close()
    assert names(tmp_path / "state") == ["out.jsonl"]


def test_it_is_one_processs(folder: RunFolder):
    """By the name that the user has given."""
    lock = folder.acquire("out.jsonl")
    with pytest.raises(UsageError, match=rf"^another run \(pid {os.getpid()}\) is writing 'out\.jsonl'$"):
        folder.acquire("out.jsonl")
    assert folder.owner() == os.getpid()
    lock.close()
    assert folder.owner() is None


def test_it_cannot_be_made(tmp_path: Path):
    """Before the first call: where, why, and what else can be done."""
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "out.jsonl"
    with pytest.raises(OutputFailed) as caught:
        RunFolder(path).acquire("x")
    assert str(caught.value) == f"cannot keep the run in {str(path)!r}: {os.strerror(errno.ENOTDIR)}"
    assert caught.value.hint == "-o FILE or --state-dir DIR in a folder that can be written to, or --no-store"


@pytest.mark.parametrize("place", [".llmx", ".llmx/out.jsonl"])
def test_a_link_in_its_place_is_refused(folder: RunFolder, tmp_path: Path, place: str):
    """A repository that somebody has copied must not lead us elsewhere."""
    (tmp_path / "theirs").mkdir()
    link = tmp_path / "work" / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "theirs")
    with pytest.raises(OutputFailed, match="a link stands in its place"):
        folder.acquire("x")
    assert names(tmp_path / "theirs") == []


# What is in it


def test_when_it_was_written(folder: RunFolder):
    """The latest of its files."""
    last_written(made(folder), NOW)
    os.utime(folder.errors, (NOW + 5, NOW + 5))
    assert folder.modified() == NOW + 5


def test_a_folder_that_is_being_made_is_new(folder: RunFolder):
    """Before its first file is there nobody may take it for an old one."""
    folder.path.mkdir(parents=True)
    os.utime(folder.path, (NOW, NOW))
    assert folder.modified() == NOW


def test_one_that_is_gone(folder: RunFolder):
    """It was never written, and takes no room."""
    assert (folder.modified(), folder.size(), folder.owner()) == (0.0, 0, None)


def test_its_size(folder: RunFolder):
    """Of all its files."""
    folder.path.mkdir(parents=True)
    folder.journal.write_bytes(b"x" * 100)
    folder.errors.write_bytes(b"x" * 23)
    assert folder.size() == 123


def test_it_is_told_from_other_folders(folder: RunFolder):
    """By what stands in its files, not by their names."""
    assert not folder.is_ours()
    made(folder)
    assert folder.is_ours()
    folder.manifest.write_text("damaged")
    assert folder.is_ours()
    folder.journal.unlink()
    assert not folder.is_ours()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", '{"name": "my-extension", "version": 2}'),
        ("journal.jsonl", '{"t": "answer"}\n'),
        ("errors.jsonl", '{"id": 1}\n'),
    ],
)
def test_somebodys_folder_is_not_ours(tmp_path: Path, name: str, content: str):
    """Files of such names are anywhere."""
    (tmp_path / name).write_text(content)
    assert not RunFolder(tmp_path).is_ours()


# Starting over


# Forgetting


def test_forgetting_the_last_run_leaves_nothing(folder: RunFolder, tmp_path: Path):
    """Not even what marked the folder."""
    made(folder).forget("x")
    assert names(tmp_path / "work") == []


def test_forgetting_one_of_two(folder: RunFolder, tmp_path: Path):
    """The other one, and the marks, stay."""
    other = made(run_folder(tmp_path / "work" / "other.jsonl", None))
    made(folder).forget("x")
    assert names(tmp_path / "work" / ".llmx") == [".gitignore", "CACHEDIR.TAG", "other.jsonl"]
    assert other.is_ours()


def test_forgetting_leaves_what_is_not_ours(folder: RunFolder):
    """A note that somebody has put there is theirs."""
    made(folder)
    (folder.path / "notes.txt").write_text("mine")
    folder.forget("x")
    assert names(folder.path) == ["notes.txt"]


def test_forgetting_leaves_a_state_dir(tmp_path: Path):
    """It is the user's, empty or not."""
    made(run_folder(tmp_path / "out.jsonl", tmp_path / "state")).forget("x")
    assert names(tmp_path) == ["state"]


def test_a_run_that_is_going_on_is_not_forgotten(folder: RunFolder):
    """Nothing of it."""
    made(folder)
    before = names(folder.path)
    lock = folder.acquire("x")
    with pytest.raises(UsageError, match=rf"^another run \(pid {os.getpid()}\) is writing 'out\.jsonl'$"):
        folder.forget("out.jsonl")
    lock.close()
    assert names(folder.path) == before


# Those of standard output


def test_the_runs_in_a_folder(tmp_path: Path):
    """By name; files and links are none, and a folder that is not there has none."""
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert [folder.path.name for folder in folders_in(tmp_path)] == ["a", "b"]
    assert list(folders_in(tmp_path / "none")) == []


def test_old_ones_are_forgotten(tmp_path: Path):
    """After 30 days, not before."""
    old = last_written(made(RunFolder(runs_home(tmp_path) / "old")), NOW - KEPT - 1)
    young = last_written(made(RunFolder(runs_home(tmp_path) / "young")), NOW - KEPT + 1)
    forget_old(tmp_path, now=NOW)
    assert (old.path.exists(), young.is_ours()) == (False, True)


def test_those_whose_name_is_young_are_not_looked_into(tmp_path: Path):
    """A run is never older than its name, and there may be thousands."""
    old, young = ("20330401-000000-1", "20330510-000000-1")  # NOW is in May 2033
    for name in (old, young):
        last_written(made(RunFolder(runs_home(tmp_path) / name)), 0)
    forget_old(tmp_path, now=NOW)
    assert names(runs_home(tmp_path)) == [young]


def test_an_old_one_that_is_going_on_is_left(tmp_path: Path):
    """However long it takes."""
    folder = made(RunFolder(runs_home(tmp_path) / "old"))
    lock = folder.acquire("x")
    last_written(folder, NOW - KEPT - 1)
    forget_old(tmp_path, now=NOW)
    assert folder.is_ours()
    lock.close()


def test_forgetting_where_there_are_none(tmp_path: Path):
    """Nothing is made for it."""
    forget_old(tmp_path, now=NOW)
    assert names(tmp_path) == []
