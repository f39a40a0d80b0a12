"""Server-sent events, cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.providers.sse import EventDecoder, ServerEvent, is_stream

cuts = st.lists(st.integers(min_value=0), max_size=20)
line = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))
events = st.lists(st.tuples(st.sampled_from(["", "ping", "délta"]), st.lists(line, min_size=1, max_size=3)))
ends = st.sampled_from(["\n", "\r\n", "\r"])


def decoded(stream: bytes, places: list[int] | None = None) -> list[ServerEvent]:
    places = sorted({place % (len(stream) + 1) for place in places or []} | {0, len(stream)})
    decoder = EventDecoder()
    found = [event for begin, end in pairwise(places) for event in decoder.feed(stream[begin:end])]
    return found + list(decoder.end())


@given(events, ends, cuts, st.booleans(), st.booleans())
def test_however_it_is_cut(
    told: list[tuple[str, list[str]]], end: str, places: list[int], bom: bool, comments: bool
) -> None:
    """Within a line, a line's end, or a letter: the same events come."""
    text = "\ufeff" if bom else ""
    for name, lines in told:
        text += f": a comment{end}{end}" if comments else ""
        text += f"event: {name}{end}" if name else ""
        text += "".join(f"data: {each}{end}" for each in lines) + end
    expected = [ServerEvent(name, "\n".join(lines).encode()) for name, lines in told]
    assert decoded(text.encode(), places) == expected


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data:x\n\n", [ServerEvent("", b"x")]),
        (b"data:  x\n\n", [ServerEvent("", b" x")]),
        (b"data\n\n", [ServerEvent("", b"")]),
        (b"data: a\nid: 7\nretry: 9\nother: b\n\n", [ServerEvent("", b"a")]),
        (b"event: ping\n\ndata: a\n\n", [ServerEvent("", b"a")]),
        (b"data: [DONE]", [ServerEvent("", b"[DONE]")]),
        (b"\n\n: nothing\n\n", []),
        (b"", []),
    ],
)
def test_the_format(stream: bytes, expected: list[ServerEvent]) -> None:
    """As the standard has it; but what the end cuts off counts, since servers leave the last blank line out."""
    assert decoded(stream) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("text/event-stream", True), ("Text/Event-Stream; charset=utf-8", True), ("application/json", False)],
)
def test_what_a_stream_is(kind: str, expected: bool) -> None:
    """By its type; a response that names none is none."""
    assert is_stream({"content-type": kind}) is expected
    assert not is_stream({})
