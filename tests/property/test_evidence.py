"""Laws of alignment: what is in a text is found, what is found is in the text, and both say the same."""

from __future__ import annotations

import time
import unicodedata
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmx.evidence import Aligner, align, supported
from llmx.evidence.facts import same_facts
from llmx.evidence.normal import NormalForm, normal
from llmx.evidence.spans import is_boundary

ODD = "ßﬁİıſK½²①éẹ́ähé한글각\u1112\u1161\u11ab你好，。がアـكِتَابٌ٣ﺳﻼﻡＡ１👩‍👧🇩🇪👍🏽❤️\u200b\u202e\xad…“’–--\n\r\t '\"…...x1 "
TEXTS = st.text(st.characters() | st.sampled_from(ODD), max_size=60)
WORDS = st.lists(
    st.text("abcdefghäöüéñçКиевلغةΩλ漢字かなßﬁ", min_size=1, max_size=8), min_size=3, max_size=25
)


@st.composite
def parts(draw: st.DrawFn) -> tuple[str, int, int]:
    """A text, and a span of it that can be cut out and is not blank."""
    text = draw(TEXTS)
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, len(text)))
    assume(text[start:end].strip() and is_boundary(text, start) and is_boundary(text, end))
    return text, start, end


@given(parts())
def test_every_part_of_a_text_is_exact(part: tuple[str, int, int]):
    """What can be cut out of a text is found in it, as it is."""
    text, start, end = part
    found = align(text[start:end], text)
    assert found is not None
    assert ("exact", text[start:end]) == (found.match, text[found.start : found.end])


@given(TEXTS, TEXTS)
def test_a_span_says_what_the_quote_says(quote: str, text: str):
    """Nothing crashes; an exact span is the quote, a normalized one has its normal form; none cuts a character."""
    for alignment in (align(quote, text), align(text[1:] + quote, text), align(quote + "..." + text, text)):
        if alignment is None:
            continue
        assert 0 <= alignment.start < alignment.end <= len(text)
        assert is_boundary(text, alignment.start)
        assert is_boundary(text, alignment.end)
    found = align(quote, text)
    if found is not None and found.match != "fuzzy":
        assert normal(quote) == normal(text[found.start : found.end])


ALTERATIONS = [
    str.casefold,
    lambda quote: quote.replace(" ", "\n \t"),
    lambda quote: unicodedata.normalize("NFD", quote),
    lambda quote: unicodedata.normalize("NFKC", quote),
    lambda quote: "\u200b".join(quote),
    lambda quote: unicodedata.normalize("NFD", quote.casefold()).replace(" ", "\u3000"),
]


@given(WORDS, st.data(), st.sampled_from(ALTERATIONS))
def test_spelling_does_not_matter(words: list[str], data: st.DataObject, altered: Any):
    """Words of a text in another case, form or spacing are found, with the same normal form, and never as fuzzy."""
    text = " ".join(words)
    start = data.draw(st.integers(0, len(words) - 1))
    quote = altered(" ".join(words[start : data.draw(st.integers(start + 1, len(words)))]))
    found = align(quote, text)
    assert found is not None
    assert found.match in ("exact", "normalized")
    assert normal(quote) == normal(text[found.start : found.end])


@given(TEXTS)
def test_offsets_rise(text: str):
    """The characters of a normal form come from the text, in its order; the form of a form is itself."""
    form = NormalForm(text)
    offsets = [form.offset(position) for position in range(len(form.text))]
    assert offsets == sorted(offsets)
    assert all(0 <= offset < len(text) for offset in offsets)
    assert normal(text) == normal(unicodedata.normalize("NFC", text)) or "\u0345" in form.text + text


@given(WORDS, st.data())
def test_a_changed_number_is_never_found(words: list[str], data: st.DataObject):
    """A quote with one other digit than the text has is not found, however long it is."""
    digits = data.draw(st.integers(1000, 9999))
    other = data.draw(st.integers(1000, 9999).filter(lambda number: number != digits))
    place = data.draw(st.integers(0, len(words)))
    text = " ".join([*words[:place], str(digits), *words[place:]])
    assert align(text.replace(str(digits), str(other)), text) is None


@given(WORDS, st.data())
def test_a_fuzzy_span_states_the_same(words: list[str], data: st.DataObject):
    """A quote with a letter changed is found in the same facts, or not at all."""
    text = " ".join(words)
    place = data.draw(st.integers(0, len(text) - 1))
    quote = text[:place] + data.draw(st.sampled_from("xyz7")) + text[place + 1 :]
    found = align(quote, text)
    if found is not None:
        assert same_facts(normal(quote), normal(text[found.start : found.end]))


@given(st.lists(parts().map(lambda part: part[0][part[1] : part[2]]), max_size=4), TEXTS)
def test_claims_are_finds(quotes: list[str], text: str):
    """A claim finds a quote if and only if a search does, whatever was claimed before."""
    aligner = Aligner(text)
    for quote in quotes * 2:
        assert (aligner.claim(quote) is None) == (align(quote, text) is None)


@given(st.integers(-(10**9), 10**9) | st.decimals(-(10**6), 10**6, places=2) | st.dates())
def test_values_are_found_in_their_own_spelling(value: Any):
    """A number or a date is found as it is written in JSON, among words."""
    text = f"it was {value}, they said"
    found = supported(value, text)
    assert found is not None
    assert str(value) == text[found.start : found.end]


@given(TEXTS | st.integers() | st.floats() | st.datetimes() | st.none() | st.lists(TEXTS, max_size=3), TEXTS)
def test_any_value_any_text(value: Any, text: str):
    """No value and no text crash, and a span is one of the text."""
    found = supported(value, text)
    assert found is None or 0 <= found.start < found.end <= len(text)


def seconds(quotes: list[str], text: str) -> float:
    """Processor time of looking for quotes in a text, the least of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        aligner = Aligner(text)
        for quote in quotes:
            aligner.find(quote)
        supported(7654321, aligner)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize(
    "words",
    [
        "plain words here ",
        "Ünïcödé  –\n",
        "他们在北京开会。",
        "هذا كِتَابٌ ",
        "👩‍👧 🇩🇪 ",
        "각국의 ",
        "a",
        " ",
        "-\n",
        "1,",
    ],
)
def test_time_is_linear_in_the_text(words: str):
    """Sixteen times the text take nowhere near 256 times as long, whatever it repeats."""
    size = 20_000 // len(words)
    quotes = [words * 20 + "zzz", words.strip().upper() * 5, words * 3 + "..." + words * 3 + "q"]
    assert seconds(quotes, words * size * 16) < 64 * seconds(quotes, words * size)
