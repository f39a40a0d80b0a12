"""String values: copied from the user's text, drawn from a format, or matching a pattern."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from llmx.mock.patterns import Pattern

__all__ = ["StringDraw", "string_draw"]

StringDraw = Callable[[Random, str], str]
"""From randomness and the user's text."""

# Words joined by what joins words in prose, so that a span never runs across JSON or markup.
_SPANS = [re.compile(rf"(?<!\w)\w+(?:[ '@.-]\w+){{0,{more}}}") for more in range(5)]
_LONG_SPAN = re.compile(r"(?<!\w)\w+(?:\W{1,4}\w+){0,200}")
_LOREM = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore"
_NAMES = ("ada", "grace", "alan", "edsger", "barbara", "donald", "margaret", "dennis")
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def _moment(rng: Random) -> datetime:
    return _EPOCH + timedelta(seconds=int(rng.random() * 200_000_000))


def _day(rng: Random) -> date:
    return _moment(rng).date()


def _uuid(rng: Random, version: int) -> str:
    """Random but for what says so: the version and the variant (RFC 9562, section 4)."""
    bits = rng.getrandbits(128) & ~(0xF << 76 | 0x3 << 62)
    return str(UUID(int=bits | version << 76 | 0x2 << 62))


_FORMATS: dict[str, Callable[[Random], str]] = {
    "date": lambda rng: _day(rng).isoformat(),
    "date-time": lambda rng: _moment(rng).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "time": lambda rng: _moment(rng).strftime("%H:%M:%SZ"),
    "duration": lambda rng: f"P{rng.randint(1, 30)}DT{rng.randint(0, 23)}H",
    "email": lambda rng: f"{rng.choice(_NAMES)}{rng.randint(1, 999)}@example.com",
    "uuid": partial(_uuid, version=4),
    "uri": lambda rng: f"https://example.com/{rng.choice(_NAMES)}/{rng.randint(1, 999)}",
    "hostname": lambda rng: f"{rng.choice(_NAMES)}.example.com",
    **{f"uuid{version}": partial(_uuid, version=version) for version in range(1, 9)},
    "base64": lambda rng: base64.b64encode(rng.choice(_NAMES).encode()).decode(),
    "base64url": lambda rng: base64.urlsafe_b64encode(rng.choice(_NAMES).encode()).decode(),
    "ipv4": lambda rng: f"192.0.2.{rng.randint(1, 254)}",
    "ipv6": lambda rng: f"2001:db8::{rng.randint(1, 0xFFFF):x}",
    "ipv4network": lambda _: "192.0.2.0/24",
    "ipv6network": lambda _: "2001:db8::/32",
    "json-string": lambda _: "{}",
}
_ALIASES = {
    "idn-email": "email",
    "url": "uri",
    "iri": "uri",
    "uri-reference": "uri",
    "ipvanyaddress": "ipv4",
    "ipvanynetwork": "ipv4network",
    "ipv4interface": "ipv4network",
    "ipv6interface": "ipv6network",
    "ipvanyinterface": "ipv4network",
}


def string_draw(schema: Mapping[str, Any]) -> StringDraw:
    """What draws strings for a flat string schema.

    A format or pattern that is not understood is passed over: a plausible string is more use to a
    rehearsal than none.
    """
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    most = None if most is None else int(most)
    plain = _plain(least, most)
    if "pattern" in schema:
        return _matching(schema["pattern"], least, most, plain)
    name = schema.get("format")
    if schema.get("contentMediaType") == "application/json":
        name = "json-string"
    form = _FORMATS.get(_ALIASES.get(str(name), str(name)))
    return plain if form is None else _formatted(form, least, most, plain)


def _formatted(
    form: Callable[[Random], str], least: int, most: int | None, otherwise: StringDraw
) -> StringDraw:
    def draw(rng: Random, text: str) -> str:
        value = form(rng)
        return value if least <= len(value) <= (most or len(value)) else otherwise(rng, text)

    return draw


def _matching(expression: str, least: int, most: int | None, otherwise: StringDraw) -> StringDraw:
    try:
        pattern = Pattern(expression)
    except ValueError:  # written for another dialect than Python's
        return otherwise

    def draw(rng: Random, text: str) -> str:
        value = pattern.draw(rng, least, most)
        return otherwise(rng, text) if value is None else value

    return draw


def _plain(least: int, most: int | None) -> StringDraw:
    def draw(rng: Random, text: str) -> str:
        value = _span(rng, text, least)
        if len(value) < least:
            value = (value + " " + _LOREM * (least // len(_LOREM) + 1))[: max(least, 1)]
        if most is not None and len(value) > most:
            value = value[:most]
            trimmed = value.rstrip()
            value = trimmed if len(trimmed) >= least else value
        return value

    return draw


def _span(rng: Random, text: str, least: int) -> str:
    """A few words from somewhere in the text; filler where it has none."""
    text = text or _LOREM
    shape = _LONG_SPAN if least > 40 else _SPANS[int(rng.random() * len(_SPANS))]
    found = shape.search(text, int(rng.random() * len(text))) or shape.search(text) or shape.search(_LOREM)
    assert found is not None
    return found.group()
