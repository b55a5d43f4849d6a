"""The benchmarks of kinds of claims and of replies, walked through on a few rows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from llmner.schema import LabelSchema
from llmner.spans import Mention, Span

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import projection  # noqa: E402
import reading  # noqa: E402
from _cases import HANDED, OWN, Row, judge, markdown, read_rows  # noqa: E402
from _peers import first_find, longest_first  # noqa: E402
from _readers import OURS, plain_mentions, plainly, readers  # noqa: E402

SCHEMA = LabelSchema.of("PS", "LC")


def row(text: str, *accepted: frozenset[Span], control: bool = False, reply: str = "") -> Row:
    return Row("a kind", control, text, SCHEMA, (), reply, "auto", accepted)


@pytest.mark.parametrize("folder", [OWN, HANDED])
@pytest.mark.parametrize("name", ["claims.jsonl", "replies.jsonl"])
def test_every_line_is_a_row(folder: Path, name: str) -> None:
    lines = [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines() if line]
    rows = read_rows(folder / name)
    assert [found.text for found in rows] == [line["text"] for line in lines]
    assert all(found.accepted for found in rows)
    codes = {mention.label in found.schema.codes for found in rows for mention in found.mentions}
    # Aligners are given codes: there is nothing about labels to be known.
    assert codes <= {True}
    assert {bool(found.mentions) for found in rows} == {name == "claims.jsonl"}


def test_rows_are_judged_whole_and_by_every_accepted_answer() -> None:
    ada, rome = Span(0, 3, "PS"), Span(7, 11, "LC")
    both, one = frozenset({ada, rome}), frozenset({ada})
    found = judge([row("Ada in Rome", both, one)], lambda _: {ada})
    assert (found["rows"], found["controls"], found["f1"]) == ("1/1", "0/0", 1.0)
    found = judge([row("Ada in Rome", both), row("Ada", one, control=True)], lambda _: [ada])
    assert (found["rows"], found["controls"], found["f1"]) == ("0/1", "1/1", 0.8)
    assert found["by_kind"] == {"a kind": {"rows": "0/1", "controls": "1/1"}}
    found = judge([row("Nobody", frozenset())], lambda _: [])
    assert (found["rows"], found["f1"]) == ("1/1", 0.0)


@pytest.mark.parametrize(
    "value",
    [
        {"PS": ["Ada"], "LC": ["Rome"]},
        {"result": {"ps": "Ada", "lc": [{"text": "Rome"}]}, "note": "PS"},
        [{"text": "Ada", "label": "PS"}, {"word": "Rome", "entity": "LC"}],
        {"entities": [{"name": "Ada", "type": "ps"}, {"entity": "Rome", "category": "LC"}]},
        [{"PS": ["Ada"]}, {"LC": ["Rome", 3, None]}, "Rome", 7],
    ],
)
def test_the_plain_reading_knows_the_usual_shapes(value: Any) -> None:
    assert plain_mentions(value, SCHEMA) == [Mention("PS", "Ada"), Mention("LC", "Rome")]


def test_a_strict_parser_finds_nothing_in_what_is_no_json() -> None:
    strict = plainly(json.loads)
    assert strict(row("Ada", reply='{"PS": ["Ada"]}')) == {Span(0, 3, "PS")}
    assert strict(row("Ada", reply='{"PS": ["Ada"')) == set()
    assert strict(row("Ada", reply="[" * 100_000)) == set()


def test_both_run_on_a_few_rows() -> None:
    claims = read_rows(OWN / "claims.jsonl")[::10]
    peers = {"first find()": first_find, "longest first": longest_first}
    found = projection.compare_kinds(peers, claims)
    assert found["rows"] == len(claims)
    check(found["aligners"], list(peers))
    replies = read_rows(OWN / "replies.jsonl")[::20]
    # Peers have an environment of their own; what is installed here of them runs here.
    competitors = readers()
    found = reading.compare(replies, competitors)
    assert found["replies"] == len(replies)
    check(found["readers"], [name for name in competitors if name.endswith("plain")])
    assert reading.tables({"data/cases": found}).startswith("data/cases, ")


def check(measured: dict[str, Any], others: list[str]) -> None:
    """Ours comes first, and has more rows and a better F1 than every other."""
    assert next(iter(measured)) == OURS
    rows = {name: int(found["rows"].partition("/")[0]) for name, found in measured.items()}
    for name in others:
        assert rows[OURS] > rows[name]
        assert measured[OURS]["f1"] > measured[name]["f1"]
    header, _, *body = markdown(measured).splitlines()
    assert header == f"| | {' | '.join(measured)} |"
    assert len(body) == len(measured[OURS]["by_kind"]) + 3
