"""Laws of JSON files: whatever is wrong with one, the file and the entry are named, and the cure."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.runtime.errors import DataError
from helpers.runtime.json_files import check_json, read_json

SCHEMA = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "minimum": 1, "description": "a whole number"},
        "parts": {"type": "array", "items": {"type": "string", "description": "a string"}},
    },
    "required": ["size"],
    "description": "an object",
}


def test_what_fits_is_read(tmp_path):
    content = {"size": 3, "parts": ["a"], "more": None}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_json(tmp_path / "a.json", SCHEMA) == content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged: it is no JSON"),
        ('{"size": 3', "is damaged: it is no JSON"),
        ("[" * 100_000, "is damaged: it is no JSON"),
        ("[3]", r"a.json: its content is \[3\]; expected an object"),
        ("{}", "a.json: its content lacks size"),
        ('{"size": "3"}', 'size is "3"; expected a whole number'),
        ('{"size": 3.0}', "size is 3.0; expected a whole number"),
        ('{"size": true}', "size is true; expected a whole number"),
        ('{"size": 0}', "size is 0; expected a whole number"),
        ('{"size": NaN}', "size is nan; expected a finite number"),
        ('{"size": 3, "deep": [{"x": 1e999}]}', "deep.0.x is inf; expected a finite number"),
        ('{"size": 3, "parts": ["a", 5]}', "parts.1 is 5; expected a string"),
    ],
)
def test_what_does_not_is_named_with_the_cure(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=f"{message}.*Mend it"):
        read_json(tmp_path / "a.json", SCHEMA, "Mend it.")


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(DataError, match=r"a.json is damaged"):
        read_json(tmp_path / "a.json")


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a.json cannot be read .No such file"):
        read_json(tmp_path / "a.json")


def test_scores_may_be_infinite():
    check_json({"size": 3, "hd95": float("inf")}, "a.json", SCHEMA, finite=False)


def test_long_values_are_cut_in_a_message():
    with pytest.raises(DataError) as caught:
        check_json({"size": "x" * 10_000}, "a.json", SCHEMA)
    assert len(str(caught.value)) < 200


def test_a_notebook_is_read_without_a_grammar_that_takes_seconds_to_compile():
    code = "import sys; from helpers.lessons.build import check; check(); print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    loaded = answer.stdout.split()
    assert "nbformat" in loaded, answer.stderr
    assert "lark" not in loaded
