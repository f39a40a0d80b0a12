"""Uploads, written to the disk as they come: at no time is more of one in memory than a piece.

Names that clients give are looked at for their suffix, and never used for a path.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from llmx.environment import private
from llmx.jobs.ids import is_upload, upload_name
from llmx.locks import lock
from llmx.records.formats import suffix_format
from llmx.serve.bodies import Reading, media_type
from llmx.serve.problems import Problem
from llmx.system import OURS

__all__ = ["FORMATS", "Received", "Upload", "incoming", "receive_form", "receive_raw", "swept", "written"]

log = logging.getLogger("llmx.serve")

FORMATS = {
    "application/x-ndjson": "jsonl",
    "application/ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/vnd.apache.parquet": "parquet",
}
"""Media type -> format of rows."""

_TAKEN = ("jsonl", "csv", "tsv", "parquet")
_HINT = "a name that ends in .jsonl, .csv, .tsv or .parquet (.gz and .zst too), or the media type"


class Upload(Struct, frozen=True):
    """A file that was received.

    Args:
        path: where it lies, until the job has its rows.
        sha256: of its bytes, in hex.
        format: of its rows.
        name: what its client calls it, for messages.
    """

    path: Path
    sha256: str
    format: str
    name: str


class Received(Struct, frozen=True):
    """A form: the text of its part `request`, and its file."""

    request: bytes
    upload: Upload


def incoming(data: Path) -> Path:
    """Where uploads lie while they come; made where it is not there."""
    folder = data / "incoming"
    with private():
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def swept(folder: Path) -> int:
    """Remove what processes that were killed have left; how many files. Those of living ones are locked."""
    return sum(_removed(path) for path in folder.glob("upload-*") if is_upload(path.name))


def _removed(path: Path) -> bool:
    """Remove an upload that nobody is writing; whether there was one."""
    try:
        file = os.open(path, os.O_RDWR | OURS)
    except OSError as error:  # another process has been faster, or it is none of ours
        log.debug("%s is left where it is: %s", path.name, error.strerror)
        return False
    try:
        if free := lock(file):
            path.unlink(missing_ok=True)
        return free
    finally:
        os.close(file)


class _Target:
    """A file that is being received."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        self._digest = hashlib.sha256()

    async def write(self, pieces: Sequence[bytes]) -> None:
        if pieces:
            await asyncio.to_thread(self.take, b"".join(pieces))

    def take(self, data: bytes) -> None:
        """Write a piece; blocks."""
        self._digest.update(data)
        self._file.write(data)

    def upload(self, format: str, name: str) -> Upload:
        self._file.flush()
        return Upload(self.path, self._digest.hexdigest(), format, name)


@contextmanager
def _target(folder: Path) -> Iterator[_Target]:
    """A new file, removed at the end: by then a job has its rows, or nobody wants them. Raises Problem: the disk refuses."""
    path = folder / upload_name()
    try:
        with private(), path.open("xb") as file:
            lock(file.fileno())
            yield _Target(path, file)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Problem(
            503, "storage_failed", f"the upload cannot be kept: {reason}", retry_after=60.0
        ) from error
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def written(folder: Path, data: Iterator[bytes]) -> Iterator[Upload]:
    """Rows that came with the request, as JSON Lines."""
    with _target(folder) as target:
        for piece in data:
            target.take(piece)
        yield target.upload("jsonl", "rows")


@asynccontextmanager
async def receive_raw(request: Request, folder: Path, reading: Reading) -> AsyncIterator[Upload]:
    """A body that is a file of rows, on the disk for as long as the context lasts.

    Raises:
        Problem: its type is none of rows, or it is too large or too slow.
    """
    format = _format("", media_type(request))
    with _target(folder) as target:
        async for pieces in _batches(reading.chunks(request)):
            await target.write(pieces)
        yield target.upload(format, "the upload")


@asynccontextmanager
async def receive_form(
    request: Request, folder: Path, reading: Reading, limit: int
) -> AsyncIterator[Received]:
    """A form of a part `request` and, after it, a part `file`; the file is on the disk for as long as the context lasts.

    Args:
        limit: bytes of the part `request`.

    Raises:
        Problem: it is none, or too large or too slow.
    """
    with _target(folder) as target:
        form = _Form(_boundary(request), limit)
        async for pieces in _batches(reading.chunks(request)):
            for piece in pieces:
                form.feed(piece)
            await target.write(form.taken())
        name, kind = form.ended()
        yield Received(bytes(form.request), target.upload(_format(name, kind), name or "the upload"))


async def _batches(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Chunks put together, so that each turn of the disk is worth it."""
    batch: list[bytes] = []
    size = 0
    try:
        async for chunk in chunks:
            batch.append(chunk)
            size += len(chunk)
            if size >= _BATCH:
                yield batch
                batch, size = [], 0
    except ClientDisconnect:
        raise Problem(400, "incomplete_body", "the client went away") from None
    yield batch


_BATCH = 2**18


def _boundary(request: Request) -> bytes:
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:  # RFC 2046, section 5.1.1
        raise Problem(400, "invalid_form", "the form has no boundary")
    return boundary


class _Form:
    """The parts of a form, as they come."""

    def __init__(self, boundary: bytes, limit: int) -> None:
        self.request = bytearray()
        self._limit = limit
        self._data: list[bytes] = []
        self._headers: dict[str, bytes] = {}
        self._field = self._value = b""
        self._part = ""
        self._seen: list[str] = []
        self._name = self._kind = ""
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._take,
                "on_header_field": self._take_field,
                "on_header_value": self._take_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        """Take a piece. Raises Problem."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise Problem(400, "invalid_form", f"not a form: {error}") from None

    def taken(self) -> list[bytes]:
        """What has come of the file since."""
        taken, self._data = self._data, []
        return taken

    def ended(self) -> tuple[str, str]:
        """The file's name and media type. Raises Problem: the form is not whole."""
        if not self._complete:
            raise Problem(400, "invalid_form", "the form is cut off")
        if self._seen != ["request", "file"]:
            raise Problem(422, "invalid_form", "the form has no part 'file' after its part 'request'")
        return self._name, self._kind

    def _begin(self) -> None:
        self._headers, self._field, self._value = {}, b"", b""

    def _take_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._field.decode("latin-1").lower()] = self._value
        self._field = self._value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        part = options.get(b"name", b"").decode("utf-8", "replace")
        expected = ["request", "file"][len(self._seen) : len(self._seen) + 1]
        if [part] != expected:
            raise Problem(
                422,
                "invalid_form",
                f"the form has a part {part[:100]!r}"
                + (f" where {expected[0]!r} is expected" if expected else ""),
                hint="curl -F request='{…};type=application/json' -F file=@rows.csv",
            )
        self._part = part
        self._seen.append(part)
        if part == "file":
            self._name = options.get(b"filename", b"").decode("utf-8", "replace")[:300]
            self._kind = (
                self._headers.get("content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
            )

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._part == "file":
            self._data.append(data[start:end])
            return
        self.request += data[start:end]
        if len(self.request) > self._limit:
            raise Problem(413, "too_large", f"the part 'request' is larger than {self._limit:,} bytes")

    def _end(self) -> None:
        self._complete = True


def _format(name: str, kind: str) -> str:
    """The format of a file's rows, by its name or its media type. Raises Problem: neither tells one that is taken."""
    format = suffix_format(name).format if "." in name else FORMATS.get(kind)
    if format not in _TAKEN:
        what = f"a file named {name[:100]!r}" if "." in name else f"a file of the type {kind[:100]!r}"
        raise Problem(415, "unsupported_format", f"{what} is not taken", hint=_HINT)
    return format
