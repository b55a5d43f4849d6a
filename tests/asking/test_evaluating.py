"""What answers in an evaluation, built from options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmner.asking import AskOptions
from llmner.asking.evaluating import answerer_sources, build_answerers
from llmner.errors import InputError
from llmner.scoring import evaluate_sources
from llmner.spans import Sentence, Span

GOLD = [Sentence("손흥민은 춘천에서", (Span(0, 3, "PS"), Span(5, 7, "LC")), id="1")]


@pytest.fixture
def replies(tmp_path: Path) -> Path:
    path = tmp_path / "replies.jsonl"
    row = {"id": "1", "text": GOLD[0].text, "reply": '{"PS": ["손흥민"]}'}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return path


def test_recorded_replies_are_scored_and_not_kept(replies: Path) -> None:
    (answerer,) = build_answerers(AskOptions(), [replies], engine=False)
    assert (answerer.name, answerer.recorded) == (str(replies), True)
    kept: list[object] = []
    sources = answerer_sources([answerer], GOLD, keep=lambda record: kept.append(record))
    (evaluation,) = evaluate_sources(GOLD, sources, corpus_name="gold", resamples=0)
    assert evaluation.scores.micro.recall == 0.5
    assert kept == []


def test_an_engine_comes_after_recorded_replies(replies: Path) -> None:
    options = AskOptions.of(engine="openai", model="m", base_url="http://localhost:1/v1")
    pytest.importorskip("openai")
    recorded, engine = build_answerers(options, [replies])
    assert recorded.recorded
    assert (engine.name, engine.recorded) == ("openai", False)


def test_options_are_checked_even_without_a_run() -> None:
    with pytest.raises(InputError, match="overlap"):
        build_answerers(AskOptions.of(window=10, overlap=10), engine=False)
