"""Formats by name."""

from __future__ import annotations

import pytest

from llmx.errors import UsageError
from llmx.records.formats import Named, format_of, suffix_format


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl", Named("jsonl", None, ".jsonl")),
        ("a.ndjson.gz", Named("jsonl", "gzip", ".ndjson")),
        ("b.d/a.CSV.ZST", Named("csv", "zstd", ".csv")),
        ("a.tab", Named("tsv", None, ".tab")),
        ("a.pq", Named("parquet", None, ".pq")),
        ("notes.md", Named("text", None, ".md")),
        ("rows", Named("jsonl", None, "")),
        ("rows.gz", Named("jsonl", "gzip", "")),
        (".hidden", Named("jsonl", None, "")),
        ("a.xlsx", Named(None, None, ".xlsx")),
    ],
)
def test_suffixes_say_format_and_compression(name: str, expected: Named) -> None:
    """The last suffix may be a compression's, the one before it is the format's."""
    assert suffix_format(name) == expected


def test_the_users_word_goes_before_the_suffix() -> None:
    """`--input-format` is for files with odd names."""
    assert format_of("a.xlsx", "csv") == "csv"


def test_an_unknown_suffix_names_the_nearest_and_the_option() -> None:
    """A typo is mended by the hint, a strange name by the option."""
    with pytest.raises(UsageError, match=r"unknown suffix '.jsnol' in 'rows.jsnol'") as caught:
        format_of("rows.jsnol", None)

    assert caught.value.hint == (
        "did you mean '.jsonl'? or name the format: --input-format jsonl|csv|tsv|parquet|text"
    )


def test_an_unknown_format_names_the_nearest() -> None:
    """Option values are checked like names."""
    with pytest.raises(UsageError, match="unknown --output-format 'parket'") as caught:
        format_of("-", "parket", sink=True)

    assert caught.value.hint == "did you mean 'parquet'? one of jsonl, csv, tsv, parquet"


@pytest.mark.parametrize("name", ["out.txt", "out.json"])
def test_text_and_json_documents_cannot_be_written(name: str) -> None:
    """They are formats of inputs only."""
    with pytest.raises(UsageError, match="cannot write") as caught:
        format_of(name, None, sink=True)

    assert "--output-format" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl.partial", Named("jsonl", None, ".jsonl")),
        ("a.csv.partial", Named("csv", None, ".csv")),
        ("a.jsonl.gz.partial", Named("jsonl", "gzip", ".jsonl")),
        ("a.tsv.zst.PARTIAL", Named("tsv", "zstd", ".tsv")),
        ("a.parquet.partial", Named("jsonl", None, ".parquet")),
        ("rows.partial", Named("jsonl", None, "")),
    ],
)
def test_a_partial_file_is_read_as_what_it_was_to_be(name: str, expected: Named) -> None:
    """But for Parquet, whose rows wait as JSON Lines."""
    assert suffix_format(name) == expected
