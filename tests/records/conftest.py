"""What the tests of readers and writers share: a folder, streams in memory, short ways to read and write."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from llmx.environment import Environment
from llmx.records import Unreadable, open_sink, open_source
from llmx.types import Record

Read = Callable[..., list[Record | Unreadable]]


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return Environment(
        stdin=io.BytesIO(), stdout=io.BytesIO(), stderr=io.StringIO(), variables={}, cwd=tmp_path
    )


@pytest.fixture
def read(env: Environment) -> Read:
    """All that a source gives for one file's content, or with name "-" for stdin's."""

    def read_all(name: str, content: bytes, **options: Any) -> list[Record | Unreadable]:
        if name == "-":
            return list(open_source(["-"], env=replace(env, stdin=io.BytesIO(content)), **options))
        (env.cwd / name).write_bytes(content)
        return list(open_source([name], env=env, **options))

    return read_all


@pytest.fixture
def written(env: Environment) -> Callable[..., bytes]:
    """The content of a file after the rows were written to it."""

    def write_all(name: str, rows: list[dict[str, Any]], **options: Any) -> bytes:
        sink = open_sink(name, env=env, **options)
        for row in rows:
            sink.write(row)
        sink.close()
        return (env.cwd / name).read_bytes()

    return write_all
