"""Sinks."""

from __future__ import annotations

import gzip
import os
import stat
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import zstandard

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.records import open_sink

Written = Callable[..., bytes]

ROWS = [{"id": 1, "who": {"name": "ü"}}, {"id": 2, "who": {"name": None}}]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("out.jsonl", '{"id":1,"who":{"name":"ü"}}\n{"id":2,"who":{"name":null}}\n'),
        ("out", '{"id":1,"who":{"name":"ü"}}\n{"id":2,"who":{"name":null}}\n'),
        ("out.csv", "id,who.name\n1,ü\n2,\n"),
        ("out.tsv", "id\twho.name\n1\tü\n2\t\n"),
    ],
)
def test_rows_are_written_in_the_suffixs_format(written: Written, name: str, expected: str) -> None:
    """One line each."""
    assert written(name, ROWS).decode() == expected


def test_the_format_may_be_given(written: Written) -> None:
    """For names that say nothing."""
    assert written("out.xyz", [{"a": 1}], format="csv") == b"a\n1\n"


@pytest.mark.parametrize(
    ("name", "unpack"),
    [("out.csv.gz", gzip.decompress), ("out.csv.zst", lambda data: zstandard.decompress(data, 100))],
)
def test_archives_are_written_by_suffix(written: Written, name: str, unpack: Any) -> None:
    """The inner suffix is the format's."""
    assert unpack(written(name, [{"a": 1}])) == b"a\n1\n"


def test_without_rows_there_is_an_empty_file_or_a_header(written: Written) -> None:
    """Something to find, in every format."""
    assert written("out.jsonl", []) == b""
    assert written("out.csv", []) == b""
    assert written("out.csv", [], columns=["a", "b"]) == b"a,b\n"


def test_rows_are_in_the_partial_file_at_once(env: Environment) -> None:
    """Whole lines, whatever happens to us."""
    sink = open_sink("out.csv", env=env)
    sink.write({"a": 1})

    assert (env.cwd / "out.csv.partial").read_bytes() == b"a\n1\n"
    sink.abandon()
    assert [path.name for path in env.cwd.iterdir()] == ["out.csv.partial"]


def test_stdout_gets_rows_at_once(env: Environment) -> None:
    """In any format that has lines."""
    sink = open_sink("-", env=env, format="tsv")
    sink.write({"a": 1, "b": 2})

    assert isinstance(env.stdout, BytesIO)
    assert env.stdout.getvalue() == b"a\tb\n1\t2\n"
    sink.close()


def test_a_device_is_written_to_and_never_replaced(env: Environment) -> None:
    """`-o /dev/null` as root would be the end of it."""
    sink = open_sink("/dev/null", env=env)
    sink.write({"a": 1})
    sink.close()

    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert not Path("/dev/null.partial").exists()


def test_a_named_pipe_gets_rows(env: Environment) -> None:
    """As `>(command)` gives it."""
    os.mkfifo(env.cwd / "pipe")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((env.cwd / "pipe").read_bytes()))
    reader.start()
    sink = open_sink("pipe", env=env)
    sink.write({"a": 1})
    sink.close()
    reader.join()

    assert received == [b'{"a":1}\n']


def test_columns_left_out_are_told_at_the_end(env: Environment) -> None:
    """Once, not per row."""
    sink = open_sink("out.csv", env=env, columns=["a"])
    for _ in range(3):
        sink.write({"a": 1})
    sink.write({"a": 1, "b": 2})
    sink.close()

    assert len(sink.warnings) == 1
    assert "'b'" in sink.warnings[0]


def test_safe_csv_is_an_option(written: Written) -> None:
    """Data stay as they are by default."""
    assert written("a.csv", [{"a": "=x"}]) == b"a\n=x\n"
    assert written("b.csv", [{"a": "=x"}], csv_safe=True) == b"a\n'=x\n"


def test_a_missing_folder_is_refused(env: Environment) -> None:
    """Even if nobody has checked before."""
    with pytest.raises(UsageError, match="does not exist"):
        open_sink("nowhere/out.jsonl", env=env)
