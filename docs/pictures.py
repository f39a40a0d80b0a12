"""Draw docs/progress.png and docs/states.png from real runs: `python docs/pictures.py`, about five minutes.

Needs Pillow and pyte beside the project itself, of which they are no dependencies: `pip install Pillow pyte`. Every
picture is a screen of `llmx extract` in a pseudo-terminal, against `llmx mock`; nothing is asked of anybody else.
`python docs/pictures.py probing ended` runs the states whose captions have one of these words, and prints their
screens without writing a picture.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyte
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent

COLUMNS, LINES = 114, 24

ROWS = 10_000

DEADLINE = 120.0
"""Seconds after which a state that has not been seen fails the script."""

QUIET = 0.05
"""Seconds without a byte after which a frame is whole: the block is redrawn four times a second."""

GONE = 10.0
"""Seconds that a process gets to end by itself."""

FONT, LINE, MARGIN = 30, 40, 36
"""Pixels: of the letters, from line to line, around all. Twice what is shown, for sharp screens."""

BACKGROUND, FOREGROUND, CAPTION, RULE = "#0c0c0c", "#d9d9d9", "#fd971f", "#333333"

# The names are pyte's, the colours those of rich's MONOKAI theme.
PALETTE = {"default": FOREGROUND, "red": "#f4005f", "green": "#98e024", "brown": "#fd971f", "cyan": "#58d1eb"}

BARS = {"━": (0.0, 1.0), "╸": (0.0, 0.5), "╺": (0.5, 1.0)}
"""What a bar is made of: from where to where in a cell. Drawn as rectangles, so that no font leaves gaps."""

Line = list[Any]


@dataclass(frozen=True)
class Scene:
    """A moment of a run.

    Args:
        seen: a pattern of the screen's text at that moment.
        extract: further options of `llmx extract`.
        mocks: options of each `llmx mock`; {0}, {1} in `config` are their addresses.
        config: llmx.toml.
        stop_at: a pattern at which Ctrl-C is pressed.
        first: rows that an earlier run has left in the cache.
    """

    caption: str
    seen: str
    extract: str = "-m openai/gpt-5-mini"
    mocks: tuple[str, ...] = ("--latency 0.3:1",)
    config: str = ""
    stop_at: str = ""
    first: int = 0


TWO = """\
[endpoint.a]
model = "openai/gpt-5-mini"
base-url = "{0}"

[endpoint.b]
model = "openai/gpt-5-mini"
base-url = "{1}"
"""

KEYS = """\
[endpoint.a]
model = "openai/gpt-5-mini"
base-url = "{0}"
key-name = "KEY_A"

[endpoint.b]
model = "openai/gpt-5-mini"
base-url = "{0}"
key-name = "KEY_B"
"""

PRICED = """\
[endpoint.ours]
model = "openai/gpt-5-mini"
base-url = "{0}"
input-price = 0.05
output-price = 0.40
"""

LISTED = """\
[endpoint.gpt-5-mini]
model = "openai/gpt-5-mini"
base-url = "{0}"
input-price = 0.25
output-price = 2.00
"""
"""What the provider's list says: a mock's address has no price of its own."""

PROGRESS = Scene(
    "",
    r"2[5-9]%  .* [1-9]\d* failed  .* retries",
    "-m gpt-5-mini --rpm 1500",
    ("--latency 0.8:2.5 --error-rate 0.01 --refusal-rate 0.001",),
    LISTED,
    first=312,
)

STATES = [
    Scene(
        "Pacing at --rpm 600",
        r" 2%.*pacing at \d+ rpm",
        "-m openai/gpt-5-mini --rpm 600",
    ),
    Scene(
        "Pacing at the tokens per minute that the server's headers tell",
        r" 3%.*pacing at [\d,]+ tpm",
        mocks=("--latency 0.3:1 --tpm 600000",),
    ),
    Scene(
        "Pacing at a rate found from refusals, by a server that tells none",
        r" [3-9]%.*\(found\)",
        mocks=("--latency 0.3:1 --rpm 900 --limit-window 1 --no-limit-headers --no-retry-after",),
    ),
    Scene(
        "Paused by the server: a 429 that says for how long",
        r"paused 4\d s, as",
        mocks=("--latency 0.3:1 --rpm 400 --no-limit-headers",),
    ),
    Scene(
        "Circuit open: the server is down, nothing is sent",
        r"circuit open for \d+ s, next try in 2[0-5] s",
        mocks=("--latency 0.3:1 --outage 4:90",),
    ),
    Scene(
        "Probing: one request finds out whether it is up again",
        r"circuit open for \d+ s, probing",
        mocks=("--latency 1.5:2 --outage 4:20",),
    ),
    Scene(
        "Falling back: a is down, rows go to b",
        r"a: circuit open for [6-9] s, next try in",
        "-m a -m b",
        ("--latency 0.3:1 --outage 2:90", "--latency 0.5:1 --rpm 3000"),
        TWO,
    ),
    Scene(
        "An endpoint that ended, with a wrong key; the other goes on",
        r" [5-9]%.*a: ended",
        "-m a -m b",
        ("--latency 0.3:1 --key right",),
        KEYS,
    ),
    Scene(
        "A budget: --max-cost 1",
        r"2\d%  .*of budget left",
        "-m ours --max-cost 1 -c 16",
        config=PRICED,
    ),
    Scene(
        "Waiting to retry, after errors of the server",
        r" [2-9]%.*[1-9]\d* waiting to retry",
        mocks=("--latency 0.3:1 --error-rate 0.15",),
    ),
    Scene(
        "Stopping, after Ctrl-C",
        r"stopping",
        mocks=("--latency 1:3",),
        stop_at=r" [2-9]%  ",
    ),
]


class Screen(pyte.Screen):
    """A terminal's screen. Dim is none of pyte's attributes: blinking, which the block never does, stands for it."""

    def select_graphic_rendition(self, *attrs: int, **named: Any) -> None:
        """Set attributes; what follows 38 or 48 is a colour's numbers."""
        colour = next((place for place, attr in enumerate(attrs) if attr in (38, 48)), len(attrs))
        plain = [5 if attr == 2 else attr for attr in attrs[:colour]]
        super().select_graphic_rendition(*plain, *attrs[colour:], **named)


# Runs


def rows(path: Path) -> None:
    """Write tickets, no two alike."""
    said = ("has not arrived", "came twice", "was charged twice", "does not start", "lost its warranty card")
    with path.open("w") as file:
        for number in range(ROWS):
            text = f"Hello, my order {40_000 + number} {said[number % 5]}. Could somebody look into it? Thank you!"
            file.write(json.dumps({"id": number + 1, "text": text}) + "\n")


def llmx(words: str) -> list[str]:
    """The command, of this Python."""
    return [sys.executable, "-m", "llmx", *shlex.split(words)]


def end(process: subprocess.Popen[Any]) -> None:
    """End a process and wait for it."""
    process.terminate()
    try:
        process.wait(GONE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def mock(options: str) -> Iterator[str]:
    """A simulated provider on a free port; its address."""
    command = llmx(f"mock --port 0 {options}")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603  our own
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.search(r"http://\S+/v1", said)
            assert found, f"llmx mock said: {said}"
            yield found[0]
        finally:
            end(process)


def environment(folder: Path, address: str) -> dict[str, str]:
    """Of a run: no settings but the scene's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLMX_", "NO_COLOR"))}
    keys = {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "any", "KEY_A": "wrong", "KEY_B": "right"}
    terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    return {**kept, **keys, **terminal, "LLMX_HOME": str(folder / "home")}


class Run:
    """`llmx extract` in a terminal of its own."""

    def __init__(self, command: list[str], folder: Path, env: dict[str, str]) -> None:
        self._screen = Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = subprocess.Popen(  # noqa: S603  our own
            command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def close(self) -> None:
        """End it the hard way: its folder goes, too."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._ours)

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def until(self, pattern: str) -> list[Line]:
        """The screen's lines as soon as its text has `pattern`."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline and self._took_a_frame():
            if re.search(pattern, " ".join(line.rstrip() for line in self._screen.display), re.DOTALL):
                return self._lines()
        raise TimeoutError(f"no {pattern!r} on this screen:\n" + "\n".join(self._screen.display).rstrip())

    def _took_a_frame(self) -> bool:
        """Read until nothing more comes; False at the end of the run."""
        wait = DEADLINE
        while select.select([self._ours], [], [], wait)[0]:
            try:
                self._stream.feed(os.read(self._ours, 65536))
            except OSError:  # how Linux tells that the other side is closed
                return False
            wait = QUIET
        return True

    def _lines(self) -> list[Line]:
        screen = self._screen
        lines = [[screen.buffer[y][x] for x in range(COLUMNS)] for y in range(LINES)]
        last = max(y for y, text in enumerate(screen.display) if text.strip())
        return lines[: last + 1]


def command(scene: Scene) -> str:
    """As a person types it."""
    return f"extract tickets.jsonl -s ticket --key id {scene.extract} -o labels.jsonl"


def fill(scene: Scene, folder: Path, env: dict[str, str]) -> None:
    """Leave the answers of the scene's first rows in the cache; that some of them fail is part of the scene."""
    earlier = f"{command(scene)} -n {scene.first}".replace("labels", "earlier")
    subprocess.run(llmx(earlier), cwd=folder, env=env, capture_output=True, check=False)  # noqa: S603  our own


def shot(scene: Scene) -> list[Line]:
    """The screen of a scene."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        addresses = [stack.enter_context(mock(options)) for options in scene.mocks]
        rows(folder / "tickets.jsonl")
        (folder / "llmx.toml").write_text(scene.config.format(*addresses))
        env = environment(folder, addresses[0])
        if scene.first:
            fill(scene, folder, env)
        run = Run(llmx(command(scene)), folder, env)
        stack.callback(run.close)
        if scene.stop_at:
            run.until(scene.stop_at)
            run.interrupt()
        return run.until(scene.seen)


def text(line: Line) -> str:
    """Without colours."""
    return "".join(cell.data for cell in line).rstrip()


def block(lines: list[Line]) -> list[Line]:
    """From the bar on."""
    return lines[max(number for number, line in enumerate(lines) if line[0].data in BARS) :]


def plain(words: str, colour: str = "default", *, bold: bool = False) -> Line:
    """A line that no run wrote."""
    return [pyte.screens.Char(letter, fg=colour, bold=bold) for letter in words]


# Pictures


def font(*, bold: bool) -> Any:
    """DejaVu Sans Mono of the system, or that of matplotlib, or what Pillow has."""
    found = []
    if shutil.which("fc-match"):
        wanted = f"DejaVu Sans Mono,monospace:{'bold' if bold else 'book'}"
        asked = ["fc-match", "-f", "%{file}", wanted]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603  fixed words
        found.append(answer.stdout)
    if (spec := find_spec("matplotlib")) and spec.origin:
        name = f"DejaVuSansMono{'-Bold' if bold else ''}.ttf"
        found.append(str(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / name))
    for path in found:
        if Path(path).is_file():
            return ImageFont.truetype(path, FONT)
    return ImageFont.load_default(FONT)


def colour(cell: Any) -> str:
    """As terminals show it."""
    name = cell.fg
    shown = PALETTE.get(name) or (f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else name)
    if not cell.blink:
        return shown
    parts = zip(*(bytes.fromhex(each[1:]) for each in (shown, BACKGROUND)), strict=True)
    return "#" + bytes((of + behind) // 2 for of, behind in parts).hex()


def draw(path: Path, lines: list[Line]) -> None:
    """Write lines of cells as a picture; an empty line is half as high."""
    fonts = {bold: font(bold=bold) for bold in (False, True)}
    cell = round(fonts[False].getlength("0"))
    heights = [LINE if line else LINE // 2 for line in lines]
    image = Image.new("RGB", (COLUMNS * cell + 2 * MARGIN, sum(heights) + 2 * MARGIN - 8), BACKGROUND)
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        y = MARGIN + sum(heights[:number])
        for place, char in enumerate(line):
            stroke(pen, MARGIN + place * cell, y, cell, char, fonts)
    image.quantize(64).save(path, optimize=True)


def stroke(pen: Any, x: int, y: int, cell: int, char: Any, fonts: dict[bool, Any]) -> None:
    """Draw one cell."""
    if char.data in BARS:
        start, stop = BARS[char.data]
        middle = y + LINE // 2 - 4
        pen.rectangle((x + start * cell, middle - 2, x + stop * cell - 1, middle + 2), fill=colour(char))
    elif char.data.strip():
        pen.text((x, y), char.data, font=fonts[char.bold], fill=colour(char))


def states(scenes: list[Scene]) -> Iterator[Line]:
    """Caption and block of each, one under the other."""
    for number, scene in enumerate(scenes):
        found = block(shot(scene))
        print(scene.caption, *map(text, found), "", sep="\n", flush=True)
        yield from [[], []] if number else []
        yield plain(scene.caption, "brown", bold=True)
        yield from found


def main() -> int:
    """Draw both, or try the states that have one of the words; returns an exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background would have runs ignore it
    if words := sys.argv[1:]:
        wanted = [scene for scene in STATES if any(word.lower() in scene.caption.lower() for word in words)]
        return 0 if list(states(wanted)) else 2
    whole = shot(PROGRESS)
    print(*map(text, whole), "", sep="\n", flush=True)
    draw(HERE / "progress.png", [plain(f"$ llmx {command(PROGRESS)}"), *whole])
    draw(HERE / "states.png", list(states(STATES)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
