"""Journals that somebody else has written, or that a disk has changed."""

from __future__ import annotations

from typing import Any

from fuzz.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

from llmx.records import to_json

NUMBERS = st.sampled_from([0, 1, -1, 2**63, 2**64, -(2**63) - 1, 10**30, 1.5, True])
FINGERPRINTS = st.sampled_from(["0" * 64, "f" * 64, "x", 7, None])
VALUES = st.one_of(st.none(), NUMBERS, st.text(max_size=5), st.just({"input": 1}))
COST = st.sampled_from(["0.1", "NaN", "sNaN", "-1e999999", "x", 1, None])
USAGE = st.fixed_dictionaries({"input": VALUES, "output": NUMBERS, "cost": COST})
ENTRY = st.fixed_dictionaries(
    {"t": st.sampled_from(["journal", "start", "answer", "row", "rows", "end", "x", 1])},
    optional={
        "n": st.one_of(VALUES, st.lists(NUMBERS, max_size=2)),
        **dict.fromkeys(("config", "complete", "ok", "version", "caps", "model"), VALUES),
        "id": st.one_of(VALUES, st.sampled_from(["00ff", "ff" * 16, ["00ff"], ["00ff", "x"]])),
        "fp": FINGERPRINTS,
        "usage": st.one_of(USAGE, VALUES),
        "text": st.text(max_size=5),
        "finish": st.sampled_from(["stop", "length", "x"]),
        "body": st.just({}),
    },
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.one_of(ENTRY, st.binary(max_size=20)), max_size=6))
def test_any_lines_open_as_a_journal(lines: list[Any]):
    """Whatever they say, with or without checksums that fit."""
    data = b"\n".join(line if isinstance(line, bytes) else to_json(line) for line in lines)
    for target in TARGETS["journals"].values():
        target(data)
