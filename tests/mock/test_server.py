"""Starting and ending: as part of a program, and as one of its own."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, suppress

import pytest

from llmx.errors import UsageError
from llmx.mock import MockSettings, run, serve

PROGRAM = """
import sys
from llmx.mock import MockSettings, run
run(MockSettings(), "127.0.0.1", 0, lambda line: print(line, file=sys.stderr, flush=True))
"""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
async def test_loopback_only(host: str) -> None:
    """It never listens to the network, nor looks a name up."""
    with pytest.raises(UsageError, match="loopback only"):
        await serve(host=host)


async def test_a_port_in_use() -> None:
    """The message names it, the hint a way out."""
    async with await serve() as server:
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{server.port}") as caught:
            await serve(port=server.port)
    assert "--port 0" in caught.value.hint


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_is_just_being_accepted_is_cut_too(turns: int) -> None:
    """In whichever turn of the loop the server is closed."""
    server = await serve()
    with ExitStack() as held:
        address = ("127.0.0.1", server.port)
        clients = [held.enter_context(socket.create_connection(address, timeout=10)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.aclose()
        for client in clients:
            with suppress(ConnectionResetError):
                assert await asyncio.to_thread(client.recv, 1) == b""


def test_run_announces_where_it_listens() -> None:
    """Two lines: where it is, and how to use it."""

    async def at_once() -> None:
        await asyncio.sleep(0)

    lines: list[str] = []
    run(MockSettings(models=("tiny",)), "127.0.0.1", 0, lines.append, at_once)
    port = lines[0].rpartition(":")[2].partition(" ")[0]
    url = f"http://127.0.0.1:{port}"
    assert lines == [
        f"mock provider on {url}/v1 (openai) and {url} (anthropic)",
        f"try: OPENAI_API_KEY=mock llmx extract rows.jsonl --schema 'name str' -m openai/tiny --base-url {url}/v1",
    ]


def test_keys_are_not_announced() -> None:
    """Not even the mock's own."""

    async def at_once() -> None:
        await asyncio.sleep(0)

    lines: list[str] = []
    run(MockSettings(keys=("sk-secret",)), "127.0.0.1", 0, lines.append, at_once)
    assert "sk-secret" not in "".join(lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it(number: signal.Signals) -> None:
    """As a process it answers until it is told to end, then ends in silence."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process, process.stderr:
        url = process.stderr.readline().split()[3].removesuffix("/v1")
        with urllib.request.urlopen(f"{url}/stats", timeout=5) as response:
            assert response.status == 200
        process.stderr.readline()
        process.send_signal(number)
        assert (process.wait(5), process.stderr.read()) == (0, "")
