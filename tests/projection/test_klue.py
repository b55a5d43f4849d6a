"""On real data: what a perfect reply loses on its way back, and four hundred replies of a real
model.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from llmner.corpora import read_corpus
from llmner.projection import project_reply
from llmner.replies import render_reply
from llmner.schema import LabelSchema
from llmner.spans import Span


def micro_f1(gold: list[set[Span]], predicted: list[set[Span]]) -> float:
    right = sum(len(a & b) for a, b in zip(gold, predicted, strict=True))
    return 2 * right / (sum(map(len, gold)) + sum(map(len, predicted)))


@pytest.mark.parametrize(
    ("format", "least"),
    [
        ("tagged", 1.0),
        ("json-list", 0.9997),
        ("lines", 0.9997),
        ("pairs", 0.9997),
        ("json-by-type", 0.9994),
    ],
)
def test_perfect_replies_come_back(
    klue_dev: Path, schema: LabelSchema, format: str, least: float
) -> None:
    gold, predicted = [], []
    for sentence in read_corpus(klue_dev):
        projection = project_reply(
            sentence.text, render_reply(sentence, format, schema), schema, format
        )
        assert projection.reply is not None
        assert projection.reply.status == "ok"
        gold.append(set(sentence.spans))
        predicted.append(set(projection.spans))
    assert micro_f1(gold, predicted) >= least


def test_recorded_replies_of_a_real_model(recorded_replies: Path, schema: LabelSchema) -> None:
    gold, predicted = [], []
    kinds: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    for line in recorded_replies.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        projection = project_reply(row["text"], row["reply"], schema)
        assert projection.reply is not None
        gold.append({Span(start, end, label) for start, end, label in row["gold"]})
        predicted.append(set(projection.spans))
        kinds.update(outcome.kind for outcome in projection.outcomes)
        statuses[projection.reply.status] += 1
    assert statuses["unreadable"] == 0
    # The model spaced out its characters; hardly a mention may get lost for that.
    lost = kinds["not_found"] + kinds["surplus"] + kinds["overlapped"]
    assert lost <= 5
    # 0.671 is what the best of the other aligners gets (docs/projection.md).
    assert micro_f1(gold, predicted) > 0.72
