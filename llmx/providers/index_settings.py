"""Where the user's installer looks for packages: pip's and uv's own settings, read without either.

An environment made by uv has no pip, and a private index may be named in any of a dozen places; a tool
that fetches a package's file must look where the user's installer would look, and nowhere else.
Read are pip's configuration files and PIP_* variables, uv's configuration files and UV_* variables.

Sources: https://pip.pypa.io/en/stable/topics/configuration/
         https://docs.astral.sh/uv/reference/settings/
"""

from __future__ import annotations

import configparser
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from msgspec import Struct, field

__all__ = ["PUBLIC_INDEX", "IndexSettings", "index_settings"]

PUBLIC_INDEX = "https://pypi.org/simple"
"""What pip and uv both use when nothing else is configured."""


class IndexSettings(Struct, frozen=True):
    """Where to look, in order, and how to connect. URLs may hold credentials: they are never shown.

    Args:
        indexes: base URLs of simple indexes (PEP 503).
        find_links: folders and pages that list files.
        certificates: a bundle of certificate authorities, None for the system's.
        client_certificate: a PEM file with certificate and key.
        proxy: for all requests; None for those of the environment.
        trusted_hosts: whose certificates are not checked.
    """

    indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    certificates: str | None = None
    client_certificate: str | None = None
    proxy: str | None = None
    trusted_hosts: frozenset[str] = field(default_factory=frozenset)


class _Found(Struct):
    """What one installer is told; `index` replaces the public index, `extra` comes beside it."""

    index: str | None = None
    extra: list[str] = field(default_factory=list)
    find_links: list[str] = field(default_factory=list)
    no_index: bool = False
    trusted: list[str] = field(default_factory=list)


def index_settings(variables: Mapping[str, str], cwd: Path) -> IndexSettings:
    """The settings of pip and uv together: with one of them set up, that is the one the user uses.

    Args:
        variables: the environment's.
        cwd: where uv would look for a project's settings.
    """
    pip = _pip_options(variables)
    both = [_pip(pip), _uv(variables, cwd)]
    named = [found.index for found in both if found.index and not found.no_index]
    public = [] if named or any(found.no_index for found in both) else [PUBLIC_INDEX]
    extra = [url for found in both if not found.no_index for url in found.extra]
    return IndexSettings(
        indexes=tuple(dict.fromkeys([*named, *public, *extra])),
        find_links=tuple(dict.fromkeys(link for found in both for link in found.find_links)),
        certificates=pip.get("cert")
        or _first(variables, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
        client_certificate=pip.get("client-cert") or variables.get("SSL_CLIENT_CERT"),
        proxy=pip.get("proxy"),
        trusted_hosts=frozenset(host for found in both for host in found.trusted),
    )


def _first(variables: Mapping[str, str], *names: str) -> str | None:
    return next((variables[name] for name in names if variables.get(name)), None)


def _pip(options: Mapping[str, str]) -> _Found:
    return _Found(
        index=options.get("index-url"),
        extra=options.get("extra-index-url", "").split(),
        find_links=options.get("find-links", "").split(),
        no_index=_is_true(options.get("no-index")),
        trusted=options.get("trusted-host", "").split(),
    )


def _pip_options(variables: Mapping[str, str]) -> dict[str, str]:
    """pip's options by their long names; a later file beats an earlier one, a variable beats both."""
    options: dict[str, str] = {}
    for file in _pip_files(variables):
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself says what is wrong with it
        for section in ("global", "download"):
            if parser.has_section(section):
                options |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    prefix = "PIP_"
    for name, value in variables.items():
        if name.startswith(prefix) and value:
            options[name.removeprefix(prefix).lower().replace("_", "-")] = value
    return options


def _pip_files(variables: Mapping[str, str]) -> Iterator[Path]:
    named = variables.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return
    home = Path(variables.get("HOME") or Path.home())
    if sys.platform == "win32":
        name = "pip.ini"
        yield Path(variables.get("PROGRAMDATA", "C:\\ProgramData")) / "pip" / name
        yield home / "pip" / name
        yield Path(variables.get("APPDATA", str(home))) / "pip" / name
    else:
        name = "pip.conf"
        for folder in reversed(variables.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")):
            yield Path(folder) / "pip" / name
        yield Path("/etc") / name
        yield home / ".pip" / name
        if sys.platform == "darwin":
            yield home / "Library" / "Application Support" / "pip" / name
        yield Path(variables.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / name
    yield Path(sys.prefix) / name
    if named:
        yield Path(named)


def _uv(variables: Mapping[str, str], cwd: Path) -> _Found:
    found = _Found(
        index=_first(variables, "UV_DEFAULT_INDEX", "UV_INDEX_URL"),
        extra=[
            _url(entry)
            for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL")
            for entry in variables.get(name, "").split()
        ],
        find_links=re.split(r"[,\s]+", variables["UV_FIND_LINKS"]) if variables.get("UV_FIND_LINKS") else [],
        no_index=_is_true(variables.get("UV_NO_INDEX")),
        trusted=variables.get("UV_INSECURE_HOST", "").split(),
    )
    if found.index:
        found.index = _url(found.index)
    for settings in _uv_files(variables, cwd):
        _add_uv(found, settings, variables)
    return found


def _add_uv(found: _Found, settings: Mapping[str, Any], variables: Mapping[str, str]) -> None:
    """Take over one file's settings; what was set before them has precedence."""
    for table in (settings, settings.get("pip", {})):
        for entry in table.get("index", ()):
            url = _with_credentials(entry["url"], entry.get("name", ""), variables)
            if entry.get("default"):
                found.index = found.index or url
            elif not entry.get("explicit"):
                found.extra.append(url)
        found.index = found.index or table.get("index-url")
        found.extra += table.get("extra-index-url", ())
        found.find_links += table.get("find-links", ())
        found.no_index = found.no_index or table.get("no-index", False)
        found.trusted += table.get("allow-insecure-host", ())


def _uv_files(variables: Mapping[str, str], cwd: Path) -> Iterator[Mapping[str, Any]]:
    """uv's settings, the nearest first."""
    if _is_true(variables.get("UV_NO_CONFIG")):
        return
    if named := variables.get("UV_CONFIG_FILE"):
        yield from _toml(Path(named))
        return
    home = Path(variables.get("HOME") or Path.home())
    yield from _uv_project(cwd)
    user = Path(variables.get("XDG_CONFIG_HOME") or home / ".config")
    system = [Path(folder) for folder in variables.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
    for folder in (user, *system, Path("/etc")):
        yield from _toml(folder / "uv" / "uv.toml")


def _uv_project(cwd: Path) -> Iterator[Mapping[str, Any]]:
    for folder in (cwd, *cwd.parents):
        own = [*_toml(folder / "uv.toml")]
        own = own or [s["tool"]["uv"] for s in _toml(folder / "pyproject.toml") if "uv" in s.get("tool", {})]
        if own:
            yield from own
            return


def _toml(file: Path) -> Iterable[Mapping[str, Any]]:
    try:
        return [tomllib.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return []  # not there, or uv itself says what is wrong with it


def _url(entry: str) -> str:
    """The URL of a `NAME=URL` entry, or of a bare one."""
    name, equals, url = entry.partition("=")
    return url if equals and re.fullmatch(r"[\w.-]+", name) else entry


def _with_credentials(url: str, name: str, variables: Mapping[str, str]) -> str:
    """`url` with what UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD say."""
    variable = f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', name.upper())}_"
    user, password = variables.get(f"{variable}USERNAME"), variables.get(f"{variable}PASSWORD")
    if not name or not (user or password):
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    secret = f"{quote(user or '', safe='')}:{quote(password or '', safe='')}"
    return urlunsplit(parts._replace(netloc=f"{secret}@{host}"))


def _is_true(value: str | None) -> bool:
    return (value or "").strip().lower() in {"1", "true", "yes", "on", "t", "y"}
