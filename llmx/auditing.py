"""An audit of the semantic cache: rows that were given another row's answer are asked about, and the answers compared.

What is asked goes through an ordinary run, with all its limits and budgets: this module says what that run is
(`Questions.settings`), and what came of it (`Audit`). Nobody is asked here.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from llmx.caches.fingerprint import rekeyed
from llmx.caches.rows import KeptHit
from llmx.connecting import Talk, connected
from llmx.engine import preparer
from llmx.environment import Environment
from llmx.errors import LlmxError, RowError, UsageError
from llmx.evals.promises import wilson
from llmx.layers.stop import Stop
from llmx.layers.votes import ballots
from llmx.planning import Plan
from llmx.records import to_json
from llmx.records.integers import loads_object
from llmx.settings import Settings
from llmx.types import Record

__all__ = ["Audit", "Difference", "Questions", "check_place", "chosen", "compared", "still_asked"]

NUMBER = "_llmx_hit"
"""The column that ties an answer to its hit; no model is shown it, for it begins with "_"."""

ANSWER = "answer"

SHOWN = 5
"""Differences that are shown in full."""


class Questions(Struct, frozen=True):
    """Hits whose questions are the same but for their rows.

    Args:
        command: the run's options, as JSON.
        cwd: the folder that it was made in.
        endpoint: who is to be asked.
    """

    command: Mapping[str, Any]
    cwd: Path
    endpoint: str
    hits: Sequence[KeptHit]

    def settings(self, folder: Path, model: str | None, limits: Mapping[str, Any]) -> Settings:
        """The run that asks about them again.

        Args:
            folder: where its rows are, and what comes of it.
            model: another one to ask.
            limits: options that bound what it costs.
        """
        options = {name: value for name, value in self.command.items() if name != "votes"}
        here = {
            "inputs": [str(folder / "rows.jsonl")],
            "input_format": "jsonl",
            "output": str(folder / "answers.jsonl"),
            "summary": str(folder / "summary.json"),
            "state_dir": str(folder / "state"),
            "keep": [NUMBER],
            "into": ANSWER,
            "max_failures": "100%",
        }
        return Settings.of({**options, **here, **limits, "model": [model or self.endpoint]})

    def write_rows(self, folder: Path) -> None:
        """Put the rows where the run will read them."""
        lines = [_row(hit) for hit in self.hits]
        (folder / "rows.jsonl").write_bytes(b"".join(to_json(row) + b"\n" for row in lines))


def _row(hit: KeptHit) -> dict[str, Any]:
    return {**(loads_object(hit.hit.row.encode()) or {}), NUMBER: hit.number}


class Difference(Struct, frozen=True):
    """A hit whose row the model answers otherwise.

    Args:
        fields: the top-level fields that differ.
        given: the answer of the other row.
        asked: the model's, now.
    """

    row: Mapping[str, Any]
    similarity: float
    fields: Sequence[str]
    given: Mapping[str, Any]
    asked: Mapping[str, Any]


class Audit(Struct):
    """What an audit has found so far.

    Args:
        kept: hits that there are in all.
        audited: those that were asked about again, and answered.
        failed: those that got no valid answer.
        outdated: those whose question is another one by now (its prompt, schema or examples were changed), or whose command
            cannot be given again.
        fields: how many differ, by field.
    """

    kept: int
    audited: int = 0
    failed: int = 0
    outdated: int = 0
    cost: float | None = 0.0
    fields: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    @property
    def different(self) -> int:
        """Hits with at least one field that differs."""
        return len(self.differences)

    @property
    def share(self) -> float | None:
        """The share of them, None where none was answered."""
        return self.different / self.audited if self.audited else None

    def add(self, rows: Sequence[tuple[KeptHit, Mapping[str, Any], Mapping[str, Any] | None]]) -> None:
        """Count hits, each with the answer it was given and the one that came now, None where there is none."""
        for hit, given, asked in rows:
            if asked is None:
                self.failed += 1
                continue
            self.audited += 1
            differ = [name for name in given if given[name] != asked.get(name)]
            if differ:
                self.fields.update(differ)
                row = loads_object(hit.hit.row.encode()) or {}
                self.differences.append(Difference(row, hit.hit.likeness.similarity, differ, given, asked))

    def as_json(self) -> dict[str, Any]:
        """For machines; shares are from 0 to 1."""
        low, high = wilson(self.different, self.audited) if self.audited else (None, None)
        return {
            "kept": self.kept,
            "audited": self.audited,
            "failed": self.failed,
            "outdated": self.outdated,
            "different": self.different,
            "share": self.share,
            "ci95": [low, high],
            "fields": {name: {"different": n, "share": n / self.audited} for name, n in self._by_field()},
            "cost": self.cost,
            "differences": [
                {
                    "row": found.row,
                    "similarity": found.similarity,
                    "fields": list(found.fields),
                    "given": found.given,
                    "asked": found.asked,
                }
                for found in self.differences
            ],
        }

    def lines(self) -> list[str]:
        """For people."""
        return [
            self._verdict(),
            *self._fields(),
            *(line for one in self.differences[:SHOWN] for line in _shown(one)),
        ]

    def _verdict(self) -> str:
        beside = {"failed": self.failed, "of changed questions": self.outdated}
        note = "".join(f", {n:,} {what}" for what, n in beside.items() if n)
        if not self.audited:
            return f"none of {self.kept:,} semantic hits audited{note}"
        low, high = wilson(self.different, self.audited)
        return (
            f"{self.audited:,} of {self.kept:,} semantic hits audited{note}: {self.different:,} answered otherwise"
            f" ({self.different / self.audited:.1%}; 95 % confidence: {low:.1%} to {high:.1%})"
        )

    def _fields(self) -> list[str]:
        return [f"  {name}: {n:,} ({n / self.audited:.1%})" for name, n in self._by_field()]

    def _by_field(self) -> list[tuple[str, int]]:
        return self.fields.most_common()


def _shown(found: Difference) -> list[str]:
    given = {name: found.given.get(name) for name in found.fields}
    asked = {name: found.asked.get(name) for name in found.fields}
    return [
        f"  similarity {found.similarity:.3f}: {_short(found.row)}",
        f"    given {_short(given)}",
        f"    asked {_short(asked)}",
    ]


def _short(value: Any, most: int = 200) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= most else text[: most - 1] + "…"


def chosen(hits: Sequence[KeptHit], number: int, seed: int) -> list[Questions]:
    """A sample of hits, put together by their questions.

    Args:
        number: how many; all where there are fewer.
        seed: the same one chooses the same of the same hits.
    """
    some = random.Random(seed).sample(hits, min(number, len(hits)))  # noqa: S311  a sample, no secret
    groups: dict[tuple[bytes, str], list[KeptHit]] = {}
    for hit in sorted(some, key=lambda hit: hit.number):
        groups.setdefault((to_json(hit.command, sort_keys=True), hit.hit.endpoint), []).append(hit)
    return [_questions(endpoint, hits) for (_, endpoint), hits in groups.items()]


def _questions(endpoint: str, hits: Sequence[KeptHit]) -> Questions:
    command = hits[0].command
    options = command.get("options")
    return Questions(
        options if isinstance(options, Mapping) else {}, Path(str(command.get("cwd", "."))), endpoint, hits
    )


async def still_asked(questions: Questions, plan: Plan, env: Environment, talk: Talk) -> list[KeptHit]:
    """Those hits whose question is the one that it was. Calls nobody.

    Raises:
        UsageError: the endpoint is not there any more.
    """
    votes = questions.command.get("votes", 1)
    votes = votes if isinstance(votes, int) else 1
    async with connected(plan.settings, plan.asked, env, talk, Stop()) as endpoints:
        prepare = preparer(endpoints[0], plan.prompt, plan.asked, plan.presenter)
        rekey = rekeyed(plan.asked.fingerprint)
        same = []
        for number, hit in enumerate(questions.hits):
            try:
                request = prepare(Record(number, _row(hit)))
            except RowError:
                continue
            samples = ballots(request, votes, rekey)
            if hit.hit.fingerprint in {sample.fingerprint for sample in samples}:
                same.append(hit)
        return same


def compared(
    questions: Questions, plan: Plan, folder: Path
) -> list[tuple[KeptHit, Mapping[str, Any], Mapping[str, Any] | None]]:
    """Each hit with the answer that it was given and the one that came now.

    Args:
        plan: of the run that has asked, for its schema.
        folder: where what came of it is.
    """
    file = folder / "answers.jsonl"
    lines = file.read_bytes().split(b"\n") if file.exists() else []
    rows = [row for line in lines if line and (row := loads_object(line)) is not None]
    answers = {row.get(NUMBER): row.get(ANSWER) for row in rows}
    found = []
    for hit in questions.hits:
        given = _given(hit, plan)
        if given is not None:
            found.append((hit, given, answers.get(hit.number)))
    return found


def _given(hit: KeptHit, plan: Plan) -> Mapping[str, Any] | None:
    """The answer of a hit as it was written; None where it does not fit any more."""
    try:
        value = plan.schema.dump(plan.asked.parse(hit.hit.answer))
    except (ValueError, LlmxError, RecursionError):
        return None
    return loads_object(to_json(value))


def check_place(questions: Questions) -> None:
    """Raises UsageError where a command cannot be given again because its folder is gone."""
    if not questions.cwd.is_dir():
        raise UsageError(f"the folder {str(questions.cwd)!r} of the run is not there any more")
