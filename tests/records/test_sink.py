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

import pyarrow.parquet
import pytest
import zstandard

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.records import open_sink, open_source
from llmx.types import Record

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
    assert written("out.csv", [], columns={"a": True, "b": True}) == b"a,b\n"


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
    """`-o /dev/null` as root would be the end of it; here a device that cannot be replaced in earnest."""
    master, slave = os.openpty()
    device = Path(os.ttyname(slave))
    sink = open_sink(str(device), env=env, format="jsonl")
    sink.write({"a": 1})
    sink.close()

    assert os.read(master, 100).strip() == b'{"a":1}'
    assert stat.S_ISCHR(device.stat().st_mode)
    assert not device.with_name(device.name + ".partial").exists()
    os.close(slave)
    os.close(master)


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
    sink = open_sink("out.csv", env=env, columns={"a": True})
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


FILES = ["out.jsonl", "out.csv", "out.tsv.gz", "out.jsonl.zst", "out.parquet"]


@pytest.mark.parametrize("name", FILES)
def test_a_run_without_a_row_leaves_an_earlier_partial_file(name: str, env: Environment) -> None:
    """In no format does it put a header or an archive's frame in its place."""
    (env.cwd / f"{name}.partial").write_text("paid for\n")
    sink = open_sink(name, env=env, columns={"a": True})
    sink.abandon()

    assert sink.rows_left is None
    assert {path.name: path.read_text() for path in env.cwd.iterdir()} == {f"{name}.partial": "paid for\n"}


@pytest.mark.parametrize("name", FILES)
def test_a_run_without_a_row_leaves_no_file(name: str, env: Environment) -> None:
    """An empty one would say nothing."""
    open_sink(name, env=env, columns={"a": True}).abandon()

    assert list(env.cwd.iterdir()) == []


@pytest.mark.parametrize("name", FILES)
def test_a_sink_knows_where_its_rows_are(name: str, env: Environment) -> None:
    """In the partial file when it is abandoned, in the final one when it is closed."""
    for end, expected in (("abandon", f"{name}.partial"), ("close", name)):
        sink = open_sink(name, env=env)
        sink.write({"a": 1})
        getattr(sink, end)()
        assert sink.rows_left == env.cwd / expected
        assert sink.rows_left.stat().st_size


@pytest.mark.parametrize("name", FILES)
def test_an_earlier_runs_rows_are_not_in_a_complete_output(name: str, env: Environment) -> None:
    """Of any length."""
    (env.cwd / f"{name}.partial").write_bytes(b'{"old": 1}\n' * 99)
    sink = open_sink(name, env=env)
    sink.write({"a": "new"})
    sink.close()

    rows = [row.data for row in open_source([name], env=env) if isinstance(row, Record)]
    assert rows == [{"a": "new"}]
    assert [path.name for path in env.cwd.iterdir()] == [name]


@pytest.mark.parametrize("name", FILES)
def test_a_second_run_is_refused(name: str, env: Environment) -> None:
    """Before it has written anything."""
    sink = open_sink(name, env=env)
    sink.write({"a": 1})
    with pytest.raises(UsageError, match=r"another run .*is writing"):
        open_sink(name, env=env)
    sink.close()

    assert [path.name for path in env.cwd.iterdir()] == [name]


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_a_pipe_has_no_files_beside_it(format: str, env: Environment) -> None:
    """Nor are its rows anywhere, in any format; a link to it is one too."""
    os.mkfifo(env.cwd / "pipe")
    (env.cwd / "link").symlink_to("pipe")
    held = os.open(env.cwd / "pipe", os.O_RDWR)  # or opening it would wait for a reader
    sink = open_sink("link", env=env, format=format)
    sink.write({"a": 1})
    sink.close()
    os.close(held)

    assert sink.rows_left is None
    assert sorted(path.name for path in env.cwd.iterdir()) == ["link", "pipe"]
    assert (env.cwd / "pipe").is_fifo()


def test_parquet_goes_down_a_pipe(env: Environment) -> None:
    """Whole, at the end."""
    os.mkfifo(env.cwd / "pipe")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((env.cwd / "pipe").read_bytes()))
    reader.start()
    sink = open_sink("pipe", env=env, format="parquet")
    sink.write({"a": 1})
    sink.close()
    reader.join()

    assert pyarrow.parquet.read_table(BytesIO(received[0])).to_pylist() == [{"a": 1}]


def test_what_is_open_already_is_appended_to(env: Environment) -> None:
    """`-o /dev/stdout >> file` keeps what the file holds, and its name."""
    with (env.cwd / "file").open("ab") as file:
        file.write(b"before\n")
        file.flush()
        sink = open_sink(f"/dev/fd/{file.fileno()}", env=env, format="jsonl")
        sink.write({"a": 1})
        sink.close()

    assert [path.name for path in env.cwd.iterdir()] == ["file"]
    assert (env.cwd / "file").read_bytes() == b'before\n{"a":1}\n'


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet"])
def test_large_integers_come_out_as_they_went_in(name: str, env: Environment, written: Written) -> None:
    """From JSON Lines to any format."""
    digits = "123456789012345678901234567890"
    (env.cwd / "in.jsonl").write_text(f'{{"id": {digits}, "more": [-{digits}]}}\n')
    rows = [row.data for row in open_source(["in.jsonl"], env=env) if isinstance(row, Record)]
    written(name, rows)

    (row,) = [row.data for row in open_source([name], env=env) if isinstance(row, Record)]
    assert str(row["id"]) == digits
    assert f"-{digits}" in str(row["more"])
