"""Names that stand twice in a JSON object."""

from __future__ import annotations

from typing import Any

import pytest

from llmx.records import names
from llmx.records.integers import loads
from llmx.records.names import NameTwice, check_names, lossy_elements


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b'{"a":1,"a":2}', "a"),
        (b'{"a":1,"a":1}', "a"),
        (b'{"a" : 1,\t"a"\t: 2}', "a"),
        (b'{"a":1,"\\u0061":2}', "a"),
        (b'{"a":{"b":[{"c":1,"c":2}]}}', "c"),
        (b'{"":0,"":0}', ""),
        (b'{"a\\":":1,"a\\":":2}', 'a":'),
        (b'{"n":123456789012345678901,"n":0.' + b"9" * 5000 + b"}", "n"),
    ],
)
def test_a_name_that_stands_twice_is_found(text: bytes, name: str) -> None:
    """At whatever depth, however it is spelt, whatever its values."""
    with pytest.raises(NameTwice) as caught:
        check_names(text, loads(text))

    assert str(caught.value).startswith(f"the name {name!r} stands twice in one object")


FINE: list[bytes] = [
    b'{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}',
    b'{"a":"\\"a\\":1,\\"a\\":2 http://x"}',
    b'{"a":"x : y","b":[1.5,[2.5]]}',
    b"{}",
    b"[1]",
    b'"a:b"',
]


@pytest.mark.parametrize("text", FINE)
def test_other_objects_are_none(text: bytes) -> None:
    """Colons and quoted names within texts are text."""
    check_names(text, loads(text))


def test_common_objects_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colons in prose and blanks before colons are no reason to read a text again."""

    def again(*_: Any) -> Any:
        raise AssertionError("read again")

    monkeypatch.setattr(names, "_READER", type("Reader", (), {"decode": again}))
    for text in (b'{"a" : "10:30", "b": [{"c" : 1}]}', b'{"a": "https://x"}', b'{"a":[0.5,{"b":"b:"}]}'):
        check_names(text, loads(text))


def test_elements_of_an_array_are_told_apart() -> None:
    """Each with its own text, as it was."""
    text = b'[ {"a":1} ,\n{"a":1, "a": 2.50},[],"x",{"b":{"c":0,"c":0}}]'
    found = lossy_elements(text, loads(text))

    assert {index: raw for index, (_, raw) in found.items()} == {
        1: '{"a":1, "a": 2.50}',
        4: '{"b":{"c":0,"c":0}}',
    }
