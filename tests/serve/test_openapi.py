"""The OpenAPI document: complete, with examples, and true of what is answered."""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from serving import Service

from llmx.serve.openapi import WHY


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    return dict(service.get("/openapi.json").json())


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


ROUTES = {
    "POST /v1/extract",
    "POST /v1/jobs",
    "GET /v1/jobs",
    "GET /v1/jobs/{id}",
    "DELETE /v1/jobs/{id}",
    "POST /v1/jobs/{id}/resume",
    "GET /v1/jobs/{id}/results",
    "GET /v1/jobs/{id}/errors",
    "GET /v1/jobs/{id}/events",
    "GET /v1/schemas",
    "GET /v1/models",
    "GET /v1/limits",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
}


def test_every_route_is_described(document: dict[str, Any]) -> None:
    """By an id of its own, words, a tag, and the statuses it has."""
    found = operations(document)
    assert {name for name, _ in found} == ROUTES
    ids = [operation["operationId"] for _, operation in found]
    assert len(set(ids)) == len(ids)
    for name, operation in found:
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name
        assert {"400", "403", "405", "500"} <= set(operation["responses"]), name
        if name.split()[1].startswith(("/v1", "/metrics")):
            assert {"401", "429", "431", "503"} <= set(operation["responses"]), name
            assert operation["security"], name


def test_every_answer_has_an_example(document: dict[str, Any]) -> None:
    """Its own, or that of its schema's fields."""
    schemas = document["components"]["schemas"]
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            for kind, content in answer.get("content", {}).items():
                assert "example" in content or exemplified(content["schema"], schemas), (name, status, kind)
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            binary = content["schema"].get("format") == "binary" or kind == "multipart/form-data"
            assert binary or "example" in content or exemplified(content["schema"], schemas), (name, kind)


def exemplified(schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    if "$ref" not in schema:
        return False
    target = schemas[schema["$ref"].rpartition("/")[2]]
    if "example" in target:
        return True
    fields = target["properties"].values()
    return all(
        "example" in field
        or "examples" in field
        or "description" in field
        or "$ref" in field
        or "$ref" in field.get("items", {})
        or any("$ref" in branch for branch in field.get("anyOf", ()))
        for field in fields
    )


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """No schema is missing."""
    missing = []
    waiting: list[Any] = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                name = reference.rpartition("/")[2]
                missing += [reference] if name not in document["components"]["schemas"] else []
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    assert missing == []


def test_every_error_is_explained_in_the_docs(document: dict[str, Any]) -> None:
    """docs/serve.md has every status."""
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    assert [status for status in WHY if f"| {status} |" not in text] == []


@pytest.fixture(scope="module")
def api(service: Service) -> Any:
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json")


# What a JSON Schema of a schema, or a name of a file, cannot say: valid by the document, and refused for good reasons.
load_all_checks()
EXCLUDED = [CHECKS.get_one(name) for name in ("positive_data_acceptance", "missing_required_header")]


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("route", sorted(ROUTES))
def test_no_request_is_answered_but_as_documented(
    route: str, mode: GenerationMode, api: Any, service: Service
) -> None:
    """No 500, no status, type or body that the document does not have, whatever is asked."""
    method, path = route.split()

    @given(case=api[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        case.call_and_validate(headers=service.headers, excluded_checks=EXCLUDED, timeout=60)

    try:
        ask()
    except (
        SkipTest,
        Unsatisfiable,
        pytest.skip.Exception,
    ):  # nothing can be wrong with a route that takes nothing
        assert mode is GenerationMode.NEGATIVE
