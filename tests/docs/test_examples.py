"""Every example runs by its own run.sh and gives what it says.

`UPDATE_EXPECTED=1` writes the expected output of the examples that run against `llmx mock` instead of comparing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
LOCAL = EXAMPLES / "01-contacts"
LABELLING = EXAMPLES / "08-labelling-ci"  # has a provider that knows what is right, see tests/ci
MOCKED = sorted(path for path in EXAMPLES.glob("[0-9][0-9]-*") if path not in (LOCAL, LABELLING))


def copied(example: Path, folder: Path) -> Path:
    """A copy that a run may write to."""
    return Path(shutil.copytree(example, folder / example.name, ignore=shutil.ignore_patterns("out.*")))


def run(script: Path, variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script from another folder, as a reader would."""
    command = ["sh", str(script), *arguments]
    done = subprocess.run(
        command,
        cwd=script.parents[1],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("example", MOCKED, ids=lambda path: path.name)
def test_an_example_gives_its_expected_output(
    example: Path, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    """The simulated provider's answers, shaped by the example's options, are the expected file's."""
    expected = next(example.glob("expected.*"), example / "expected.jsonl")
    copy = copied(example, tmp_path)
    run(copy / "run.sh", surroundings)
    out = copy / expected.name.replace("expected", "out")
    if os.environ.get("UPDATE_EXPECTED"):
        shutil.copyfile(out, example / f"expected{out.suffix}")
        return
    assert out.read_text(encoding="utf-8") == expected.read_text(encoding="utf-8")


def test_every_example_is_listed() -> None:
    """examples/README.md names every folder of examples."""
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (LOCAL, *MOCKED, LABELLING) if path.name not in listed] == []


@pytest.mark.local_model
def test_the_embedded_model_copies_contacts_word_for_word(
    tmp_path: Path, with_weights: dict[str, str]
) -> None:
    """Every row of 01-contacts is there, and every field is a piece of its row's text."""
    copy = copied(LOCAL, tmp_path)
    run(copy / "run.sh", with_weights)
    rows = [json.loads(line) for line in (copy / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    given = [json.loads(line) for line in (LOCAL / "contacts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == [row["text"] for row in given]
    fields = [(row[name], row["text"]) for row in rows for name in ("name", "email", "phone", "company")]
    assert [value for value, text in fields if value not in text] == []


@pytest.mark.local_model
def test_the_embedded_model_gets_the_contacts_right(tmp_path: Path, with_weights: dict[str, str]) -> None:
    """At least 18 of the 20 fields of 01-contacts are as expected; processors round differently."""
    copy = copied(LOCAL, tmp_path)
    run(copy / "run.sh", with_weights)
    got, wanted = (
        [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        for folder, name in ((copy, "out.jsonl"), (LOCAL, "expected.jsonl"))
    )
    names = ("name", "email", "phone", "company")
    right = sum(row[name] == other[name] for row, other in zip(got, wanted, strict=True) for name in names)
    assert right >= 18


@pytest.mark.local_model
def test_the_demo_shows_input_and_validated_rows(tmp_path: Path, with_weights: dict[str, str]) -> None:
    """The README's first command prints what goes in and what comes out, from any folder."""
    root = EXAMPLES.parent
    work = tmp_path / "checkout"
    work.mkdir()
    shutil.copytree(EXAMPLES, work / "examples", ignore=shutil.ignore_patterns("out.*"))
    (work / ".ci").mkdir()
    (work / ".ci" / "setup").write_text("# set up already\n")
    (work / ".venv").symlink_to(root / ".venv")
    shown = run(work / "examples" / "demo.sh", with_weights).stdout
    for text in ((LOCAL / "contacts.jsonl").read_text(encoding="utf-8"), '"email":"tom@bluebird.example"'):
        assert text in shown


def test_every_example_has_a_number_of_its_own() -> None:
    """Examples are told apart by their numbers, which leave none out."""
    numbers = sorted(int(path.name[:2]) for path in EXAMPLES.glob("[0-9][0-9]-*"))
    assert numbers == list(range(1, len(numbers) + 1))
