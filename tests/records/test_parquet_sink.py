"""Writing Parquet."""

from __future__ import annotations

import errno
import os
from io import BytesIO
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from llmx.environment import Environment
from llmx.errors import OutputFailed
from llmx.records import open_sink


def table(env: Environment, rows: list[dict[str, Any]]) -> tuple[Any, list[str]]:
    """What is read from the file after the rows were written, and the sink's warnings."""
    sink = open_sink("out.parquet", env=env)
    for row in rows:
        sink.write(row)
    sink.close()
    assert [path.name for path in env.cwd.iterdir()] == ["out.parquet"]
    return pyarrow.parquet.read_table(env.cwd / "out.parquet"), sink.warnings


def test_types_are_found_over_all_rows(env: Environment) -> None:
    """Integers give way to floats, unknown types to known ones, objects take in each other's fields."""
    early = [{"n": 1, "t": None, "o": {"a": 1}, "l": []}] * 1000
    found, warnings = table(env, [*early, {"n": 1.5, "t": "x", "o": {"b": True}, "l": [1], "late": 1}])

    assert warnings == []
    assert found.schema.names == ["n", "t", "o", "l", "late"]
    assert [str(type) for type in found.schema.types] == [
        "double",
        "string",
        "struct<a: int64, b: bool>",
        "list<element: int64>",
        "int64",
    ]
    assert found.to_pylist()[-1] == {"n": 1.5, "t": "x", "o": {"a": None, "b": True}, "l": [1], "late": 1}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, "a", None, {"b": 1}], ["1", "a", None, '{"b":1}']),
        ([2**70, 1], ["1180591620717411303424", "1"]),
        ([{}], ["{}"]),
        ([[{}]], ["[{}]"]),
        ([2**60 + 1, 0.5], ["1152921504606846977", "0.5"]),
    ],
)
@pytest.mark.parametrize("gap", [0, 1000])
def test_values_without_a_common_type_become_text(
    env: Environment, values: list[Any], expected: list[Any], gap: int
) -> None:
    """Nothing is lost, and it is told; wherever the first of them comes."""
    found, warnings = table(env, [{"v": values[0]}] * gap + [{"v": value} for value in values])

    assert found["v"].to_pylist()[gap:] == expected
    assert warnings == ["columns that hold values of several types were written as text: 'v'"]


def test_no_rows_are_an_empty_table(env: Environment) -> None:
    """A file that can be read."""
    found, _ = table(env, [])

    assert found.num_rows == 0


def test_a_stopped_run_leaves_readable_lines(env: Environment) -> None:
    """A Parquet file without its end could not be read."""
    sink = open_sink("out.parquet", env=env)
    sink.write({"a": 1})
    sink.abandon()

    assert (env.cwd / "out.parquet.partial").read_bytes() == b'{"a":1}\n'
    assert not (env.cwd / "out.parquet").exists()


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_stdout_gets_the_whole_file_at_the_end(env: Environment, end: str) -> None:
    """Or nothing."""
    sink = open_sink("-", env=env, format="parquet")
    sink.write({"a": 1})
    getattr(sink, end)()

    assert isinstance(env.stdout, BytesIO)
    content = env.stdout.getvalue()
    if end == "abandon":
        assert content == b""
    else:
        assert pyarrow.parquet.read_table(BytesIO(content)).to_pylist() == [{"a": 1}]


def test_a_full_disk_at_the_end_keeps_the_rows(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the partial file still."""

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sink = open_sink("out.parquet", env=env)
    sink.write({"a": 1})
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OutputFailed, match=r"cannot write 'out\.parquet': No space left"):
        sink.close()

    assert [path.name for path in env.cwd.iterdir()] == ["out.parquet.partial"]
