"""Claims and replies of the kinds that other people's models really give, row by row.

``tests/cases`` holds rows rebuilt from public trackers, ``data/cases`` our own rows of the same kinds, about
twenty a kind, with controls: rows that look alike and where the plain reading is right.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmner import LabelSchema, Mention, Recipe, project, project_reply

TESTS = Path(__file__).parents[1]
FOLDERS = (TESTS / "cases", TESTS.parent / "data" / "cases")

# Rows that are read otherwise on purpose, or not yet: docs/decisions.md says why, under "Names that are
# there, and names that are not".
OPEN: dict[str, str] = {
    **dict.fromkeys(("CO009", "CO011", "CT008"), "Korean names inside words"),
    "CO026": "a particle that may be a name's last syllable",
    **dict.fromkeys(("CO054", "CO055"), "pieces of words in Chinese and Japanese"),
    **dict.fromkeys(("CO064", "CS017", "CS019"), "names one letter apart"),
    **dict.fromkeys(
        ("CS031", "CS032", "CT034", "CT036"), "pieces of words in Chinese and Japanese"
    ),
    **dict.fromkeys(("CS085", "CT104"), "traditional and simplified ideographs"),
    "CT075": "an article that stands in the text",
    "CT077": "where a Chinese name ends",
    "CT134": "the beginning of a Japanese name",
    "RT192": "a name that is a word for nothing",
    "CS045": "the end of a misspelt name",
    "CS110": "a numeral that is a name's first syllable",
    "CS146": "a name in hiragana",
    "RS011": "a name that ends like a title",
    "RS032": "a name that is a label's word",
    "RS121": "marks of reasoning inside a string",
    "RS313": "a label that is not asked for",
    "RS315": "two pairs of braces",
    "RS319": "a name that ends in a full stop",
    "CO086": "a misspelt text",
    "CO154": "traditional and simplified ideographs",
    "RO513": "labels in brackets behind names in Chinese",
}


def schema_of(labels: str) -> LabelSchema:
    if labels == "one":
        return LabelSchema.of("PERSON")
    return Recipe.load(str(FOLDERS[0] / "labels-en.yaml") if labels == "en" else labels).schema_


def rows(name: str) -> list[Any]:
    found = []
    for folder in FOLDERS:
        for line in (folder / name).read_text("utf-8").split("\n"):
            if line:
                row = json.loads(line)
                found.append(pytest.param(row, id=f"{row['id']}-{row['kind']}"))
    return found


def answers(row: dict[str, Any]) -> list[list[tuple[int, int, str]]]:
    return [
        sorted((span["start"], span["end"], span["label"]) for span in spans)
        for spans in row.get("accept", [row.get("expected", [])])
    ]


@pytest.mark.parametrize("row", rows("claims.jsonl"))
def test_claims(row: dict[str, Any]) -> None:
    mentions = [Mention(mention["label"], mention["text"]) for mention in row["mentions"]]
    projection = project(row["text"], mentions, schema_of(row["labels"]))
    right = [(span.start, span.end, span.label) for span in projection.spans] in answers(row)
    assert right == (row["id"] not in OPEN), projection


@pytest.mark.parametrize("row", rows("replies.jsonl"))
def test_replies(row: dict[str, Any]) -> None:
    schema = schema_of(row["labels"])
    projection = project_reply(row["text"], row["reply"], schema, row.get("format", "auto"))
    right = [(span.start, span.end, span.label) for span in projection.spans] in answers(row)
    assert right == (row["id"] not in OPEN), projection
    read = projection.reply
    assert read is not None
    assert read.status == row.get("expected_status", read.status)
    # A reply of which nothing was understood is never "ok".
    assert read.status != "ok" or not read.repairs
