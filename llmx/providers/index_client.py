"""Speak to package indexes: find a file, and fetch it so that an interrupted fetch goes on.

The simple API of PEP 503 (HTML) and PEP 691 (JSON), and pages or folders of links. Whatever is fetched is
checked against a known SHA-256 by the caller, so where it comes from need not be trusted; what must be
guarded are the credentials in the settings: they go to the host they belong to, and into no message.
"""

from __future__ import annotations

import base64
import html.parser
import json
import netrc
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

from llmx.detached import Progress
from llmx.providers.index_settings import IndexSettings

__all__ = ["FetchFailed", "IndexClient"]

SIMPLE = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
SECONDS = 60.0
CHUNK = 1 << 18
ATTEMPTS = 5
PAGE_LIMIT = 32 << 20


class FetchFailed(Exception):
    """Why a file could not be fetched, in words that name no host and no credential."""


class _Broken(FetchFailed):
    """The same, where another attempt may succeed."""


class IndexClient:
    """Finds and fetches files with the user's settings.

    Args:
        settings: where to look, and how to connect.
        sleep: waits so many seconds between attempts.
    """

    def __init__(self, settings: IndexSettings, sleep: Callable[[float], None] = time.sleep) -> None:
        self._settings = settings
        self._sleep = sleep
        self._credentials = dict(_credentials([*settings.indexes, *settings.find_links]))

    def links(self, project: str, file: str) -> Iterator[str]:
        """URLs and paths of `file`, in the order of the settings; places that fail are passed over.

        Raises:
            FetchFailed: at the end, when there was none and at least one place did not answer.
        """
        problem: FetchFailed | None = None
        found = False
        for page in self._pages(project):
            try:
                for link in self._on_page(page, file):
                    found = True
                    yield link
            except FetchFailed as error:
                problem = error
        if problem is not None and not found:
            raise problem

    def _pages(self, project: str) -> Iterator[str]:
        yield from self._settings.find_links
        for index in self._settings.indexes:
            yield f"{index.rstrip('/')}/{project}/"

    def _on_page(self, page: str, file: str) -> list[str]:
        path = _path(page)
        if path is None:
            base, links = self._page(page)
        elif (path / file).is_file():
            return [str(path / file)]
        else:
            page_file = path / "index.html" if path.is_dir() else path
            if not page_file.is_file():
                return []
            base, links = page_file.as_uri(), _links(page_file.read_text(errors="replace"), "text/html")
        absolute = [urldefrag(urljoin(base, link)).url for link in links]
        if path is None:  # what a server says is no reason to open a file of this machine
            absolute = [link for link in absolute if _path(link) is None]
        return [link for link in absolute if unquote(urlsplit(link).path).rpartition("/")[2] == file]

    def _page(self, url: str) -> tuple[str, list[str]]:
        with self._open(url, {"Accept": SIMPLE}) as response:
            if response.status == 404:
                return url, []
            kind = response.headers.get("Content-Type", "")
            return response.url, _links(_read(response), kind)

    def fetch(self, link: str, part: Path, size: int, progress: Progress) -> None:
        """Fetch `link` into `part`, going on where an earlier fetch stopped.

        Args:
            link: a URL, or a path on this machine.
            part: may hold the first bytes already.
            size: of the whole file, in bytes; more than that is refused.
            progress: called after every chunk and every attempt; what it raises ends the fetch, which can
                go on later.

        Raises:
            FetchFailed: it is refused, or several attempts in a row brought nothing more.
        """
        failures = 0
        while (before := _size(part)) < size:
            try:
                self._append(link, part, size, progress)
            except _Broken as error:
                failures = 0 if _size(part) > before else failures + 1
                if failures == ATTEMPTS:
                    raise FetchFailed(str(error)) from None
                progress(_size(part), size)  # nothing came, but who waits may have given up
                self._sleep(0.5 * 2**failures)
        if _size(part) > size:
            part.unlink()
            raise FetchFailed("the file at the index is larger than it should be")

    def _append(self, link: str, part: Path, size: int, progress: Progress) -> None:
        done = _size(part)
        path = _path(link)
        if path is not None:
            try:
                with path.open("rb") as source, part.open("wb") as target:
                    _copy(source, target, 0, size, progress)
            except OSError as error:
                raise FetchFailed(f"it cannot be read: {_reason(error)}") from None
            return
        with self._open(link, {"Range": f"bytes={done}-"} if done else {}) as response:
            if response.status == 404:
                raise FetchFailed("the index has a link to the file, but not the file (HTTP 404)")
            goes_on = response.status == 206 and _starts_at(response, done)
            with part.open("ab" if goes_on else "wb") as target:
                _copy(response, target, done if goes_on else 0, size, progress)

    def _open(self, url: str, headers: dict[str, str]) -> HTTPResponse:
        """A response; 404 is one too, every other failure of the server is not.

        Raises:
            FetchFailed: the server refuses, or cannot be reached.
        """
        address, own = _without_credentials(url)
        request = urllib.request.Request(address, headers=headers)  # noqa: S310  http and https only: see _opener
        if secret := own or self._secret_for(address):
            # Unredirected: a redirect to another host must not carry it.
            request.add_unredirected_header("Authorization", f"Basic {secret}")
        try:
            response: HTTPResponse = self._opener(urlsplit(address).hostname).open(request, timeout=SECONDS)
        except urllib.error.HTTPError as error:
            return _refused(error)
        except urllib.error.URLError as error:
            raise _Broken(f"no connection: {_reason(error)}") from None
        except (OSError, HTTPException) as error:
            raise _Broken(f"the connection broke: {_reason(error)}") from None
        return response

    def _secret_for(self, url: str) -> str | None:
        parts = urlsplit(url)
        if known := self._credentials.get(parts.netloc):
            return known
        try:
            entry = netrc.netrc().authenticators(parts.hostname or "")
        except (OSError, netrc.NetrcParseError):
            return None
        return _basic(entry[0], entry[2]) if entry else None

    def _opener(self, host: str | None) -> urllib.request.OpenerDirector:
        settings = self._settings
        proxies = None if settings.proxy is None else {"http": settings.proxy, "https": settings.proxy}
        opener = urllib.request.OpenerDirector()
        handlers: list[Any] = [
            urllib.request.ProxyHandler(proxies),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=self._tls(host)),
            _Redirects(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ]
        for handler in handlers:
            opener.add_handler(handler)
        return opener

    def _tls(self, host: str | None) -> ssl.SSLContext:
        settings = self._settings
        try:
            context = ssl.create_default_context(cafile=settings.certificates)
            if settings.client_certificate:
                context.load_cert_chain(settings.client_certificate)
        except OSError as error:
            raise FetchFailed(f"a configured certificate cannot be read: {error.strerror}") from None
        if host in {trusted.partition(":")[0] for trusted in settings.trusted_hosts}:
            # The user said so; what is fetched is checked by its SHA-256 in any case.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects, without the proxy's password: where no proxy leads, it would be sent to the host itself."""

    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:
        """See `HTTPRedirectHandler`; where a proxy does lead, its handler adds the password again."""
        request = super().redirect_request(*arguments)
        if request is not None:
            request.remove_header("Proxy-authorization")
        return request


class _Anchors(html.parser.HTMLParser):
    """Collects the targets of links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _links(text: str, kind: str) -> list[str]:
    if "json" in kind:
        try:
            return [str(file["url"]) for file in json.loads(text)["files"]]
        except (ValueError, KeyError, TypeError):
            raise FetchFailed("the index sent a page that cannot be read") from None
    anchors = _Anchors()
    anchors.feed(text)
    return anchors.found


def _read(response: HTTPResponse) -> str:
    try:
        return response.read(PAGE_LIMIT).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        raise _Broken(f"the connection broke: {_reason(error)}") from None


def _copy(source: Any, target: Any, done: int, size: int, progress: Progress) -> None:
    while block := _next(source):
        target.write(block)
        target.flush()
        done += len(block)
        progress(min(done, size), size)
        if done > size:
            return
    if done < size:
        raise _Broken("the file ended early")


def _next(source: Any) -> bytes:
    try:
        # What has come, however little: a slow server must not keep `progress` from being called.
        block: bytes = source.read1(CHUNK)
    except (OSError, HTTPException) as error:
        raise _Broken(f"the connection broke: {_reason(error)}") from None
    return block


def _starts_at(response: HTTPResponse, start: int) -> bool:
    """Whether a 206 answer begins where we left off (RFC 9110, 14.4)."""
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _refused(error: urllib.error.HTTPError) -> HTTPResponse:
    if error.code == 404:
        return error  # type: ignore[return-value]  # an HTTPError is a response: status, headers, read()
    error.close()
    match error.code:
        case 401 | 403 | 407:
            raise FetchFailed(
                f"access is refused (HTTP {error.code}): check the index's credentials"
            ) from None
        case 408 | 429 | 500 | 502 | 503 | 504:
            raise _Broken(f"the index answered with HTTP {error.code}") from None
        case _:
            raise FetchFailed(f"the index answered with HTTP {error.code}") from None


def _credentials(urls: list[str]) -> Iterator[tuple[str, str]]:
    for url in urls:
        address, secret = _without_credentials(url)
        if secret:
            yield urlsplit(address).netloc, secret


def _without_credentials(url: str) -> tuple[str, str | None]:
    """The URL without user and password, and these as HTTP basic authentication wants them (RFC 7617)."""
    parts = urlsplit(url)
    named, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    user, _, password = named.partition(":")
    return urlunsplit(parts._replace(netloc=host)), _basic(unquote(user), unquote(password))


def _basic(user: str, password: str | None) -> str:
    return base64.b64encode(f"{user}:{password or ''}".encode()).decode()


def _path(link: str) -> Path | None:
    """The path that a plain path or a file: URL means, None for other URLs."""
    parts = urlsplit(link)
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    return None if "://" in link else Path(link).expanduser()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _reason(error: BaseException) -> str:
    """The kind of a failure: messages of network errors may hold URLs."""
    inner = getattr(error, "reason", error)
    if isinstance(inner, ssl.SSLError):
        return "the certificate is not accepted" if "CERTIFICATE" in str(inner) else "no secure connection"
    return (
        (inner.strerror or type(inner).__name__).lower()
        if isinstance(inner, OSError)
        else type(error).__name__
    )
