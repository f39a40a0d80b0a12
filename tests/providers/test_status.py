"""Third-party failures in our words."""

from __future__ import annotations

import importlib
import inspect
import itertools
from dataclasses import replace

import pytest

from llmx import errors
from llmx.providers.answers import Answer, answer_of, embedded
from llmx.providers.keys import KEYLESS
from llmx.providers.sdk_errors import BY_CAUSE, BY_STATUS, NEVER_RAISED
from llmx.providers.status import Call, from_answer, translate

CALL = Call("openai", "gpt-x", "https://api.test/v1", row="", secret="", keys=("OPENAI_API_KEY",))


def _errors(name: str) -> dict[str, type[Exception]]:
    """The exception classes an SDK shows, by name."""
    sdk = importlib.import_module(name)
    values = [*list(vars(sdk).values()), *list(vars(sdk._exceptions).values())]
    classes = [value for value in values if inspect.isclass(value) and issubclass(value, Exception)]
    ours = [cls for cls in classes if cls.__module__.partition(".")[0] == name]
    return {cls.__name__: cls for cls in ours if not cls.__name__.startswith("_")}


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_every_exception_of_an_sdk_is_mapped(name):
    """A new exception class must be put into one of the three tables."""
    assert set() == _errors(name).keys() - BY_STATUS - BY_CAUSE - NEVER_RAISED.keys()


def test_the_tables_hold_nothing_that_is_not_there():
    """A class that an SDK drops leaves the tables, too."""
    there = _errors("openai").keys() | _errors("anthropic").keys()
    assert there == BY_STATUS | BY_CAUSE | NEVER_RAISED.keys()


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_the_tables_are_right_about_statuses(name):
    """What is listed by status has one; what is not has none."""
    base = importlib.import_module(name).APIStatusError
    assert BY_STATUS & _errors(name).keys() == {
        n for n, cls in _errors(name).items() if issubclass(cls, base)
    }


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (429, "ramp_limit_exceeded", errors.RateLimited),
        (429, "contract_spend_limit_reached", errors.QuotaSpent),
        (429, "enforced_spend_limit_reached", errors.QuotaSpent),
        (402, "linked_organization_billing_unavailable", errors.QuotaSpent),
        (400, "organization_on_hold", errors.AuthenticationFailed),
        (400, "cmek_key_disabled", errors.AuthenticationFailed),
        (503, "cmek_key_unreachable", errors.ServerError),
        (403, "sandbox_egress_restricted", errors.AuthenticationFailed),
        (413, "request_body_too_large_after_decoding", errors.RowRefused),
    ],
)
def test_anthropics_error_codes(status, code, expected):
    """They are in the details of the error, and tell spent money from pacing."""
    body = {"type": "error", "error": {"type": "x_error", "message": "m", "details": {"error_code": code}}}
    assert expected is type(from_answer(answer_of(status, {}, body), CALL))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {}, errors.RowRefused),
        (400, {"code": "context_length_exceeded", "param": "messages"}, errors.RowRefused),
        (
            400,
            {"message": "Invalid schema for response_format 'X'", "param": "response_format"},
            errors.RequestRejected,
        ),
        (
            400,
            {"message": "Unsupported parameter: 'temperature'", "param": "temperature"},
            errors.RequestRejected,
        ),
        (400, {"message": "tools.0.custom.input_schema: nope"}, errors.RequestRejected),
        (400, {"message": "output_config.format.schema: nope"}, errors.RequestRejected),
        (400, {"message": "Your credit balance is too low to access the API"}, errors.QuotaSpent),
        (400, {"message": "The model `x` does not exist", "code": "model_not_found"}, errors.UnknownModel),
        (400, {"message": "Failed to call a function.", "code": "tool_use_failed"}, errors.ServerError),
        (401, {}, errors.AuthenticationFailed),
        (402, {}, errors.QuotaSpent),
        (403, {}, errors.AuthenticationFailed),
        (403, {"message": "your input was flagged"}, errors.RowRefused),
        (404, {}, errors.UnknownModel),
        (405, {}, errors.RequestRejected),
        (501, {}, errors.RequestRejected),
        (408, {}, errors.ServerError),
        (409, {}, errors.ServerError),
        (413, {}, errors.RowRefused),
        (422, {}, errors.RowRefused),
        (429, {}, errors.RateLimited),
        (429, {"code": "insufficient_quota"}, errors.QuotaSpent),
        (429, {"message": "Rate limit reached on requests per day (RPD): Limit 200"}, errors.QuotaSpent),
        (429, {"message": "Rate limit reached on tokens per day (TPD): Limit 5"}, errors.QuotaSpent),
        (429, {"message": "Rate limit reached on tokens per min (TPM): Limit 5"}, errors.RateLimited),
        (429, {"details": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}, errors.QuotaSpent),
        (400, {"message": "You have reached your specified API usage limits."}, errors.QuotaSpent),
        (429, {"type": "insufficient_quota"}, errors.QuotaSpent),
        (429, {"message": "You exceeded your current quota: insufficient_quota"}, errors.QuotaSpent),
        (
            429,
            {"message": "Request too large for gpt-x on tokens per min (TPM): Limit 10, Requested 99."},
            errors.RowRefused,
        ),
        (499, {}, errors.ServerError),
        (500, {}, errors.ServerError),
        (503, {}, errors.ServerError),
        (529, {"type": "overloaded_error"}, errors.ServerError),
        (307, {}, errors.RequestRejected),
    ],
)
def test_a_status_decides(status, body, expected):
    """Together with the server's code, which tells spent quota from pacing and a bad schema from a bad row."""
    assert expected is type(from_answer(answer_of(status, {}, {"error": body}), CALL))


@pytest.mark.parametrize(
    ("status", "header", "expected"),
    [
        (500, "false", errors.RowRefused),
        (400, "true", errors.ServerError),
        (429, "true", errors.RateLimited),
        (429, "false", errors.QuotaSpent),
        (401, "false", errors.AuthenticationFailed),
        (404, "false", errors.UnknownModel),
        (400, "false", errors.RowRefused),
    ],
)
def test_x_should_retry_beats_the_status(status, header, expected):
    """The server knows better than its status whether another try makes sense."""
    assert expected is type(from_answer(Answer(status, {"x-should-retry": header}), CALL))


def test_spent_quota_beats_x_should_retry():
    """No header makes a spent quota transient."""
    answer = Answer(429, {"x-should-retry": "true"}, code="insufficient_quota")
    assert errors.QuotaSpent is type(from_answer(answer, CALL))


def test_transient_errors_carry_the_servers_time():
    """In whatever header it came."""
    error = from_answer(Answer(429, {"retry-after": "7"}), CALL)
    assert isinstance(error, errors.RateLimited)
    assert error.retry_after == 7.0


ECHOES = [
    "insufficient_quota",
    "please explain response_format to me",
    "what if the model does not exist?",
    "is this flagged by moderation?",
    "Request too large for gpt-x",
    "Your credit balance is too low",
    "tools.0",
]


@pytest.mark.parametrize("row", ECHOES)
@pytest.mark.parametrize("status", [400, 403, 413, 422, 429])
def test_no_row_decides_what_becomes_of_the_others(status, row):
    """Servers that repeat the input in their errors are judged as if they had not."""
    call = replace(CALL, row=f"another column\x1e{row}")
    bodies = [
        {"error": {"message": row}},
        {"error": {"message": f"cannot read {row!r}, sorry"}},
        {"detail": [{"loc": ["body", "messages"], "msg": "value is not valid", "input": row}]},
        {"detail": f"bad input: {row}"},
    ]
    plain = type(from_answer(answer_of(status, {}, {"error": {"message": "no"}}), CALL))
    assert [type(from_answer(answer_of(status, {}, body), call)) for body in bodies] == [plain] * 4


def test_a_list_of_details_is_told_without_the_input():
    """FastAPI's own form: where, and what."""
    body = {"detail": [{"loc": ["body", "n"], "msg": "must be an integer", "input": "Jane"}, "odd"]}
    assert str(from_answer(answer_of(422, {}, body), CALL)) == "openai: body.n: must be an integer (422)"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"choices": [{"error": {"code": 429, "message": "busy"}, "finish_reason": "error"}]},
            errors.RateLimited,
        ),
        ({"error": {"code": 502, "message": "the model failed"}}, errors.ServerError),
        ({"error": {"code": "server_error", "message": "the model failed"}}, errors.ServerError),
        ({"error": "the model failed"}, errors.ServerError),
        ({"error": None, "choices": [{"error": None}]}, None),
        ({"choices": []}, None),
    ],
)
def test_errors_inside_a_200(body, expected):
    """Gateways say so what failed behind them."""
    found = embedded(body, {})
    assert expected is (None if found is None else type(from_answer(found, CALL)))


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (CALL, "`llmx models openai` lists those with a known price"),
        (
            replace(CALL, own_server=True, base_url="http://me:1/"),
            "most addresses end in /v1; `curl http://me:1/models` asks the server for its models",
        ),
        (
            replace(CALL, own_server=True, base_url="http://me:1/v1"),
            "`curl http://me:1/v1/models` asks the server for its models",
        ),
        (
            replace(CALL, own_server=True, base_url="http://me:1", provider="anthropic"),
            "`curl http://me:1/v1/models` asks the server for its models",
        ),
    ],
)
def test_where_to_find_the_models_of_a_server(call, hint):
    """A server of the user's own has models of its own, and often a path."""
    assert from_answer(Answer(404, {}), call).hint == hint


@pytest.mark.parametrize(
    ("secret", "hint"),
    [("sk-1", "check the key in OPENAI_API_KEY"), (KEYLESS, "export OPENAI_API_KEY=…")],
)
def test_a_key_that_was_never_set_is_not_to_be_checked(secret, hint):
    """It is to be set."""
    assert from_answer(Answer(401, {}), replace(CALL, secret=secret)).hint == hint


def _wrapped(*errors_: Exception) -> Exception:
    """The first error, caused by the second, caused by the third."""
    for outer, inner in itertools.pairwise(errors_):
        outer.__cause__ = inner
    return errors_[0]


def test_causes_are_told_apart():
    """openai 3.3 reports a connection that aiohttp lost as a timeout; what caused it decides."""
    import aiohttp
    import httpx2
    import openai

    request = httpx2.Request("POST", "http://x/")
    late = openai.APITimeoutError(request)
    lost = _wrapped(late, httpx2.ConnectTimeout("x"), aiohttp.ServerDisconnectedError())
    assert isinstance(translate(lost, CALL), errors.ConnectionFailed)
    unreached = _wrapped(
        openai.APITimeoutError(request), httpx2.ConnectTimeout("x"), aiohttp.ConnectionTimeoutError()
    )
    assert isinstance(translate(unreached, CALL), errors.ConnectionFailed)
    silent = _wrapped(openai.APITimeoutError(request), httpx2.ReadTimeout("x"), aiohttp.SocketTimeoutError())
    assert isinstance(translate(silent, CALL), errors.CallTimeout)
    assert isinstance(translate(late.__class__(request), CALL), errors.CallTimeout)
    unsaid = openai.APIConnectionError(request=request)
    assert isinstance(translate(unsaid, CALL), errors.ConnectionFailed)


def test_a_lone_surrogate_refuses_the_row():
    """It cannot be encoded, so no call was made."""
    with pytest.raises(UnicodeEncodeError) as caught:
        "\ud800".encode()
    assert isinstance(translate(caught.value, CALL), errors.RowRefused)


def test_a_broken_answer_is_told_in_words():
    """aiohttp shows objects of its own."""
    import aiohttp
    from aiohttp.http_exceptions import BadStatusLine

    hung_up = translate(aiohttp.ServerDisconnectedError(object()), CALL)  # type: ignore[arg-type]  # half a response
    assert str(hung_up) == "no answer from https://api.test/v1: the server closed the connection"
    odd = _wrapped(aiohttp.ClientConnectionError("x"), BadStatusLine("SSH-2.0"))
    assert str(translate(odd, CALL)) == "no answer from https://api.test/v1: what came back is no HTTP"


def test_an_exception_nobody_knows_refuses_the_row():
    """And its message says whose it is."""
    told = translate(KeyError("boo"), CALL)
    assert (errors.RowRefused, "openai's SDK failed with KeyError: 'boo'") == (type(told), str(told))
