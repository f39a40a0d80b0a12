"""The errors: one tree, drawn and real, each with an exit code."""

from __future__ import annotations

import re

import pytest

from llmx import errors
from llmx.errors import Interrupted, InvalidAnswer, LlmxError, RateLimited, TransientError

LINE = re.compile(r"^    (?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(?P<rest>.*)$")


def drawn() -> dict[str, tuple[str | None, list[int]]]:
    """Name to parent and exit codes (its own, or its nearest ancestor's) as the docstring draws them."""
    tree: dict[str, tuple[str | None, list[int]]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := LINE.match(line):
            path[len(match["branch"]) // 4 :] = [match["name"]]
            parent = path[-2] if len(path) > 1 else None
            code = re.search(r"exit (\d+(?:, \d+)*)", match["rest"])
            inherited = tree[parent][1] if parent else []
            tree[match["name"]] = parent, [int(c) for c in code[1].split(",")] if code else inherited
    return tree


def real() -> dict[str, str | None]:
    classes = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, LlmxError)]
    return {cls.__name__: None if cls is LlmxError else cls.__mro__[1].__name__ for cls in classes}


def test_the_drawn_tree_is_the_real_one():
    """The docstring names every class under its parent, and nothing else."""
    assert {name: parent for name, (parent, _) in drawn().items()} == real()


def test_every_error_is_exported():
    """`__all__` has them all."""
    assert sorted(real()) == errors.__all__


@pytest.mark.parametrize("name", [name for name, (_, codes) in drawn().items() if len(codes) == 1])
def test_the_drawn_exit_codes_are_the_real_ones(name: str):
    """What the docstring promises is what the process returns."""
    assert getattr(errors, name).exit_code == drawn()[name][1][0]


def test_a_signals_exit_code():
    """128 plus the signal, and a word for it."""
    signals = [Interrupted(1), Interrupted(2), Interrupted(15)]
    assert drawn()["Interrupted"][1] == [signal.exit_code for signal in signals] == [129, 130, 143]
    assert [str(signal) for signal in signals] == ["hung up", "interrupted", "terminated"]


@pytest.mark.parametrize("name", sorted(real()))
def test_types_are_in_snake_case(name: str):
    """An error row's type is its class's name as people write it in JSON."""
    error = Interrupted(2) if name == "Interrupted" else getattr(errors, name)("message")
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.type)
    assert error.type.replace("_", "") == name.lower()


def test_type_examples():
    """The names that error rows show."""
    assert (InvalidAnswer("x").type, RateLimited("x").type, LlmxError("x").type) == (
        "invalid_answer",
        "rate_limited",
        "llmx_error",
    )


@pytest.mark.parametrize("name", sorted(real()))
def test_only_transient_errors_are_retryable(name: str):
    """`retryable` says what the retry layer does."""
    cls = getattr(errors, name)
    assert cls.retryable is issubclass(cls, TransientError)


def test_what_an_error_carries():
    """Message, hint, raw answer, and the wait that was asked for."""
    error = InvalidAnswer("age: missing", hint="a hint", raw="{}")
    assert (str(error), error.hint, error.raw) == ("age: missing", "a hint", "{}")
    assert (LlmxError("x").hint, InvalidAnswer("x").raw, RateLimited("x").retry_after) == ("", None, None)
    assert RateLimited("429", retry_after=1.5).retry_after == 1.5
