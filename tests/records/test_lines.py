"""Lines out of chunks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmx.records.lines import Damaged, Fault, as_text, split_lines


def test_splits_at_line_feeds_only() -> None:
    """U+2028, form feeds and carriage returns are text."""
    text = "a\u2028b\x0c\x1e\nc\r\n".encode()

    assert list(split_lines(iter([text]))) == ["a\u2028b\x0c\x1e".encode(), b"c\r"]


def test_joins_a_line_over_many_chunks() -> None:
    """A line may begin, go on and end in different chunks."""
    assert list(split_lines(iter([b"a", b"", b"b", b"c\nd", b"\n", b"e"]))) == [b"abc", b"d", b"e"]


def test_keeps_empty_lines_so_that_numbers_are_right() -> None:
    """An empty line is a line, but the end of the file begins none."""
    assert list(split_lines(iter([b"\n\na\n"]))) == [b"", b"", b"a"]


def test_a_line_that_is_too_long_is_a_fault_and_the_next_is_fine() -> None:
    """The limit counts the line's bytes without its end, over all chunks."""
    first, second, third = split_lines(iter([b"123", b"456\n12345\n", b"123456"]), limit=5)

    assert first == Fault("longer than 5 bytes (6)", b"123456")
    assert second == b"12345"
    assert third == Fault("longer than 5 bytes (6)", b"123456")


def test_holds_only_the_beginning_of_a_line_that_is_too_long() -> None:
    """However long the line is, 4 KiB of it are kept."""
    (fault,) = split_lines(iter([b"x" * 1000] * 100), limit=5000)

    assert isinstance(fault, Fault)
    assert (fault.message, len(fault.prefix)) == ("longer than 5000 bytes (100000)", 4096)


def test_damage_ends_the_lines_before_the_one_it_is_in() -> None:
    """What was read of the last line is no line: it may be cut anywhere."""

    def damaged() -> Iterator[bytes]:
        yield b"a\nbc"
        raise Damaged("cut", hint="fetch it again")

    lines = split_lines(damaged())
    assert next(lines) == b"a"
    with pytest.raises(Damaged, match="cut"):
        next(lines)


def test_text_of_invalid_bytes_shows_them() -> None:
    """Bytes that are not UTF-8 stay visible and do not become valid."""
    assert as_text(b"caf\xe9\r") == r"caf\xe9"


def test_a_line_that_does_not_end_is_damage() -> None:
    """A device gives zeros for ever; memory and work are bounded."""
    zeros = bytes(2**22)
    with pytest.raises(Damaged, match="1073741824 bytes without a line end"):
        list(split_lines(iter(lambda: zeros, b""), 10))
