"""Two files to an evaluation: the composition of reading, joining, comparing and counting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.evals.choosing import Choice, choose
from llmx.evals.counts import FieldCounts, count
from llmx.evals.doubts import Field, is_input, of_field, of_files, of_input, of_perfect, of_silent
from llmx.evals.evaluation import Evaluation, FieldScore
from llmx.evals.joining import Column, Joined, Sides, join
from llmx.evals.layout import GOLD, Layout, top
from llmx.evals.matching import Comparison, parse_comparison
from llmx.evals.reading import File, choose_key, identity, open_file
from llmx.records import same_file
from llmx.text import nearest

__all__ = ["Options", "evaluate", "evaluated", "named"]


class Options(Struct, frozen=True):
    """How two files are compared.

    Args:
        key: the column by which rows belong together; None for the run's own, else `id`.
        fields: path of a field -> its path in the gold file; None for all that gold has.
        compare: path -> how it is compared; the others by their values.
        prefix, into: how the predictions hold the fields, as with `llmx extract`; None for what the run's manifest
            says, if it is there.
        format, gold_format: of the files, None to go by their suffixes.
        errors: the failed rows of the run, where they are known.
        also: fields that are compared even if no prediction has them.
        lenient: `compare` may name paths that these files have not.
    """

    key: str | None = None
    fields: Mapping[str, str] | None = None
    compare: Mapping[str, Comparison] = field(default_factory=dict)
    prefix: str | None = None
    into: str | None = None
    format: str | None = None
    gold_format: str | None = None
    errors: Path | None = None
    also: Sequence[str] = ()
    lenient: bool = False


def evaluate(
    predictions: str | Path,
    gold: str | Path,
    key: str | None = None,
    *,
    fields: Iterable[str] | None = None,
    compare: Mapping[str, str] | None = None,
    prefix: str | None = None,
    into: str | None = None,
) -> Evaluation:
    """Hold predictions against the right answers.

    Args:
        predictions: a file that `llmx extract` has written, or any file of rows.
        gold: a file of rows with the right answers, in a column `gold` or in columns of their own.
        key: the column by which rows belong together; the `--key` of the run, or `id`, if both files have it.
        fields: those to compare, each `FIELD` or `FIELD=COLUMN OF GOLD`; all that gold has when None.
        compare: field -> `exact`, `normalized`, `number:0.5`, …; by the types of gold's values when not told.
        prefix, into: as given to `llmx extract`.

    Raises:
        UsageError: the files cannot be compared; the message says which lines or fields are why.
    """
    options = Options(
        key,
        None if fields is None else named(fields),
        {path: parse_comparison(how) for path, how in (compare or {}).items()},
        prefix,
        into,
    )
    return evaluated(predictions, gold, options, Environment())


def named(fields: Iterable[str]) -> dict[str, str]:
    """`FIELD` and `FIELD=COLUMN` as path -> path in gold."""
    pairs = (one.partition("=") for one in fields)
    return {path.strip(): (place or path).strip() for path, _, place in pairs}


def evaluated(predictions: str | Path, gold: str | Path, options: Options, env: Environment) -> Evaluation:
    """The same as `evaluate`, for callers that have their options as values. Raises UsageError."""
    ours = open_file(predictions, "predictions", env=env, format=options.format)
    right = open_file(gold, "gold", env=env, format=options.gold_format)
    key = choose_key(ours, right, options.key)
    sides = _sides(ours, right, key, options)
    _check_two(ours, right, sides, env)
    joined = join(ours, right, key, sides, options.also)
    if not options.lenient:
        _check_compared(options.compare, joined)
    failed = _failed(options.errors, joined, key, env)
    scored = _scored(joined, options, (right.texts, ours.texts), failed, plain=sides.gold.inside is None)
    return replace(scored, start=sides.predictions.start)


def _sides(predictions: File, gold: File, key: str, options: Options) -> Sides:
    command: Mapping[str, Any] = predictions.run.command if predictions.run else {}
    into, prefix = options.into, options.prefix
    if into is None and prefix is None:
        into, prefix = _noted(predictions, command)
    whole = frozenset(options.compare)
    scalar = options.fields is not None and GOLD in options.fields.values()
    nested = not scalar and any(name == GOLD or name.startswith(f"{GOLD}.") for name in gold.columns)
    leave = frozenset({key, *([] if nested or options.fields is not None else _kept(predictions, gold))})
    theirs = Layout(GOLD if nested else None, "", leave, whole, gold.texts)
    return Sides(
        Layout(into, prefix or "", frozenset({key, GOLD}), whole, predictions.texts),
        theirs,
        options.fields,
    )


def _kept(predictions: File, gold: File) -> list[str]:
    """Columns of both files that the run has kept of its input: they are right everywhere, and nobody's answer."""
    fields = predictions.run.fields if predictions.run else []
    if not any(
        top(name) in fields for name in gold.columns
    ):  # it is another file by now, or another schema's gold
        return []
    return [name for name in gold.columns if name in predictions.columns and top(name) not in fields]


def _check_two(predictions: File, gold: File, sides: Sides, env: Environment) -> None:
    """Raise UsageError where every value would be compared with itself."""
    if "-" in (predictions.name, gold.name) or sides.gold.inside is not None:
        return
    if sides.predictions.inside is not None or sides.predictions.prefix:
        return
    if any(path != place for path, place in (sides.names or {}).items()):
        return
    if same_file(env.cwd / predictions.name, env.cwd / gold.name):
        raise UsageError(
            f"predictions and gold are one file, {gold.name!r}, without a column {GOLD!r}: it would be compared "
            "with itself",
            hint="--gold FILE with the right answers, or --fields FIELD=COLUMN of right answers",
        )


def _noted(predictions: File, command: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """How the run that wrote the predictions was told to shape them, as far as that is true of this file."""
    into, prefix = command.get("into"), command.get("prefix")
    if into is not None and any(name == into or name.startswith(f"{into}.") for name in predictions.columns):
        return str(into), None
    if prefix and any(name.startswith(prefix) for name in predictions.columns):
        return None, str(prefix)
    return None, None


def _check_compared(compare: Mapping[str, Comparison], joined: Joined) -> None:
    for path in compare:
        if path not in joined.columns:
            close = nearest(path, joined.columns)
            hint = f"did you mean {close!r}? " if close else ""
            raise UsageError(
                f"--compare: no field {path!r}", hint=f"{hint}the fields are {', '.join(joined.columns)}"
            )


def _scored(
    joined: Joined,
    options: Options,
    texts: tuple[bool, bool],
    failed: Mapping[str, int] | None,
    *,
    plain: bool,
) -> Evaluation:
    fields, said = dict[str, FieldScore](), of_files(joined)
    for path, column in joined.columns.items():
        given = options.compare.get(path)
        choice = choose(column, given, gold_texts=texts[0], predicted_texts=texts[1])
        counts = count(column, choice.comparison, joined.matched)
        if plain and options.fields is None and is_input(path, choice, counts):
            said.append(of_input(path))
            continue
        said += of_field(Field(path, column, choice, counts, joined.keys, texts))
        fields[path] = FieldScore(
            path, column, choice.comparison, counts, _normalized(column, choice, counts)
        )
    if plain and options.fields is None and not options.prefix:
        perfect = [path for path, one in fields.items() if not one.counts.wrong and one.verdicts["correct"]]
        said += of_perfect(perfect, joined.matched)
    silent = [path for path, one in fields.items() if one.counts.empty == one.counts.n]
    if not fields:
        raise UsageError("nothing to compare but input columns", hint="--fields FIELD[=COLUMN OF GOLD]")
    return Evaluation(joined, fields, failed=failed, remarks=[*said, *of_silent(silent)])


def _normalized(column: Column, choice: Choice, counts: FieldCounts) -> int | None:
    """Rows that would be right if only the letters of texts counted."""
    looser = {"exact": Comparison("normalized"), "set": Comparison("set", "normalized")}
    comparison = choice.comparison
    if comparison.means not in looser or comparison.option:
        return None
    if not counts.wrong:
        return counts.right
    wrong = Column()
    for place in counts.wrong.values():
        wrong.add(column.rows[place], column.expected[place], column.predicted[place])
    return counts.right + count(wrong, looser[comparison.means], len(counts.wrong)).right


def _failed(errors: Path | None, joined: Joined, key: str, env: Environment) -> Mapping[str, int] | None:
    """Missing rows that are known to have failed, by the type of their error."""
    if errors is None or not joined.missing or not errors.is_file():
        return None
    import orjson

    missing, found = set(joined.missing), Counter[str]()
    with errors.open("rb") as lines:
        for line in lines:
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:  # whatever it is, it is no failed row
                continue
            error = row.get("_error") if isinstance(row, dict) else None
            if isinstance(error, dict) and identity(row.get(key)) in missing:
                found[str(error.get("type"))] += 1
    return found
