"""Where calls go: a provider's own address, or the one that the user gives.

Addresses are shown, stored and compared, so they hold no secret: one with a user, a password, a query or a
fragment is refused. The refusal names where the address came from and repeats nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from llmx.errors import UsageError
from llmx.providers.catalog import CatalogEntry

__all__ = ["base_url_variable", "checked_address", "given_address", "server_address"]


def server_address(
    entry: CatalogEntry, base_url: str | None, variables: Mapping[str, str]
) -> tuple[str, bool]:
    """Where calls go, and whether that is another server than the provider's own.

    Args:
        base_url: the user's `--base-url`; it wins over the environment.
        variables: as in `os.environ`.

    Raises:
        UsageError: the provider has no address of its own and none was given, or it is no plain URL.
    """
    if given := given_address(entry, base_url, variables):
        if entry.wire == "anthropic":
            given = given.removesuffix("/v1")  # other formats have it in their base, this one in its path
        return given, entry.base_url is not None and not _same_host(given, entry.base_url)
    if entry.name == "databricks":
        return _databricks(entry, variables), False
    if entry.name == "azure_openai":
        return _required(entry, variables, "AZURE_OPENAI_ENDPOINT"), False
    assert entry.base_url is not None
    return entry.base_url, False


def given_address(entry: CatalogEntry, base_url: str | None, variables: Mapping[str, str]) -> str | None:
    """The address that the user gives: `base_url`, else what the SDK's own variable holds; None for none.

    Raises:
        UsageError: it is no plain URL.
    """
    if base_url:
        return checked_address(base_url, entry, "the base URL")
    variable = base_url_variable(entry)
    value = variables.get(variable)
    return checked_address(value, entry, variable) if value else None


def base_url_variable(entry: CatalogEntry) -> str:
    """The variable that the SDKs of most providers take their address from."""
    return f"{entry.name.upper()}_BASE_URL"


def checked_address(url: str, entry: CatalogEntry, source: str) -> str:
    """`url` without blanks around it and without a slash at its end.

    Args:
        source: where it was found, as errors name it.

    Raises:
        UsageError: it is no http(s) address, or holds a user, a password, a query or a fragment.
    """
    url = url.strip()
    parts = _split(url)
    if "?" in url or "#" in url or "@" in (url if parts is None else parts.netloc):
        raise UsageError(f"{source} takes no user, password, query or fragment", hint=_plain(entry))
    if parts is None:
        # Not repeated either: what cannot be taken apart may be a key, or hold a password anywhere.
        raise UsageError(f"{source} is no http(s) address", hint="one is http://localhost:8000/v1")
    return url.rstrip("/")


def _split(url: str) -> SplitResult | None:
    """The parts of an http(s) address, None when it is none."""
    if not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is no number
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def _plain(entry: CatalogEntry) -> str:
    """What to do with the parts that an address may not have."""
    key = f"; the key goes into {entry.keys[0]}" if entry.keys else ""
    if entry.name == "azure_openai":  # its portal shows addresses with ?api-version=…
        return f"https://NAME.openai.azure.com alone; the API version goes into OPENAI_API_VERSION{key}"
    return f"give the address alone{key}"


def _same_host(url: str, home: str) -> bool:
    """Whether `url` is at the provider's own host, or at a regional one (eu.api.openai.com)."""
    host, own = urlsplit(url).hostname or "", urlsplit(home).hostname or ""
    return host == own or host.endswith(f".{own}")


def _databricks(entry: CatalogEntry, variables: Mapping[str, str]) -> str:
    older = "DATABRICKS_WORKSPACE_URL"
    name = older if variables.get(older) and not variables.get("DATABRICKS_HOST") else "DATABRICKS_HOST"
    root = _required(entry, variables, name)
    return root if root.endswith("/serving-endpoints") else f"{root}/serving-endpoints"


def _required(entry: CatalogEntry, variables: Mapping[str, str], name: str) -> str:
    if value := variables.get(name):
        return checked_address(value, entry, name)
    raise UsageError(
        f"{name} is not set: the provider has no address without it", hint=f"export {name}=https://…"
    )
