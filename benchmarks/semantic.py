"""How often `--cache semantic` would be wrong, and how often it would save a call, on labelled pairs of rows.

    python benchmarks/semantic.py                       # the pairs that the guards were made with, and those held out
    python benchmarks/semantic.py --wrong               # those that are judged wrongly, one by one
    python benchmarks/semantic.py --speed 100000        # lookups in a cache of so many rows

A pair is two rows and a label: "same", where the second may be given the first one's answer, or "different". A hit on a
different pair is wrong. `semantic_holdout.jsonl` was written when the guards were done, and nothing was made to fit it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from llmx.semantic.embedding import Embedding, similarity
from llmx.semantic.guards import reading_of
from llmx.semantic.likeness import likeness

DATA = Path(__file__).parent / "data"
FILES = {"development": DATA / "semantic_pairs.jsonl", "held out": DATA / "semantic_holdout.jsonl"}
THRESHOLDS = (0.90, 0.95, 0.97, 0.99)


class Pair(Struct, frozen=True):
    """Two rows, what differs, and whether one's answer is the other's."""

    kind: str
    domain: str
    same: bool
    a: Mapping[str, Any]
    b: Mapping[str, Any]


class Rates(Struct, frozen=True):
    """Counts of pairs: same ones, of them hit; different ones, of them hit."""

    same: int
    saved: int
    different: int
    wrong: int

    @property
    def wrong_of_different(self) -> float:
        """The share of different pairs that would be given a wrong answer."""
        return self.wrong / self.different if self.different else 0.0

    @property
    def wrong_of_hits(self) -> float:
        """The share of hits that are wrong."""
        hits = self.wrong + self.saved
        return self.wrong / hits if hits else 0.0

    @property
    def saved_of_same(self) -> float:
        """The share of same pairs that would save a call."""
        return self.saved / self.same if self.same else 0.0


def read_pairs(file: Path) -> list[Pair]:
    """The pairs of a file."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
    return [Pair(row["kind"], row["domain"], row["label"] == "same", row["a"], row["b"]) for row in rows]


def guarded(pair: Pair, embedding: Embedding) -> float:
    """The similarity that a lookup finds, -1 where a guard refuses."""
    one, other = reading_of(pair.a), reading_of(pair.b)
    if one is None or other is None:
        return -1.0
    found = likeness(pair.a, one, pair.b, other, embedding)
    return -1.0 if found is None else found


def unguarded(pair: Pair, embedding: Embedding) -> float:
    """The similarity of the texts as they are, which is all that most semantic caches look at."""
    one, other = (" ".join(map(str, row.values())) for row in (pair.a, pair.b))
    return similarity(*embedding.of([one, other]))


def rates(pairs: Sequence[Pair], scores: Sequence[float], least: float) -> Rates:
    """What a threshold comes to."""
    hit = [score >= least for score in scores]
    return Rates(
        sum(pair.same for pair in pairs),
        sum(pair.same and found for pair, found in zip(pairs, hit, strict=True)),
        sum(not pair.same for pair in pairs),
        sum(not pair.same and found for pair, found in zip(pairs, hit, strict=True)),
    )


def _table(pairs: Sequence[Pair], embedding: Embedding) -> None:
    ways: dict[str, Callable[[Pair, Embedding], float]] = {
        "similarity alone": unguarded,
        "with guards": guarded,
    }
    print(f"{'':18}{'threshold':>10}{'wrong of different':>22}{'wrong of hits':>16}{'saved of same':>16}")
    for name, way in ways.items():
        scores = [way(pair, embedding) for pair in pairs]
        for least in THRESHOLDS:
            r = rates(pairs, scores, least)
            different = f"{r.wrong}/{r.different} = {r.wrong_of_different:.1%}"
            print(
                f"{name:18}{least:>10.2f}{different:>22}{r.wrong_of_hits:>16.1%}"
                f"{f'{r.saved}/{r.same} = {r.saved_of_same:.0%}':>16}"
            )
    _by_kind(pairs, embedding)


def _by_kind(pairs: Sequence[Pair], embedding: Embedding) -> None:
    alone, all_of, hits = (
        Counter[tuple[bool, str]](),
        Counter[tuple[bool, str]](),
        Counter[tuple[bool, str]](),
    )
    for pair in pairs:
        kind = (not pair.same, pair.kind)
        all_of[kind] += 1
        hits[kind] += guarded(pair, embedding) >= 0.97
        alone[kind] += unguarded(pair, embedding) >= 0.97
    print("\nhits at 0.97 by kind: with guards, by similarity alone, pairs")
    for different, kind in sorted(all_of):
        key = (different, kind)
        label = "different" if different else "same"
        print(f"  {label:10}{kind:16}{hits[key]:>4}{alone[key]:>5}{all_of[key]:>5}")


def _show_wrong(pairs: Sequence[Pair], embedding: Embedding) -> None:
    for pair in pairs:
        score = guarded(pair, embedding)
        if (score >= 0.97) != pair.same:
            print(f"{'MISSED' if pair.same else 'WRONG'} {pair.kind} {score:.3f}\n  {pair.a}\n  {pair.b}")


def _speed(rows: int) -> None:
    """Lookups in a full cache: batches of 500, in a thread behind, as a run makes them."""
    from llmx.caches import CachedAnswer
    from llmx.caches.rows import Place
    from llmx.caches.semantic import SemanticCache

    def place(number: int, text: str) -> Place:
        return Place("scope", f"{number:064x}", {"text": text})

    def text(number: int, word: str) -> str:
        return f"Customer {number // 4} says that the {word} parcel was left at the back door and is damaged"

    with tempfile.TemporaryDirectory() as folder:
        cache = SemanticCache(
            Path(folder, "semantic"), least=0.97, ttl=None, warn=print, shown=lambda row: row, command={}
        )
        begun = time.perf_counter()
        for number in range(rows):
            cache.put(
                place(number, text(number, ("first", "second", "small", "large")[number % 4])),
                CachedAnswer("{}", "m"),
            )
        cache.flush()
        written = time.perf_counter() - begun
        size = sum(file.stat().st_size for file in Path(folder, "semantic").iterdir())
        print(f"{rows:,} rows written in {written:.1f} s, {size / rows:.0f} bytes a row")
        for what, word in (("hits", "small"), ("misses", "heavy")):
            seconds = 0.0
            for start in range(0, 10_000, 500):
                found: dict[str, Any] = {}
                places = [
                    place(rows + n, "Hello, " + text(n * 37 % rows, word)) for n in range(start, start + 500)
                ]
                begun = time.perf_counter()
                looking = cache.look(places, found)
                assert looking is not None
                looking.result()
                seconds += time.perf_counter() - begun
            print(
                f"{what}: {10_000 / seconds:,.0f} lookups a second, {sum(map(bool, found.values()))} of the last 500 hit"
            )
        cache.close()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wrong", action="store_true", help="the pairs that are judged wrongly at 0.97")
    parser.add_argument("--speed", type=int, metavar="ROWS", help="lookups in a cache of so many rows")
    given = parser.parse_args()
    if given.speed:
        _speed(given.speed)
        return
    embedding = Embedding()
    for name, file in FILES.items():
        if not file.exists():
            continue
        pairs = read_pairs(file)
        print(f"\n{name}: {len(pairs)} pairs, {sum(pair.same for pair in pairs)} of them the same\n")
        (_show_wrong if given.wrong else _table)(pairs, embedding)


if __name__ == "__main__":
    main()
