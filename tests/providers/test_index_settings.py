"""Where the user's installer looks: pip's and uv's settings, read as they read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmx.providers.index_settings import PUBLIC_INDEX, IndexSettings, index_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.prefix", str(tmp_path / "venv"))
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path


def settings(home: Path, **variables: str) -> IndexSettings:
    nowhere = str(home / "etc")
    return index_settings({"HOME": str(home), "XDG_CONFIG_DIRS": nowhere, **variables}, home / "project")


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_nothing_configured(home: Path) -> None:
    """Then it is the public index, as it is for pip and for uv."""
    assert settings(home, PIP_CONFIG_FILE="/dev/null") == IndexSettings(indexes=(PUBLIC_INDEX,))


def test_pip_variables(home: Path) -> None:
    """They beat every file."""
    write(home / ".config/pip/pip.conf", "[global]\nindex-url = http://file/simple\n")
    found = settings(
        home,
        PIP_INDEX_URL="http://a/simple",
        PIP_EXTRA_INDEX_URL="http://b/simple http://c/simple",
        PIP_FIND_LINKS="/wheels http://d/links",
        PIP_CERT="/ca.pem",
        PIP_CLIENT_CERT="/me.pem",
        PIP_PROXY="http://proxy:3128",
        PIP_TRUSTED_HOST="a b:8080",
    )
    assert found == IndexSettings(
        indexes=("http://a/simple", "http://b/simple", "http://c/simple"),
        find_links=("/wheels", "http://d/links"),
        certificates="/ca.pem",
        client_certificate="/me.pem",
        proxy="http://proxy:3128",
        trusted_hosts=frozenset({"a", "b:8080"}),
    )


@pytest.mark.parametrize(
    "files",
    [
        {"etc/pip/pip.conf": "global", ".pip/pip.conf": "legacy"},
        {".pip/pip.conf": "legacy", ".config/pip/pip.conf": "user"},
        {".config/pip/pip.conf": "user", "venv/pip.conf": "site"},
        {"venv/pip.conf": "site", "named.conf": "named"},
    ],
)
def test_the_later_pip_file_beats_the_earlier(home: Path, files: dict[str, str]) -> None:
    """Machine, user, environment, then the file of PIP_CONFIG_FILE."""
    for name, value in files.items():
        write(home / name, f"[global]\nindex_url = http://{value}/simple\n")
    variables = {"PIP_CONFIG_FILE": str(home / "named.conf")} if "named.conf" in files else {}
    last = list(files.values())[-1]
    assert settings(home, **variables).indexes == (f"http://{last}/simple",)


def test_pip_lists_over_several_lines(home: Path) -> None:
    """As pip's documentation writes them; the section of `pip download` beats the global one."""
    write(
        home / ".config/pip/pip.conf",
        "[global]\nindex-url = http://x/simple\nextra-index-url =\n  http://a/simple\n  http://b/simple\n"
        "[download]\nindex-url = http://y/simple\n",
    )
    assert settings(home).indexes == ("http://y/simple", "http://a/simple", "http://b/simple")


@pytest.mark.parametrize("name", ["PIP_NO_INDEX", "UV_NO_INDEX"])
def test_no_index(home: Path, name: str) -> None:
    """Who forbids indexes is not taken to the public one."""
    assert settings(home, PIP_EXTRA_INDEX_URL="http://a/simple", **{name: "1"}).indexes == (
        () if name == "PIP_NO_INDEX" else ("http://a/simple",)
    )


def test_uv_variables(home: Path) -> None:
    """Names before URLs are left out."""
    found = settings(
        home,
        UV_DEFAULT_INDEX="main=http://a/simple",
        UV_INDEX="x=http://b/simple?q=1 http://c/simple",
        UV_FIND_LINKS="/wheels,http://d/links",
        UV_INSECURE_HOST="b",
    )
    assert found.indexes == ("http://a/simple", "http://b/simple?q=1", "http://c/simple")
    assert found.find_links == ("/wheels", "http://d/links")
    assert found.trusted_hosts == {"b"}


def test_uv_files(home: Path) -> None:
    """The nearest project file, then the user's; indexes for named packages only are not asked."""
    write(
        home / "uv.toml",
        '[[index]]\nname = "corp"\nurl = "http://corp/simple"\ndefault = true\n'
        '[[index]]\nname = "torch"\nurl = "http://torch/simple"\nexplicit = true\n',
    )
    write(
        home / ".config/uv/uv.toml",
        'index-url = "http://user/simple"\n[pip]\nextra-index-url = ["http://e/simple"]\n',
    )
    assert settings(home).indexes == ("http://corp/simple", "http://e/simple")


def test_uv_project_table(home: Path) -> None:
    """A pyproject.toml counts if it has a table for uv."""
    write(home / "project/pyproject.toml", '[tool.uv]\nindex-url = "http://p/simple"\n')
    assert settings(home).indexes == ("http://p/simple",)
    assert settings(home, UV_NO_CONFIG="1").indexes == (PUBLIC_INDEX,)


def test_uv_credentials(home: Path) -> None:
    """They come by variables that carry the index's name."""
    write(home / "uv.toml", '[[index]]\nname = "my-corp"\nurl = "http://corp/simple"\ndefault = true\n')
    found = settings(home, UV_INDEX_MY_CORP_USERNAME="ada", UV_INDEX_MY_CORP_PASSWORD="p@ss")
    assert found.indexes == ("http://ada:p%40ss@corp/simple",)


@pytest.mark.parametrize("file", [".config/pip/pip.conf", ".config/uv/uv.toml", "uv.toml"])
def test_a_broken_file_is_passed_over(home: Path, file: str) -> None:
    """The installer itself says what is wrong with it."""
    write(home / file, "[[[ = \n")
    assert settings(home).indexes == (PUBLIC_INDEX,)
