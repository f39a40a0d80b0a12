"""The source: several inputs, keys, limits, samples, streams."""

from __future__ import annotations

import collections
import gzip
import io
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from msgspec.structs import replace

from llmx.environment import Environment
from llmx.errors import InputFailed, UsageError
from llmx.records import RecordSource, Unreadable, open_source
from llmx.records import source as source_module
from llmx.records.inputs import Input
from llmx.types import Record

Read = Callable[..., list[Record | Unreadable]]

Live = Callable[..., tuple[RecordSource, io.FileIO]]

NUMBERS = b"".join(b'{"n":%d}\n' % n for n in range(1000))


@pytest.fixture
def live(env: Environment) -> Iterator[Live]:
    """Sources over a pipe that somebody goes on writing to."""
    streams: list[Any] = []

    def open_live(content: bytes, **options: Any) -> tuple[RecordSource, io.FileIO]:
        reading, writing = os.pipe()
        stdin, pipe = os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0)
        streams.extend([pipe, stdin])
        pipe.write(content)
        source = prompt(lambda: open_source(["-"], env=replace(env, stdin=stdin), **options))
        return source, pipe  # type: ignore[return-value]

    yield open_live
    for stream in streams:
        stream.close()


def numbers(rows: list[Record | Unreadable]) -> list[int]:
    return [row.data["n"] for row in rows if isinstance(row, Record)]


def test_a_record_says_where_it_comes_from(read: Read) -> None:
    """Index, line and the file's name."""
    assert read("rows.jsonl", b'\n{"a": 1}\n') == [Record(0, {"a": 1}, 2, "rows.jsonl", None)]


def test_an_unreadable_row_takes_an_index(read: Read) -> None:
    """Every row of the input has its own."""
    first, second = read("rows.jsonl", b'oops\n{"a": 1}\n')

    assert isinstance(first, Unreadable)
    assert (first.index, first.line, first.origin, first.raw) == (0, 1, "rows.jsonl", "oops")
    assert second.index == 1


def test_several_inputs_are_one_source(env: Environment) -> None:
    """Of any formats, in the order given; columns are those of all of them, the index goes on."""
    (env.cwd / "a.csv").write_text("id,name\n1,x\n")
    (env.cwd / "b.jsonl").write_text('{"id": 2, "town": "y"}\n')
    (env.cwd / "texts").mkdir()
    (env.cwd / "texts/c.txt").write_text("hello")
    source = open_source(["a.csv", "b.jsonl", "texts"], env=env)

    assert source.columns == ["id", "name", "town", "path", "text"]
    assert source.total() == 3
    assert [(row.index, row.data) for row in source if isinstance(row, Record)] == [
        (0, {"id": "1", "name": "x"}),
        (1, {"id": 2, "town": "y"}),
        (2, {"path": "texts/c.txt", "text": "hello"}),
    ]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, bytes])
@pytest.mark.parametrize("name", ["-", "rows.jsonl", "rows.jsonl.gz"])
def test_compression_is_seen_from_the_bytes(read: Read, pack: Callable[[bytes], bytes], name: str) -> None:
    """Whatever the name says."""
    assert numbers(read(name, pack(NUMBERS))) == list(range(1000))


def test_stdin_may_be_an_array(read: Read) -> None:
    """As many web APIs answer."""
    assert numbers(read("-", b'[{"n": 1}, {"n": 2}]')) == [1, 2]


def test_stdin_has_the_format_the_user_says(read: Read) -> None:
    """It has no suffix."""
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"n": [1]}), buffer)

    assert [row.data for row in read("-", b"a\n1\n", format="csv")] == [{"a": "1"}]  # type: ignore[union-attr]
    assert [row.data for row in read("-", b"a\n1\n", format="text")] == [{"text": "a"}, {"text": "1"}]  # type: ignore[union-attr]
    assert numbers(read("-", buffer.getvalue(), format="parquet")) == [1]


def test_stdins_columns_are_known_and_no_row_is_lost(env: Environment) -> None:
    """The first row is looked at and given all the same."""
    source = open_source(["-"], env=replace(env, stdin=io.BytesIO(NUMBERS)))

    assert source.columns == ["n"]
    assert source.total() is None
    assert numbers(list(source)) == list(range(1000))


@pytest.mark.parametrize("content", [b"", b"\n\n"])
@pytest.mark.parametrize("name", ["-", "rows.jsonl", "rows.csv", "rows.json"])
def test_an_empty_input_has_no_rows_and_no_columns(env: Environment, name: str, content: bytes) -> None:
    """It is no error."""
    (env.cwd / "rows.jsonl").write_bytes(content)
    (env.cwd / "rows.json").write_bytes(content)
    (env.cwd / "rows.csv").write_bytes(content)
    source = open_source([name], env=replace(env, stdin=io.BytesIO(content)))

    assert (source.columns, list(source)) == ([], [])


def test_the_same_iterator_is_given_every_time(env: Environment) -> None:
    """Workers may each ask for it."""
    source = open_source(["-"], env=replace(env, stdin=io.BytesIO(NUMBERS)))

    assert next(iter(source)).index == 0
    assert next(iter(source)).index == 1
    source.close()


@pytest.mark.parametrize(
    ("value", "key"),
    [("x", "x"), (7, "7"), (1.5, "1.5"), (True, "true"), ([1, {"b": 1, "a": 2}], '[1,{"a":2,"b":1}]')],
)
def test_the_key_is_the_columns_value_as_text(read: Read, value: Any, key: str) -> None:
    """The same text for the same value."""
    (record,) = read("rows.jsonl", orjson.dumps({"id": value}), key="id")

    assert isinstance(record, Record)
    assert record.key == key


@pytest.mark.parametrize("line", [b'{"a":1}', b'{"id":null,"a":1}', b'{"id":"","a":1}'])
def test_a_row_without_a_key_is_unreadable(read: Read, line: bytes) -> None:
    """It has no identity; the row itself is kept."""
    _, row = read("rows.jsonl", b'{"id":1,"a":1}\n' + line, key="id")

    assert isinstance(row, Unreadable)
    assert str(row.error) == "rows.jsonl:2: no value in the key column 'id'"
    assert orjson.loads(row.raw) == orjson.loads(line)


def test_a_key_that_is_no_column_is_refused(env: Environment) -> None:
    """In whichever file."""
    (env.cwd / "a.csv").write_text("id,name\n1,x\n")
    (env.cwd / "b.csv").write_text("ident,name\n1,x\n")

    with pytest.raises(UsageError, match=r"no column 'id' in 'b\.csv'") as caught:
        open_source(["a.csv", "b.csv"], env=env, key="id")
    assert caught.value.hint == "did you mean 'ident'? the columns are ident, name"


def test_a_later_header_is_checked_before_the_first_row(env: Environment) -> None:
    """It would be found after hours."""
    (env.cwd / "a.csv").write_text("a\n1\n")
    (env.cwd / "b.csv").write_text("a,a\n1,2\n")

    with pytest.raises(UsageError, match=r"b\.csv: two columns"):
        open_source(["a.csv", "b.csv"], env=env)


def test_the_limit_is_on_rows_of_all_inputs(env: Environment) -> None:
    """Unreadable ones included."""
    (env.cwd / "a.jsonl").write_text("oops\n")
    (env.cwd / "b.jsonl").write_bytes(NUMBERS)
    source = open_source(["a.jsonl", "b.jsonl"], env=env, limit=3)

    assert source.total() == 3
    assert [row.index for row in source] == [0, 1, 2]


def test_a_file_is_counted_once(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files take a while, and a run asks more than once."""
    (env.cwd / "a.jsonl").write_bytes(NUMBERS)
    counted: list[Input] = []
    monkeypatch.setattr(source_module, "count_rows", lambda found: counted.append(found) or 1000)
    source = open_source(["a.jsonl"], env=env)

    assert [source.total(), source.total()] == [1000, 1000]
    source.restrict(3, None, 0)
    assert source.total() == 3
    assert len(counted) == 1


def test_the_limit_does_not_wait_for_another_row(live: Live) -> None:
    """`tail -f | llmx -n 1` ends."""
    source, _ = live(b'{"n":1}\n', limit=1)

    assert prompt(lambda: list(source)) == [Record(0, {"n": 1}, 1, "-")]


def test_a_sample_is_drawn_by_seed_in_input_order(read: Read) -> None:
    """The same seed draws the same rows, another one others."""
    one = numbers(read("rows.jsonl", NUMBERS, sample=10, seed=1))
    same = numbers(read("rows.jsonl", NUMBERS, sample=10, seed=1))
    other = numbers(read("rows.jsonl", NUMBERS, sample=10, seed=2))

    assert one == same == sorted(one)
    assert len(set(one)) == 10
    assert one != other


def test_every_row_is_as_likely_to_be_in_a_sample(read: Read) -> None:
    """2 of 10 rows, 400 times: each row 80 times, give or take five standard deviations."""
    content = NUMBERS[: NUMBERS.index(b"10") - len(b'{"n":')]
    drawn = collections.Counter(
        number for seed in range(400) for number in numbers(read("rows.jsonl", content, sample=2, seed=seed))
    )

    assert len(drawn) == 10
    assert all(abs(count - 80) < 40 for count in drawn.values())


def test_a_sample_is_drawn_of_the_limited_rows(env: Environment) -> None:
    """And is no larger than they are."""
    (env.cwd / "a.jsonl").write_bytes(NUMBERS)
    source = open_source(["a.jsonl"], env=env, limit=5, sample=10)

    assert source.total() == 5
    assert numbers(list(source)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("option", ["limit", "sample"])
def test_a_negative_count_is_refused(env: Environment, option: str) -> None:
    """By the option's name."""
    with pytest.raises(UsageError, match=f"--{option} must not be negative: -1"):
        open_source(["-"], env=env, **{option: -1})  # type: ignore[arg-type]


def test_a_file_that_vanishes_is_an_unreadable_row(env: Environment) -> None:
    """The others go on."""
    for name in ("a.txt", "b.txt", "c.txt"):
        (env.cwd / name).write_text(name)
    source = open_source(["a.txt", "b.txt", "c.txt"], env=env)
    (env.cwd / "b.txt").unlink()
    first, second, third = source

    assert isinstance(second, Unreadable)
    assert str(second.error) == "b.txt: No such file or directory"
    assert (first.index, second.index, third.index) == (0, 1, 2)


@pytest.mark.parametrize("name", ["a.jsonl", "b.csv"])
def test_a_file_of_rows_that_vanishes_fails_the_input(env: Environment, name: str) -> None:
    """Nobody knows how many rows were in it."""
    (env.cwd / "a.jsonl").write_text('{"n": 1}')
    (env.cwd / "b.csv").write_text("n\n2\n")
    source = open_source(["a.jsonl", "b.csv"], env=env)
    (env.cwd / name).unlink()

    with pytest.raises(InputFailed, match=f"{name}: No such file or directory"):
        list(source)


MANY = b"".join(b'{"n": %d, "text": "%d"}\n' % (n, n**9) for n in range(5_000))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz", "-"])
def test_an_archive_that_is_cut_fails_the_input_after_its_rows(env: Environment, name: str) -> None:
    """Rows that are whole come first."""
    text = MANY.replace(b'"', b"") if "csv" in name else MANY
    cut = gzip.compress(text)[:-20]
    (env.cwd / name).write_bytes(cut)
    source = open_source([name], env=replace(env, stdin=io.BytesIO(cut)))
    rows: list[Record | Unreadable] = []
    with pytest.raises(InputFailed, match="the gzip data end too early: the file is cut") as caught:
        collections.deque(map(rows.append, source), maxlen=0)

    assert str(caught.value).startswith(f"{name}: ")
    assert len(rows) > 4_000


def test_damage_in_sight_is_found_before_any_row(env: Environment) -> None:
    """What is looked at for its columns."""
    (env.cwd / "a.jsonl.gz").write_bytes(gzip.compress(b'{"n": 1}\n')[:-5])
    with pytest.raises(UsageError, match=r"a\.jsonl\.gz: the gzip data end too early"):
        open_source(["a.jsonl.gz"], env=env)


def test_utf_16_is_told_with_a_way_out(env: Environment) -> None:
    """Of a text file it is that row's fault alone."""
    for name in ("a.jsonl", "a.csv", "a.txt"):
        (env.cwd / name).write_bytes("{}".encode("utf-16"))
    for name in ("a.jsonl", "a.csv"):
        with pytest.raises(UsageError, match=f"{name}: UTF-16 text; only UTF-8 is read") as caught:
            open_source([name], env=env)
        assert caught.value.hint.startswith("iconv")
    (row,) = open_source(["a.txt"], env=env)
    assert isinstance(row, Unreadable)


def test_a_compressed_parquet_file_leaves_nothing_open(env: Environment) -> None:
    """Neither itself nor its unpacked copy (warnings are errors here)."""
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"n": [1]}), buffer)
    (env.cwd / "a.parquet.gz").write_bytes(gzip.compress(buffer.getvalue()))

    assert numbers(list(open_source(["a.parquet.gz"], env=env))) == [1]


def test_a_named_pipe_is_read_once(env: Environment) -> None:
    """As `<(command)` gives it."""
    path = env.cwd / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(NUMBERS,))
    writer.start()
    source = open_source(["pipe"], env=env)

    assert source.columns == ["n"]
    assert source.total() is None
    assert numbers(list(source)) == list(range(1000))
    writer.join()
    source.close()


@pytest.mark.parametrize("format", ["jsonl", "csv", "text", None])
def test_a_slow_producers_rows_come_as_they_are_written(live: Live, format: str | None) -> None:
    """Each one when its line is complete, without waiting for the next."""
    source, pipe = live(b'name\n{"n":1}\n' if format == "csv" else b'{"n":1}\n', format=format)
    rows = iter(source)

    assert prompt(lambda: next(rows)).index == 0
    pipe.write(b'{"n":')
    pipe.write(b"2}\n")
    assert prompt(lambda: next(rows)).index == 1
    pipe.close()
    assert list(rows) == []


def test_closing_half_way_leaves_nothing_open(env: Environment) -> None:
    """Warnings are errors here."""
    (env.cwd / "a.jsonl").write_bytes(NUMBERS)
    source = open_source(["a.jsonl"], env=env)
    next(iter(source))

    source.close()


def test_memory_does_not_grow_with_the_input(env: Environment) -> None:
    """A peak for 200,000 rows is the peak for 2,000."""

    def peak(rows: int) -> int:
        quoted = rows // 10
        (env.cwd / "a.jsonl").write_bytes(
            b'{"id":1,"text":"the quick brown fox jumps over the lazy dog"}\n' * rows
        )
        (env.cwd / "a.csv").write_bytes(
            b"id,text\n" + b"1,the quick brown fox jumps over the lazy dog\n" * quoted
        )
        tracemalloc.start()
        count = sum(1 for _ in open_source(["a.jsonl", "a.csv"], env=env))
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == rows + quoted
        return highest

    assert peak(200_000) < 2 * peak(10_000)


def prompt(action: Callable[[], Any]) -> Any:
    """The action's result, which must not need any more input."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(action()), daemon=True)
    thread.start()
    thread.join(10)
    assert results, "waits for more input"
    return results[0]


def test_a_key_is_exact_however_large(read: Read) -> None:
    """Two numbers that are one as floats are two rows' keys."""
    (first, second) = read(
        "rows.jsonl", b'{"id": 123456789012345678901}\n{"id": 123456789012345678902}\n', key="id"
    )

    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.key, second.key) == ("123456789012345678901", "123456789012345678902")


def test_a_file_that_grows_is_read_to_an_end_of_it(env: Environment) -> None:
    """And that is told: the last row may be half a row."""
    path = env.cwd / "a.jsonl"
    path.write_bytes(b'{"a":1}\n' * 3)
    source = open_source(["a.jsonl"], env=env)
    rows = iter(source)
    next(rows)
    with path.open("ab") as file:
        file.write(b'{"a":9}\n')

    assert len(list(rows)) == 3
    assert source.warnings == [
        "a.jsonl: it has grown from 24 to 32 bytes while it was read; rows at its end may be missing"
    ]


def test_the_first_row_of_what_is_read_once(env: Environment, tmp_path: Path) -> None:
    """It is what such an input is known by, and it is not lost; a file is known by its content."""
    source = open_source(["-"], env=replace(env, stdin=io.BytesIO(b"a\n1\n2\n")), format="csv")
    assert isinstance(source.first, Record)
    assert (source.first.data, [row.data for row in source if isinstance(row, Record)]) == (
        {"a": "1"},
        [{"a": "1"}, {"a": "2"}],
    )
    (env.cwd / "b.csv").write_text("a\n1\n")
    assert open_source(["b.csv"], env=env).first is None


def test_standard_input_without_a_row(env: Environment) -> None:
    """It is known by nothing."""
    assert open_source(["-"], env=replace(env, stdin=io.BytesIO(b""))).first is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: os.truncate(path, 20), "it was cut from 24 to 20 bytes"),
        (lambda path: os.utime(path, ns=(1, 1)), "it was written to"),
        (lambda path: path.rename(path.with_name("b")).write_bytes(b"") and None, ""),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_a_file_that_changes_fails_the_input_after_its_rows(
    env: Environment, change: Callable[[Path], Any], message: str, begun: bool
) -> None:
    """Its rows would be of two files; one that has gone could be read all the same, once it was open."""
    path = env.cwd / "a.jsonl"
    path.write_bytes(b'{"a":1}\n' * 3)
    rows = iter(open_source(["a.jsonl"], env=env))
    found = [next(rows)] if begun else []
    change(path)
    if begun and not message:
        assert len([*found, *rows]) == 3
        return
    when = "while it was read" if begun else "since its columns were looked at"
    with pytest.raises(InputFailed, match=f"a.jsonl: {message} {when}" if message else "No such file"):
        found += rows
