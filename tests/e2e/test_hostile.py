"""Hostile input and the real command: nothing crashes, hangs or is silently changed, and all of it is told."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from commands import Finished, Llmx, Mock
from rehearsal import read_rows

from llmx.errors import UsageError
from llmx.mock import Latency, MockSettings
from llmx.settings import Settings

pytest_plugins = ("cli.conftest",)

GOOD = b'{"t": "good"}\n'
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n"
BIDI = "\u202e"


def extract(llmx: Llmx, mock: Mock, name: str, content: bytes | None = None, *options: str) -> Finished:
    """One run over a file, from which results and errors go to `out.jsonl` and `out.errors.jsonl`."""
    if content is not None:
        (llmx.cwd / name).write_bytes(content)
    return llmx("extract", name, "-s", "found str", *mock.openai, "-o", "out.jsonl", *options)


def errors(llmx: Llmx) -> list[tuple[int | None, str]]:
    """Line and message of every failed row."""
    return [
        (row["_error"]["line"], row["_error"]["message"]) for row in read_rows(llmx.cwd / "out.errors.jsonl")
    ]


def bomb(unit: bytes, mebibytes: int) -> bytes:
    """A gzip archive of much of the same."""
    codec = zlib.compressobj(9, wbits=31)
    return b"".join(codec.compress(unit * (2**20 // len(unit))) for _ in range(mebibytes)) + codec.flush()


LINES = [
    (DEEP, "not JSON: depth limit exceeded"),
    (b'{"a": NaN}\n', "not JSON: unexpected character"),
    (b'{"a": -Infinity}\n', "not JSON: no digit after sign"),
    (b'{"a": 1e400}\n', "not JSON: number is infinity"),
    (b'{"a": 1' + b"0" * 400 + b"}\n", "not JSON: number is infinity"),
    (b'{"a": 1, "a": 2}\n', "the name 'a' stands twice in one object"),
    (b'{"a": 1, "\\u0061" : {"b:": ":"}}\n', "the name 'a' stands twice in one object"),
    (b'{"a": [{"\\u001b[31m": 1, "\\u001b[31m": 1}]}\n', "the name '\\x1b[31m' stands twice in one object"),
    (b'{"a": "\\ud800"}\n', "not JSON: no low surrogate in string"),
    (b'{"a": "\0"}\n', "not JSON: unexpected control character in string"),
    (b"\0\n", "not JSON: unexpected character"),
    (b'{"a": "\xff"}\n', "invalid UTF-8 at byte 8"),
    (b'{"a": "\x0b\x0c"}\n', "not JSON: unexpected control character in string"),
    (b'{"a": 1}\r{"a": 2}\n', "not JSON: unexpected content after document"),
    (b'\xef\xbb\xbf{"a": 1}\n', "not JSON: UTF-8 byte order mark"),
]
LONG = b'{"a": "' + b"x" * 5000 + b'"}\n'


def test_a_bad_line_is_an_error_row_with_its_number(llmx: Llmx, mock: Mock) -> None:
    """Whatever is wrong with it, and the good ones between them are answered."""
    done = extract(llmx, mock, "rows.jsonl", b"".join(GOOD + line for line, _ in LINES))
    assert done.code == 3, done.err
    found = errors(llmx)
    assert [2 * place for place in range(1, len(LINES) + 1)] == [line for line, _ in found]
    for (line, message), (_, expected) in zip(found, LINES, strict=True):
        assert message.startswith(f"rows.jsonl:{line}: {expected}")
    assert len(read_rows(llmx.cwd / "out.jsonl")) == len(LINES)


def test_a_line_that_is_too_long_is_an_error_row(llmx: Llmx, mock: Mock) -> None:
    """The limit is an option; the row keeps its beginning."""
    done = extract(llmx, mock, "rows.jsonl", LONG + GOOD, "--max-row-bytes", "4KiB")
    assert done.code == 3
    assert errors(llmx) == [(1, "rows.jsonl:1: longer than 4096 bytes (5009)")]
    assert extract(llmx, mock, "rows.jsonl", None, "--max-row-bytes", "5009").code == 0


def test_the_error_rows_are_as_unreadable_as_the_lines_were(llmx: Llmx, mock: Mock) -> None:
    """What is wrong is not mended by being written down: of two values under one name none is lost."""
    bad = b"".join(line for line, _ in LINES if len(line) < 1000)
    extract(llmx, mock, "rows.jsonl", bad)
    first = errors(llmx)
    again = (llmx.cwd / "out.errors.jsonl").read_bytes()
    extract(llmx, mock, "again.jsonl", again)
    assert len(first) == len(errors(llmx)) == bad.count(b"\n")


def test_only_line_feeds_end_lines(llmx: Llmx, mock: Mock) -> None:
    """U+2028, U+2029, U+0085 and escaped controls are text, in JSON Lines and in CSV, and come out as they were."""
    odd = "a\u2028b\u2029c\x85d\u0000e\x1b[31mf\ufeff" + BIDI
    extract(llmx, mock, "rows.jsonl", json.dumps({"t": odd}, ensure_ascii=False).encode())
    assert [row["t"] for row in read_rows(llmx.cwd / "out.jsonl")] == [odd]
    extract(llmx, mock, "rows.csv", f'id,t\r\n1,"{odd}\x0b\x0c"\r\n'.encode())
    assert [row["t"] for row in read_rows(llmx.cwd / "out.jsonl")] == [odd + "\x0b\x0c"]


REFUSED = [
    ("rows.jsonl", GOOD.decode().encode("utf-16"), "UTF-16 text; only UTF-8 is read"),
    ("rows.jsonl", GOOD.decode().encode("utf-32"), "UTF-32 text; only UTF-8 is read"),
    ("rows.csv", b"\0\0\xfe\xff" + "a,b\n".encode("utf-32-be"), "UTF-32 text; only UTF-8 is read"),
    ("rows.csv", "a,b\n1,2\n".encode("utf-16-le"), "a NUL in the header"),
    ("rows.csv", b"a,b\r1,2\r", "a carriage return outside quotes in the header"),
    ("rows.csv", b"a,a\n1,2\n", "two columns are called 'a'"),
    ("rows.csv", b'"a,b\n1,2\n', "a quote is opened and never closed in the header"),
    ("rows.csv", b"PK\x03\x04" + bytes(50), "that is a zip archive, as .xlsx files are too"),
    ("rows.jsonl", b"BZh91AY&SY" + bytes(50), "bzip2 data; only gzip and zstd are read"),
    ("rows.jsonl", b"\xfd7zXZ\0" + bytes(50), "xz data; only gzip and zstd are read"),
    ("rows.jsonl", b"PAR1\x15\x04", "that is Parquet"),
    ("rows.jsonl.gz", gzip.compress(gzip.compress(GOOD)), "gzip data within gzip data"),
    ("rows.jsonl.gz", gzip.compress(GOOD)[:-6], "the gzip data end too early: the file is cut"),
    ("rows.jsonl.gz", gzip.compress(GOOD) + b"rubbish", "damaged gzip data after 1 whole archive"),
    ("rows.jsonl.zst", zstandard.compress(GOOD) + b"rubbish", "damaged zstd data after 1 whole archive"),
    ("rows.parquet", b"PAR1" + bytes(100) + b"PAR1", "not a Parquet file"),
    ("rows.parquet", b"", "not a Parquet file"),
]


@pytest.mark.parametrize(("name", "content", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_what_holds_no_rows_is_refused(
    name: str, content: bytes, message: str, llmx: Llmx, mock: Mock
) -> None:
    """In one line, before any call."""
    done = extract(llmx, mock, name, content)
    assert (done.code, mock.calls) == (2, 0)
    first = done.err.splitlines()[0]
    assert first.startswith("error: ")
    assert message in first


BOMBS = [
    ("rows.jsonl.gz", bomb(b"\0", 100)),
    ("rows.jsonl.gz", bomb(b"\n", 100)),
    ("rows.csv.gz", gzip.compress(b"a,b\n") + bomb(b"\n", 100)),
    ("rows.json.gz", bomb(b" ", 100)),
    ("rows.json.gz", bomb(b"\n", 100)),
    ("rows.jsonl.zst", zstandard.compress(bytes(2**20) * 100)),
]


@pytest.mark.parametrize(("name", "content"), BOMBS)
def test_a_bomb_is_not_unpacked_to_its_end(name: str, content: bytes, llmx: Llmx, mock: Mock) -> None:
    """It says so and what would allow more; work and memory are bounded by the archive's own size."""
    assert len(content) < 200_000
    done = extract(llmx, mock, name, content)
    assert done.code in (1, 2)
    assert "data unpack to more than 200 times their size" in done.err
    assert "--max-expansion" in done.err
    assert mock.calls == 0


def test_an_archive_may_be_allowed_to_unpack(llmx: Llmx, mock: Mock) -> None:
    """Where the user knows better."""
    done = extract(llmx, mock, "rows.jsonl.gz", bomb(b"\0", 100), "--max-expansion", "2000")
    assert errors(llmx) == [(1, f"rows.jsonl.gz:1: longer than {64 * 2**20} bytes ({100 * 2**20})")]
    assert done.code == 3


def test_a_line_without_an_end(llmx: Llmx, mock: Mock) -> None:
    """A device that never ends is no file of rows."""
    done = llmx("extract", "/dev/zero", "-s", "found str", *mock.openai)
    assert done.code == 2
    assert done.err.startswith("error: /dev/zero: 1073741824 bytes without a line end")


def test_quotes_that_never_close_cost_no_square_of_the_time(llmx: Llmx, mock: Mock) -> None:
    """Of each line a quote stays open to the file's end, wherever reading begins; each is an error row all the same."""
    done = extract(llmx, mock, "rows.csv", b"a,b\n" + b'a","\n' * 4_000)
    assert done.code == 3
    assert [line for line, _ in errors(llmx)] == list(range(2, 4_002))


def test_ragged_rows_and_open_quotes_are_error_rows(llmx: Llmx, mock: Mock) -> None:
    """The rows around them are answered; a cell of 200,000 characters and one with a NUL are cells."""
    long = b"x" * 200_000
    content = b'a,b\n1\n1,2,3\n"open,2\n5,' + long + b"\n6,\0\n"
    done = extract(llmx, mock, "rows.csv", content)
    assert done.code == 3
    assert [line for line, _ in errors(llmx)] == [2, 3, 4]
    assert [row["b"] for row in read_rows(llmx.cwd / "out.jsonl")] == [long.decode(), "\0"]


def test_formulas_are_quoted_where_it_is_asked_for(llmx: Llmx, mock: Mock) -> None:
    """In cells and in the header; numbers stay numbers, and without the option all stays as it is."""
    cells = ["=1+1", "+x", "-x", "@x", "\tx", "\rx", "-5", "+1.5e3", "x=1"]
    (llmx.cwd / "rows.jsonl").write_bytes(
        b"".join(json.dumps({"=c": cell}).encode() + b"\n" for cell in cells)
    )
    argv = ("extract", "rows.jsonl", "-s", "found int", *mock.openai, "--output-format", "csv")
    plain, safe = llmx(*argv).out, llmx(*argv, "--csv-safe").out
    assert plain.startswith("=c,found\n=1+1,")
    assert safe.startswith("'=c,found\n'=1+1,")
    assert ["'+x", "'-x", "'@x"] == [line.split(",")[0] for line in safe.splitlines()[2:5]]
    assert [line.split(",")[0] for line in safe.splitlines()[-3:]] == ["-5", "+1.5e3", "x=1"]


CHANGES: list[tuple[str, Callable[[Path], Any], str]] = [
    ("cut", lambda path: os.truncate(path, path.stat().st_size - 5), "it was cut from"),
    ("replaced", lambda path: _replace(path), "it was replaced by another file while it was read"),
    ("rewritten", lambda path: path.write_bytes(path.read_bytes()), "it was written to while it was read"),
]


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(GOOD)
    other.replace(path)


@pytest.mark.parametrize(
    ("change", "message"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES]
)
def test_a_file_that_changes_while_it_is_read(
    change: Callable[[Path], Any], message: str, llmx: Llmx, provider: Callable[[MockSettings], Mock]
) -> None:
    """It is told, the rows that were read are kept, and the same command goes on."""
    path = llmx.cwd / "rows.jsonl"
    path.write_bytes(b"".join(b'{"id": %d}\n' % number for number in range(2_000)))
    mock = provider(MockSettings(latency=Latency(0.02, 0.02)))
    argv = ("extract", "rows.jsonl", "-s", "found str", *mock.openai, "-o", "out.jsonl")
    running, _, err = llmx.piped(*argv)
    deadline = time.monotonic() + 60
    while not mock.calls:
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)
    change(path)
    assert running.wait() == 1
    assert message in err.read_text()
    assert not (llmx.cwd / "out.jsonl").exists()
    assert llmx(*argv).code in (0, 3)


def test_pipes_folders_and_empty_files(llmx: Llmx, mock: Mock) -> None:
    """A pipe is read like a file, a folder of nothing is told, an empty file is no failure."""
    os.mkfifo(llmx.cwd / "pipe")
    writer = threading.Thread(target=lambda: (llmx.cwd / "pipe").write_bytes(GOOD * 2 + b"oops\n"))
    writer.start()
    done = extract(llmx, mock, "pipe")
    writer.join()
    assert (done.code, errors(llmx)[0][0]) == (3, 3)
    (llmx.cwd / "folder").mkdir()
    assert extract(llmx, mock, "folder").err.startswith("error: no text file and no file of rows")
    for name in ("e.jsonl", "e.csv", "e.json", "e.jsonl.gz"):
        assert extract(llmx, mock, name, b"").code == 0


def test_a_parquet_file_that_lies(llmx: Llmx, mock: Mock) -> None:
    """Damage behind a good footer, a column called like a field, text that is none, an infinity, rows too long."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = llmx.cwd / "rows.parquet"
    binary = pyarrow.array([b"\xff", b"ok", b"x" * 5000]).cast(pyarrow.string(), safe=False)
    table = pyarrow.table({"t": binary, "n": [1.0, float("inf"), 2.0]})
    parquet.write_table(table, path)
    done = extract(llmx, mock, "rows.parquet", None, "--max-row-bytes", "1000")
    assert done.code == 3
    assert [message for _, message in errors(llmx)] == [
        "rows.parquet: row 1: invalid UTF-8 at byte 1 of a text",
        "rows.parquet: row 2: an infinity, for which JSON has no number",
        "rows.parquet: row 3: longer than 1000 bytes (5016)",
    ]
    content = bytearray(path.read_bytes())
    content[4:12] = b"\xff" * 8
    done = extract(llmx, mock, "rows.parquet", bytes(content))
    assert done.code == 1
    assert "rows.parquet: cannot read on" in done.err
    parquet.write_table(pyarrow.table({"found": ["x"]}), path)
    assert "the input column 'found' is also a field" in extract(llmx, mock, "rows.parquet").err


NASTY = f"\x1b[31m[/oops]\x9b1m{BIDI}\x07"
"""An escape sequence in its two spellings, markup that closes nothing, an override of the reading order, a bell."""


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 3),
        (("-o", "out.jsonl"), 3),
        (("-o", "no[oops]\x1b[31m/out.jsonl"), 2),
        (("--input", NASTY), 2),
        (("--key", f"{NASTY}c"), 2),
        (("--keep", NASTY), 2),
        (("-p", "{{ nasty }}"), 2),
        (("--max-row-bytes", NASTY), 2),
        ((f"--{NASTY}",), 2),
    ],
    ids=lambda value: ascii(value[0])[:14] if isinstance(value, tuple) and value else "",
)
def test_nothing_in_data_or_names_drives_the_terminal(
    options: tuple[str, ...], code: int, llmx: Llmx, mock: Mock
) -> None:
    """Columns, cells, answers, file names, error examples and hints are shown as text, and no markup is read."""
    name = f"rows{NASTY.replace('/', '')}.jsonl"
    good = json.dumps({f"c{NASTY}": f"word{NASTY}"}).encode() + b"\n"
    (llmx.cwd / name).write_bytes(good + json.dumps(NASTY).encode() + b"\n")
    screen = llmx.on_screen("extract", name, "-s", "found str", *mock.openai, *options)
    assert screen.wait() == code, screen.text
    assert "oops]" in screen.text
    assert not [mark for mark in ("\x1b[31m", "\x9b", "\x07", BIDI) if mark in screen.text]


@pytest.mark.parametrize(
    ("text", "size"), [("1000", 1000), ("10MB", 10**7), ("1.5 kb", 1500), ("64MiB", 2**26), ("2gib", 2**31)]
)
def test_sizes(text: str, size: int) -> None:
    """Plain numbers, and units of a thousand or of 1,024."""
    assert Settings.of({"schema": "a str", "max_row_bytes": text}).max_row_bytes == size


@pytest.mark.parametrize("text", ["", "ten", "10 XB", "-1", "0", "9" * 400, "1e3"])
def test_what_is_no_size(text: str) -> None:
    """It is told with the option's name."""
    with pytest.raises(UsageError, match="--max-row-bytes"):
        Settings.of({"schema": "a str", "max_row_bytes": text})
