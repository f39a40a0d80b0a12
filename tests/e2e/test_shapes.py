"""Rows in and out: formats, compressions, several inputs, and what an output row looks like."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from rehearsal import Rehearsal, Talk, options_for, rehearse, run_to_files, some_rows, with_server

from llmx.errors import UsageError
from llmx.job import Report
from llmx.mock import MockSettings
from llmx.mock.server import Server

ENTITIES = "city, things list[str]"
CSV = "id,text\r\n1,one\r\n2,two\r\n"


def run_on(folder: Path, mock: MockSettings | None = None, **options: Any) -> Rehearsal:
    """A run over inputs that are there already."""

    async def against(server: Server) -> tuple[Report, Talk]:
        return await run_to_files(folder, {**options_for("openai", server.url), **options})

    return with_server(folder, mock or MockSettings(), against)


def table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_rows_are_flat(tmp_path: Path) -> None:
    """The input's columns, then the fields, and nothing else."""
    assert [list(row) for row in rehearse(tmp_path, 1).rows] == [["id", "text", "name", "age"]]


def test_keep_none(tmp_path: Path) -> None:
    """`--keep none` leaves the fields alone."""
    assert list(rehearse(tmp_path, 1, keep="none").rows[0]) == ["name", "age"]


def test_keep_columns(tmp_path: Path) -> None:
    """`--keep id` keeps that one."""
    assert list(rehearse(tmp_path, 1, keep="id").rows[0]) == ["id", "name", "age"]


def test_prefix(tmp_path: Path) -> None:
    """`--prefix` is put before each field."""
    assert list(rehearse(tmp_path, 1, prefix="llm_", keep="id").rows[0]) == ["id", "llm_name", "llm_age"]


def test_into(tmp_path: Path) -> None:
    """`--into` puts the object under one field."""
    row = rehearse(tmp_path, 1, into="found", keep="id").rows[0]
    assert list(row["found"]) == ["name", "age"]


def test_explode(tmp_path: Path) -> None:
    """One output row per element, numbered by `_item`; a row with an empty list gives none and has not failed."""
    run = rehearse(tmp_path, 20, schema=ENTITIES, explode="things", keep="id")
    for number in range(20):
        items = [row["_item"] for row in run.rows if row["id"] == number]
        assert items == list(range(len(items)))
    assert (run.figures.ok, run.figures.failed) == (20, 0)
    assert {frozenset(row) for row in run.rows} == {frozenset({"id", "city", "things", "_item"})}


def test_many_columns(tmp_path: Path) -> None:
    """Two hundred columns come through as they were."""
    wide = [{f"c{n}": n for n in range(200)}]
    row = rehearse(tmp_path, wide).rows[0]
    assert list(row) == [*wide[0], "name", "age"]


def test_values_of_all_types_come_through(tmp_path: Path) -> None:
    """What the input says is what the output says."""
    given = {"a": None, "b": 1.5, "c": [1, {"x": "é"}], "d": True, "e": "line\nbreak\u2028 and \U0001f600"}
    row = rehearse(tmp_path, [given]).rows[0]
    assert {name: row[name] for name in given} == given


def test_csv_to_csv(tmp_path: Path) -> None:
    """A header, a line per row, cells as they were."""
    (tmp_path / "in.csv").write_text(CSV, encoding="utf-8", newline="")
    run_on(tmp_path, inputs=["in.csv"], output="out.csv")
    rows = table(tmp_path / "out.csv")
    assert [(row["id"], row["text"]) for row in rows] == [("1", "one"), ("2", "two")]
    assert list(rows[0]) == ["id", "text", "name", "age"]


def test_csv_flattens_lists_as_json(tmp_path: Path) -> None:
    """A list is one cell of JSON."""
    rehearse(tmp_path, 3, schema=ENTITIES, output="out.csv")
    assert all(isinstance(json.loads(row["things"]), list) for row in table(tmp_path / "out.csv"))


NESTED = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "home": {
            "anyOf": [
                {"type": "null"},
                {
                    "type": "object",
                    "properties": {
                        "city": {"type": "string"},
                        "geo": {
                            "type": "object",
                            "properties": {"lat": {"type": "number"}},
                            "required": ["lat"],
                        },
                    },
                    "required": ["city"],
                },
            ]
        },
    },
    "required": ["name", "home"],
}


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({}, ["name", "home.city", "home.geo.lat"]),
        ({"prefix": "x_"}, ["x_name", "x_home.city", "x_home.geo.lat"]),
        ({"into": "llm"}, ["llm.name", "llm.home.city", "llm.home.geo.lat"]),
    ],
)
def test_csv_has_a_column_for_every_name_of_the_schema(
    tmp_path: Path, options: dict[str, str], header: list[str]
) -> None:
    """Whichever rows have the objects, nothing is left out."""
    (tmp_path / "nested.json").write_text(json.dumps(NESTED), encoding="utf-8")
    found = rehearse(tmp_path, 20, schema="nested.json", output="out.csv", keep="none", **options)
    rows = table(tmp_path / "out.csv")
    assert list(rows[0]) == header
    assert not any("left out" in line for line in found.said)
    assert {bool(row[header[1]]) for row in rows} == {True, False}


def test_a_late_column_called_like_a_part_of_a_field_fails_its_row(tmp_path: Path) -> None:
    """Its value would stand in the answer's column; one that is known from the start keeps the answer whole."""
    (tmp_path / "nested.json").write_text(json.dumps(NESTED), encoding="utf-8")
    given: list[dict[str, Any]] = [*some_rows(150), {"id": 150, "home.city": "IN"}]
    options = {"schema": "nested.json", "output": "out.csv"}
    late = rehearse(tmp_path, given, **options, errors="late.jsonl")
    assert late.figures.failed == 1
    assert len(table(tmp_path / "out.csv")) == 150
    rehearse(tmp_path, given[-1:], **options)
    (row,) = table(tmp_path / "out.csv")
    assert row["home.city"] == "IN"
    assert list(row) == ["id", "home.city", "name", "home"]


def test_tsv_to_tsv(tmp_path: Path) -> None:
    """The same with tabs."""
    (tmp_path / "in.tsv").write_text(CSV.replace(",", "\t"), encoding="utf-8")
    run_on(tmp_path, inputs=["in.tsv"], output="out.tsv")
    assert [row["text"] for row in table(tmp_path / "out.tsv", "\t")] == ["one", "two"]


def test_csv_keeps_quoted_newlines(tmp_path: Path) -> None:
    """A cell of two lines is one row."""
    (tmp_path / "in.csv").write_text('id,text\r\n1,"two\nlines"\r\n', encoding="utf-8", newline="")
    run_on(tmp_path, inputs=["in.csv"], output="out.csv")
    assert [row["text"] for row in table(tmp_path / "out.csv")] == ["two\nlines"]


def test_parquet_to_parquet(tmp_path: Path) -> None:
    """Columns keep their types."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"id": [1, 2], "text": ["one", "two"]}), tmp_path / "in.parquet")
    run_on(tmp_path, inputs=["in.parquet"], output="out.parquet")
    out = parquet.read_table(tmp_path / "out.parquet")
    assert out.column_names == ["id", "text", "name", "age"]
    assert out["id"].to_pylist() == [1, 2]


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed_in_and_out(suffix: str, tmp_path: Path) -> None:
    """`.gz` and `.zst` are read and written by their suffix."""
    plain = b"".join(json.dumps(row).encode() + b"\n" for row in some_rows(5))
    if suffix == "gz":
        pack, unpack = gzip.compress, gzip.decompress
    else:
        zstandard = pytest.importorskip("zstandard")
        pack = zstandard.compress
        unpack = lambda data: zstandard.ZstdDecompressor().stream_reader(data).read()  # noqa: E731
    (tmp_path / f"in.jsonl.{suffix}").write_bytes(pack(plain))
    run_on(tmp_path, inputs=[f"in.jsonl.{suffix}"], output=f"out.jsonl.{suffix}")
    lines = unpack((tmp_path / f"out.jsonl.{suffix}").read_bytes()).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [0, 1, 2, 3, 4]


def test_a_folder_of_text_files(tmp_path: Path) -> None:
    """Each file is a row of its path and text, in the order of their names."""
    (tmp_path / "notes").mkdir()
    for name in ("b", "a"):
        (tmp_path / "notes" / f"{name}.txt").write_text(f"note {name}", encoding="utf-8")
    run = run_on(tmp_path, inputs=["notes"])
    assert [(row["path"], row["text"]) for row in run.rows] == [
        ("notes/a.txt", "note a"),
        ("notes/b.txt", "note b"),
    ]


def test_several_inputs(tmp_path: Path) -> None:
    """Files of different formats are one input, in the order given."""
    (tmp_path / "one.jsonl").write_text('{"id": "a", "text": "x"}\n', encoding="utf-8")
    (tmp_path / "two.csv").write_text("id,text\nb,y\n", encoding="utf-8")
    assert run_on(tmp_path, inputs=["two.csv", "one.jsonl"]).ids == ["b", "a"]


def test_limit(tmp_path: Path) -> None:
    """`--limit 3` asks for three rows and no more."""
    run = rehearse(tmp_path, 10, limit=3)
    assert run.ids == [0, 1, 2]
    assert run.stats["calls"] == 3


def test_sample(tmp_path: Path) -> None:
    """`--sample` takes rows at random, in the input's order, the same for the same seed."""
    first = rehearse(tmp_path, 100, sample=10, seed=1).ids
    assert first == rehearse(tmp_path, 100, sample=10, seed=1).ids
    assert first == sorted(first)
    assert first != rehearse(tmp_path, 100, sample=10, seed=2).ids


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.jsonl", b""),
        ("in.jsonl", b"\n\n\r\n"),
        ("in.jsonl", b"\xef\xbb\xbf"),
        ("in.csv", b""),
        ("in.csv", b"id,text\n"),
        ("in.csv", b"id,text\r\n\r\n"),
    ],
)
def test_no_rows_are_no_failure(name: str, content: bytes, tmp_path: Path) -> None:
    """An empty input ends with an empty output and exit code 0, and calls nobody."""
    (tmp_path / name).write_bytes(content)
    run = run_on(tmp_path, inputs=[name])
    assert run.report.exit_code == 0
    assert run.stats["calls"] == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_blank_lines_bom_and_crlf(tmp_path: Path) -> None:
    """What editors of other systems leave in a file is no row and no error."""
    (tmp_path / "in.jsonl").write_bytes(
        b'\xef\xbb\xbf{"id": 1, "text": "a"}\r\n\r\n{"id": 2, "text": "b"}\r\n'
    )
    run = run_on(tmp_path, inputs=["in.jsonl"])
    assert run.ids == [1, 2]
    assert run.errors == []


def test_bad_lines_go_to_the_errors_with_their_line_number(tmp_path: Path) -> None:
    """A malformed line and one that is not UTF-8 fail alone; the others go on."""
    (tmp_path / "in.jsonl").write_bytes(b'{"id": 1}\n{"id": \n{"id": 3}\n{"id": "\xff"}\n[5]\n{"id": 6}\n')
    run = run_on(tmp_path, inputs=["in.jsonl"])
    assert run.ids == [1, 3, 6]
    assert [row["_error"]["line"] for row in run.errors] == [2, 4, 5]
    assert run.kinds == {"unreadable_row"}
    assert run.report.exit_code == 3


def test_ragged_csv_rows_go_to_the_errors(tmp_path: Path) -> None:
    """A row with a cell too many is not guessed at."""
    (tmp_path / "in.csv").write_text("id,text\n1,a\n2,b,c\n3,d\n", encoding="utf-8")
    run = run_on(tmp_path, inputs=["in.csv"])
    assert run.ids == ["1", "3"]
    assert [row["_error"]["line"] for row in run.errors] == [3]


def test_the_errors_are_valid_input(tmp_path: Path) -> None:
    """The failed rows alone run again by naming their file, and the model is not shown `_error`."""
    failed = rehearse(tmp_path, 6, MockSettings(malformed_rate=1.0), reasks=0)
    assert len(failed.errors) == 6
    (tmp_path / "out.errors.jsonl").rename(tmp_path / "again.jsonl")
    run = run_on(tmp_path, inputs=["again.jsonl"])
    assert run.ids == list(range(6))
    assert all("_error" not in row for row in run.rows)


def test_a_column_that_is_also_a_field_is_refused(tmp_path: Path) -> None:
    """Before the first call, naming it and the ways out."""
    with pytest.raises(UsageError, match="'name' is also a field") as caught:
        rehearse(tmp_path, [{"name": "x"}])
    assert "--prefix" in caught.value.hint


@pytest.mark.parametrize("output", ["out.jsonl", "out.csv", "out.parquet"])
def test_a_late_column_that_is_also_a_field_costs_nothing(output: str, tmp_path: Path) -> None:
    """Its row is among the errors, counted as such, and no call was made for it."""
    rows = [*some_rows(150), {"id": 150, "text": "x", "name": "mine"}, {"id": 151, "text": "y"}]
    run = rehearse(tmp_path, rows, output=output)
    errors = tmp_path / ("out.errors.jsonl" if output == "out.jsonl" else f"{output}.errors.jsonl")
    (error,) = map(json.loads, errors.read_text().splitlines())
    assert (error["id"], error["name"]) == (150, "mine")
    assert "'name' of this row is also a field" in error["_error"]["message"]
    assert (run.figures.ok, run.figures.failed, run.figures.calls) == (151, 1, 151)
    assert run.report.exit_code == 3


def test_an_elements_unforeseen_field_is_an_error_that_is_counted(tmp_path: Path) -> None:
    """What it cost and what was extracted are told with it."""
    schema = {
        "type": "object",
        "properties": {"things": {"type": "array", "minItems": 1, "items": {"const": {"id": 7}}}},
        "required": ["things"],
    }
    run = rehearse(tmp_path, 2, schema=schema, explode="things", mode="json")
    assert (run.figures.ok, run.figures.failed) == (0, 2)
    assert json.loads(run.errors[0]["_error"]["raw"])["things"][0] == {"id": 7}
    assert run.errors[0]["_error"]["attempts"] == 1


def test_large_integers_come_out_as_they_went_in(tmp_path: Path) -> None:
    """And are shown to the model as they are."""
    run = rehearse(tmp_path, [{"id": 123456789012345678901234567890, "text": "x"}])
    assert b"123456789012345678901234567890" in (tmp_path / "out.jsonl").read_bytes()
    assert run.figures.ok == 1
