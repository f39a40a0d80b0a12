"""Panels of lines over the calls in flight, as SVG: what throughput.py and service.py draw of their figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

__all__ = ["Lines", "draw"]

Lines = Mapping[str, Sequence[tuple[float, float]]]
"""By the name of a contestant, its points."""

WIDTH, HEIGHT = 380, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 40, 46
COLOURS = ("#0b7285", "#868e96", "#e8590c", "#9c36b5", "#5c940d")


def draw(panels: Mapping[str, Lines], path: Path, across: str = "calls in flight") -> None:
    """Write panels side by side, both axes logarithmic; a contestant has one colour in all of them.

    Args:
        across: what the horizontal axis is.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    colours = dict(zip(names, COLOURS, strict=False))
    width, height = WIDTH * len(panels), HEIGHT + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (title, lines) in enumerate(panels.items()):
        parts += [
            f'<g transform="translate({number * WIDTH} 0)">',
            *_panel(title, lines, colours, across),
            "</g>",
        ]
    step = width / max(1, len(names))
    for number, name in enumerate(names):
        x, y = number * step + 20, HEIGHT + 10
        parts.append(f'<circle cx="{x:.0f}" cy="{y - 4}" r="5" fill="{colours[name]}"/>')
        parts.append(f'<text x="{x + 10:.0f}" y="{y}">{escape(name)}</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _panel(title: str, lines: Lines, colours: Mapping[str, str], axis: str) -> Iterator[str]:
    points = [point for line in lines.values() for point in line]
    xs, ys = sorted({x for x, _ in points}), [y for _, y in points]
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log(x) - math.log(xs[0])) / ((math.log(xs[-1]) - math.log(xs[0])) or 1)
        up = (math.log(y) - math.log(low)) / (math.log(high) - math.log(low))
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    yield f'<text x="{LEFT}" y="22" font-size="14" font-weight="bold">{escape(title)}</text>'
    for exponent in range(round(math.log10(low)), round(math.log10(high)) + 1):
        _, y = place(xs[0], 10**exponent)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dee2e6"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10**exponent:g}</text>'
    for x in xs:
        across, _ = place(x, low)
        yield f'<text x="{across:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:,.0f}</text>'
    yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - BOTTOM + 36}" text-anchor="middle">{escape(axis)}</text>'
    for name, line in lines.items():
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        yield f'<polyline points="{corners}" fill="none" stroke="{colours[name]}" stroke-width="2.5"/>'
        for x, y in (place(*point) for point in line):
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colours[name]}"/>'
