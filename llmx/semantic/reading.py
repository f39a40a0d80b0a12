"""A text as what it says: its numbers, names, words and signs in their order, without what may be left out.

Before a text's tokens are compared, it is brought to one form: greetings and thanks at its ends go, contractions, number
words, dates with a month's name, and a short list of phrases are written in one way. Nothing is left out in the middle
but articles, "please", and punctuation that separates.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from msgspec import Struct

from llmx.semantic.words import (
    AMBIGUOUS,
    CURRENCIES,
    EMPHASISED,
    KINDS,
    MONTHS,
    NUMBERS,
    PHRASES,
    RELATIVE,
    RELATIVE_PERIODS,
    UNITS,
)

__all__ = ["LONGEST", "Token", "is_relative", "read", "same_case"]

LONGEST = 50_000
"""Characters of a text beyond which it is not read."""


class Token(Struct, frozen=True):
    """One thing that a text says.

    Args:
        kind: "number", "name", "sign", "word", or what `words.KINDS` has of it.
        text: in small letters, but for what has none.
        case: "l", "T", "U" or "M" (small, first letter, all, mixed) where it may mean something; "" where it does not.
        sentence: which it stands in, from 0.
    """

    kind: str
    text: str
    case: str = ""
    sentence: int = 0


def same_case(one: Token, other: Token) -> bool:
    """Whether two tokens of one text are the same word, as far as their capitals tell."""
    if one.case == other.case:
        return True
    cases = {one.case, other.case}
    return "" in cases and ("l" in cases or one.text not in AMBIGUOUS)


_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad]")
_APOSTROPHES = str.maketrans("’‘ʼ`´", "'''''")

_WHO = r"(?:\s+(?:there|all|team|everyone|everybody|sir or madam|sir|madam|support|support team|customer service))?"
_GREETING = re.compile(
    r"^\s*(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day)|greetings|hallo|guten (?:tag|morgen|abend)|"
    r"sehr geehrte damen und herren|moin|bonjour|bonsoir|hola|buenos días|ciao|buongiorno|salve)"
    rf"{_WHO}\s*(?:[,!.:\n\u2013\u2014-]+\s*|$)"
    r"|^\s*(?:i )?hope (?:you are|you're|this (?:e-?mail|message) finds you) (?:doing )?well(?:[.!,\n]+\s*|$)",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?:^|(?<=[.!?\n]))\s*(?:(?:many )?thanks(?: a lot| so much| very much| again| in advance)?|"
    r"thank you(?: so much| very much| again| in advance)?|(?:(?:best|kind|warm|many) )?regards|best wishes|"
    r"(?:yours )?sincerely|cheers|have a (?:nice|great|good) (?:day|weekend|evening)|"
    r"(?:vielen )?dank(?: im voraus)?|danke(?: im voraus)?|mit freundlichen grüßen|viele grüße|"
    r"merci(?: beaucoup)?|merci d'avance|cordialement|(?:muchas )?gracias|saludos|grazie(?: mille)?|cordiali saluti)"
    r"[\s.!,]*$",
    re.IGNORECASE,
)

_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_DATES = (
    re.compile(
        rf"\b(?P<m>{_MONTH})\.?\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y>\d{{4}})\b", re.IGNORECASE
    ),
    re.compile(
        rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\.?(?:\s+of)?\s+(?P<m>{_MONTH})\.?,?\s+(?P<y>\d{{4}})\b",
        re.IGNORECASE,
    ),
)
_CLOCK = re.compile(r"\b(\d{1,2})(?::(\d\d))?\s*([ap])\.?m\b\.?", re.IGNORECASE)

_LINK = r"(?:https?://|www\.)[^\s<>\"]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
_CHUNK = r"[^\W_]+(?:[-_/.,:'][^\W_]+)*"
_TOKEN = re.compile(rf"(?P<link>{_LINK})|(?P<chunk>{_CHUNK})|(?P<space>\s+)|(?P<sign>.)", re.DOTALL)
_SEPARATORS = frozenset(".,;:!\"'()[]{}…\u2013\u2014-•·«»„“”‚¡¿")
_PAUSES = frozenset(".,;:!?\u2013\u2014-")
_ENDS = frozenset(".!?\n…")
_MINUS = frozenset("-\u2212\u2013")

_JOINTS = re.compile(r"(?<!\d)[,:]|[,:](?!\d)")
_DOTS = re.compile(r"[._]")
_NUMBER = re.compile(r"\d+(?:[-.,:/]\d+)*")
_MEASURE = re.compile(r"(\d+(?:[.,]\d+)?)([^\W\d]{1,3})")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:,\d{3}){2,}")
_GROUPED_BY_DOTS = re.compile(r"\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}")

_BY_FIRST_WORD: dict[str, list[tuple[list[str], str]]] = {}
for _phrase, _said in sorted(PHRASES.items(), key=lambda pair: -pair[0].count(" ")):  # the longest first
    _BY_FIRST_WORD.setdefault(_phrase.split()[0], []).append((_phrase.split(), _said))


def read(text: str) -> tuple[Token, ...]:
    """What a text says, in its order."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFC", text)).translate(_APOSTROPHES)
    text = _dated(_without_courtesy(text))
    cased = _tells_case(text)
    words = _with_case(_joined(list(_raw(text))), cased=cased)
    return tuple(_money_behind(_without_articles(words)))


def is_relative(tokens: Sequence[Token]) -> bool:
    """Whether what a text says depends on when it is read."""
    if any(token.text in RELATIVE for token in tokens):
        return True
    before, after = RELATIVE_PERIODS
    return any(one.text in before and two.text in after for one, two in pairwise(tokens))


def _without_courtesy(text: str) -> str:
    """A text without greetings before and thanks behind it; as it is where there is nothing else."""
    rest = text
    while (found := _GREETING.match(rest)) is not None and found.end():
        rest = rest[found.end() :]
    while (found := _CLOSING.search(rest)) is not None and found.end() > found.start():
        rest = rest[: found.start()]
    return rest if rest.strip() else text


def _dated(text: str) -> str:
    for pattern in _DATES:
        text = pattern.sub(lambda m: f"{m['y']}-{MONTHS[m['m'].lower()]:02d}-{int(m['d']):02d}", text)
    return _CLOCK.sub(_as_24_hours, text)


def _as_24_hours(found: re.Match[str]) -> str:
    hour = int(found[1])
    if not 1 <= hour <= 12:
        return found[0]
    hour = hour % 12 + (12 if found[3].lower() == "p" else 0)
    return f"{hour:02d}:{found[2] or '00'}"


def _tells_case(text: str) -> bool:
    """Whether capitals mean anything in a text: some letters are large, and some are not."""
    return text != text.lower() and text != text.upper()


class _Raw(Struct):
    """A piece of text before it is known what it says."""

    kind: str
    text: str
    sentence: int
    starts: bool
    spaced: bool


def _raw(text: str) -> Iterator[_Raw]:
    sentence, starts, spaced = 0, True, True
    denied = pause = False
    for found in _TOKEN.finditer(text):
        kind, piece = str(found.lastgroup), found[0]
        if kind == "space":
            if "\n" in piece and not starts:
                sentence, starts = sentence + 1, True
            spaced = True
            continue
        if kind == "sign":
            pause = pause or (
                piece in _PAUSES and (denied or _RELATIVE_CLAUSE.match(text, found.end()) is not None)
            )
            yield from _sign(piece, text, found, sentence, spaced=spaced)
            denied = False
            if piece in _ENDS and not starts:
                sentence, starts = sentence + 1, True
        else:
            for part in [piece] if kind == "link" else _parts(piece):
                if pause:
                    yield _Raw("sign", ",", sentence, False, spaced)
                yield _Raw(kind, part, sentence, starts, spaced)
                starts = spaced = pause = False
            denied = _denies(piece)
        spaced = False


def _denies(piece: str) -> bool:
    """Whether a pause behind this word matters: "no, refunds" and "no refunds" are two things."""
    small = piece.lower()
    return KINDS.get(small) == "negation" or small.endswith("n't")


def _sign(piece: str, text: str, found: re.Match[str], sentence: int, *, spaced: bool) -> Iterator[_Raw]:
    """A sign that says something by itself: not one that only separates."""
    if piece in _MINUS and _AMOUNT.match(text, found.end()):
        yield _Raw("sign", "-", sentence, False, True)
    elif piece in ".," and _is_point(text, found.start()):
        yield _Raw("sign", ".", sentence, False, True)
    elif piece == "(" and _BRACKETED.match(text, found.start()):
        yield _Raw("sign", "()", sentence, False, True)
    elif piece not in _SEPARATORS and not (piece == "?" and text[found.start() - 1 : found.start()] == "?"):
        yield _Raw("sign", piece, sentence, False, spaced)


_RELATIVE_CLAUSE = re.compile(r"\s*(?:who|whom|whose|which)\b", re.IGNORECASE)
"""Behind a comma it tells something of all, and else which ones are meant."""

_AMOUNT = re.compile(r"\s*[$€£¥]?\s*[.,]?\d")
_BRACKETED = re.compile(r"\(\s*[$€£¥]?\s*\d[\d.,]*\s*%?\s*\)")
"""An amount in brackets: a negative one, in accounts."""


def _is_point(text: str, place: int) -> bool:
    """Whether a number begins here that has no digit before its point."""
    return text[place + 1 : place + 2].isdigit() and not text[max(0, place - 1) : place].isalnum()


def _parts(chunk: str) -> Iterator[str]:
    """A chunk at those of its joints that are none within a number or a name of letters and digits."""
    if chunk.isalpha():
        yield chunk
        return
    for part in _JOINTS.split(chunk):
        if any(map(str.isdigit, part)):
            measure = _MEASURE.fullmatch(part)
            if measure is not None and measure[2].lower() in UNITS:
                yield measure[1]
                yield measure[2]
            else:
                yield part
            continue
        for number, words in enumerate(part.split("/")):
            if number:
                yield "/"
            yield from filter(None, _DOTS.split(words))


def _joined(raw: Sequence[_Raw]) -> Iterator[_Raw]:
    """The pieces with phrases and contractions written in one way."""
    small = [piece.text.lower() for piece in raw]
    place = 0
    while place < len(raw):
        for words, said in _BY_FIRST_WORD.get(small[place], ()):
            some = raw[place : place + len(words)]
            if small[place : place + len(words)] == words and _is_phrase(some):
                yield from _spoken(said, some[0])
                place += len(words)
                break
        else:
            yield from _expanded(raw[place], small[place])
            place += 1


def _is_phrase(some: Sequence[_Raw]) -> bool:
    """Whether words stand in one sentence, and a single one is not written like a name, which has no other spelling."""
    return some[0].sentence == some[-1].sentence and not _is_name(some)


def _is_name(some: Sequence[_Raw]) -> bool:
    """Whether a word is written like a name, which has no other spelling."""
    first = some[0]
    return (
        len(some) == 1 and not first.starts and first.text[:1].isupper() and first.text != first.text.upper()
    )


def _spoken(said: str, first: _Raw) -> Iterator[_Raw]:
    kind = "sign" if said == "%" else "phrase"
    for number, word in enumerate(said.split()):
        yield _Raw(kind, word, first.sentence, first.starts and not number, True)


_SUFFIXES = {"n't": "not", "'re": "are", "'ve": "have", "'ll": "will", "'m": "am"}


def _expanded(piece: _Raw, word: str) -> Iterator[_Raw]:
    for suffix, said in _SUFFIXES.items() if "'" in word else ():
        if len(word) > len(suffix) and word.endswith(suffix):
            yield _Raw(piece.kind, piece.text[: -len(suffix)], piece.sentence, piece.starts, piece.spaced)
            yield _Raw("phrase", said, piece.sentence, False, True)
            return
    yield piece


def _with_case(pieces: Iterator[_Raw], *, cased: bool) -> Iterator[Token]:
    """The pieces as tokens."""
    for piece in pieces:
        if piece.kind == "link":
            yield Token("name", piece.text.rstrip(".,;:!?'"), "", piece.sentence)
        elif piece.kind == "sign" or piece.text == "/":
            yield Token("sign", CURRENCIES.get(piece.text, piece.text), "", piece.sentence)
        elif _NUMBER.fullmatch(piece.text):
            yield Token("number", _plain_number(piece.text), "", piece.sentence)
        elif any(map(str.isdigit, piece.text)):
            yield Token("name", piece.text, "", piece.sentence)  # an identifier: its case is part of it
        else:
            yield _word(piece, cased=cased)


def _plain_number(text: str) -> str:
    """A number without the marks between its thousands, where they can be nothing else."""
    if _GROUPED.fullmatch(text):
        return text.replace(",", "")
    if _GROUPED_BY_DOTS.fullmatch(text):
        return text.replace(".", "").replace(",", ".")
    return text


def _word(piece: _Raw, *, cased: bool) -> Token:
    small = piece.text.lower()
    if small in NUMBERS:
        return Token("number", NUMBERS[small], "", piece.sentence)
    if "-" in small and (digits := _two_digits(small)) is not None:
        return Token("number", digits, "", piece.sentence)
    if small in CURRENCIES:
        return Token("sign", CURRENCIES[small], "", piece.sentence)
    case = _case_of(piece, small) if cased else ""
    kind = KINDS.get(small) or ("name" if case in ("T", "U", "M") else "word")
    return Token(kind, small if kind == "name" else _american(small), case, piece.sentence)


_BRITISH = (
    (re.compile(r"(?<=\w{4})is(e|ed|es|ing|ation|ations)$"), r"iz\1"),
    (re.compile(r"(?<=\w{3})our(s|ed|ing|ful|ite|ites|able)?$"), r"or\1"),
)


@lru_cache(maxsize=10_000)
def _american(word: str) -> str:
    """A word as it is spelt in America, as far as its ending tells; of some that have one spelling, nobody's."""
    for pattern, spelt in _BRITISH:
        word = pattern.sub(spelt, word)
    return word


def _two_digits(small: str) -> str | None:
    tens, _, ones = small.partition("-")
    if tens in NUMBERS and ones in NUMBERS and NUMBERS[tens].endswith("0") and len(NUMBERS[ones]) == 1:
        return str(int(NUMBERS[tens]) + int(NUMBERS[ones]))
    return None


def _case_of(piece: _Raw, small: str) -> str:
    text = piece.text
    if piece.kind == "phrase" or small in EMPHASISED:
        return ""
    if text == small:
        return "" if piece.starts else "l"
    if text == text.upper():
        return "T" if len(text) == 1 and not piece.starts else "" if len(text) == 1 else "U"
    if text[1:] == small[1:]:
        return "" if piece.starts else "T"
    return "M"


_ARTICLES = frozenset({"a", "an", "the"})


def _without_articles(tokens: Iterator[Token]) -> Iterator[Token]:
    """Tokens without what may be left out anywhere."""
    said = list(tokens)
    for before, token, after in zip([None, *said], said, [*said[1:], None], strict=False):
        if token.text in _ARTICLES and token.case in ("", "l") and _is_article(before, token, after):
            continue
        if token.text == "please" and (after is None or after.text not in ("you", "me", "him", "her")):
            continue
        yield token


_COUNTED = frozenset(
    [
        "few",
        "little",
        "lot",
        "bit",
        "day",
        "week",
        "month",
        "year",
        "hour",
        "minute",
        "second",
        "night",
        "person",
        "head",
        "piece",
        "time",
        "kilo",
        "pound",
        "quarter",
        "third",
        "hundred",
        "thousand",
        "million",
        "dozen",
        "couple",
    ]
)
"""Before these an article says how many: "a few" is not "few", nor "a third" the third."""

_LETTERED = frozenset(
    [
        "vitamin",
        "type",
        "class",
        "grade",
        "plan",
        "option",
        "hepatitis",
        "group",
        "schedule",
        "section",
        "exhibit",
        "appendix",
        "level",
        "team",
        "terminal",
        "gate",
        "platform",
        "zone",
        "category",
        "clause",
        "part",
        "unit",
        "block",
        "wing",
        "hall",
        "room",
        "line",
        "influenza",
    ]
)
"""Behind these an A is a letter."""


def _is_article(before: Token | None, token: Token, after: Token | None) -> bool:
    """Whether an article may be left out: something follows, of which it does not say how many."""
    if after is None or after.sentence != token.sentence or after.kind in ("sign", "number"):
        return token.text == "the" and after is not None
    if token.text == "a" and before is not None and before.text in _LETTERED | _ARTICLES | {"and", "or"}:
        return False
    return after.text not in _COUNTED and after.kind not in ("order", "quantifier")


_MONEY = frozenset(CURRENCIES.values())


def _money_behind(tokens: Iterator[Token]) -> Iterator[Token]:
    """Tokens with the sign of money behind its number, wherever it stood."""
    said = list(tokens)
    for place in range(len(said) - 1):
        before = said[place - 1].kind if place else ""
        if said[place].text in _MONEY and before != "number" and said[place + 1].kind == "number":
            said[place], said[place + 1] = said[place + 1], said[place]
    yield from said
