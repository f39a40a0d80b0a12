"""`/v1/jobs`: handed in in three ways, known again, read while they run, ended."""

from __future__ import annotations

import csv
import gzip
import io
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from commands import mocked
from serving import ASK, Service, events, serving

from llmx.jobs.ids import ulid, upload_name
from llmx.jobs.sqlite import SqliteStore
from llmx.jobs.types import Job, Shard, ShardRef
from llmx.locks import lock
from llmx.mock import Latency, MockSettings
from llmx.serve.uploads import swept

REQUEST = json.dumps(ASK)


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def form(service: Service, name: str, content: bytes, request: str = REQUEST, **headers: str) -> Any:
    """A job by a form."""
    files = {
        "request": ("", request, "application/json"),
        "file": (name, content, "application/octet-stream"),
    }
    return service.client.post("/v1/jobs", files=files, headers=headers)


def raw(service: Service, kind: str, content: bytes, request: str = REQUEST) -> Any:
    """A job by a file as the body."""
    return service.client.post(
        "/v1/jobs", params={"request": request}, content=content, headers={"Content-Type": kind}
    )


def test_rows_of_a_request_become_results_in_their_order(service: Service) -> None:
    """With 202, where the job is, and a document that adds up."""
    response = service.post(
        "/v1/jobs", {**ASK, "name": "people", "rows": [{"n": n, "text": f"A{n}"} for n in range(250)]}
    )
    assert response.status_code == 202
    job = response.json()
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    done = service.ended(job["id"])
    assert (done["state"], done["name"], done["shards"]["total"]) == ("succeeded", "people", 3)
    assert done["rows"] == {
        "total": 250,
        "settled": 250,
        "ok": 250,
        "failed": 0,
        "cached": 0,
        "unreadable": 0,
    }
    rows = rows_of(service.get(job["links"]["results"]).text)
    assert [row["n"] for row in rows] == list(range(250))
    assert [row["n"] for row in rows_of(service.get(job["links"]["results"] + "?after=248").text)] == [
        248,
        249,
    ]
    assert service.get(job["links"]["errors"]).text == ""


CSV = b"id,text\n1,Ada\n2,Bob\n"
UPLOADS = {
    "rows.csv": CSV,
    "rows.tsv": CSV.replace(b",", b"\t"),
    "rows.jsonl": b'{"id": "1", "text": "Ada"}\n{"id": "2", "text": "Bob"}\n',
    "rows.csv.gz": gzip.compress(CSV),
    "../../etc/passwd.csv": CSV,
    "C:\\x\\rows.csv": CSV,
    "r\u00f6ws \U0001f600.csv": CSV,
}


@pytest.mark.parametrize("name", UPLOADS)
def test_a_file_of_a_form_is_taken_by_its_name(service: Service, name: str) -> None:
    """Its suffix says what it is; no part of it becomes a path."""
    response = form(service, name, UPLOADS[name])
    assert response.status_code == 202, response.text
    service.ended(response.json()["id"])
    rows = rows_of(service.get(response.json()["links"]["results"]).text)
    assert [row["id"] for row in rows] == ["1", "2"]
    assert list((service.data / "incoming").iterdir()) == []


def test_a_parquet_file_is_taken(service: Service) -> None:
    """Typed columns stay typed."""
    import pyarrow
    import pyarrow.parquet

    target = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2], "text": ["Ada", "Bob"]}), target)
    response = raw(service, "application/vnd.apache.parquet", target.getvalue())
    assert response.status_code == 202, response.text
    service.ended(response.json()["id"])
    assert [row["id"] for row in rows_of(service.get(response.json()["links"]["results"]).text)] == [1, 2]


def test_a_file_as_the_body_is_taken_by_its_type(service: Service) -> None:
    """The request is in the address."""
    for kind, content in (("text/csv; charset=utf-8", CSV), ("application/x-ndjson", UPLOADS["rows.jsonl"])):
        assert raw(service, kind, content).status_code == 202
    assert (
        service.client.post("/v1/jobs", content=CSV, headers={"Content-Type": "text/csv"}).status_code == 422
    )
    assert raw(service, "text/csv", CSV, "{").status_code == 400


def test_rows_that_cannot_be_read_are_errors_with_their_line(service: Service) -> None:
    """They count, and their messages name the client's file and nothing of ours."""
    job = form(service, "mine.jsonl", b'{"text": "Ada"}\nnonsense\n{"text": "Bob"}\n').json()
    done = service.ended(job["id"])
    assert (done["rows"]["unreadable"], done["rows"]["ok"], done["state"]) == (1, 2, "failed")
    [error] = rows_of(service.get(job["links"]["errors"]).text)
    assert error["_error"]["line"] == 2
    assert str(service.data) not in json.dumps(error)


BAD = {
    "zip": ("rows.zip", b"PK\x03\x04", 415),
    "png": ("x.png", b"\x89PNG", 415),
    "empty": ("rows.csv", b"", 422),
    "header": ("rows.csv", b"id,text\n", 422),
    "no rows": ("rows.jsonl", b"\n\n", 422),
    "zip as csv": ("rows.csv", b"PK\x03\x04\x00\x00\xff\xfe", 422),
    "no parquet": ("rows.parquet", b"PAR1 not really", 422),
    "too many rows": ("rows.jsonl", b'{"a": 1}\n' * 5_001, 422),
    "too large": ("rows.jsonl", b'{"a": "' + b"x" * 2_100_000 + b'"}\n', 413),
}


@pytest.mark.parametrize("name", BAD)
def test_an_upload_that_is_none_is_refused(service: Service, name: str) -> None:
    """At once, in words, and nothing of it stays."""
    file, content, status = BAD[name]
    response = form(service, file, content)
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
    assert str(service.data) not in response.text
    assert "upload-" not in response.text
    assert list((service.data / "incoming").iterdir()) == []


def test_a_bomb_is_refused(service: Service) -> None:
    """What unpacks to a thousand times its size is read no further than the limit."""
    bomb = gzip.compress(b"\n" * 200_000_000)
    assert len(bomb) < 2_000_000
    began = time.monotonic()
    response = form(service, "rows.jsonl.gz", bomb)
    assert response.status_code == 422, response.text
    assert time.monotonic() - began < 60
    assert list((service.data / "incoming").iterdir()) == []


FORMS = {
    "cut": b'--b\r\nContent-Disposition: form-data; name="request"\r\n\r\n{}',
    "file first": b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na\r\n--b--\r\n',
    "no file": b'--b\r\nContent-Disposition: form-data; name="request"\r\n\r\n{}\r\n--b--\r\n',
    "no name": b"--b\r\nContent-Disposition: form-data\r\n\r\n{}\r\n--b--\r\n",
    "no form": b"nonsense",
    "empty": b"",
    "giant header": b'--b\r\nContent-Disposition: form-data; name="' + b"x" * 100_000 + b'"\r\n\r\n--b--\r\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_is_none_is_refused(service: Service, name: str) -> None:
    """400 or 422, never 500."""
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = service.client.post("/v1/jobs", content=FORMS[name], headers=headers)
    assert response.status_code in (400, 422), response.text
    assert list((service.data / "incoming").iterdir()) == []


def test_the_same_key_with_the_same_request_is_the_same_job(service: Service) -> None:
    """And with another one, be it the file's content alone, a conflict."""
    first = form(service, "rows.csv", CSV, **{"Idempotency-Key": "once"})
    again = form(service, "rows.csv", CSV, **{"Idempotency-Key": "once"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert ("Idempotent-Replay" in first.headers, again.headers["Idempotent-Replay"]) == (False, "true")
    for other in (form(service, "rows.csv", CSV + b"3,Cem\n", **{"Idempotency-Key": "once"}),):
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert form(service, "rows.csv", CSV, **{"Idempotency-Key": "x" * 256}).status_code == 400


def test_the_same_key_at_the_same_time_makes_one_job(service: Service) -> None:
    """Whoever comes second gets what the first has made."""
    before = len(service.get("/v1/jobs?limit=1000").json()["jobs"])
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda _: form(service, "rows.csv", CSV, **{"Idempotency-Key": "race"}), range(8))
        )
    assert {response.status_code for response in made} == {202}
    assert len({response.json()["id"] for response in made}) == 1
    assert sum("Idempotent-Replay" in response.headers for response in made) == 7
    assert len(service.get("/v1/jobs?limit=1000").json()["jobs"]) == before + 1


def test_results_as_csv(service: Service) -> None:
    """Columns of all rows; what is nested has dots."""
    job = service.job([{"text": "Ada", "x": {"y": 1}}, {"text": 'B, "b"', "z": [1]}])
    service.ended(job["id"])
    text = service.get(job["links"]["results"] + "?format=csv").text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["text"], row["x.y"], row["z"]) for row in rows] == [("Ada", "1", ""), ('B, "b"', "", "[1]")]
    assert service.get(job["links"]["results"] + "?format=csv&follow=true").status_code == 422


def test_a_job_is_known_by_its_version(service: Service) -> None:
    """304 while nothing has changed."""
    job = service.ended(service.job(3)["id"])
    tag = service.get(job["links"]["self"]).headers["ETag"]
    assert tag == f'"{job["version"]}"'
    assert service.get(job["links"]["self"], headers={"If-None-Match": tag}).status_code == 304
    assert service.get(job["links"]["self"], headers={"If-None-Match": '"0"'}).status_code == 200


def test_events_go_on_where_they_were_left(service: Service) -> None:
    """Versions rise, the last is `end`; who has seen it gets it once more and no other."""
    job = service.job(20)
    told = events(service.get(job["links"]["events"]).text)
    versions = [int(id or 0) for _, _, id in told]
    assert versions == sorted(set(versions))
    assert [name for name, _, _ in told][-1] == "end"
    assert told[-1][1]["state"] == "succeeded"
    again = events(service.get(job["links"]["events"], headers={"Last-Event-ID": str(versions[-1])}).text)
    assert [(name, id) for name, _, id in again] == [("end", str(versions[-1]))]
    strange = events(service.get(job["links"]["events"], headers={"Last-Event-ID": "-x"}).text)
    assert [name for name, _, _ in strange] == ["end"]


def test_a_job_is_followed_cancelled_and_forgotten(tmp_path: Path) -> None:
    """Its rows come while it runs; cancelling ends the stream; what is forgotten is gone from the disk."""
    with (
        mocked(MockSettings(latency=Latency.parse("0.2"))) as provider,
        serving(tmp_path / "s", provider.url, "-c", "2", config="shard-rows = 5") as service,
    ):
        job = service.job(500)
        assert service.client.delete(f"/v1/jobs/{job['id']}?forget=true").status_code == 409
        seen: list[str] = []

        def follow() -> None:
            with service.client.stream("GET", job["links"]["results"] + "?follow=true") as response:
                seen.extend(response.iter_lines())

        reader = threading.Thread(target=follow)
        reader.start()
        deadline = time.monotonic() + 60
        while not seen and time.monotonic() < deadline:
            time.sleep(0.05)
        assert seen
        cancelled = service.client.delete(f"/v1/jobs/{job['id']}")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
        reader.join(60)
        assert not reader.is_alive()
        assert 0 < len(seen) < 500
        assert service.client.delete(f"/v1/jobs/{job['id']}").json()["state"] == "cancelled"
        assert service.client.post(f"/v1/jobs/{job['id']}/resume").status_code == 409
        deadline = time.monotonic() + 60
        while (gone := service.client.delete(f"/v1/jobs/{job['id']}?forget=true")).status_code == 409:
            assert gone.json()["code"] == "job_ending"  # its workers hear of it at their next renewal
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert gone.status_code == 204
        assert service.get(job["links"]["self"]).status_code == 404


def test_a_stopped_job_is_resumed(tmp_path: Path) -> None:
    """A budget stops it; its answers are kept."""
    with mocked(MockSettings()) as provider, serving(tmp_path / "s", provider.url) as service:
        job = service.job(50, max_tokens=6_000)
        stopped = service.ended(job["id"])
        assert stopped["state"] == "stopped"
        assert stopped["reason"]
        assert 0 < stopped["rows"]["settled"] < 50
        assert service.client.post(f"/v1/jobs/{job['id']}/resume").status_code == 202


def test_a_slow_reader_holds_nothing_up(tmp_path: Path) -> None:
    """Results that nobody reads cost no memory, and no other request waits for them."""
    readers, size = 30, 8_000_000
    with mocked(MockSettings()) as provider, serving(tmp_path / "s", provider.url) as service:
        lines = b"".join(b'{"text": "%d %s"}\n' % (n, b"x" * 20_000) for n in range(size // 20_000))
        links = form(service, "rows.jsonl", lines).json()["links"]
        service.ended(links["self"].rpartition("/")[2])
        before = resident(service.process.pid)
        with ExitStack() as stack:
            for _ in range(readers):
                lazy = stack.enter_context(closing(socket.socket()))
                lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                lazy.connect(("127.0.0.1", service.port))
                lazy.sendall(f"GET {links['results']} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert len(service.get(links["results"]).content) > size
            assert service.get("/readyz").status_code == 200
            assert resident(service.process.pid) - before < readers * size / 4


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


def test_ten_thousand_jobs_are_listed_page_by_page(tmp_path: Path) -> None:
    """Each once, the newest first; a page in a moment."""
    import asyncio

    folder = tmp_path / "s"
    (folder / "data").mkdir(parents=True)

    async def fill() -> None:
        store = SqliteStore(folder / "data" / "jobs.db")
        for number in range(10_000):
            id = ulid("job_")
            job = Job(id, "", {"schema": "name"}, 1, 1, float(number), state="succeeded", ended=4e9)
            await store.create(job, [Shard(ShardRef(id, 0), 0, 1, state="done")])
        await store.aclose()

    asyncio.run(fill())
    with mocked(MockSettings()) as provider, serving(folder, provider.url) as service:
        seen: list[str] = []
        before = ""
        while True:
            page = service.get(f"/v1/jobs?limit=1000{before}").json()
            seen += [job["id"] for job in page["jobs"]]
            if page["next"] is None:
                break
            before = f"&before={page['next']}"
        assert len(seen) == len(set(seen)) == 10_000
        assert seen == sorted(seen, reverse=True)
        assert service.get("/v1/jobs?state=running").json() == {"jobs": [], "next": None}
        assert len(service.get("/v1/jobs?state=succeeded").json()["jobs"]) == 100


def test_left_overs_of_a_killed_service_are_swept(tmp_path: Path) -> None:
    """An upload that was cut by a kill is gone after the next start; jobs that were accepted are done."""
    folder = tmp_path / "s"
    with mocked(MockSettings(latency=Latency.parse("0.05"))) as provider:
        with serving(folder, provider.url) as service:
            job = service.job(100)
            with closing(service.connect()) as connection:
                head = "POST /v1/jobs?request=%7B%22schema%22%3A%22name+str%22%7D HTTP/1.1\r\nHost: localhost\r\n"
                connection.sendall(
                    (head + "Content-Type: text/csv\r\nContent-Length: 1000\r\n\r\na,b\n").encode()
                )
                incoming = folder / "data" / "incoming"
                deadline = time.monotonic() + 60
                while not list(incoming.glob("upload-*")) and time.monotonic() < deadline:
                    time.sleep(0.02)
                service.process.kill()
                service.wait()
        assert len(list(incoming.glob("upload-*"))) == 1
        with serving(folder, provider.url) as again:
            assert list(incoming.glob("upload-*")) == []
            assert again.ended(job["id"])["state"] == "succeeded"


def test_only_uploads_are_swept(tmp_path: Path) -> None:
    """What others have in a folder of that name stays, whatever it is; so does what is being received."""
    left, taken = tmp_path / upload_name(), tmp_path / upload_name()
    others = [tmp_path / "upload-photos", tmp_path / "upload-0123456789abcdeX", tmp_path / upload_name()]
    others[0].mkdir()
    others[2].symlink_to(others[1])
    for path in (left, taken, others[1]):
        path.write_text("kept")
    with taken.open() as file:
        lock(file.fileno())
        assert 1 == swept(tmp_path)
    assert {taken, *others} == set(tmp_path.iterdir())
