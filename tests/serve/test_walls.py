"""What stands before every route: keys, scopes, hosts, origins, headers, limits of bodies."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import pytest
from commands import Mock
from serving import ASK, PROVIDER_KEY, Service, llmx, received, serving, variables


def test_every_answer_has_the_headers_of_security(open_service: Service) -> None:
    """Errors, too."""
    for path in ("/healthz", "/v1/jobs", "/nowhere"):
        headers = open_service.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Request-Id"]
        assert "server" not in headers


def test_errors_are_problems(service: Service) -> None:
    """By RFC 9457, whoever refuses: routes, the framework, or nobody."""
    for response in (
        service.get("/nowhere"),
        service.get("/v1/jobs/"),
        service.client.put("/v1/jobs"),
        service.get("/v1/jobs?limit=0"),
        service.get("/v1/jobs/job_x"),
    ):
        assert response.headers["Content-Type"] == "application/problem+json"
        told = response.json()
        assert told["status"] == response.status_code
        assert {"type", "title", "detail", "code", "request_id"} <= set(told)


def test_a_key_is_asked_for(service: Service) -> None:
    """Without one, with a wrong one, and with what is none: 401 and how to bring one."""
    for value in (None, "Bearer llmx_" + "A" * 43, "Basic abc", f"Bearer {service.key}x"):
        headers = {"Authorization": value} if value is not None else {"Authorization": ""}
        for path in ("/v1/jobs", "/v1/models", "/metrics"):
            response = service.get(path, headers=headers)
            assert (response.status_code, "Bearer" in response.headers["WWW-Authenticate"]) == (401, True)
    assert service.get("/healthz", headers={"Authorization": ""}).status_code == 200
    assert service.get("/readyz", headers={"Authorization": ""}).status_code == 200


def test_scopes_models_and_owners_are_kept_apart(tmp_path: Path, provider: Mock) -> None:
    """A key does what it may; others' jobs are not there; revoking takes hold at once."""
    with serving(tmp_path / "s", provider.url, scopes="admin") as service:
        env, cwd = variables(tmp_path / "s"), tmp_path / "s"

        def key(name: str, *options: str) -> dict[str, str]:
            made = llmx("keys", "create", name, "--data", "data", *options, env=env, cwd=cwd)
            return {"Authorization": f"Bearer {made.stdout.strip()}"}

        one, two = key("one"), key("two", "--scope", "jobs", "--model", "openai/other")
        rows = {**ASK, "rows": [{"text": "Ada"}]}
        job = service.post("/v1/jobs", rows, headers=one).json()
        assert job["owner"] == "one"
        assert service.get(f"/v1/jobs/{job['id']}", headers=one).status_code == 200
        for path in ("", "/results", "/errors", "/events"):
            assert service.get(f"/v1/jobs/{job['id']}{path}", headers=two).status_code == 404
        assert service.client.delete(f"/v1/jobs/{job['id']}", headers=two).status_code == 404
        assert service.get("/v1/jobs", headers=two).json()["jobs"] == []
        assert [found["id"] for found in service.get("/v1/jobs").json()["jobs"]] == [job["id"]]
        assert service.post("/v1/extract", rows, headers=two).json()["code"] == "scope_missing"
        assert service.post("/v1/jobs", rows, headers=two).json()["code"] == "model_not_allowed"
        assert service.post("/v1/extract", rows).status_code == 403  # admin alone does not spend
        assert service.get("/metrics", headers=one).status_code == 403
        assert llmx("keys", "revoke", "one", "--data", "data", env=env, cwd=cwd).returncode == 0
        assert service.get("/v1/jobs", headers=one).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.0.1"]
)
def test_a_service_without_keys_is_asked_by_its_own_names(open_service: Service, host: str) -> None:
    """DNS rebinding: a page whose name points here is not let in."""
    response = open_service.get("/v1/jobs", headers={"Host": host})
    assert (response.status_code, response.json()["code"]) == (403, "host_refused")


def test_a_service_without_keys_is_not_asked_by_other_sites(open_service: Service) -> None:
    """Neither by a script nor by a form of theirs; its own page may."""
    body = {**ASK, "rows": [{"text": "a"}]}
    for origin in ("https://evil.example", "null", "http://[", "http://127.0.0.1:1", "http://localhost"):
        assert open_service.post("/v1/extract", body, headers={"Origin": origin}).status_code == 403
    cross = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert open_service.get("/v1/jobs", headers=cross).status_code == 403
    assert open_service.get("/v1/jobs", headers={"Origin": open_service.url}).status_code == 200


def test_without_keys_no_other_address_is_served(tmp_path: Path) -> None:
    """Exit code 2, and what to do."""
    done = llmx("serve", "--host", "0.0.0.0", "-m", "openai/m", env=variables(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert "llmx keys create" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_without_a_key_is_not_offered(tmp_path: Path) -> None:
    """Exit code 4 at the start, and not an error for every request."""
    env = {name: value for name, value in variables(tmp_path).items() if name != "OPENAI_API_KEY"}
    done = llmx("serve", "--port", "0", "-m", "openai/m", env=env, cwd=tmp_path)
    assert (done.returncode, "OPENAI_API_KEY" in done.stderr) == (4, True)


def test_a_port_that_is_taken_is_an_error(open_service: Service, tmp_path: Path) -> None:
    """One line, exit code 2."""
    argv = ("serve", "--port", str(open_service.port), "-m", "openai/m")
    done = llmx(*argv, env=variables(tmp_path), cwd=tmp_path)
    assert (done.returncode, "cannot listen" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def posted(service: Service, body: bytes, *headers: str, path: str = "/v1/extract") -> bytes:
    """What is answered to a POST of exactly these bytes, Content-Length or not as the headers say."""
    kind = (
        ""
        if any("content-type" in header.lower() for header in headers)
        else "Content-Type: application/json\r\n"
    )
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.key}\r\n{kind}"
    return service.raw((head + "".join(f"{header}\r\n" for header in headers) + "\r\n").encode() + body)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_body_beyond_the_limit_is_refused_whatever_its_length_says(service: Service) -> None:
    """By its header before a byte is read; without one as soon as it is too long."""
    assert status(posted(service, b"{", "Content-Length: 999999999999", "Connection: close")) == 413
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    assert status(posted(service, chunk * 8, "Transfer-Encoding: chunked", "Connection: close")) == 413
    assert service.get("/readyz").status_code == 200


def test_a_slow_body_times_out(service: Service) -> None:
    """A second of silence is too long here."""
    began = time.monotonic()
    assert status(posted(service, b'{"schema"', "Content-Length: 100", "Connection: close")) == 408
    assert time.monotonic() - began < 20


BODIES = {
    b"": 400,
    b"nonsense": 400,
    b"[]": 422,
    b'{"schema": NaN}': 400,
    b'{"schema": Infinity}': 400,
    b"\xff\xfe{}": 400,
    b'{"schema": "\xed\xa0\x80"}': 400,
    b'{"schema": "\\ud800"}': 400,
    b'{"a":' * 2_000 + b"1" + b"}" * 2_000: 400,
    b"[" * 100_000: 400,
    b'{"schema": "name str", "rows": [{"text": ' + b"[" * 300 + b"]" * 300 + b"}]}": 400,
    b'{"schema": "name str", "schema": 5, "rows": [{"a": 1}]}': 422,
}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:30]))
def test_malicious_json_is_refused(service: Service, body: bytes) -> None:
    """No 500, nothing read twice, no stack overrun."""
    answer = posted(service, body, f"Content-Length: {len(body)}", "Connection: close")
    assert status(answer) == BODIES[body], answer


def test_numbers_beyond_64_bits_keep_their_digits(service: Service) -> None:
    """In a row, and nowhere a 500."""
    number = 123456789012345678901234567890
    assert service.post("/v1/extract", {**ASK, "rows": [{"text": number}]}).status_code == 200
    assert service.post("/v1/extract", {**ASK, "rows": [{"a": 1}], "votes": number}).status_code == 422
    schema = {"type": "object", "properties": {"a": {"const": number}}}
    assert service.post("/v1/extract", {"schema": schema, "rows": [{"a": 1}]}).status_code in (200, 422)


def test_other_types_and_encodings_are_refused(service: Service) -> None:
    """415 with what is taken."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert (
            status(posted(service, b"{}", "Content-Length: 2", f"Content-Type: {kind}", "Connection: close"))
            == 415
        )
    assert (
        status(posted(service, b"{}", "Content-Length: 2", "Content-Encoding: gzip", "Connection: close"))
        == 415
    )


def test_giant_headers_are_refused(service: Service) -> None:
    """The connection is closed, the service goes on."""
    data = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(
        b"X-%d: %s\r\n" % (n, b"a" * 8_000) for n in range(40)
    )
    assert b"431" in service.raw(data).split(b"\r\n")[0]
    assert service.get("/readyz").status_code == 200


def test_no_secret_is_in_the_log(service: Service) -> None:
    """Neither keys nor rows nor queries; request ids are."""
    secret = "a-text-that-is-nobodys-business"
    service.extract(secret)
    service.get(f"/v1/jobs?before={secret}", headers={"X-Request-Id": "seen-in-the-log"})
    service.get("/v1/jobs", headers={"Authorization": f"Bearer {service.key}x"})
    with closing(service.connect()) as connection:
        connection.sendall(b"GET /%0a%1b[31m" + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received(connection)
    log = service.log
    assert "POST /v1/extract 200" in log or json.dumps("/v1/extract")[1:-1] in log
    assert "seen-in-the-log" in log
    for text in (service.key, PROVIDER_KEY, secret, "\x1b"):
        assert text not in log
