"""Keys as words, as attributes and as names of classes."""

from __future__ import annotations

import keyword
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.schemas.inference.words import LONGEST_NAME, Names, attributes, in_words

NAMES = st.lists(
    st.text(min_size=1, max_size=50).filter(lambda text: text.isprintable()), unique=True, max_size=8
)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("postal_code", "postal code"),
        ("PostalCode", "postal code"),
        ("USPSBoxType", "USPS box type"),
        ("größe-in cm", "größe in cm"),
        ("__", "value"),
    ],
)
def test_words(key: str, expected: str) -> None:
    """However a key is spelled."""
    assert in_words(key) == expected


@given(NAMES, NAMES)
def test_attributes_are_names_that_a_file_can_have(keys: list[str], taken: list[str]) -> None:
    """Different ones, as Python reads them, none of them long or taken."""
    chosen = attributes(keys, taken)
    names = list(chosen.values())
    assert list(chosen) == keys
    assert len(set(names)) == len(names)
    assert set(names) & set(taken) == set()
    for name in names:
        assert name.isidentifier()
        assert not keyword.iskeyword(name)
        assert unicodedata.normalize("NFKC", name) == name
        assert len(name) <= LONGEST_NAME + 4


def test_a_key_stays_what_it_is_where_it_can() -> None:
    """What Python, pydantic or the file's imports need is spelled differently."""
    chosen = attributes(["colour", "class", "str", "first name", "copy"], [])
    assert chosen == {
        "colour": "colour",
        "class": "class_",
        "str": "str_",
        "first name": "first_name",
        "copy": "copy_",
    }


def test_names_of_classes() -> None:
    """In one file each is given once; of a list's elements, in the singular."""
    names = Names(["Taken"])
    assert [names.new("invoice_lines", one=True), names.new("invoice lines", one=True)] == [
        "InvoiceLine",
        "InvoiceLineType",
    ]
    assert names.new("invoice line") == "InvoiceLine2"
    assert names.new("categories", one=True) == "Category"
    assert names.new("taken") == "TakenType"
    assert names.new("größe") == "Part"
    assert names.new("3d") == "Part3d"
