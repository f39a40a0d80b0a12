"""Answers from a gold file: right, but for a known share of wrong values.

Stands between a request and `llmx.mock.answers`, which asks it first and draws an answer where the gold file does
not have the row. What it said is told to `Truth` once the answer has left.
"""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from llmx.mock.asked import Asked, asked
from llmx.mock.gold_file import GoldRow, fields_of
from llmx.mock.gold_settings import GoldSettings
from llmx.mock.leaves import ABSENT, Leaf, Shaped, Steps, dotted, shaped
from llmx.mock.logprobs import Belief
from llmx.mock.matching import Match, Matcher
from llmx.mock.merging import Schema, SchemaError
from llmx.mock.quotes import quote
from llmx.mock.schemagen import compiled
from llmx.mock.truth import GoldAnswer, Truth, Wrong
from llmx.mock.wire import Call
from llmx.mock.wrongs import Pools, share, wrong_values

__all__ = ["Gold"]

_SCHEMAS = 64
_POOLED = 1000
"""Rows that wrong values are taken from: a larger file has enough of them in its first rows."""
_TRIALS = 8


@dataclass(slots=True)
class _Form:
    """A schema, and the values that the gold file has for it, which are gathered when the first is to be wrong."""

    asked: Asked
    fields: frozenset[str]
    pools: Pools | None = None


class Gold:
    """The answers of one gold file.

    Args:
        seed: with the model, the row and the sample, decides every error.
        rows: of the gold file.
        remark: is told of the first row that the file does not have.
    """

    def __init__(
        self,
        settings: GoldSettings,
        seed: int,
        rows: list[GoldRow],
        remark: Callable[[str], None] | None = None,
    ) -> None:
        self._remark = remark
        self.truth = Truth()
        self._settings, self._seed, self._rows = settings, seed, rows
        self._columns = dict.fromkeys(column for row in rows for column in row.columns)
        self._matcher = Matcher(rows)
        self._forms: OrderedDict[bytes, _Form] = OrderedDict()
        self._samples: Counter[int] = Counter()

    def forget(self) -> None:
        """Begin anew with the first sample, and count from 0."""
        self.truth = Truth()
        self._samples.clear()

    def answer(self, call: Call, schema: Schema, digest: int) -> GoldAnswer | None:
        """The answer to a call, None where the gold file has none for its row.

        Args:
            schema: what the answer must satisfy.
            digest: of the model and the prompt: equal ones are samples of one request.
        """
        try:
            form = self._form(schema)
            match = self._matcher.find(call, form.fields)
            given = [(row, gold) for row in match.rows if (gold := _gold_of(row, form)) is not ABSENT]
            if not given:
                return None
            return _Answering(self, call, form, match, self._sample(call, digest)).answer(given)
        except SchemaError:  # what the gold file lacks cannot be drawn for a part of the schema by itself
            return None

    def left(self, call: Call, digest: int, answer: GoldAnswer | None) -> None:
        """An answer has left, which was none of ours if it is None."""
        if answer is None:
            if self._remark is not None and not self.truth.unknown:
                said = " ".join(call.user_text.split())
                self._remark(f"not in {self._settings.path}, so answered at random: {said[:100]!r}")
            self.truth.guessed()
            return
        self._samples[digest] += 1
        self.truth.answered(call.model, answer)

    def _sample(self, call: Call, digest: int) -> int:
        """The request's own seed; 0 for a model at temperature 0, which repeats itself; else how often it came."""
        if call.seed is not None:
            return call.seed
        return 0 if call.temperature == 0 else self._samples[digest]

    def _form(self, schema: Schema) -> _Form:
        key = orjson.dumps(schema)
        form = self._forms.get(key)
        if form is None:
            found = asked(schema)
            columns = (name for name in self._columns if name.split(".")[0] in found.fields)
            form = self._forms[key] = _Form(found, frozenset(columns))
            if len(self._forms) > _SCHEMAS:
                self._forms.popitem(last=False)
        return form

    def pools(self, form: _Form) -> Pools:
        """What other rows have in the places of this schema."""
        if form.pools is None:
            form.pools = Pools(self._leaves(form))
        return form.pools

    def _leaves(self, form: _Form) -> Iterator[Leaf]:
        for row in islice(self._rows, _POOLED):
            gold = _gold_of(row, form)
            if gold is not ABSENT:
                yield from shaped(form.asked.schema, form.asked.schema, gold).leaves

    def is_wrong(self, *identity: object) -> bool:
        """Whether this value is one of the errors; the model is the identity's first part."""
        return share(self._seed, "wrong", *identity) < self._settings.error_rate(str(identity[0]))

    def point(self, *identity: object) -> float:
        """A number in [0, 1) of this value's own."""
        return share(self._seed, *identity)

    def probability(self, right: bool, *identity: object) -> float:
        """How sure the model is: evenly distributed around the configured mean."""
        mean = self._settings.confidence[0 if right else 1]
        return mean + (2 * share(self._seed, "confidence", *identity) - 1) * min(mean, 1 - mean)


class _Answering:
    """One answer in the making."""

    def __init__(self, gold: Gold, call: Call, form: _Form, match: Match, sample: int) -> None:
        self._gold, self._call, self._form, self._match, self._sample = gold, call, form, match, sample
        self._beliefs: dict[Steps, Belief] = {}

    def answer(self, given: list[tuple[GoldRow, Any]]) -> GoldAnswer:
        """The answer for the first of the rows, which look the same."""
        (row, gold), schema = given[0], self._form.asked.schema
        right = shaped(schema, schema, gold)
        value = self._with_errors(self._completed(right, row), right, row)
        judged = [_judged(other.key, shaped(schema, schema, answer), value) for other, answer in given]
        return GoldAnswer(
            value=self._with_evidence(value, right),
            row=row.key,
            sample=self._sample,
            paths=[path for paths, _ in judged for path in paths],
            wrong=[one for _, wrong in judged for one in wrong],
            beliefs=self._beliefs,
        )

    def _identity(self, row: GoldRow, steps: Steps) -> tuple[object, ...]:
        return self._call.model, row.key, self._sample, dotted(steps)

    def _completed(self, right: Shaped, row: GoldRow) -> Any:
        """The right answer, with what it lacks drawn as without a gold file."""
        asked_for = self._form.asked
        if right.value is ABSENT:
            return self._drawn(asked_for.schema, row, ())
        value = copy.deepcopy(right.value)
        for steps, schema in right.missing:
            _put(value, steps, self._drawn(asked_for.within(schema), row, steps))
        return value

    def _drawn(self, schema: Schema, row: GoldRow, steps: Steps) -> Any:
        point = self._gold.point("drawn", *self._identity(row, steps))
        return compiled(schema).draw(int(point * (1 << 32)), " ".join(self._match.texts))

    def _with_errors(self, value: Any, right: Shaped, row: GoldRow) -> Any:
        asked_for = self._form.asked
        fits = asked_for.fits if asked_for.fits is not None and asked_for.fits(value) else None
        for leaf in right.leaves:
            identity = self._identity(row, leaf.steps)
            others = wrong_values(leaf, self._gold.pools(self._form), self._gold.point(*identity))
            is_wrong = self._gold.is_wrong(*identity) and self._replaced(value, leaf, others, fits)
            if self._call.logprobs:
                instead = leaf.value if is_wrong else next(others, None)
                self._beliefs[leaf.steps] = Belief(self._gold.probability(not is_wrong, *identity), instead)
        return value

    def _replaced(
        self, value: Any, leaf: Leaf, others: Iterator[Any], fits: Callable[[Any], bool] | None
    ) -> bool:
        """Put a wrong value in the leaf's place; there may be none with which the answer is valid."""
        for other in islice(others, _TRIALS):
            _put(value, leaf.steps, other)
            if fits is None or fits(value):
                return True
        _put(value, leaf.steps, leaf.value)
        return False

    def _with_evidence(self, value: Any, right: Shaped) -> Any:
        if not self._form.asked.evidence:
            return value
        self._beliefs = {("answer", *steps): belief for steps, belief in self._beliefs.items()}
        return {"evidence": self._quotes(value), "answer": value}

    def _quotes(self, value: Any) -> Any:
        """The row's words for each value, in its place; an empty text for what the row does not say."""
        if isinstance(value, Mapping):
            return {name: self._quotes(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._quotes(inner) for inner in value]
        return quote(self._match.texts, value) or ""


def _gold_of(row: GoldRow, form: _Form) -> Any:
    """A row's answer as the gold file has it; ABSENT where it says nothing of this schema's fields."""
    fields = form.asked.fields
    if not row.is_whole:
        given = fields_of(row.cells)
        return given if fields & given.keys() else ABSENT
    if row.answer is None or row.answer == "":
        return ABSENT
    if isinstance(row.answer, Mapping):
        return row.answer
    return {next(iter(fields)): row.answer} if len(fields) == 1 else ABSENT


def _judged(key: str, right: Shaped, value: Any) -> tuple[list[str], list[Wrong]]:
    """The paths of a row's values, and those in which an answer differs."""
    answers = [(leaf.steps, leaf.value, _at(value, leaf.steps)) for leaf in right.leaves]
    wrong = [
        Wrong(key, dotted(steps), expected, None if answered is ABSENT else answered)
        for steps, expected, answered in answers
        if answered is ABSENT or answered != expected
    ]
    unfit = [Wrong(key, dotted(steps), gold, _plain(_at(value, steps))) for steps, gold in right.unfit]
    return [dotted(steps) for steps, *_ in (*answers, *right.unfit)], [*wrong, *unfit]


def _plain(value: Any) -> Any:
    return None if value is ABSENT else value


def _at(value: Any, steps: Steps) -> Any:
    """What is in this place; ABSENT where there is no such place."""
    try:
        for step in steps:
            value = value[step]
    except (KeyError, IndexError, TypeError):
        return ABSENT
    return value


def _put(value: Any, steps: Steps, inner: Any) -> None:
    for step in steps[:-1]:
        value = value[step]
    value[steps[-1]] = inner
