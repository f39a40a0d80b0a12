"""Integers beyond 64 bits."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from llmx.records import integers
from llmx.records.integers import exact, loads, loads_object


@pytest.mark.parametrize(
    "number",
    [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**18, 123456789012345678901234567890],
)
@pytest.mark.parametrize("around", ["%d", "[[%d]]", '{"a": {"b": [0.5, -%d]}}'])
def test_integers_keep_their_digits(number: int, around: str) -> None:
    """At whatever depth."""
    text = (around % number).replace("--", "-")

    assert repr(loads(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize(
    "text", ["0.1234567890123456789012", "12345678901234567890.5", "-1e18", "0.00000000000000000000000001"]
)
def test_floats_are_the_nearest_64_bit_ones(text: str) -> None:
    """However many digits they have."""
    assert loads(text.encode()) == float(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"n": 12345678901234567890123, "x": NaN}',
        b'{"n": 12345678901234567890123, "x": "\\ud800"}',
        b'{"n": 12345678901234567890123',
        b'{"n": 1%s}' % (b"0" * 400),
    ],
)
def test_what_is_refused_without_them_is_refused_with_them(text: bytes) -> None:
    """The standard library would take these."""
    with pytest.raises(orjson.JSONDecodeError):
        loads(text)


def test_nesting_too_deep_for_the_standard_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than rounded."""

    def give_up(_: str) -> Any:
        raise RecursionError

    monkeypatch.setattr(integers.json, "loads", give_up)
    with pytest.raises(orjson.JSONDecodeError, match="nested too deeply"):
        loads(b"[123456789012345678901]")


def test_of_two_values_under_one_name_the_last_counts() -> None:
    """As without large integers."""
    assert loads(b'{"a": 1, "a": 123456789012345678901}') == {"a": 123456789012345678901}


@pytest.mark.parametrize(
    "text", [b"[0.84442185152504812345, 0.0000000000000000000001]", b'["tel 123456789012345678"]']
)
def test_texts_without_such_integers_are_read_once(text: bytes) -> None:
    """Long fractions are no reason to read them again."""
    value = orjson.loads(text)

    assert exact(text, value) is value


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (b'{"a": 123456789012345678901}\n', {"a": 123456789012345678901}),
        (b'{"a": "\\ud800"}', {"a": "\ud800"}),
        (b"[1]", None),
        (b'{"a": ', None),
        (b"", None),
        (b"[" * 5000, None),
    ],
)
def test_a_line_as_an_object(line: bytes, row: dict[str, Any] | None) -> None:
    """Lone surrogates as the standard library reads them; nothing else is one, and nothing raises."""
    assert loads_object(line) == row
