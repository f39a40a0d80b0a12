"""`llmx worker` as it is typed: what is refused before anything is touched."""

from __future__ import annotations

import pytest
from commands import Llmx

MODEL = ("-m", "openai/mock")


@pytest.mark.parametrize(
    ("options", "problem", "hint"),
    [
        (("--queue", "redis://127.0.0.1:1/0"), "no model", "-m"),
        (MODEL, "a worker needs a queue", "--queue redis://HOST:6379/0"),
        ((*MODEL, "--queue", "sqlite"), "a worker needs a queue", "--queue redis://HOST:6379/0"),
        ((*MODEL, "--queue", "localhost:6379"), "does not begin with redis://", "redis://HOST:6379/0"),
        ((*MODEL, "--queue", "redis://:hunter2@h/0"), "holds a password", "LLMX_QUEUE_FILE"),
        (
            (*MODEL, "--queue", "redis://127.0.0.1:1/0", "--shards", "0"),
            "a worker that runs none",
            "--shards 2",
        ),
        ((*MODEL, "--queue", "redis://127.0.0.1:1/0", "--shards", "many"), "shards", ""),
        ((*MODEL, "--queue", "redis://127.0.0.1:1/0", "--rpm", "0"), "rpm", ""),
    ],
)
def test_what_is_wrong_is_told_at_once(llmx: Llmx, options: tuple[str, ...], problem: str, hint: str) -> None:
    """In two lines, with exit code 2; nothing is made in the folder."""
    done = llmx("worker", *options, OPENAI_API_KEY="sk-of-a-test")
    assert 2 == done.code
    assert problem in done.err
    assert hint in done.err
    assert "hunter2" not in done.err
    assert "Traceback" not in done.err
    assert "" == done.out
    assert not any(llmx.cwd.iterdir())


def test_the_service_refuses_a_password_that_all_can_read(llmx: Llmx) -> None:
    """As a worker does."""
    done = llmx("serve", *MODEL, "--queue", "redis://:hunter2@h/0", OPENAI_API_KEY="sk-of-a-test")
    assert 2 == done.code
    assert "everybody on this machine could read" in done.err
    assert "hunter2" not in done.err
