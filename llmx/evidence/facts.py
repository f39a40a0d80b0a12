"""What two nearly equal texts have to agree in: numbers, what they are of, and negations.

Beside `near`, which asks it before it takes a near match for evidence. It reads normal forms. It does not weigh how much
two texts differ: one wrong digit, or one missing "not", makes a quote another statement, however alike the letters are.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["same_facts"]

# A sign counts only where it cannot be a dash between two numbers.
_NUMBERS = re.compile(
    r"(?<![\w).-])-(?=\.?\d)|(?:(?<![\w.])\.)?\d+(?:[.,:/]\d+)*|[%‰$€£¥₹₽₩<>≤≥±]|[^\W\d_]*[²³½¼¾①-⑳]|[零〇一二三四五六七八九十百千万萬亿億]"
)

_NUMBER_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        zero two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
        eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half
        third quarter twice double first second
        null zwei drei vier funf sechs sieben acht neun zehn elf zwolf hundert tausend millionen milliarden
        deux trois quatre cinq sept huit neuf dix onze douze cent mille
        dos tres cuatro cinco seis siete ocho nueve diez cien mil
        """,
    )
)

_NEGATIONS = frozenset(
    re.findall(
        r"\w+",
        """
        not no never none neither nor without cannot nobody nothing nowhere hardly except unless false
        nicht kein keine keinen keinem keiner keines nie niemals niemand nichts ohne weder nein
        ne pas jamais sans aucun aucune rien ni non sin nunca jamas ningun ninguna ninguno nada
        mai senza nessun nessuno nao sem nem nenhum nenhuma niet geen nooit zonder
        inte aldrig utan ingen ikke aldri uten nie bez не нет ни без никогда нельзя degil yok hayir
        لا لم لن ليس ليست غير بدون دون ما 안 못
        """,
    )
)

# Where words are not apart, or a negation is a part of one: Chinese, Japanese, Korean, Hindi, behind the Arabic "and", and
# the English n't, with or without its apostrophe.
_NEGATING = re.compile(
    r"[不没沒无無未非别別勿]|ない|なかった|なく|ません|않|없|नही|\b[وف](?:لا|لم|لن|ليس|ليست|غير|ما)\b|n't\b"
    r"|\b(?:is|are|was|were|do|does|did|has|have|had|ca|wo|would|could|should|must|need)nt\b"
)

_PREFIXES = ("un", "in", "im", "il", "ir", "dis", "non", "non-", "mis", "de", "anti", "anti-", "a")
"""What makes a word its opposite, in English and for the most part in French, Spanish and German."""

_MARKS = re.compile("[\u0300-\u036f]")
_WORDS = re.compile(r"[^\W\d_](?:[\w'-]*\w)?")


def same_facts(one: str, other: str) -> bool:
    """Whether two normal forms name the same numbers, in order, and negate equally often and the same words."""
    if _numbers(one) != _numbers(other):
        return False
    one, other = _plain(one), _plain(other)
    words, others = _WORDS.findall(one), _WORDS.findall(other)
    if _among(words, _NUMBER_WORDS) != _among(others, _NUMBER_WORDS):
        return False
    if _negated(one, words) != _negated(other, others):
        return False
    return not _opposed(set(words) - set(others), set(others) - set(words))


def _numbers(text: str) -> list[str]:
    return _NUMBERS.findall(text)


def _plain(text: str) -> str:
    """Without accents, since a model that drops them still negates; and Hangul, decomposed in a normal form, composed."""
    return unicodedata.normalize("NFC", _MARKS.sub("", text))


def _among(words: list[str], known: frozenset[str]) -> list[str]:
    return [word for word in words if word in known]


def _negated(text: str, words: list[str]) -> int:
    """How often a text negates."""
    return len(_NEGATING.findall(text)) + len(_among(words, _NEGATIONS))


def _opposed(words: set[str], others: set[str]) -> bool:
    """Whether a word of one is the opposite of a word of the other by its first letters: able and unable."""
    made = {prefix + word for word in words for prefix in _PREFIXES}
    opposites = {prefix + word for word in others for prefix in _PREFIXES}
    return not made.isdisjoint(others) or not opposites.isdisjoint(words)
