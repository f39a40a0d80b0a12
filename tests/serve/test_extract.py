"""`POST /v1/extract`: rows answered now, whole or as a stream."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from pathlib import Path

import pytest
from commands import Mock, mocked, wait_for
from serving import ASK, Service, events, serving

from llmx.mock import Latency, MockSettings
from llmx.mock.schedules import Outage


def test_rows_are_answered_in_their_order(open_service: Service) -> None:
    """One result per row, with what it has cost."""
    answer = open_service.extract("Ada", "Bob", "Cem").json()
    assert [result["value"]["name"] for result in answer["results"]] == ["Ada", "Bob", "Cem"]
    assert all(result["error"] is None for result in answer["results"])
    spent = [result["usage"]["input_tokens"] for result in answer["results"]]
    assert answer["usage"]["input_tokens"] == sum(spent) > 0


def test_the_same_row_again_comes_out_of_the_cache(open_service: Service, provider: Mock) -> None:
    """A stored answer costs no call."""
    open_service.extract("Somebody quite new")
    before = provider.calls
    [result] = open_service.extract("Somebody quite new").json()["results"]
    assert (result["source"], result["attempts"], provider.calls) == ("cache", 0, before)


def test_a_request_has_an_id_which_the_client_may_choose(open_service: Service) -> None:
    """It is in the answer and in the header."""
    body = {**ASK, "rows": [{"text": "Ada"}]}
    mine = open_service.post("/v1/extract", body, headers={"X-Request-Id": "mine-1"})
    assert (mine.json()["id"], mine.headers["X-Request-Id"]) == ("mine-1", "mine-1")
    other = open_service.post("/v1/extract", body, headers={"X-Request-Id": "a b/c"})
    assert other.headers["X-Request-Id"].startswith("req_")


def test_a_stream_tells_fields_then_the_whole_then_the_cost(open_service: Service) -> None:
    """`field` for each, `object`, `usage`, `done`, each with its row."""
    body = {**ASK, "rows": [{"text": "Grace"}, {"text": "Linus"}]}
    response = open_service.post("/v1/extract", body, headers={"Accept": "text/event-stream"})
    assert response.headers["Content-Type"].startswith("text/event-stream")
    told = events(response.text)
    assert [name for name, _, _ in told][-2:] == ["usage", "done"]
    for row, name in ((0, "Grace"), (1, "Linus")):
        mine = [(kind, data) for kind, data, _ in told if data.get("row") == row]
        assert [kind for kind, _ in mine] == ["field", "field", "object"]
        assert mine[-1][1]["value"]["name"] == name
        fields = {data["path"]: data["value"] for kind, data in mine if kind == "field"}
        assert fields == mine[-1][1]["value"]


def test_fields_come_while_the_provider_writes_and_who_leaves_then_hangs_up(tmp_path: Path) -> None:
    """The first field is there before the whole; the provider sees the client go."""
    with mocked(MockSettings(pace=10.0)) as provider, serving(tmp_path / "s", provider.url) as service:
        body = b'{"schema": "name str, age int, words list[str]", "rows": [{"text": "Ada"}]}'
        head = "POST /v1/extract HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"
        with closing(service.connect()) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            came = b""
            while b"event: field" not in came:
                piece = connection.recv(65_536)
                assert piece, came
                came += piece
            assert b"event: object" not in came
            assert provider.server.stats()["in_flight"] == 1
            connection.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: provider.server.stats()["abandoned"] == 1)


def test_a_field_comes_while_the_model_still_writes(tmp_path: Path) -> None:
    """It need not wait for the end of the answer."""
    fields = ", ".join(f"field_{number} str" for number in range(12))
    with mocked(MockSettings(pace=10.0)) as provider, serving(tmp_path / "s", provider.url) as service:
        body = {"schema": fields, "rows": [{"text": "one two three four five six"}]}
        accept = {"Accept": "text/event-stream"}
        times: dict[str, float] = {}
        with service.client.stream("POST", "/v1/extract", json=body, headers=accept) as response:
            for line in response.iter_lines():
                times.setdefault(line, time.monotonic())
        assert times["event: object"] - times["event: field"] > 0.5


def test_a_json_schema_and_a_name_on_offer_are_taken(service: Service) -> None:
    """The forms that a schema may have."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert isinstance(service.extract("1", schema=schema).json()["results"][0]["value"]["n"], int)
    assert set(service.extract("1", schema="people").json()["results"][0]["value"]) == {"name", "age"}
    assert service.extract("1", schema="contact").status_code == 200


PATHS = [
    "x.py:M",
    "x.py",
    "x.json",
    "/etc/passwd",
    "../x.json",
    "a/b",
    "C:\\x.py",
    "~/x.json",
    "x.JSON",
    "x.Py:M",
]


@pytest.mark.parametrize("spec", [*PATHS, "os:path", "module:Model", "nonsense", "", " "])
def test_what_names_a_file_or_a_module_is_no_schema(service: Service, spec: str) -> None:
    """Nothing is looked up on the disk, or imported."""
    response = service.extract("1", schema=spec)
    assert response.status_code == 422
    assert response.json()["code"] in (
        "schema_is_a_path",
        "schema_is_a_module",
        "unknown_schema",
        "invalid_field",
    )


def test_a_schema_that_is_there_as_a_file_is_not_read(service: Service) -> None:
    """Neither from where the service runs nor by an absolute path."""
    path = service.data.parent / "evil.py"
    path.write_text("open('touched', 'w'); import pydantic\nclass M(pydantic.BaseModel):\n    a: int\n")
    for spec in ("evil.py", "evil.py:M", str(path), f"{path}:M", "evil:M"):
        assert service.extract("1", schema=spec).status_code == 422
        assert service.post("/v1/jobs", {"schema": spec, "rows": [{"a": 1}]}).status_code == 422
    assert not (service.data.parent / "touched").exists()


SCHEMAS = {
    "remote": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x.json"}}},
    "file": {"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}},
    "look-around": {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=a)b"}}},
    "wide": {"type": "object", "properties": {f"f{n}": {"type": "string"} for n in range(6_000)}},
    "nothing": {"type": "object"},
    "no schema": {"type": "banana", "properties": {"a": {}}},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_that_cannot_be_used_is_refused(service: Service, name: str) -> None:
    """References to elsewhere, patterns that backtrack, sizes beyond reason."""
    response = service.extract("1", schema=SCHEMAS[name])
    assert response.status_code == 422, response.text
    assert response.json()["code"] in ("invalid_schema", "schema_too_large")


def test_fields_that_are_wrong_are_named(service: Service) -> None:
    """The place and what it takes."""
    body = {**ASK, "rows": [{"text": "1"}]}
    wrong = {
        "unknown_field": {"temprature": 1},
        "invalid_field": {"votes": 10},
        "unknown_model": {"model": "openai/mokc"},
    }
    for code, more in wrong.items():
        answer = service.post("/v1/extract", {**body, **more})
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert "votes" in service.post("/v1/extract", {**body, "votes": "3"}).json()["detail"]
    assert "openai/mock" in service.post("/v1/extract", {**body, "model": "openai/mokc"}).json()["hint"]
    assert service.extract("1", input=["txt"]).json()["code"] == "invalid_request"
    assert service.extract("1", system="@/etc/passwd").status_code == 422


def test_more_rows_than_allowed_are_refused(service: Service) -> None:
    """They are a job."""
    response = service.extract(*map(str, range(6)))
    assert (response.status_code, response.json()["code"]) == (413, "too_many_rows")
    assert service.post("/v1/extract", {**ASK, "rows": []}).status_code == 422


def test_what_the_client_does_not_take_is_not_sent(service: Service) -> None:
    """406 before anything is spent."""
    body = {**ASK, "rows": [{"text": "1"}]}
    assert service.post("/v1/extract", body, headers={"Accept": "image/png"}).status_code == 406


def test_a_row_that_fails_is_a_result(tmp_path: Path) -> None:
    """The others have values, and the status is 200."""
    with (
        mocked(MockSettings(malformed_rate=1.0)) as provider,
        serving(tmp_path / "s", provider.url, "--reasks", "0") as service,
    ):
        answer = service.extract("Ada")
        [result] = answer.json()["results"]
        assert (answer.status_code, result["value"]) == (200, None)
        assert result["error"]["type"] in ("invalid_answer", "truncated_answer")
        for number in range(25):  # more than the engine would bear of a file
            assert service.extract(f"row {number}").status_code == 200


def test_a_provider_that_refuses_the_key_is_a_502_without_its_words(tmp_path: Path) -> None:
    """What the provider says of the operator's key is no client's business."""
    with (
        mocked(MockSettings(keys=("another",))) as provider,
        serving(tmp_path / "s", provider.url) as service,
    ):
        stream = service.post(
            "/v1/extract", {**ASK, "rows": [{"text": "a"}]}, headers={"Accept": "text/event-stream"}
        )
        [(name, data, _)] = events(stream.text)
        assert (name, data["status"]) == ("error", 502)
        answer = service.extract("Ada")
        assert (answer.status_code, answer.json()["code"]) == (502, "provider_refused")
        assert "sk-" not in stream.text + answer.text


def test_a_provider_that_is_down_is_a_503_and_the_service_recovers(tmp_path: Path) -> None:
    """The engine that has given up is not asked again."""
    with mocked(MockSettings(outages=(Outage(0, 3600),))) as provider:
        options = ("--retries", "0", "--patience", "200ms")
        with serving(tmp_path / "s", provider.url, *options) as service:
            answers = [service.extract(f"{n}") for n in range(3)]
            assert {answer.status_code for answer in answers} <= {200, 503}
            for answer in answers:
                assert answer.status_code == 503 or answer.json()["results"][0]["error"] is not None


def test_a_request_that_takes_too_long_is_a_504(tmp_path: Path) -> None:
    """Its calls are cancelled."""
    with (
        mocked(MockSettings(latency=Latency.parse("30"))) as provider,
        serving(tmp_path / "s", provider.url, config='extract-timeout = "500ms"') as service,
    ):
        answer = service.extract("Ada")
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline")
        wait_for(lambda: provider.server.stats()["in_flight"] == 0)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_client_that_goes_away_cancels_its_call(tmp_path: Path, accept: str) -> None:
    """The provider sees the connection end."""
    with (
        mocked(MockSettings(latency=Latency.parse("30"))) as provider,
        serving(tmp_path / "s", provider.url) as service,
    ):
        body = b'{"schema": "name", "rows": [{"text": "Ada"}]}'.replace(b'"name"', b'"name str"')
        head = f"POST /v1/extract HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\nContent-Type: application/json\r\n"
        with closing(service.connect()) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            wait_for(lambda: provider.server.stats()["in_flight"] == 1)
            connection.shutdown(socket.SHUT_RDWR)
        began = time.monotonic()
        wait_for(lambda: provider.server.stats()["in_flight"] == 0)
        assert time.monotonic() - began < 10
        assert service.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("field", "hint"), [("row", "did you mean 'rows'?"), ("keep", "schema, model, system")]
)
def test_a_field_that_there_is_not_has_a_hint_of_those_there_are(
    service: Service, field: str, hint: str
) -> None:
    """Of this kind of request: what only a job may have is not among them."""
    told = service.post("/v1/extract", {**ASK, "rows": [{"text": "x"}], field: "all"}).json()
    assert (told["code"], hint in told["hint"], "keep" in told["hint"]) == ("unknown_field", True, False)
