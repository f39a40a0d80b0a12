"""Two files to figures: what is found where, and what is said when something is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluations import jsonl, pair, table

from llmx.errors import UsageError
from llmx.evals import Disagreement, Evaluation, evaluate
from llmx.journal import Manifest


def figures(evaluation: Evaluation, path: str, *names: str) -> list[Any]:
    """Of one field."""
    document = evaluation.document()["fields"][path]
    return [document[name] for name in names]


def test_every_verdict(tmp_path: Path):
    """Right, wrong, missing, spurious, and nothing on both sides."""
    gold = [{"name": "Ada"}, {"name": "Bob"}, {"name": "Cy"}, {"name": None}, {"name": None}]
    predicted = [{"name": "Ada"}, {"name": "Ben"}, {"name": None}, {"name": "Di"}, {}]
    found = evaluate(*pair(tmp_path, gold, predicted))
    assert figures(found, "name", "n", "correct", "wrong", "missing", "spurious", "empty") == [
        5,
        1,
        1,
        1,
        1,
        1,
    ]
    assert list(found.disagreements()) == [
        Disagreement("1", "name", "Bob", "Ben"),
        Disagreement("2", "name", "Cy", None),
        Disagreement("3", "name", None, "Di"),
    ]


def test_the_fixed_part_of_the_document(tmp_path: Path):
    """Rows, and of every field the figures that others read."""
    document = evaluate(*pair(tmp_path, [{"a": "x"}, {"a": "y"}], [{"a": "x"}, {"a": "x"}])).document()
    assert document["rows"].items() >= {"matched": 2, "missing": 0, "extra": 0}.items()
    field = document["fields"]["a"]
    names = {"n", "accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_micro", "ci95"}
    assert names <= field.keys()
    assert (field["n"], field["accuracy"], field["f1_macro"]) == (2, 0.5, pytest.approx(1 / 3))
    low, high = field["ci95"]
    assert 0 <= low <= 0.5 <= high <= 1


def test_nested_fields_and_lists_of_objects(tmp_path: Path):
    """Objects are compared by path, lists of objects element by element."""
    gold = [
        {"to": {"city": "Oslo", "zip": "0150"}, "items": [{"name": "tea", "n": 2}, {"name": "milk", "n": 1}]}
    ]
    predicted = [
        {"to": {"city": "Oslo", "zip": "150"}, "items": [{"n": 1, "name": "milk"}, {"name": "tea", "n": 3}]}
    ]
    found = evaluate(*pair(tmp_path, gold, predicted))
    assert list(found.fields) == ["to.city", "to.zip", "items"]
    assert figures(found, "to.zip", "accuracy", "compared_by") == [0.0, "exact"]
    assert figures(found, "items", "accuracy", "f1_micro", "compared_by") == [0.0, 0.5, "set"]


def test_an_object_as_one_value(tmp_path: Path):
    """A field whose names are data is compared as a whole where the user says so."""
    ours, gold = pair(
        tmp_path, [{"e": {"a": 1, "b": None}}, {"e": {"x": 2}}], [{"e": {"a": 1}}, {"e": {"x": 3}}]
    )
    found = evaluate(ours, gold, compare={"e": "exact"})
    assert list(found.fields) == ["e"]
    assert figures(found, "e", "accuracy") == [0.5]


def test_a_path_that_only_predictions_have_within_a_field(tmp_path: Path):
    """What a model makes up within an object counts as spurious."""
    found = evaluate(*pair(tmp_path, [{"e": {"a": "x"}}], [{"e": {"a": "x", "b": "y"}}]))
    assert figures(found, "e.b", "n", "spurious", "accuracy") == [1, 1, 0.0]


def test_an_empty_object_is_no_field_of_its_own(tmp_path: Path):
    """Beside rows that have something in it."""
    found = evaluate(*pair(tmp_path, [{"e": {}}, {"e": {"a": "x"}}], [{"e": {}}, {"e": {"a": "x"}}]))
    assert list(found.fields) == ["e.a"]


def test_gold_in_csv_says_everything_in_text(tmp_path: Path):
    """`3` is 3, `true` is true, an empty cell is null, and JSON in a cell is a list."""
    rows = [
        {
            "id": 1,
            "stars": 3,
            "urgent": True,
            "order": None,
            "tags": ["b", "a"],
            "due": "2024-03-05",
            "zip": "02139",
        },
        {
            "id": 2,
            "stars": 4.0,
            "urgent": False,
            "order": "A-1",
            "tags": [],
            "due": "March 6, 2024",
            "zip": "2139",
        },
    ]
    gold = table(
        tmp_path / "gold.csv",
        ["id", "stars", "urgent", "order", "tags", "due", "zip"],
        ["1", "3", "true", "", '["a", "b"]', "2024-03-05", "02139"],
        ["2", "4", "false", "A-1", "", "2024-03-06", "02139"],
    )
    found = evaluate(jsonl(tmp_path / "out.jsonl", rows), gold)
    how = {path: str(one.comparison) for path, one in found.fields.items()}
    assert how == {
        "stars": "number",
        "urgent": "boolean",
        "order": "exact",
        "tags": "set",
        "due": "date",
        "zip": "exact",
    }
    accuracies = {path: one.accuracy for path, one in found.fields.items()}
    assert accuracies == {**dict.fromkeys(how, 1.0), "zip": 0.5}


def test_a_few_words_among_numbers_leave_csv_numbers(tmp_path: Path):
    """One answer in text does not turn a column of numbers into texts, for which 3.50 is not 3.5; and it is told."""
    rows = [{"id": 1, "price": 3.5}, {"id": 2, "price": 4}, {"id": 3, "price": "about five"}]
    gold = table(tmp_path / "gold.csv", ["id", "price"], ["1", "3.50"], ["2", "4.0"], ["3", "5"])
    found = evaluate(jsonl(tmp_path / "out.jsonl", rows), gold)
    assert figures(found, "price", "correct", "wrong") == [2, 1]
    assert found.remarks == [
        "'price': gold has text such as '3.50', the predictions have numbers in 2 rows and text in 1 row; "
        "compared by number"
    ]


def test_a_few_numbers_among_codes_leave_csv_text(tmp_path: Path):
    """One code that came as a number does not make 02139 and 2139 the same."""
    rows = [{"id": 1, "zip": "2139"}, {"id": 2, "zip": "10001"}, {"id": 3, "zip": 10002}]
    gold = table(tmp_path / "gold.csv", ["id", "zip"], ["1", "02139"], ["2", "10001"], ["3", "10002"])
    found = evaluate(jsonl(tmp_path / "out.jsonl", rows), gold)
    assert figures(found, "zip", "correct", "wrong") == [2, 1]


def test_two_files_of_csv(tmp_path: Path):
    """What all right values can be read as is what they are; a code with a leading zero is none."""
    head = ["id", "n", "yes", "code", "tags", "to.city"]
    ours = table(tmp_path / "out.csv", head, [1, "3.0", "TRUE", "7", '["b","a"]', "Oslo"])
    gold = table(tmp_path / "gold.csv", head, [1, "3", "true", "07", '["a","b"]', "Oslo"])
    found = evaluate(ours, gold)
    assert {path: one.accuracy for path, one in found.fields.items()} == {
        "n": 1.0,
        "yes": 1.0,
        "code": 0.0,
        "tags": 1.0,
        "to.city": 1.0,
    }


def test_gold_as_json_in_a_cell(tmp_path: Path):
    """The column `gold` of a CSV file holds an object as text, or is spread over columns `gold.…`."""
    ours = jsonl(tmp_path / "out.jsonl", [{"id": 1, "topic": "a", "stars": 3}])
    cell = table(tmp_path / "cell.csv", ["id", "gold"], [1, json.dumps({"topic": "a", "stars": 3})])
    spread = table(tmp_path / "spread.csv", ["id", "gold.topic", "gold.stars"], [1, "a", "3"])
    for gold in (cell, spread):
        assert evaluate(ours, gold).overall.accuracy == 1.0


def test_gold_as_one_text(tmp_path: Path):
    """A `gold` that is no object is refused with the way to say which field it is."""
    ours = jsonl(tmp_path / "out.jsonl", [{"id": 1, "tone": "good"}])
    gold = table(tmp_path / "gold.csv", ["id", "text", "gold"], [1, "…", "good"])
    with pytest.raises(UsageError, match=r"'gold' of .* holds no object in the row '1': 'good'") as raised:
        evaluate(ours, gold)
    assert "--fields FIELD=gold" in raised.value.hint
    assert evaluate(ours, gold, fields=["tone=gold"]).fields["tone"].accuracy == 1.0


def test_predictions_under_a_prefix_or_within_a_column(tmp_path: Path):
    """As `--prefix` and `--into` of extract write them, in flat files too."""
    gold = jsonl(tmp_path / "gold.jsonl", [{"id": 1, "gold": {"tone": "good"}}])
    prefixed = jsonl(tmp_path / "p.jsonl", [{"id": 1, "tone": "input", "llm_tone": "good"}])
    inside = jsonl(tmp_path / "i.jsonl", [{"id": 1, "tone": "input", "llm": {"tone": "good"}}])
    flat = table(tmp_path / "i.csv", ["id", "llm.tone"], [1, "good"])
    assert evaluate(prefixed, gold, prefix="llm_").overall.accuracy == 1.0
    assert evaluate(inside, gold, into="llm").overall.accuracy == 1.0
    assert evaluate(flat, gold, into="llm").overall.accuracy == 1.0


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ({"llm_tone": "good"}, "--prefix llm_"),
        ({"llm": {"tone": "good"}}, "--into llm"),
        ({"llm.tone": "good"}, "--into llm"),
        ({"mood": "good"}, "the columns are id, mood"),
    ],
)
def test_no_field_in_common(tmp_path: Path, row: dict[str, Any], hint: str):
    """It is an error, not zero, and the hint is what was probably meant."""
    gold = jsonl(tmp_path / "gold.jsonl", [{"id": 1, "gold": {"tone": "good"}}])
    with pytest.raises(UsageError, match=r"no field of gold \('tone'\) is in") as raised:
        evaluate(jsonl(tmp_path / "out.jsonl", [{"id": 1, **row}]), gold)
    assert hint in raised.value.hint


def test_fields_of_one_side_only(tmp_path: Path):
    """They are told and not compared; one that is asked for counts as missing in every row."""
    ours, gold = pair(tmp_path, [{"a": "x", "b": "y"}], [{"a": "x", "c": "z"}])
    found = evaluate(ours, gold)
    document = found.document()
    assert (document["only_in_gold"], document["only_in_predictions"]) == (["b"], ["c"])
    assert list(found.fields) == ["a"]
    assert any("in no prediction" in line and "'b'" in line for line in found.remarks)
    asked = evaluate(ours, gold, fields=["a", "b"])
    assert figures(asked, "b", "missing", "accuracy") == [1, 0.0]


def test_rows_of_one_side_only(tmp_path: Path):
    """Missing ones are said, with the share that is there; extra ones too; unlabelled ones are neither."""
    ours = jsonl(tmp_path / "out.jsonl", [{"id": 1, "a": "x"}, {"id": 2, "a": "x"}, {"id": 9, "a": "x"}])
    rows = [{"id": 1, "gold": {"a": "x"}}, {"id": 2, "gold": None}, {"id": 3, "gold": {"a": "x"}}]
    found = evaluate(ours, jsonl(tmp_path / "gold.jsonl", rows))
    rows_found = found.rows
    assert (rows_found.matched, rows_found.missing, rows_found.extra, rows_found.unlabelled) == (1, 1, 1, 1)
    assert rows_found.coverage == 0.5
    assert any("1 of 2 labelled rows have no prediction" in line for line in found.remarks)


def test_a_kept_text_is_not_compared(tmp_path: Path):
    """A long text that is the same everywhere is what was read, and would count as always right."""
    text = "a message of a customer, number {}, that is long enough"
    ours = jsonl(tmp_path / "out.jsonl", [{"id": n, "text": text.format(n), "a": "x"} for n in range(3)])
    gold = jsonl(tmp_path / "gold.jsonl", [{"id": n, "text": text.format(n), "a": "y"} for n in range(3)])
    found = evaluate(ours, gold)
    assert (list(found.fields), found.overall.accuracy) == (["a"], 0.0)
    assert any("'text'" in line for line in found.remarks)
    assert list(evaluate(ours, gold, fields=["text", "a"]).fields) == ["text", "a"]


def test_what_may_be_an_input_column_is_told(tmp_path: Path):
    """A short column that is right everywhere counts, and may have been given: not where gold is an object."""
    rows = [{"id": n, "shop": "north", "a": "x"} for n in range(6)]
    ours, gold = (
        jsonl(tmp_path / "out.jsonl", rows),
        jsonl(tmp_path / "g.jsonl", [{**one, "a": "y"} for one in rows]),
    )
    assert any(
        "the same in both files in every row: 'shop'; if one is" in line
        for line in evaluate(ours, gold).remarks
    )
    assert not any("input column" in line for line in evaluate(ours, gold, fields=["shop", "a"]).remarks)
    nested = jsonl(tmp_path / "n.jsonl", [{"id": n, "gold": {"a": "x"}} for n in range(6)])
    assert evaluate(ours, nested).remarks == []


def test_an_id_beside_the_key_is_not_compared(tmp_path: Path):
    """It was given, not found."""
    rows = [{"id": n, "nr": f"n{n}", "a": "x"} for n in range(3)]
    found = evaluate(jsonl(tmp_path / "out.jsonl", rows), jsonl(tmp_path / "gold.jsonl", rows), "nr")
    assert list(found.fields) == ["a"]


def test_a_file_is_not_compared_with_itself(tmp_path: Path):
    """All would be right; with a column `gold` in it, it is both."""
    rows = [{"id": 1, "a": "x", "right": "y"}]
    ours = jsonl(tmp_path / "out.jsonl", rows)
    with pytest.raises(UsageError, match="it would be compared with itself"):
        evaluate(ours, ours)
    assert evaluate(ours, ours, fields=["a=right"]).overall.accuracy == 0.0
    both = jsonl(tmp_path / "both.jsonl", [{**rows[0], "gold": {"a": "x"}}])
    assert evaluate(both, both).overall.accuracy == 1.0


def test_keys_of_another_type(tmp_path: Path):
    """7, 7.0 and "7" are one key."""
    gold = jsonl(tmp_path / "gold.jsonl", [{"id": "7", "gold": {"a": "x"}}])
    for key in (7, 7.0, "7"):
        assert evaluate(jsonl(tmp_path / "out.jsonl", [{"id": key, "a": "x"}]), gold).rows.matched == 1


def test_types_that_differ_are_told(tmp_path: Path):
    """With the row in which that is so."""
    found = evaluate(*pair(tmp_path, [{"n": 3}, {"n": 4}], [{"n": 3}, {"n": "4"}]))
    assert found.overall.accuracy == 1.0
    assert found.remarks == [
        "'n': gold has numbers, the predictions have numbers in 1 row and text in 1 row, as the row '1'; compared by number"
    ]
    mixed = evaluate(*pair(tmp_path, [{"n": 3}, {"n": "x"}], [{"n": 3}, {"n": "x"}]))
    assert mixed.remarks == ["'n': gold has numbers in 1 row and text in 1 row; compared by exact"]


def test_dates_that_can_be_read_two_ways_are_told(tmp_path: Path):
    """They are not right, and the option that mends it is named."""
    ours, gold = pair(tmp_path, [{"due": "2024-03-05"}], [{"due": "05/03/2024"}])
    found = evaluate(ours, gold)
    assert found.overall.accuracy == 0.0
    assert "--compare due=date:dmy" in found.remarks[0]
    assert evaluate(ours, gold, compare={"due": "date:dmy"}).overall.accuracy == 1.0


def test_what_looser_letters_would_give(tmp_path: Path):
    """Beside the exact accuracy stands the one that ignores case, blanks and Unicode form."""
    found = evaluate(*pair(tmp_path, [{"a": "Oslo"}, {"a": "Bergen"}], [{"a": " oslo"}, {"a": "Berlin"}]))
    assert figures(found, "a", "accuracy", "accuracy_normalized") == [0.0, 0.5]


def test_a_field_within_an_object_alone(tmp_path: Path):
    """What is beside it is not compared, on either side."""
    ours, gold = pair(tmp_path, [{"e": {"a": "x", "b": "y"}}], [{"e": {"a": "x", "b": "n", "c": "z"}}])
    assert list(evaluate(ours, gold, fields=["e.a"]).fields) == ["e.a"]


def test_a_figure_that_may_not_mean_what_it_seems(tmp_path: Path):
    """Nothing right at all, and nothing there at all, are told."""
    none = evaluate(*pair(tmp_path, [{"a": "5 stars"}] * 5, [{"a": "five"}] * 5))
    assert none.remarks == [
        "'a': not one value is right; in the row '0' gold has '5 stars', the prediction is 'five'; "
        "--compare a=HOW says how to compare them"
    ]
    nothing = evaluate(*pair(tmp_path, [{"a": "x", "b": None}], [{"a": "x", "b": None}]))
    assert nothing.remarks == [
        "'b': neither gold nor a prediction has a value in any row, so its accuracy says nothing"
    ]
    gold = table(tmp_path / "gold.csv", ["id", "a"], [1, "5 stars"])
    typed = evaluate(jsonl(tmp_path / "typed.jsonl", [{"id": 1, "a": 5}]), gold)
    assert typed.remarks == [
        "'a': gold has text such as '5 stars', the predictions have numbers in 1 row; compared by exact"
    ]


def test_many_fields_without_a_value_are_told_in_a_line(tmp_path: Path):
    """Sparse objects have dozens of them, and the other warnings are still to be seen."""
    row = {"a": "x", **{f"f{n}": None for n in range(12)}}
    found = evaluate(*pair(tmp_path, [row] * 2, [row] * 2))
    (told,) = found.remarks
    assert told.startswith("'f0', 'f1', ")
    assert told.endswith(
        "'f7' and 4 more: neither gold nor a prediction has a value in any row, so their accuracy says nothing"
    )


def test_the_worst_rows(tmp_path: Path):
    """Those with the most wrong fields, then those that come first."""
    gold = [{"a": "x", "b": "y"}] * 3
    found = evaluate(
        *pair(tmp_path, gold, [{"a": "x", "b": "n"}, {"a": "n", "b": "n"}, {"a": "n", "b": "y"}])
    )
    assert [(key, len(wrong)) for key, wrong in found.worst(2)] == [("1", 2), ("0", 1)]


@pytest.mark.parametrize(
    ("ours", "gold", "words"),
    [
        (
            '{"id":1,"a":"x"}\n{"id":1,"a":"y"}\n',
            '{"id":1,"a":"x"}',
            r"predictions: 1 value .* '1' in lines 1, 2",
        ),
        ('{"id":1,"a":"x"}', '{"id":1,"a":"x"}\n\n{"id":"1","a":"x"}', r"gold: 1 value .* '1' in lines 1, 3"),
        (
            '{"id":1,"a":"x"}',
            '{"id":1,"a":"x"}\n{"a":"x"}',
            r"gold: 1 row .* without a value in the key column 'id': line 2",
        ),
        (
            '{"id":1,"a":"x"}\noops',
            '{"id":1,"a":"x"}',
            r"predictions: 1 line .* cannot be read: .*out.jsonl:2: not JSON",
        ),
        (
            '{"id":1,"a":"x"}',
            '{"id":2,"a":"x"}',
            "no row of .* is in .*: the key column 'id' has, for example, '1' .* '2'",
        ),
        ('{"id":1,"a":"x"}', "", "gold: no rows in"),
        ("", '{"id":1,"a":"x"}', "predictions: no rows in"),
        ('{"id":1,"a":"x"}', '{"id":1,"gold":null}', "'gold' .* is empty in all 1 rows"),
        ('{"nr":1,"a":"x"}', '{"nr":1,"a":"x"}', "no column 'id' in both files"),
        ('{"id":1,"a":"x"}', '{"id":1,"gold":{}}', "has no column but the key"),
        ('{"id":1,"a":"x"}', '{"id":1}', "has no column but the key"),
    ],
)
def test_files_that_cannot_be_compared(tmp_path: Path, ours: str, gold: str, words: str):
    """The message names lines and columns; nothing becomes a figure of 0 or 1."""
    (tmp_path / "out.jsonl").write_text(ours)
    (tmp_path / "gold.jsonl").write_text(gold)
    with pytest.raises(UsageError, match=words):
        evaluate(tmp_path / "out.jsonl", tmp_path / "gold.jsonl")


def test_rows_of_explode(tmp_path: Path):
    """Have one key several times, and the hint says why."""
    ours = jsonl(tmp_path / "out.jsonl", [{"id": 1, "a": "x", "_item": n} for n in range(2)])
    with pytest.raises(UsageError, match="in several rows") as raised:
        evaluate(ours, jsonl(tmp_path / "gold.jsonl", [{"id": 1, "a": "x"}]))
    assert "--explode" in raised.value.hint


@pytest.mark.parametrize("key", [None, "id"])
def test_a_file_of_which_nothing_can_be_read(tmp_path: Path, key: str | None):
    """Its lines are told, rather than that it has none."""
    (tmp_path / "out.jsonl").write_text('{"id": 1, "a": NaN}\n')
    gold = jsonl(tmp_path / "gold.jsonl", [{"id": 1, "gold": {"a": 1}}])
    with pytest.raises(UsageError, match=r"predictions: 1 line of .* cannot be read: .*out\.jsonl:1"):
        evaluate(tmp_path / "out.jsonl", gold, key=key)


def test_a_key_that_is_not_there(tmp_path: Path):
    """The nearest is named, and the columns that both files have."""
    ours, gold = pair(tmp_path, [{"a": "x"}], [{"a": "x"}])
    with pytest.raises(UsageError, match="no column 'idd'") as raised:
        evaluate(ours, gold, "idd")
    assert "did you mean 'id'?" in raised.value.hint
    assert "the columns of both are id" in raised.value.hint


def test_many_sparse_fields(tmp_path: Path):
    """An object with a name per row takes room for its values, not for rows times names."""
    gold = [{"e": {f"n{row}": "x"}} for row in range(2000)]
    found = evaluate(*pair(tmp_path, gold, gold))
    assert len(found.fields) == 2000
    assert sum(len(one.column.rows) for one in found.fields.values()) == 2000


@pytest.mark.parametrize("noted", [["topic", "order"], ["other"], []])
def test_columns_that_a_run_has_kept_are_nobodys_answers(tmp_path: Path, noted: list[str]):
    """Where the run tells its fields, and gold has one of them; else all that both have is compared."""
    gold = jsonl(tmp_path / "gold.jsonl", [{"id": n, "shop": "x", "topic": "ab"[n]} for n in range(2)])
    ours = [{"id": n, "shop": "x", "topic": "a", "order": {"nr": n}} for n in range(2)]
    predicted = jsonl(tmp_path / "out.jsonl", ours)
    folder = tmp_path / ".llmx" / "out.jsonl"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(Manifest(fields=noted).model_dump_json())
    compared = evaluate(predicted, gold).document()["fields"]
    assert list(compared) == (["topic"] if "topic" in noted else ["shop", "topic"])
    assert list(evaluate(predicted, gold, fields=["shop"]).document()["fields"]) == ["shop"]
