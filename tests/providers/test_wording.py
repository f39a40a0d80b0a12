"""What is left of third parties' words."""

from __future__ import annotations

import pytest

from llmx.providers.wording import cleaned, without_row, without_secrets


def test_no_key_is_left():
    """Neither the one that was sent nor anything that looks like one."""
    said = "Incorrect API key provided: sk-proj-abc***xyz. You sent verysecret, Bearer abcdefghij"
    assert cleaned(said, secret="verysecret") == "Incorrect API key provided: … You sent …, …"


def test_the_row_is_not_quoted():
    """A server that repeats the prompt in its error does not get it into our errors."""
    row = "Jane Roe, born 1970-01-01, lives at 12 Long Street in Springfield"
    assert cleaned(f"cannot parse: {row!r}", row=row) == "cannot parse: '…'"


def test_words_are_one_short_line():
    """At most 300 characters, without line breaks."""
    line = cleaned("bad\nthing " * 200)
    assert ("\n" not in line, len(line)) == (True, 300)


def test_whole_columns_are_left_out_however_short():
    """What is judged must not come from the row."""
    assert without_row("cannot read 'flagged' in x", "flagged\x1ex") == "cannot read '…' in x"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@host:1/v1?key=2#x", "https://host:1/v1"),
        ("/there", "/there"),
        ("", "elsewhere"),
        ("http://[", "elsewhere"),
    ],
)
def test_addresses_are_shown_without_secrets(url, shown):
    """User, password, query and fragment may hold some."""
    assert without_secrets(url) == shown
