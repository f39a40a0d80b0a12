"""Bytes become the same requests however they are split, and never something else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.mock.parsing import HttpError, HttpRequest, RequestParser

PLAIN = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
GET = b"GET http://127.0.0.1:80/stats HTTP/1.0\r\n\r\n"
SEVERAL = PLAIN + CHUNKED + b"\r\n" + GET


def parse(*pieces: bytes, max_body: int = 1000) -> list[HttpRequest]:
    parser, requests = RequestParser(max_body), []
    for piece in pieces:
        parser.feed(piece)
        while (request := parser.next()) is not None:
            requests.append(request)
    return requests


def outcome(*pieces: bytes) -> int | None:
    """The status of the error that the bytes end in, None if in none."""
    try:
        parse(*pieces)
    except HttpError as error:
        return error.status
    return None


def test_requests_follow_each_other() -> None:
    """Pipelined requests come out one by one, query and scheme taken off their paths."""
    actual = [(r.method, r.path, r.body, r.keep_alive) for r in parse(SEVERAL)]
    expected = [
        ("POST", "/v1/messages", b"hello", True),
        ("POST", "/a", b"hello", True),
        ("GET", "/stats", b"", False),
    ]
    assert expected == actual


@given(st.lists(st.integers(0, len(SEVERAL)), max_size=20))
def test_splits_change_nothing(cuts: list[int]) -> None:
    """Any split of the bytes gives the requests of the whole."""
    edges = [0, *sorted(cuts), len(SEVERAL)]
    pieces = [SEVERAL[a:b] for a, b in pairwise(edges)]
    assert parse(SEVERAL) == parse(*pieces)


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_garbage_ends_in_an_error_or_in_waiting(pieces: list[bytes]) -> None:
    """No bytes make the parser fail in any other way."""
    assert outcome(*pieces) in (None, 400, 413, 431)


@given(st.binary(max_size=300))
def test_garbage_in_chunks(data: bytes) -> None:
    """A chunked body of garbage is refused or waited for."""
    head = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    assert outcome(head, data) in (None, 400, 413)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b"hello\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad name : x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000, 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, 431),
    ],
)
def test_what_is_refused(data: bytes, status: int) -> None:
    """Each of these is told at once, not waited on."""
    with pytest.raises(HttpError) as caught:
        parse(data)
    assert status == caught.value.status


def test_expectation_is_told_once() -> None:
    """A client that waits for 100 Continue is noticed when its head is there."""
    parser = RequestParser(100)
    parser.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert parser.next() is None
    assert [parser.take_expectation(), parser.take_expectation()] == [True, False]


def test_no_expectation_once_the_body_is_there() -> None:
    """A client that sent its body anyway needs no 100 Continue."""
    parser = RequestParser(100)
    parser.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi")
    assert parser.next() is not None
    assert not parser.take_expectation()
