"""Predictions and gold, row by row under one key, as columns of pairs: what is compared, before it is.

The fields of the gold file are held in memory, then the predictions are read once. A column has only the rows in
which one of the two sides says something, so that many sparse fields need no more room than their values.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from llmx.errors import UsageError
from llmx.evals.layout import GOLD, Layout, selected, top
from llmx.evals.reading import File, keyed_rows
from llmx.evals.values import is_blank
from llmx.text import nearest

__all__ = ["Column", "Joined", "Sides", "join"]


class Column(Struct):
    """One field's pairs.

    Args:
        rows: positions in `Joined.keys`, ascending.
        expected, predicted: for each of them a value, None where that side has none.
    """

    rows: array[int] = field(default_factory=lambda: array("q"))
    expected: list[Any] = field(default_factory=list)
    predicted: list[Any] = field(default_factory=list)

    def add(self, row: int, expected: Any, predicted: Any) -> None:
        """The next row's pair."""
        self.rows.append(row)
        self.expected.append(expected)
        self.predicted.append(predicted)


class Sides(Struct, frozen=True):
    """How the two files hold the fields.

    Args:
        names: path of a field -> its path in the gold file, as the user names them; None for all of gold.
    """

    predictions: Layout
    gold: Layout
    names: Mapping[str, str] | None = None


class Joined(Struct):
    """What two files have in common.

    Args:
        key: the column by which rows belong together.
        keys: of the rows that both have, in the predictions' order.
        columns: by path, in the order in which gold has them.
        missing: keys of gold rows that have no prediction, in gold's order.
        extra: how many predictions have no row in gold.
        unlabelled: how many have one that says nothing.
        only_in_gold, only_in_predictions: fields that the other side lacks in every row.
    """

    key: str
    keys: list[str] = field(default_factory=list)
    columns: dict[str, Column] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    extra: int = 0
    unlabelled: int = 0
    only_in_gold: list[str] = field(default_factory=list)
    only_in_predictions: list[str] = field(default_factory=list)

    @property
    def matched(self) -> int:
        """How many rows both files have."""
        return len(self.keys)


def join(predictions: File, gold: File, key: str, sides: Sides, also: Iterable[str] = ()) -> Joined:
    """Read both files.

    Args:
        key: the column by which rows belong together.
        also: fields that are compared even if no prediction has them.

    Raises:
        UsageError: a file cannot be evaluated (see `keyed_rows`), no row or no field is in both, or gold lacks a
            field that the user names.
    """
    right = _gold_rows(gold, key, sides)
    tops = dict.fromkeys(top(path) for leaves in right.values() if leaves for path in leaves)
    paths = dict.fromkeys(path for leaves in right.values() if leaves for path in leaves)
    _check_names(sides.names, paths, gold)
    joined = Joined(key, columns={path: Column() for path in paths})
    wanted = None if sides.names is None else {path: path for path in sides.names}
    found: dict[str, None] = {}
    sample, seen = "", list[str]()
    for name, row in keyed_rows(predictions, key):
        leaves = sides.predictions.leaves(row)
        if not sample:
            sample, seen = name, [*predictions.columns, *leaves]
        found |= dict.fromkeys(map(top, leaves))
        _take(joined, name, right, selected(leaves, wanted, tops))
    joined.missing = [name for name, leaves in right.items() if leaves is not None]
    _check_rows(joined, predictions, gold, key, sample)
    _check_fields(joined, list(tops), found, {*(sides.names or ()), *also})
    if not joined.columns:
        raise _nothing_in_common(list(tops), predictions, gold, seen)
    return joined


def _gold_rows(gold: File, key: str, sides: Sides) -> dict[str, dict[str, Any] | None]:
    """The right values by key and path, None of a row that nobody has labelled."""
    rows: dict[str, dict[str, Any] | None] = {}
    for name, row in keyed_rows(gold, key):
        rows[name] = selected(sides.gold.leaves(row), sides.names) if sides.gold.has_fields(row) else None
        if rows[name] == {} and sides.gold.inside is not None:
            _check_object(row.get(sides.gold.inside), name, gold)
    if not rows:
        raise UsageError(f"gold: no rows in {gold.name!r}")
    if not any(leaves is not None for leaves in rows.values()):
        raise UsageError(
            f"gold: the column {sides.gold.inside!r} of {gold.name!r} is empty in all {len(rows):,} rows"
        )
    return rows


def _check_object(held: Any, name: str, gold: File) -> None:
    """Raises UsageError for a `gold` that holds something, but no fields."""
    if held is None or isinstance(held, Mapping) or (isinstance(held, str) and held.strip() == "{}"):
        return
    raise UsageError(
        f"gold: the column {GOLD!r} of {gold.name!r} holds no object in the row {name!r}: {str(held)[:60]!r}",
        hint=f"if it is the right value of one field: --fields FIELD={GOLD}",
    )


def _take(
    joined: Joined, name: str, right: dict[str, dict[str, Any] | None], predicted: Mapping[str, Any]
) -> None:
    """Put the pairs of one prediction into the columns, and its gold out of the way."""
    if name not in right:
        joined.extra += 1
        return
    expected = right.pop(name)
    if expected is None:
        joined.unlabelled += 1
        return
    row, columns = len(joined.keys), joined.columns
    joined.keys.append(name)
    for path in dict.fromkeys([*expected, *predicted]):
        wanted, given = expected.get(path), predicted.get(path)
        blank, nothing = is_blank(wanted), is_blank(given)
        if blank and nothing:
            continue
        if path not in columns:
            columns[path] = Column()
        columns[path].add(row, None if blank else wanted, None if nothing else given)


def _check_names(names: Mapping[str, str] | None, paths: Iterable[str], gold: File) -> None:
    known = list(paths)
    for path, place in (names or {}).items():
        if any(one == path or one.startswith(f"{path}.") for one in known):
            continue
        there = [name for name in gold.columns if name[:1] != "_"]
        close = nearest(place, there)
        hint = f"did you mean {close!r}? " if close else ""
        raise UsageError(
            f"--fields: gold has no field {place!r}", hint=f"{hint}the columns are {', '.join(there)}"
        )


def _check_rows(joined: Joined, predictions: File, gold: File, key: str, sample: str) -> None:
    if joined.keys:
        return
    if not sample:
        raise UsageError(f"predictions: no rows in {predictions.name!r}")
    if joined.unlabelled:
        raise UsageError(f"none of the rows of {predictions.name!r} has been labelled in {gold.name!r}")
    other = joined.missing[0] if joined.missing else ""
    raise UsageError(
        f"no row of {predictions.name!r} is in {gold.name!r}: the key column {key!r} has, for example, "
        f"{sample[:60]!r} in the one and {other[:60]!r} in the other",
        hint="name the column that both have with --key",
    )


def _check_fields(joined: Joined, tops: Sequence[str], found: Mapping[str, None], wanted: set[str]) -> None:
    """Note fields of one side only, and take those of gold out of what is compared."""
    kept = {top(path) for path in wanted}
    joined.only_in_gold = [name for name in tops if name not in found and name not in kept]
    joined.only_in_predictions = [name for name in found if name not in tops]
    lacking, objects = set(joined.only_in_gold), _objects(joined.columns)
    for path in [path for path in joined.columns if top(path) in lacking or path in objects]:
        del joined.columns[path]


def _objects(columns: Mapping[str, Column]) -> set[str]:
    """Paths at which some rows have an empty object, and others fields below it."""
    above = {path[:place] for path in columns for place, mark in enumerate(path) if mark == "."}
    return {path for path in above if path in columns and not columns[path].rows}


def _nothing_in_common(tops: Sequence[str], predictions: File, gold: File, seen: Sequence[str]) -> UsageError:
    """No field is in both files.

    Args:
        seen: columns and paths of the predictions.
    """
    if not tops:
        return UsageError(f"gold: {gold.name!r} has no column but the key, so nothing to compare")
    return UsageError(
        f"no field of gold ({', '.join(map(repr, tops[:8]))}) is in {predictions.name!r}",
        hint=_where_they_are(tops, seen, predictions.columns),
    )


def _where_they_are(tops: Sequence[str], seen: Sequence[str], columns: Sequence[str]) -> str:
    """What may be meant: fields within a column, under a prefix, or columns of gold under other names."""
    for name in tops:
        if inside := next((path for path in seen if path.endswith(f".{name}")), None):
            return f"--into {inside.removesuffix(f'.{name}')}"
        if prefixed := next((path for path in seen if path.endswith(name) and path != name), None):
            return f"--prefix {prefixed.removesuffix(name)}"
    there = [name for name in columns if name[:1] != "_" and name != GOLD]
    return f"--prefix P, --into COLUMN or --fields FIELD=GOLD_COLUMN; the columns are {', '.join(there)}"
