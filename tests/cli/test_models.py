"""`llmx models`."""

from __future__ import annotations

import io
import json

import pytest
import typer

from llmx.cli.models import models
from llmx.environment import Environment
from llmx.errors import UsageError


class Terminal(io.BytesIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def listed(filter_=None, *, as_json=False, stdout=None, **variables):
    """What is printed."""
    env = Environment(stdout=stdout or io.BytesIO(), variables=variables)
    context = typer.Context(typer.main.get_command(typer.Typer(callback=lambda: None)), obj=env)
    models(context, filter_, as_json)
    return env.stdout.getvalue().decode().splitlines()


def test_piped_it_is_tab_separated():
    """Model, context, prices, and whether the key is there."""
    assert "openai/gpt-4o-mini\t128000\t0.15\t0.6\t" in listed("openai")
    assert "openai/gpt-4o-mini\t128000\t0.15\t0.6\tkey" in listed("openai", OPENAI_API_KEY="k")


def test_on_a_terminal_it_is_a_table():
    """With a head, and columns aligned."""
    head, first, *_ = listed("anthropic", stdout=Terminal())
    assert head.split() == ["model", "context", "$/M", "in", "$/M", "out"]
    assert first.startswith("anthropic/")


def test_json():
    """One object per line."""
    rows = [json.loads(line) for line in listed("anthropic", as_json=True)]
    assert {"model", "context", "input", "output", "key"} == set(rows[0])


def test_a_filter_is_any_part_of_the_name():
    """Or exactly a provider's name."""
    assert all("haiku" in line for line in listed("haiku"))
    assert {"openai"} == {line.split("/")[0] for line in listed("openai")}


def test_providers_with_a_key_come_first():
    """The embedded model needs none."""
    first = [line.split("/")[0].split("\t")[0] for line in listed(GROQ_API_KEY="k")]
    assert {"groq", "local"} <= set(first[: first.index("openai")])


def test_no_match():
    """It is an error with the nearest name."""
    with pytest.raises(UsageError) as caught:
        listed("antropic")
    assert caught.value.hint == "llmx models anthropic"
