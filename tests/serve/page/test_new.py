"""A new job in Chromium: a file is looked at, a schema tried, and all of it sent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from paged import Opened
from playwright.sync_api import expect
from stand_in import StandIn, problem

Open = Callable[..., Opened]

CSV = 'id,text,stars\r\n1,"It broke, and ""nobody"" answers.\nStill.",2\r\n2,😀 Fine,5\r\n3,,\r\n4,late,1\r\n'


@pytest.fixture
def chosen(service: StandIn, opened: Open, tmp_path: Path) -> Callable[..., Opened]:
    """The form with a file in it."""

    def choose(content: str | bytes, name: str = "rows.jsonl") -> Opened:
        page = opened(service.url, hash="#/new")
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        page.tab.set_input_files("#file", path)
        page.tab.wait_for_selector(".file-name")
        return page

    return choose


def fields(page: Opened, text: str = "label late|lost, score int?") -> None:
    """Write fields, once it is known what is on offer."""
    expect(page.tab.locator("#model option")).not_to_have_count(0)
    page.tab.fill("#schema-inline", text)


def cells(page: Opened) -> list[str]:
    """What stands in the preview."""
    return [text.strip() for text in page.tab.locator(".preview td").all_inner_texts()]


def test_csv_is_shown_as_it_will_be_read(chosen: Callable[..., Opened]) -> None:
    """Quotes, line breaks within them, emoji, empty cells."""
    page = chosen(CSV, "reviews.csv")
    assert page.tab.locator(".preview th").all_inner_texts() == ["id", "text", "stars"]
    assert cells(page)[:6] == ["1", 'It broke, and "nobody" answers. Still.', "2", "2", "😀 Fine", "5"]
    expect(page.tab.locator(".file-name")).to_contain_text("CSV")
    expect(page.tab.locator(".file-name")).to_contain_text("4 rows · 3 columns")
    expect(page.tab.get_by_role("button", name="Run 4 rows as a job")).to_be_enabled()


@pytest.mark.parametrize(
    ("content", "name", "found"),
    [
        ('{"a": 1, "b": [1, null]}\n\n{"c": "x"}\n', "rows.jsonl", ["1", "[1,null]", "–", "–", "–", "x"]),
        ("﻿a\tb\n1\t2,3\n", "rows.tsv", ["1", "2,3"]),
        ('{"a": "no suffix"}\n', "rows", ["no suffix"]),
        ("a,b\n1,2", "rows.txt", ["1", "2"]),
        (gzip.compress(b'{"a": "packed"}\n', mtime=0), "rows.jsonl.gz", ["packed"]),
        ('{"__proto__": "p", "constructor": "c"}\n', "rows.jsonl", ["p", "c"]),
        ("a,b\r\n,\r\n", "rows.csv", ["", ""]),
    ],
)
def test_formats(content: str | bytes, name: str, found: list[str], chosen: Callable[..., Opened]) -> None:
    """By the suffix, else by what is in it."""
    assert cells(chosen(content, name)) == found


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("", "rows.jsonl", "The file is empty."),
        ('[{"a": 1}]', "rows.json", "This is one JSON array."),
        (
            '{"a": 1}\nnonsense\n[1]\n',
            "rows.jsonl",
            "2 lines of those looked at cannot be read: line 2 (no JSON object), 3",
        ),
        ("a,b\n1,2,3\n1,2\n", "rows.csv", "line 2 (3 cells under 2 names)"),
        ('a,b\n1,"open\n2,3\n', "rows.csv", "a quote is not closed, or misplaced"),
        ("a;b\n1;2\n", "rows.csv", "semicolons"),
        ("a,a\n1,2\n", "rows.csv", "Two of its columns have the same name."),
        (b"\xff\xfea\x00,\x00b\x00\n\x00", "rows.csv", "This does not look like text in UTF-8."),
        (b"\x1f\x8b\x08nonsense", "rows.csv.gz", "could not be unpacked"),
        (b"PAR1\x00\x01PAR1", "rows.parquet", "Its rows cannot be shown here"),
    ],
)
def test_what_is_wrong_with_a_file(
    content: str | bytes, name: str, said: str, chosen: Callable[..., Opened]
) -> None:
    """It is said before anything is sent."""
    page = chosen(content, name)
    expect(page.tab.locator(".step .note").first).to_contain_text(said)
    assert page.complaints == []


def test_only_the_beginning_of_a_large_file_is_read(chosen: Callable[..., Opened]) -> None:
    """Its rows are estimated by that, and said to be."""
    line = json.dumps({"text": "x" * 190})
    page = chosen((line + "\n") * 50_000)
    expect(page.tab.locator(".file-name")).to_contain_text("about 50,000 rows")
    expect(page.tab.get_by_role("button", name="Run about 50,000 rows")).to_be_enabled()


def test_fields_appear_as_they_come(service: StandIn, chosen: Callable[..., Opened]) -> None:
    """Of the first three rows, each as soon as it is complete; then what it cost, and what all of them would."""
    service.hold()
    page = chosen(CSV, "reviews.csv")
    fields(page)
    page.tab.get_by_role("button", name="Try the first 3 rows").click()
    cards = page.tab.locator(".tried .card")
    expect(cards).to_have_count(3)
    service.step(1)
    expect(cards.nth(0).locator("dt")).to_have_text(["label"])
    expect(cards.nth(0).locator(".state")).to_have_text("asking …")
    service.step(3)
    expect(cards.nth(0).locator(".state")).to_have_text("done")
    expect(cards.nth(0).locator("dd")).to_contain_text(["late", "1", "parceldelay"])
    expect(cards.nth(1).locator("dt")).to_have_count(0)
    service.step(20)
    expect(cards.nth(2).locator(".state")).to_have_text("done")
    expect(page.tab.locator(".step").nth(2)).to_contain_text("600 tokens in, 90 out; $0.0003 for 3 rows")
    expect(page.tab.locator(".step").nth(2)).to_contain_text("At this price 4 rows cost about $0.0004.")
    asked = json.loads(service.bodies[0])
    assert asked["rows"] == [
        {"id": "1", "text": 'It broke, and "nobody" answers.\nStill.', "stars": "2"},
        {"id": "2", "text": "😀 Fine", "stars": "5"},
        {"id": "3", "text": "", "stars": ""},
    ]
    assert (asked["schema"], asked["model"]) == ("label late|lost, score int?", "openai/gpt-5-mini")
    assert page.complaints == []


def test_a_number_stays_what_it_was(service: StandIn, chosen: Callable[..., Opened]) -> None:
    """Rows of JSON Lines are sent as they were written: 64-bit identifiers lose no digits."""
    page = chosen('{"id": 12345678901234567890, "x": 1.10}\n')
    fields(page)
    page.tab.get_by_role("button", name="Try the first row").click()
    expect(page.tab.locator(".tried .state")).to_have_text("done")
    assert b'"rows":[{"id": 12345678901234567890, "x": 1.10}]' in service.bodies[0]


def test_an_answer_that_begins_anew(service: StandIn, chosen: Callable[..., Opened]) -> None:
    """What was shown of the earlier one is taken back, and said to be; an error of a row is shown in its place."""
    usage = {"input_tokens": 1, "output_tokens": 1, "cached_tokens": 0, "cost": None}
    bad = {
        "value": None,
        "error": {"type": "invalid_answer", "message": "label: 'maybe' is none of them", "raw": "{}"},
        "source": "model",
        "model": "m",
        "attempts": 3,
        "seconds": 1.0,
        "usage": usage,
    }
    service.events = lambda row, data: [
        ("field", {"path": "label", "value": "maybe"}),
        ("restart", {"reason": "invalid", "message": "label is none of them"}),
        ("field", {"path": "label", "value": "again"}),
        ("object", bad),
    ]
    service.hold()
    page = chosen('{"text": "a"}\n')
    fields(page)
    page.tab.get_by_role("button", name="Try the first row").click()
    service.step(1)
    expect(page.tab.locator(".tried dd")).to_have_text(["maybe"])
    service.step(2)
    expect(page.tab.locator(".tried")).to_contain_text("asked again: label is none of them")
    expect(page.tab.locator(".tried dd")).to_have_text(["again"])
    service.step(5)
    expect(page.tab.locator(".tried .state")).to_have_text("failed")
    expect(page.tab.locator(".tried .error-box")).to_contain_text("label: 'maybe' is none of them")
    expect(page.tab.locator(".tried")).to_contain_text("3 calls")


def test_stopping_a_try_ends_its_request(service: StandIn, chosen: Callable[..., Opened]) -> None:
    """By the button, and by going elsewhere: nothing more is paid for."""
    service.hold()
    page = chosen(CSV, "reviews.csv")
    fields(page)
    for leave in (
        lambda: page.tab.get_by_role("button", name="Stop").click(),
        lambda: page.tab.keyboard.press("g"),
    ):
        page.tab.get_by_role("button", name="Try the first 3 rows").click()
        expect(page.tab.locator(".tried .card")).to_have_count(3)
        service.step(1)
        expect(page.tab.locator(".tried dd").first).to_have_text("late")
        with page.tab.expect_event("requestfailed", lambda request: request.url.endswith("/v1/extract")):
            page.tab.locator("#step-3").click()
            leave()
    page.tab.get_by_role("link", name="New job").first.click()
    expect(page.tab.locator("#schema-inline")).to_have_value("label late|lost, score int?")
    expect(page.tab.locator(".tried .state").nth(1)).to_have_text("stopped")


def test_a_refusal_of_a_try(service: StandIn, chosen: Callable[..., Opened]) -> None:
    """In the service's words; an answer that breaks off is said to have."""
    page = chosen(CSV, "reviews.csv")
    fields(page, "nonsense")
    page.tab.get_by_role("button", name="Try the first 3 rows").click()
    box = page.tab.locator(".step .error-box")
    expect(box).to_contain_text("unknown type 'nonsense' of a field")
    expect(box).to_contain_text("hint: llmx schema list")
    expect(page.tab.locator(".tried")).to_have_count(0)
    service.events = lambda row, data: [
        ("field", {"path": "label", "value": "late"}),
        ("error", {"status": 502, "title": "Bad Gateway", "detail": "the provider refused our key"}),
    ]
    fields(page)
    page.tab.get_by_role("button", name="Try the first 3 rows").click()
    expect(box).to_contain_text("the provider refused our key")
    expect(page.tab.locator(".tried .state").first).to_have_text("stopped")


def test_all_of_it_is_sent(service: StandIn, chosen: Callable[..., Opened]) -> None:
    """The file to its last byte, with what was asked for; then the job is on the page."""
    page = chosen(CSV, "reviews.csv")
    fields(page)
    page.tab.get_by_label("Quote the words").check()
    page.tab.get_by_text("More: instructions").click()
    page.tab.fill("#system", "Reviews of a shop.")
    page.tab.select_option("#key-column", "id")
    page.tab.fill("#max-cost", "$2.50")
    page.tab.fill("#max-failures", "5 %")
    page.tab.get_by_label("stars", exact=True).uncheck()
    page.tab.get_by_role("button", name="Run 4 rows as a job").click()
    expect(page.tab.locator("h2")).to_have_text("reviews.csv")
    assert page.tab.url.endswith(f"#/job/{next(iter(service.jobs))}")
    asked, data = service.bodies
    assert json.loads(asked) == {
        "schema": "label late|lost, score int?",
        "model": "openai/gpt-5-mini",
        "input": ["text"],
        "system": "Reviews of a shop.",
        "evidence": True,
        "name": "reviews.csv",
        "key": "id",
        "max_cost": 2.5,
        "max_failures": "5%",
    }
    assert data == CSV.encode()
    (headers,) = service.requests("POST", "/v1/jobs")
    assert len(headers["idempotency-key"]) == 32
    assert page.complaints == []


def test_a_second_try_is_not_a_second_job(service: StandIn, chosen: Callable[..., Opened]) -> None:
    """The same request goes with the same key, another one with another; a job that was made is done with its key."""
    page = chosen(CSV, "reviews.csv")
    fields(page)
    run = page.tab.get_by_role("button", name="Run 4 rows as a job")
    service.refusal = problem(503, "draining", "the service is shutting down")
    run.click()
    expect(page.tab.get_by_role("alert")).to_contain_text("the service is shutting down")
    page.tab.get_by_role("button", name="Try again").click()
    expect(run).to_be_enabled()
    fields(page, "label late|lost")
    run.click()
    expect(run).to_be_enabled()
    service.refusal = None
    run.click()
    expect(page.tab.locator("h2")).to_have_text("reviews.csv")
    page.tab.go_back()
    run.click()
    expect(page.tab.locator("h2")).to_have_text("reviews.csv")
    keys = [headers["idempotency-key"] for headers in service.requests("POST", "/v1/jobs")]
    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    assert len(set(keys)) == 3
    assert len(service.jobs) == 2


def test_a_file_that_is_dropped(service: StandIn, opened: Open) -> None:
    """Anywhere on the form."""
    page = opened(service.url, hash="#/new")
    page.tab.wait_for_selector(".drop")
    page.tab.evaluate(
        """() => {
            const moved = new DataTransfer();
            moved.items.add(new File(["a,b\\n1,2\\n"], "dropped.csv"));
            for (const name of ["dragover", "drop"]) document.querySelector(".new").dispatchEvent(new DragEvent(name, { dataTransfer: moved, bubbles: true, cancelable: true }));
        }"""
    )
    expect(page.tab.locator(".file-name")).to_contain_text("dropped.csv")
    expect(page.tab.locator(".preview td")).to_have_text(["1", "2"])


def test_rows_that_are_pasted(service: StandIn, opened: Open) -> None:
    """As good as a file."""
    page = opened(service.url, hash="#/new")
    page.tab.get_by_role("button", name="Paste rows instead").click()
    page.tab.fill("#pasted", '{"text": "late"}\n{"text": "lost"}')
    page.tab.get_by_role("button", name="Use these rows").click()
    expect(page.tab.locator(".preview td")).to_have_text(["late", "lost"])
    fields(page)
    page.tab.get_by_role("button", name="Run 2 rows as a job").click()
    expect(page.tab.locator("h2")).to_have_text("job_" + "0" * 26)


def test_ways_to_say_what_is_wanted(service: StandIn, chosen: Callable[..., Opened]) -> None:
    """A schema on offer by its name, fields as text, a JSON Schema as the object that it is."""
    page = chosen(CSV, "reviews.csv")
    page.tab.get_by_label("A ready-made schema").check()
    expect(page.tab.locator(".wanted")).to_contain_text("What somebody thinks of something.")
    tries = page.tab.get_by_role("button", name="Try the first 3 rows")
    done = page.tab.locator(".tried .state")
    tries.click()
    expect(done.last).to_have_text("done")
    page.tab.get_by_label("Paste a JSON Schema").check()
    page.tab.fill("#schema-json", '{"type": "object", "properties": {}}')
    page.tab.select_option("#model", "local")
    tries.click()
    expect(done.last).to_have_text("done")
    asked = [json.loads(body) for body in service.bodies]
    assert [one["schema"] for one in asked] == ["sentiment", {"type": "object", "properties": {}}]
    assert [one["model"] for one in asked] == ["openai/gpt-5-mini", "local"]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("", "Paste a JSON Schema."),
        ("{", "The JSON Schema is not JSON: "),
        ("[]", "A JSON Schema is an object"),
    ],
)
def test_a_schema_that_is_none(
    schema: str, said: str, service: StandIn, chosen: Callable[..., Opened]
) -> None:
    """It is said here, beside where it is mended; nothing is sent."""
    page = chosen(CSV, "reviews.csv")
    page.tab.get_by_label("Paste a JSON Schema").check()
    page.tab.fill("#schema-json", schema)
    page.tab.get_by_role("button", name="Try the first 3 rows").click()
    expect(page.tab.get_by_role("alert")).to_contain_text(said)
    expect(page.tab.locator("#schema-json")).to_be_focused()
    assert service.bodies == []


@pytest.mark.parametrize(
    ("field", "text"), [("#max-cost", "much"), ("#max-cost", "-1"), ("#max-failures", "some")]
)
def test_figures_that_are_none(
    field: str, text: str, service: StandIn, chosen: Callable[..., Opened]
) -> None:
    """Likewise."""
    page = chosen(CSV, "reviews.csv")
    fields(page)
    page.tab.get_by_text("More: instructions").click()
    page.tab.fill(field, text)
    page.tab.get_by_role("button", name="Run 4 rows as a job").click()
    expect(page.tab.locator(field)).to_be_focused()
    assert service.jobs == {}


def test_nothing_is_sent_without_a_file(service: StandIn, opened: Open) -> None:
    """And the way to one has the focus."""
    page = opened(service.url, hash="#/new")
    page.tab.get_by_role("button", name="Try the first rows").click()
    expect(page.tab.get_by_role("alert")).to_have_text("Choose a file of rows first.")
    expect(page.tab.locator("#file")).to_be_focused()


def test_the_same_from_a_shell(service: StandIn, chosen: Callable[..., Opened]) -> None:
    """A command that would make the same job, quoted for a shell."""
    page = chosen(CSV, "it's.csv")
    fields(page, "label 'a'|b")
    page.tab.get_by_text("The same from a shell").click()
    text = page.text(".step pre:visible")
    assert (
        "-F 'request={\"schema\":\"label '\\''a'\\''|b\",\"model\":\"openai/gpt-5-mini\"};type=application/json'"
        in text
    )
    assert "-F 'file=@it'\\''s.csv;type=text/csv'" in text
    assert text.endswith(f"{service.url}v1/jobs")


def test_a_field_that_has_the_name_of_a_column(service: StandIn, chosen: Callable[..., Opened]) -> None:
    """It can be tried; for all of it the fields get something before their names."""
    page = chosen(CSV, "reviews.csv")
    fields(page, "stars int?")
    page.tab.get_by_role("button", name="Run 4 rows as a job").click()
    expect(page.tab.get_by_role("alert")).to_contain_text('The file has a column "stars" already.')
    expect(page.tab.locator("#prefix")).to_be_focused()
    page.tab.get_by_role("button", name="Try the first 3 rows").click()
    expect(page.tab.locator(".tried .state").last).to_have_text("done")
    page.tab.fill("#prefix", "llm_")
    page.tab.get_by_role("button", name="Run 4 rows as a job").click()
    expect(page.tab.locator("h2")).to_have_text("reviews.csv")
    tried, asked, _ = service.bodies
    assert "prefix" not in json.loads(tried)
    assert json.loads(asked)["prefix"] == "llm_"
