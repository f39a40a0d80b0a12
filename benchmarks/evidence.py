"""What finding quotes costs, and what is found: rows of 5,000 letters in eight languages, five quotes each.

    python benchmarks/evidence.py [--rows 10000] [--letters 5000] [--slow-rows 40]

Rows are made of words, from a seed. Of a row's quotes one is as it stands in the row, one is in another case, spacing and
Unicode form, one has a slip about every twentieth letter, one has another number than the row, and one is made of the same
words in another order. The baselines are `str.find`, and difflib's longest common blocks, which is measured over
a few rows. A quote is found rightly if its span is the one that it was taken from, but for one word at each end.
"""

from __future__ import annotations

import argparse
import difflib
import random
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from llmx.evidence import Aligner, supported

WORDS = {
    "English": "the a of and to in was is for on with company year report market contract people said after under "
    "against government between during several customers delivery price payment agreed signed opened new large small",
    "German": "der die das und zu in war ist für auf mit Gesellschaft Jahr Bericht Märkte Verträge Leute sagten nach über "
    "Straße Regierung zwischen während mehrere Kunden Lieferung Preis Zahlung größer schließlich geöffnet",
    "Russian": "и в на с по для компания год отчёт рынок договор люди сказали после между правительство несколько "
    "клиентов доставка цена оплата новый большой малый город улица встреча решение",
    "Arabic": "في من على إلى مع بعد شركة سنة تقرير سوق عقد الناس قالوا بين الحكومة خلال عدة العملاء التسليم السعر الدفع "
    "جديد كبير صغير مدينة شارع اجتماع قرار",
    "Hindi": "और में से को पर के लिए कंपनी साल रिपोर्ट बाज़ार अनुबंध लोग कहा बाद बीच सरकार दौरान कई ग्राहक कीमत भुगतान नया बड़ा छोटा शहर",
    "Korean": "그리고 회사 연도 보고서 시장 계약 사람들 말했다 이후 사이 정부 동안 여러 고객 배송 가격 지불 새로운 큰 작은 도시 거리 회의 결정",
    "Chinese": "公司 年度 报告 市场 合同 人们 表示 之后 之间 政府 期间 若干 客户 交付 价格 支付 新的 大型 小型 城市 街道 会议 决定 在 的 和 了 对",
    "emoji": "the 🎉 party 👩‍👩‍👧 family 🇩🇪 flag 👍🏽 good ❤️ love café naïve and new year price ☕ coffee 🏳️‍🌈 day 😀 smile street house",
}

KINDS = ("as it is", "other spelling", "slips", "other number", "other order")


class Quote(NamedTuple):
    """A quote, how it was made, and the span it was taken from, if from one."""

    text: str
    kind: str
    start: int
    end: int


class Row(NamedTuple):
    """A text and its quotes."""

    language: str
    text: str
    quotes: list[Quote]


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--letters", type=int, default=5_000)
    parser.add_argument("--slow-rows", type=int, default=40, help="rows that difflib gets")
    options = parser.parse_args()
    print(
        f"{options.rows:,} rows of {options.letters:,} letters, {len(KINDS)} quotes each; difflib: {options.slow_rows} rows\n"
    )
    aligned = Measured(align, rows(options.rows, options.letters))
    print_languages(aligned)
    others = [
        ("`llmx.evidence`", aligned),
        ("`str.find`", Measured(find, rows(options.rows, options.letters))),
        ("difflib", Measured(blocks, rows(options.slow_rows, options.letters))),
    ]
    print_kinds(others)
    print_values(options.rows, options.letters)


def rows(count: int, letters: int) -> Iterator[Row]:
    """Rows of all languages in turn, the same ones every time."""
    dice = random.Random(20)
    languages = list(WORDS)
    for index in range(count):
        yield make_row(languages[index % len(languages)], letters, dice)


def make_row(language: str, letters: int, dice: random.Random) -> Row:
    """A row's text, with a number every so often and a line break, and five quotes of it."""
    vocabulary = WORDS[language].split()
    space = "" if language == "Chinese" else " "
    words: list[str] = []
    length = 0
    while length < letters:
        word = str(dice.randint(1000, 9999)) if dice.random() < 0.04 else dice.choice(vocabulary)
        words.append(word + (".\n" if dice.random() < 0.05 else ""))
        length += len(words[-1]) + len(space)
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word) + len(space))
    return Row(
        language, space.join(words), [quote(kind, words, starts, space, vocabulary, dice) for kind in KINDS]
    )


def quote(
    kind: str, words: list[str], starts: list[int], space: str, vocabulary: list[str], dice: random.Random
) -> Quote:
    """Eight to twenty words of a row, changed as the kind says."""
    count = dice.randint(8, 20)
    first = dice.randrange(len(words) - count)
    taken = words[first : first + count]
    text = space.join(taken).rstrip()
    start = starts[first]
    changed = {
        "as it is": lambda: text,
        "other spelling": lambda: respelt(taken, space),
        "slips": lambda: slipped(taken, space, dice),
        "other number": lambda: space.join(
            [*taken[:4], str(dice.randint(10_000, 99_999)), *taken[5:]]
        ).rstrip(),
        "other order": lambda: space.join(dice.choices(vocabulary, k=count)),
    }[kind]()
    return Quote(changed, kind, start, start + len(text))


def respelt(words: list[str], space: str) -> str:
    """Capitals, decomposed letters, and wider spaces, or line breaks where there are none."""
    return unicodedata.normalize("NFD", (space * 2 or "\n").join(words).rstrip().upper())


def slipped(words: list[str], space: str, dice: random.Random) -> str:
    """About every twentieth letter left out; digits stay."""
    text = space.join(words).rstrip()
    letters = [place for place, letter in enumerate(text) if letter.isalpha()]
    dropped = set(dice.sample(letters, max(1, len(text) // 20)))
    return "".join(letter for place, letter in enumerate(text) if place not in dropped)


Found = tuple[int, int, str] | None
Search = Callable[[str, list[Quote]], list[Found]]


def align(text: str, quotes: list[Quote]) -> list[Found]:
    """Ours, one aligner for a row."""
    aligner = Aligner(text)
    found = [aligner.find(quote.text) for quote in quotes]
    return [(span.start, span.end, span.match) if span else None for span in found]


def find(text: str, quotes: list[Quote]) -> list[Found]:
    """Nothing but the exact text."""
    starts = [text.find(quote.text) for quote in quotes]
    return [
        (start, start + len(quote.text), "exact") if start >= 0 else None
        for start, quote in zip(starts, quotes, strict=True)
    ]


def blocks(text: str, quotes: list[Quote]) -> list[Found]:
    """difflib: the common blocks around the longest one, if they are nine tenths of the quote."""
    return [_blocks(text, quote.text) for quote in quotes]


def _blocks(text: str, quote: str) -> Found:
    matcher = difflib.SequenceMatcher(None, text, quote, autojunk=False)
    longest = matcher.find_longest_match()
    low, high = max(0, longest.a - len(quote)), longest.a + 2 * len(quote)
    matcher.set_seq1(text[low:high])
    common = [block for block in matcher.get_matching_blocks() if block.size > 1]
    if sum(block.size for block in common) < 0.9 * len(quote):
        return None
    return low + common[0].a, low + common[-1].a + common[-1].size, "fuzzy"


class Measured:
    """A search over all rows: seconds of processor time by language, and what became of the quotes."""

    def __init__(self, search: Search, rows: Iterator[Row]) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.rows: Counter[str] = Counter()
        self.matches: Counter[tuple[str, str]] = Counter()
        self.right: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.quotes: Counter[str] = Counter()
        for row in rows:
            start = time.process_time()
            found = search(row.text, row.quotes)
            self.seconds[row.language] += time.process_time() - start
            self.rows[row.language] += 1
            for quote, span in zip(row.quotes, found, strict=True):
                self._count(row, quote, span)

    def _count(self, row: Row, quote: Quote, span: Found) -> None:
        self.quotes[quote.kind] += 1
        self.matches[row.language, span[2] if span else "absent"] += 1
        self.found[quote.kind] += span is not None
        if span is not None and abs(span[0] - quote.start) + abs(span[1] - quote.end) <= 12:
            self.right[quote.kind] += 1

    @property
    def milliseconds(self) -> float:
        """For a row."""
        return 1000 * sum(self.seconds.values()) / sum(self.rows.values())


def print_languages(measured: Measured) -> None:
    """Time and matches by language."""
    print("| | CPU ms/row | exact | normalized | fuzzy | absent |\n|---|---|---|---|---|---|")
    for language, count in measured.rows.items():
        shares = [
            measured.matches[language, match] / (count * len(KINDS))
            for match in ("exact", "normalized", "fuzzy", "absent")
        ]
        print(
            f"| {language} | {1000 * measured.seconds[language] / count:.2f} | "
            + " | ".join(f"{share:.1%}" for share in shares)
            + " |"
        )
    print(f"\nAll rows: {sum(measured.seconds.values()):.1f} s of CPU\n")


def print_kinds(searches: list[tuple[str, Measured]]) -> None:
    """Time, and what was found rightly of each kind; of the last two, what was found at all, which is wrong."""
    print(
        f"| | CPU ms/row | {' | '.join(KINDS[:3])} | {' | '.join(kind + ', found' for kind in KINDS[3:])} |"
    )
    print("|---" * 7 + "|")
    for name, measured in searches:
        shares = [measured.right[kind] / measured.quotes[kind] for kind in KINDS[:3]]
        shares += [measured.found[kind] / measured.quotes[kind] for kind in KINDS[3:]]
        print(f"| {name} | {measured.milliseconds:.2f} | {' | '.join(f'{share:.1%}' for share in shares)} |")


def print_values(count: int, letters: int) -> None:
    """Time of looking for a number and a date that are not there, so that all of each text is read."""
    seconds = 0.0
    for row in rows(count // 10, letters):
        start = time.process_time()
        aligner = Aligner(row.text)
        supported(123_456.5, aligner)
        supported("2024-03-05", aligner)
        seconds += time.process_time() - start
    print(f"\nA number and a date without a quote: {1000 * seconds / (count // 10):.2f} ms of CPU a row")


if __name__ == "__main__":
    main()
