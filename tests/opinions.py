"""A provider of whose every answer a test says what it is: by row, model and how often it was asked."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rehearsal import read_rows, run_to_files, write_rows
from scripted import Received, Reply, Scripted, chat

from llmx.job import Report

__all__ = ["Opinions", "run"]

Say = Callable[[Mapping[str, Any], str, int], Any]
"""What is answered about a row by a model that was asked so often before: an object, or any text."""


class Opinions:
    """The server's answers.

    Args:
        say: see `Say`.
        chance: the probability of every token, where log-probabilities are asked for.
    """

    def __init__(self, say: Say, chance: float = 0.5) -> None:
        self._say = say
        self._chance = chance
        self.asked: Counter[tuple[str, str]] = Counter()
        self.models: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: Received) -> Reply:
        body = request.body
        shown = re.search(r"<row-\w+>\n(.*)\n</row-", body["messages"][-1]["content"])
        said = body["messages"][1]["content"] if shown is None else shown[0]
        row = json.loads(re.search(r"<row-\w+>\n(.*)\n</row-", said)[1])  # type: ignore[index]  # every row is there
        turn = (body["model"], json.dumps(row))
        answer = self._say(row, body["model"], self.asked[turn])
        self.asked[turn] += 1
        self.models[body["model"]] += 1
        self.bodies.append(body)
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        reply = chat(text, model=body["model"])
        if body.get("logprobs"):
            tokens = [
                {"token": part, "bytes": list(part.encode()), "logprob": math.log(self._chance)}
                for part in re.findall(r"\w+|\W", text)
            ]
            reply["choices"][0]["logprobs"] = {"content": tokens}
        return Reply(reply)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """The address of a server that has these opinions."""
        async with Scripted.listening() as server:
            server.reply = self
            yield f"{server.url}/v1"


async def run(
    folder: Path, rows: list[dict[str, Any]], url: str, **options: Any
) -> tuple[Report, list[dict[str, Any]]]:
    """One run over rows; its report and its output."""
    write_rows(folder / "in.jsonl", rows)
    given = {"inputs": ["in.jsonl"], "key": "id", "keep": ["id"], "base_url": url, **options}
    if "cascade" not in options:
        given.setdefault("model", "openai/gpt-5-mini")
    report, _ = await run_to_files(folder, given)
    return report, read_rows(folder / str(given.get("output", "out.jsonl")))
