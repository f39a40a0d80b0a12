"""The journal's file format: JSON Lines, each of which begins with a checksum over the rest of it.

    {"crc":"1c291ca3","t":"answer","fp":"…",…}

A CRC-32 (ISO 3309) detects every flipped byte and every burst up to 32 bits, and any tool reads the line as
JSON all the same. A line that does not match is not used.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from msgspec import Struct

from llmx.records import to_json
from llmx.records.integers import loads
from llmx.system import system

__all__ = ["Line", "cut_torn_tail", "decode", "encode", "encode_anyway", "holds_answers", "scan"]

MARK = b'{"crc":"'
BODY = b',"body":'
_REST = len(MARK) + 10  # behind the checksum's closing quote and the comma

LONGEST = 256 * 2**20
"""Bytes of a line that are read at once: more is no line of ours, and must not fill the memory."""


class Line(Struct, frozen=True):
    """A line, and where it is.

    Args:
        at, size: in bytes, the newline included.
        entry: what it says, an answer without its body; None when it is damaged.
    """

    at: int
    size: int
    entry: dict[str, Any] | None


def encode(entry: Mapping[str, Any]) -> bytes:
    """The entry as a whole line."""
    rest = to_json(entry)[1:]
    return b'%s%08x",%s\n' % (MARK, zlib.crc32(rest), rest)


def encode_anyway(entry: Mapping[str, Any]) -> bytes:
    """The same; without the body of an answer that can be read, but not be written again."""
    try:
        return encode(entry)
    except (RecursionError, TypeError, ValueError):
        return encode({**entry, "body": {}})


def decode(line: bytes, *, body: bool = True) -> dict[str, Any] | None:
    """What a line says, with or without its newline; None when it is not as it was written.

    Args:
        body: whether an answer's body, the last thing in it and most of it, is wanted too.
    """
    rest = line[_REST:].removesuffix(b"\n")
    if line[:_REST] != b'%s%08x",' % (MARK, zlib.crc32(rest)):
        return None
    end = -1 if body else rest.find(BODY)  # no text can contain it: a quote in a string is escaped
    try:
        return _parsed(b"{" + (rest if end < 0 else rest[:end] + b"}"))
    except (ValueError, RecursionError):  # never written by us, but with a checksum that fits
        return None


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        entry = loads(text)
    except orjson.JSONDecodeError:  # a lone surrogate, which only the standard library takes
        entry = json.loads(text)
    return entry if isinstance(entry, dict) else None


def scan(file: BinaryIO, start: int = 0) -> Iterator[Line]:
    """All lines from `start` on, in constant memory; a last one without its newline is not given."""
    file.seek(start)
    at = start
    while line := file.readline(LONGEST):
        if not line.endswith(b"\n"):
            if len(line) < LONGEST:
                return
            yield Line(at, len(line), None)
        else:
            yield from _lines(line, at)
        at += len(line)


def _lines(line: bytes, at: int) -> Iterator[Line]:
    """The line; or, where the newline before another was damaged, what can be told apart of the two."""
    start = 0
    while start < len(line):
        entry = decode(line[start:], body=False)
        other = -1 if entry is not None else line.find(MARK, start + 1)
        end = len(line) if other < 0 else other
        yield Line(at + start, end - start, entry)
        start = end


def cut_torn_tail(file: int) -> int:
    """Cut what a write that was not finished has left behind the last newline; the file's end."""
    size = os.fstat(file).st_size
    end = size
    while end:
        start = max(0, end - 65_536)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        system().truncate(file, end)
    return end


def holds_answers(path: Path) -> bool:
    """Whether a journal holds any, which were paid for."""
    with path.open("rb") as file:
        return any(line.entry is not None and line.entry.get("t") == "answer" for line in scan(file))
