"""Quotes are found where they stand, and nothing is found that is not there."""

from __future__ import annotations

import pytest

from llmx.evidence import Aligner, Alignment, align

CONTRACT = (
    "The meeting was held in Berlin on 12 March 2019. The company did not agree to pay 1,200 euros. "
    "Later, they signed the contract, after some long discussion about nothing in particular."
)
REPORT = "2019年3月，公司在北京召开了年度股东大会，会议没有通过关于增加注册资本的议案。随后公司公告了结果。"


def found(quote: str, text: str) -> tuple[str, str] | None:
    """How a quote is found, and the span that it is."""
    alignment = align(quote, text)
    return alignment and (alignment.match, text[alignment.start : alignment.end])


def test_offsets_are_code_points():
    """Offsets index the Python string, also behind characters that UTF-8 and UTF-16 write longer."""
    assert Alignment(3, 9, "exact") == align("Berlin", "🎉é Berlin")


@pytest.mark.parametrize("quote", ["", " ", "\n\t", "\u200b", "Paris", "x" * 500])
def test_absent(quote: str):
    """An empty quote, one of nothing visible, and one that is not there are not found."""
    assert align(quote, CONTRACT) is None


def test_empty_text():
    """Nothing stands in an empty text."""
    assert align("a", "") is None


@pytest.mark.parametrize(
    ("quote", "text", "span"),
    [
        ("held  in\nBERLIN", "was held in Berlin", "held in Berlin"),
        ("strasse", "die Straße", "Straße"),
        ("istanbul".upper(), "to istanbul", "istanbul"),
        ("finance", "the ﬁnance act", "ﬁnance"),
        ("İzmir", "in i\u0307zmir", "i\u0307zmir"),
        ("café", "a cafe\u0301.", "cafe\u0301"),
        ("cafe\u0301", "a CAFÉ.", "CAFÉ"),
        ('"yes", it\'s', "he said “yes”, it’s so", "“yes”, it’s"),
        ("10 - 20", "from 10 – 20 days", "10 – 20"),
        ("wait...", "wait… what", "wait…"),
        ("zero width", "ze\u200bro\ufeff wi\u2060dth", "ze\u200bro\ufeff wi\u2060dth"),
        ("left right", "\u202aleft\u202c right", "left\u202c right"),
        ("example", "an exam\u00adple", "exam\u00adple"),
        ("cooperate", "they co-\n   operate", "co-\n   operate"),
        ("كتاب", "هذا كِتَابٌ جديد", "كِتَابٌ"),
        ("كتاب", "هذا كتـــاب جديد", "كتـــاب"),
        ("سلام", "ﺳﻼﻡ", "ﺳﻼﻡ"),
        ("ABC 123", "ＡＢＣ　１２３", "ＡＢＣ　１２３"),
        ("2019", "سنة ٢٠١٩", "٢٠١٩"),
        ("召开了年度", "公司召开了\n年度大会", "召开了\n年度"),
        ("iPhone 手机", "新iPhone手机", "iPhone手机"),
        ("한국어", "\u1112\u1161\u11ab국어", "\u1112\u1161\u11ab국어"),
        ("a\u0323\u0301b", "xx a\u0301\u0323b", "a\u0301\u0323b"),
    ],
)
def test_normalized(quote: str, text: str, span: str):
    """Spellings that read the same are found, and the span is the text's own."""
    assert ("normalized", span) == found(quote, text)


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("e", "e\u0301"),
        ("👩", "👩‍👩‍👧"),
        ("👍", "👍🏽"),
        ("inance", "ﬁnance"),
        ("क", "की"),
        ("🇪", "🇩🇪"),
        ("🇪🇫", "🇩🇪🇫🇷"),
        ("\u1112\u1161", "\u1112\u1161\u11ab"),
        ("102", "10²"),
        ("año", "ano"),
        ("resume", "résumé"),
    ],
)
def test_parts_of_a_character(quote: str, text: str):
    """A part of what a reader sees as one character is another character, and an accent is no matter of spelling."""
    assert align(quote, text) is None


def test_flags_and_families():
    """Whole flags and joined emoji are found between others."""
    assert ("exact", "🇫🇷") == found("🇫🇷", "🇩🇪🇫🇷🇮🇹")
    assert ("exact", "👩‍👩‍👧") == found("👩‍👩‍👧", "a👩‍👩‍👧b")


def test_words_before_parts_of_words():
    """A place between words is better than an earlier one inside a word, which is better than none."""
    assert Alignment(9, 12, "exact") == align("art", "a party, art")
    assert Alignment(3, 6, "exact") == align("art", "a party")
    assert Alignment(7, 12, "exact") == align("cafe\u0301", "cafe\u0301s cafe\u0301")
    assert Alignment(10, 11, "exact") == align("5", "1.5, 5,5, 5.")


def test_after():
    """A place is looked for from an offset on, in any spelling, then from the beginning."""
    aligner = Aligner("yes and yes and Yes, no")
    spans = [aligner.find("yes", after=offset) for offset in (0, 1, 9, 17)]
    assert [(0, "exact"), (8, "exact"), (16, "normalized"), (0, "exact")] == [
        (span.start, span.match) for span in spans if span
    ]


def test_claims():
    """A quote of several fields takes its places in order, and begins again when all are taken."""
    aligner = Aligner("yes and yes and Yes, no")
    starts = [claim and claim.start for claim in map(aligner.claim, ["yes", "yes", "no", "yes", "yes"])]
    assert [0, 8, 21, 16, 0] == starts


@pytest.mark.parametrize(
    ("quote", "text", "span"),
    [
        ("The meeting was hold in Berlin", CONTRACT, "The meeting was held in Berlin"),
        (
            "the compny did not agre to pay 1,200 euros",
            CONTRACT,
            "The company did not agree to pay 1,200 euros",
        ),
        ("公司在北京召开年度股东大会", REPORT, "公司在北京召开了年度股东大会"),
        ("“Berlin.”", CONTRACT, "Berlin"),
        ("The meeting ... in Berlin", CONTRACT, "The meeting was held in Berlin"),
        ("Later, they [...] particular", CONTRACT, CONTRACT[CONTRACT.index("Later") : -1]),
        ("公司在北京……股东大会", REPORT, "公司在北京召开了年度股东大会"),
    ],
)
def test_fuzzy(quote: str, text: str, span: str):
    """Small differences, other marks at the ends and what an ellipsis left out are found as fuzzy."""
    assert ("fuzzy", span) == found(quote, text)


def test_long_fuzzy():
    """A long quote with a slip in every sentence is found from its first word to its last."""
    text = " ".join(
        f"sentence about {name} and its many neighbours." for name in ["oak", "elm", "ash", "yew", "fir"]
    )
    text = "Before all of it. " + text + " After all of it."
    start, end = text.index("sentence"), text.index(" After")
    quote = text[start:end].replace("many", "manny").replace("about", "abuot")
    assert Alignment(start, end, "fuzzy") == align(quote, text)


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("The meeting was held in Berlin on 12 March 2018", CONTRACT),
        ("The company did agree to pay 1,200 euros", CONTRACT),
        ("The company did not agree to pay 1,201 euros", CONTRACT),
        ("the company didn't not agree to pay 1,200 euros", CONTRACT),
        ("they unsigned the contract, after some long discussion", CONTRACT),
        ("会议通过关于增加注册资本的议案", REPORT),
        ("it was three hundred metres to the old house", "it was two hundred metres to the old house"),
        ("it cost us about €50 in the small old shop", "it cost us about $50 in the small old shop"),
        ("it was at -5 in the small old shop", "it was at 5 in the small old shop"),
        ("우리는 어제 회사에 가지 않았습니다", "우리는 어제 회사에 가지 았습니다"),
        ("in particular ... The meeting", CONTRACT),
        ("hold in", CONTRACT),
        ("-5", "about 5 of them"),
        (".5", "about 5 of them"),
        ("5.", "of 2015, and 1.5"),
        ("in 20 ... 5 men", "in 2019 and 15 men"),
    ],
)
def test_other_statements(quote: str, text: str):
    """Another number, currency or sign, a negation more or less, another order, or too short a near match: not found."""
    assert align(quote, text) is None


def test_far_apart():
    """The parts of a shortened quote are not taken from two ends of a long text, but from the closest that there are."""
    text = "the first part, " + "x " * 1_000 + "the first part, and then the last part"
    assert found("the first part ... the last part", text) == (
        "fuzzy",
        "the first part, and then the last part",
    )
    assert (
        align("the first part ... the last part", "the first part, " + "x " * 1_000 + "the last part") is None
    )


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("a" * 1_000 + "b", "a" * 1_000_000),
        ("a" * 2_000_000, "a" * 1_000_000),
        ("A" * 400_000 + "B", "a" * 1_000_000),
        ("ab" * 1_900 + "c", "ab" * 500_000),
        (" " * 5_000 + "x", " " * 1_000_000),
        ("e", "e\u0301" * 300_000),
        ("...".join(["aaa"] * 5 + ["zzz"]), "aaa " * 250_000),
        ("🇩", "🇩🇪" * 100_000),
        ("-\n", "-\n" * 300_000),
        ("不" * 50 + "是" * 3, "是不" * 400_000),
    ],
    ids=range(10),
)
def test_hostile(quote: str, text: str):
    """Texts of a megabyte that repeat without end are answered, with a span of the text or None."""
    alignment = align(quote, text)
    assert alignment is None or 0 <= alignment.start < alignment.end <= len(text)
