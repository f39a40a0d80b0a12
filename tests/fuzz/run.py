"""Fuzz readers, inline schemas or journals: `python tests/fuzz/run.py readers|schemas|journals [--seconds N]`.

It takes atheris (https://github.com/google/atheris), which no other test needs. An input that breaks a target
is kept as `crash-…` in the folder where this was started; `--file PATH` runs one again.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import Any

SEEDS = (
    b'{"a": 1, "b": [1.5, null, "x\\u2028"]}\n{"a": "\\ud800"}\n',
    b'[{"a": 1, "a": 2}, {"b": {"c": 12345678901234567890123}}]',
    b'{"_error": {"raw": "{\\"a\\": 1}"}}\n',
    b'a,b\n1,"x\ny"\n"open,2\n',
    b'a","\na","\n\xef\xbb\xbf\r\n\0',
    b'{"t":"journal","id":"x","version":1}\n{"t":"start","config":"c"}\n{"t":"end","complete":true}\n',
    b'{"t":"answer","fp":"%s","usage":{"input":1,"output":1,"cost":"0.1"},"finish":"stop","text":"{}","model":"m","body":{}}\n'
    % (b"0" * 64),
    b'{"t":"row","id":"00ff","n":1,"ok":true}\n{"t":"row","id":"00ff","n":2,"ok":false}\n',
    b'{"t":"rows","id":["00ff","01ff"],"n":[1,2],"index":[0,1],"line":[1,2]}\n',
    b"name, age int: in years, tone good|bad|'not so', tags list[list[str]], due date?",
)


def main() -> int:
    """Fuzz for so many seconds; the exit code is atheris's own, or 2 when it is missing."""
    arguments = _arguments()
    try:
        import atheris
    except ImportError:
        print(
            f"error: atheris is not installed\nhint: {sys.executable} -m pip install atheris", file=sys.stderr
        )
        return 2
    with atheris.instrument_imports(include=["llmx"]):
        from targets import TARGETS
    chosen = TARGETS[arguments.what]
    if arguments.only is not None:
        chosen = {arguments.only: chosen[arguments.only]}

    def run_all(data: bytes) -> None:
        for target in chosen.values():
            target(data)

    if arguments.file is not None:
        run_all(arguments.file.read_bytes())
        return 0
    options = [f"-max_total_time={arguments.seconds}", "-timeout=30", "-rss_limit_mb=4096", "-max_len=4096"]
    atheris.Setup([sys.argv[0], *options], run_all, custom_mutator=_mutator(atheris))
    atheris.Fuzz()
    return 0


def _mutator(atheris: Any) -> Any:
    """Now and then one of the seeds is spliced in: from nothing, much of the syntax would never be found."""

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        draw = random.Random(seed)
        if draw.random() < 0.1:
            place = draw.randrange(len(data) + 1)
            data = (data[:place] + draw.choice(SEEDS) + data[place:])[:max_size]
        return bytes(atheris.Mutate(data, max_size))

    return mutate


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz with atheris.")
    parser.add_argument("what", choices=["readers", "schemas", "journals"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--only", help="one target by its name in targets.py")
    parser.add_argument("--file", type=Path, help="run the targets on this file's bytes, once")
    return parser.parse_args()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    raise SystemExit(main())
