"""Who takes part in a queue: what is refused before a job could be lost, and connections that are no plain ones."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from redis_server import RedisServer, needs_redis, running_redis

from llmx.cluster.desk import open_redis_desk
from llmx.errors import AuthenticationFailed, OutputFailed, QueueAway, UsageError

pytestmark = needs_redis


async def opened(url: str, data: Path) -> None:
    async with open_redis_desk(url, data, patience=0.2) as desk:
        assert await desk.store.ready()


@pytest.fixture
def own(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server with the options of the test's parameter."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder, *getattr(request, "param", ())) as running:
        yield running


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        (("--appendonly", "no"), "keeps no log"),
        (("--maxmemory-policy", "allkeys-lru"), "dropping keys"),
    ],
    indirect=["own"],
)
async def test_a_server_that_loses_jobs_is_refused(own: RedisServer, problem: str, tmp_path: Path) -> None:
    """With what has to be said to it."""
    with pytest.raises(UsageError, match=problem) as caught:
        await opened(own.url, tmp_path / "data")
    assert "redis-server --" in caught.value.hint


@pytest.mark.parametrize("own", [("--appendfsync", "everysec")], indirect=True)
async def test_a_second_of_log_is_told(
    own: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis' default promises less than one write at a time, and is no error."""
    with caplog.at_level(logging.WARNING):
        await opened(own.url, tmp_path / "data")
    assert "power cut" in caplog.text


async def test_nobody_there_is_told(tmp_path: Path) -> None:
    """By the address, soon, and with a question that helps."""
    server = RedisServer(tmp_path)
    with pytest.raises(QueueAway, match=f"127.0.0.1:{server.port}/0' is not there") as caught:
        await opened(server.url, tmp_path / "data")
    assert 7 == caught.value.exit_code


@pytest.mark.parametrize("own", [("--requirepass", "hunter2")], indirect=True)
async def test_passwords(own: RedisServer, tmp_path: Path) -> None:
    """The right one opens; a wrong one and none are errors that do not repeat it."""
    await opened(own.url.replace("//", "//:hunter2@"), tmp_path / "data")
    for url in (own.url, own.url.replace("//", "//:hunter3@")):
        with pytest.raises(AuthenticationFailed) as caught:
            await opened(url, tmp_path / "data")
        assert "hunter" not in str(caught.value)


async def test_another_folder_is_refused(own: RedisServer, tmp_path: Path) -> None:
    """The likeliest mistake: a worker on a machine where the shared folder is not mounted."""
    await opened(own.url, tmp_path / "shared")
    await opened(own.url, tmp_path / "shared")
    with pytest.raises(UsageError, match="is not the folder of this queue's jobs") as caught:
        await opened(own.url, tmp_path / "elsewhere")
    assert str(tmp_path / "shared") in str(caught.value)
    assert not (tmp_path / "elsewhere").exists()
    own.kill()
    own.start()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "storage-id").write_text("of another service\n")
    with pytest.raises(UsageError, match="is not the folder"):
        await opened(own.url, tmp_path / "elsewhere")


def test_many_name_a_folder_once(tmp_path: Path) -> None:
    """Processes that begin at the same moment agree on its name."""
    from llmx.cluster.checks import _identity

    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(_identity(tmp_path / "data"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 16 == len(names)
    assert 1 == len(set(names))
    assert ["storage-id"] == [entry.name for entry in (tmp_path / "data").iterdir()]


async def test_a_folder_that_cannot_be_made_is_told(own: RedisServer, tmp_path: Path) -> None:
    """By its name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFailed, match="storage-id"):
        await opened(own.url, tmp_path / "file" / "data")


async def test_tls(tmp_path: Path) -> None:
    """rediss:// speaks TLS, and refuses a certificate that nobody it knows has signed."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = ca.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    server = RedisServer(tmp_path, tls=True)
    try:
        server.start()
        secure = server.url.replace("redis:", "rediss:")
        await opened(f"{secure}?ssl_ca_certs={tmp_path / 'ca.pem'}", tmp_path / "data")
        with pytest.raises(QueueAway, match="certificate"):
            await opened(secure, tmp_path / "data")
    finally:
        server.kill()
