"""Reading Parquet."""

from __future__ import annotations

import datetime
import decimal
import gzip
import io
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from llmx.errors import UsageError
from llmx.records.lines import Damaged
from llmx.records.parquet import ParquetReader, parquet_rows, seekable


def parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


def test_rows_come_without_line_numbers() -> None:
    """In batches nobody sees."""
    reader = ParquetReader(io.BytesIO(parquet(a=list(range(2500)), b=[{"c": [1.5]}] * 2500)), "a.parquet")

    assert reader.columns() == ["a", "b"]
    assert list(reader.rows()) == [(None, {"a": i, "b": {"c": [1.5]}}) for i in range(2500)]


def test_values_are_json_like() -> None:
    """Times and decimals become text, bytes too."""
    content = parquet(
        day=[datetime.date(2024, 2, 29)],
        at=[datetime.datetime(2024, 2, 29, 12)],
        price=[decimal.Decimal("1.10")],
        name=[b"caf\xc3\xa9"],
        blob=[b"\xff"],
    )

    assert list(ParquetReader(io.BytesIO(content), "a.parquet").rows()) == [
        (
            None,
            {
                "day": "2024-02-29",
                "at": "2024-02-29T12:00:00",
                "price": "1.10",
                "name": "café",
                "blob": "/w==",
            },
        )
    ]


def test_error_is_dropped() -> None:
    """As everywhere."""
    assert list(ParquetReader(io.BytesIO(parquet(a=[1], _error=["x"])), "a.parquet").rows()) == [
        (None, {"a": 1})
    ]


def test_a_stream_that_cannot_be_sought_in_is_spooled() -> None:
    """A Parquet file is read from its end."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with seekable(Pipe(parquet(a=[1])), "-") as file:
        assert list(ParquetReader(file, "-").rows()) == [(None, {"a": 1})]


def test_a_compressed_file_is_unpacked_first() -> None:
    """Somebody ran gzip over the whole folder."""
    with seekable(io.BytesIO(gzip.compress(parquet(a=[1]))), "-") as file:
        assert list(ParquetReader(file, "-").rows()) == [(None, {"a": 1})]


def test_a_plain_file_is_read_where_it_is() -> None:
    """Without a copy."""
    stream = io.BytesIO(parquet(a=[1]))

    assert seekable(stream, "-") is stream


def test_a_cut_archive_is_refused() -> None:
    """Its footer is what is missing."""
    with pytest.raises(UsageError, match=r"a\.parquet\.gz: the gzip data end too early"):
        seekable(io.BytesIO(gzip.compress(b"a" * 100)[:-3]), "a.parquet.gz")


@pytest.mark.parametrize("content", [b"", b"PAR1oops", b"a,b\n1,2\n"])
def test_what_is_no_parquet_is_refused(content: bytes) -> None:
    """Before any row."""
    with pytest.raises(UsageError, match=r"a\.parquet: not a Parquet file"):
        ParquetReader(io.BytesIO(content), "a.parquet")


def test_two_columns_of_one_name_are_refused() -> None:
    """One would hide the other."""
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays([[1], [2]], names=["a", "a"]), buffer)

    with pytest.raises(UsageError, match="two columns are called 'a'"):
        ParquetReader(io.BytesIO(buffer.getvalue()), "a.parquet").columns()


def test_damage_inside_is_told() -> None:
    """The footer is fine, the data are not."""
    content = bytearray(parquet(a=["text"] * 100))
    content[4:60] = bytes(56)
    with pytest.raises(Damaged, match="cannot read on: "):
        list(ParquetReader(io.BytesIO(bytes(content)), "a.parquet").rows())


def test_times_that_python_has_no_room_for_are_text() -> None:
    """The rows beside them keep theirs, in lists and structs too; nanoseconds that are whole microseconds fit."""
    nano, far = pyarrow.timestamp("ns"), pyarrow.timestamp("us", "UTC")
    at = pyarrow.array([1_000, 1, None], nano)
    content = parquet(
        at=at,
        far=pyarrow.array([0, 506806588800000000, 0], far),
        list=pyarrow.array([[1_000], [1], []], pyarrow.list_(nano)),
        one=pyarrow.array([{"t": 2_000}, {"t": 2}, None], pyarrow.struct([("t", nano)])),
        clock=pyarrow.array([1_000, 1, 2_000], pyarrow.time64("ns")),
        took=pyarrow.array([1_000, 2_500, 0], pyarrow.duration("ns")),
        n=[1, 2, 3],
    )
    first, odd, last = (row for _, row in ParquetReader(io.BytesIO(content), "a.parquet").rows())

    assert first == {
        "at": "1970-01-01T00:00:00.000001",
        "far": "1970-01-01T00:00:00+00:00",
        "list": ["1970-01-01T00:00:00.000001"],
        "one": {"t": "1970-01-01T00:00:00.000002"},
        "clock": "00:00:00.000001",
        "took": "PT0.000001S",
        "n": 1,
    }
    assert odd["at"] == "1970-01-01 00:00:00.000000001"
    assert odd["far"].startswith("18030-")
    assert odd["took"] == "PT0.000002S"
    assert odd["list"] == ["1970-01-01 00:00:00.000000001"]
    assert odd["one"] == {"t": "1970-01-01 00:00:00.000000002"}
    assert (odd["clock"], odd["n"]) == ("00:00:00.000000001", 2)
    assert (last["at"], last["one"], last["clock"]) == (None, None, "00:00:00.000002")


def test_the_footer_says_how_many_rows(tmp_path: Path) -> None:
    """Without reading them."""
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(a=[1, 2]))
    assert parquet_rows(path) == 2

    path.write_bytes(b"oops")
    assert parquet_rows(path) is None


def test_without_pyarrow_the_hint_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(UsageError, match="pyarrow") as caught:
        ParquetReader(io.BytesIO(), "a.parquet")
    assert caught.value.hint == "pip install pyarrow"


def test_rows_that_cannot_be_read_are_told_one_by_one() -> None:
    """Text that is not UTF-8, an infinity, and what is too long; the others are rows."""
    texts = pyarrow.array([b"\xff", b"ok", b"x" * 500, b"ok"]).cast(pyarrow.string(), safe=False)
    content = parquet(
        t=texts, n=[0.0, 1.0, 2.0, 3.0], deep=[[{"f": [x]}] for x in (0.0, float("inf"), 0.0, 0.0)]
    )
    rows = [row for _, row in ParquetReader(io.BytesIO(content), "a.parquet", 200).rows()]

    assert [str(row) for row in rows[:3]] == [
        "a.parquet: row 1: invalid UTF-8 at byte 1 of a text",
        "a.parquet: row 2: an infinity, for which JSON has no number",
        "a.parquet: row 3: longer than 200 bytes (537)",
    ]
    assert rows[3] == {"t": "ok", "n": 3.0, "deep": [{"f": [0.0]}]}


def test_two_fields_of_one_name_are_refused_at_any_depth() -> None:
    """Only one could be kept."""
    twice = pyarrow.StructArray.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["a", "a"])
    content = parquet(s=pyarrow.array([[0]]), t=twice)

    with pytest.raises(UsageError, match="two columns are called 'a'"):
        ParquetReader(io.BytesIO(content), "a.parquet").columns()


def test_an_infinity_beside_a_time_is_told_too() -> None:
    """Times take another way to JSON, on which it would become null."""
    content = parquet(day=[datetime.date(2024, 2, 29)] * 2, n=[float("inf"), float("nan")])
    rows = [row for _, row in ParquetReader(io.BytesIO(content), "a.parquet").rows()]

    assert str(rows[0]).endswith("an infinity, for which JSON has no number")
    assert rows[1] == {"day": "2024-02-29", "n": None}
