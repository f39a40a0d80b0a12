"""What `llmx mock` can serve on one processor, as wrk sees it, beside the least that asyncio can do.

    python benchmarks/mock.py [--seconds 5] [--runs 3] [--connections 64]

Needs wrk (Debian's package of that name). The baseline is an asyncio protocol that sends the same bytes back to every
request without looking at it; both serve the same requests in turn.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import CLIENT, SCHEMA, SERVER, pinned, served

from llmx.schemas import load_schema, wire_schema

LEAST = """
import asyncio, sys
body = b'x' * 600
answer = b'HTTP/1.1 200 OK\\r\\ncontent-length: 600\\r\\n\\r\\n' + body
class Echo(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(answer)
async def main():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("error: wrk is not installed\nhint: apt install wrk")
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, served() as server, least() as bare:
        url = f"{server.url}/v1"
        targets = {
            "OpenAI, json_schema": (f"{url}/chat/completions", openai_body(tools=False)),
            "OpenAI, tools": (f"{url}/chat/completions", openai_body(tools=True)),
            "Anthropic, native": (f"{url}/messages", anthropic_body(tools=False)),
            "Anthropic, tools": (f"{url}/messages", anthropic_body(tools=True)),
            "bare asyncio protocol": (bare, openai_body(tools=False)),
        }
        for _ in range(options.runs):
            for name, (target, body) in targets.items():
                script = write_script(Path(folder), body)
                rates.setdefault(name, []).append(wrk(target, script, options.seconds, options.connections))
    report(rates)


@contextmanager
def least() -> Iterator[str]:
    """The baseline in a process of its own; yields its URL."""
    server = subprocess.Popen(
        [*pinned(SERVER), sys.executable, "-c", LEAST], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


TEXT = "Row 7: Ada Lovelace <ada7@example.org>, 36 years old, was pleased."


def openai_body(*, tools: bool) -> dict[str, object]:
    """A chat completion's request, the size of one of `llmx extract`."""
    schema = dict(wire_schema(load_schema(SCHEMA, cwd=Path()), "openai-strict").schema)
    body: dict[str, object] = {"model": "mock", "messages": [{"role": "user", "content": TEXT}]}
    if tools:
        function = {"name": "Row", "parameters": schema}
        return {**body, "tools": [{"type": "function", "function": function}]}
    form = {"name": "Row", "strict": True, "schema": schema}
    return {**body, "response_format": {"type": "json_schema", "json_schema": form}}


def anthropic_body(*, tools: bool) -> dict[str, object]:
    """A message's request of the same content."""
    dialect = "anthropic-tools" if tools else "anthropic-native"
    schema = dict(wire_schema(load_schema(SCHEMA, cwd=Path()), dialect).schema)
    messages = [{"role": "user", "content": TEXT}]
    body: dict[str, object] = {"model": "mock", "max_tokens": 4096, "messages": messages}
    if tools:
        return {**body, "tools": [{"name": "Row", "input_schema": schema}]}
    return {**body, "output_config": {"format": {"type": "json_schema", "schema": schema}}}


def write_script(folder: Path, body: dict[str, object]) -> Path:
    """What tells wrk to send `body`."""
    script = folder / "post.lua"
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": "mock"}
    headers["authorization"] = "Bearer mock"
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    script.write_text("\n".join(['wrk.method = "POST"', f"wrk.body = [==[{json.dumps(body)}]==]", *lines]))
    return script


def wrk(url: str, script: Path, seconds: int, connections: int) -> float:
    """Requests a second; every one of them must have been answered with 200."""
    command = [*pinned(CLIENT), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    match = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert match is not None, said
    return float(match[1])


def report(rates: dict[str, list[float]]) -> None:
    """Medians, and shares of the last, the baseline."""
    base = statistics.median(list(rates.values())[-1])
    print(f"{'':24}{'requests/s':>12}{'of the bare protocol':>24}")
    for name, runs in rates.items():
        rate = statistics.median(runs)
        print(f"{name:24}{rate:12,.0f}{rate / base:24.2f}")


if __name__ == "__main__":
    main()
