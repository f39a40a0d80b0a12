"""The normal form, and the way back from it."""

from __future__ import annotations

import pytest

from llmx.evidence.normal import NormalForm, normal


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", ""),
        ("  A \t\n b ", "a b"),
        ("exam\xad\nple", "example"),
        ("a\xad b", "a b"),
        ("well-known", "well-known"),
        ("1-\n2", "1- 2"),
        ("a -- b — c", "a - b - c"),
        ("你好 \n 世界", "你好世界"),
        ("10² ½ ①", "10² ½ ①"),
        ("\x00a\x1bb", "ab"),
        ("«a» ‹b›", "\"a\" 'b'"),
    ],
)
def test_form(text: str, form: str):
    """What is equal for a reader is equal, and digits keep their value."""
    assert form == normal(text)


def test_offsets():
    """Every character of the form knows the text's that it comes from, also where lengths differ."""
    form = NormalForm("ﬁ  co-\n op İx")
    assert "fi coop i\u0307x" == form.text
    assert [0, 0, 1, 3, 4, 8, 9, 10, 11, 11, 12] == [form.offset(index) for index in range(len(form.text))]


def test_span_takes_the_marks_along():
    """A span of letters includes the marks on them that the normal form leaves out."""
    text = "هذا كِتَابٌ جديد"
    start, end = NormalForm(text).span(4, 8)
    assert "كِتَابٌ" == text[start:end]
