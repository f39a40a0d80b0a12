"""What a service and a worker refuse before they take any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving import llmx, variables

SERVE = ("serve", "--port", "0")
WORKER = ("worker", "--queue", "redis://127.0.0.1:1/0")


@pytest.mark.parametrize("command", [SERVE, WORKER])
@pytest.mark.parametrize(
    ("options", "code", "problem"),
    [
        (("-m", "openai/gpt-5-mini"), 4, "no key for openai: OPENAI_API_KEY is not set"),
        (
            ("-m", "openai/m", "--base-url", "http://127.0.0.1:1/v1", "-m", "anthropic/m"),
            2,
            "--base-url is for one provider, and -m names openai and anthropic",
        ),
        (("-m", "gemini/gemini-2.5-flash"), 2, "gemini needs the package 'google.generativeai'"),
        (("-m", "local//no/such.gguf"), 2, "no model file '/no/such.gguf'"),
    ],
)
def test_a_model_that_cannot_be_asked_is_not_served(
    tmp_path: Path, command: tuple[str, ...], options: tuple[str, ...], code: int, problem: str
) -> None:
    """Else each request would be told of the operator's mistake, and each job be stopped by it."""
    env = {name: value for name, value in variables(tmp_path).items() if not name.endswith("_API_KEY")}
    ended = llmx(*command, *options, env=env, cwd=tmp_path)
    assert (code, problem in ended.stderr) == (ended.returncode, True), ended.stderr
    assert not (tmp_path / "llmx-data").exists()


def test_the_hint_names_the_service_s_own_file_of_keys(tmp_path: Path) -> None:
    """The key that it has one make is one that lets the service listen."""
    options = (
        "--host",
        "0.0.0.0",
        "--data",
        "else where",
        "-m",
        "openai/m",
        "--base-url",
        "http://127.0.0.1:1/v1",
    )
    ended = llmx(*SERVE, *options, env=variables(tmp_path), cwd=tmp_path)
    assert ended.returncode == 2
    assert f"hint: llmx keys create NAME --keys '{tmp_path}/else where/keys.json'" in ended.stderr
