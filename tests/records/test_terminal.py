"""Rows on a terminal."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import unicodedata

import pytest
from msgspec.structs import replace

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.records import check_output, open_sink
from llmx.records.terminal import visible

NASTY = "a\x1b[2J\x07\x7f\x9b31m\u202ereversed\u2066\u200b\u061c\ufeff\U000e0041\u2028z"


class Screen(io.BytesIO):
    """A terminal's stream."""

    def isatty(self) -> bool:
        return True


def test_no_control_is_left() -> None:
    """Of none of the characters there are, but the line end and the tab of TSV."""
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
    left = {character for character in visible(everything) if unicodedata.category(character) in ("Cc", "Cf")}

    assert left == {"\n", "\t"}


def test_text_in_any_script_stays() -> None:
    """Only what cannot be seen is escaped."""
    assert visible("naïve 東京 عربى \u00a0🙂\n") == "naïve 東京 عربى \u00a0🙂\n"


def shown(env: Environment, stream: io.BytesIO, format: str) -> str:
    sink = open_sink("-", env=replace(env, stdout=stream), format=format)
    sink.write({"text": NASTY, "more": "\r"})
    sink.close()
    return stream.getvalue().decode()


@pytest.mark.parametrize("format", ["jsonl", "csv", "tsv"])
def test_a_row_cannot_drive_the_terminal(env: Environment, format: str) -> None:
    """What would is escaped as JSON has it."""
    text = shown(env, Screen(), format)

    assert "\x1b" not in text
    assert "\\u202ereversed\\u2066" in text
    assert all(character.isprintable() or character in "\n\t" for character in text)


def test_json_on_a_terminal_means_the_same(env: Environment) -> None:
    """It may be copied from there."""
    assert json.loads(shown(env, Screen(), "jsonl")) == {"text": NASTY, "more": "\r"}


def test_pipes_and_files_get_the_bytes(env: Environment) -> None:
    """Data are not changed."""
    assert next(csv.reader([shown(env, io.BytesIO(), "csv").split("\n", 1)[1]]))[0] == NASTY
    assert "\u202e" in shown(env, io.BytesIO(), "jsonl")


def test_a_terminal_by_its_device_is_one(env: Environment) -> None:
    """`-o /dev/tty`."""
    master, slave = os.openpty()
    sink = open_sink(os.ttyname(slave), env=env, format="jsonl")
    sink.write({"a": "\u202e"})
    sink.close()

    assert os.read(master, 100).decode().strip() == '{"a":"\\u202e"}'
    os.close(slave)
    os.close(master)


def test_parquet_is_not_for_a_terminal(env: Environment) -> None:
    """It is binary; that is told before the run."""
    with pytest.raises(UsageError, match="not for a terminal"):
        check_output("-", [], env=replace(env, stdout=Screen()), format="parquet")
    check_output("-", [], env=env, format="parquet")
