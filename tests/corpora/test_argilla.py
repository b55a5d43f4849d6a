"""Argilla's records, in the shapes that its own package reads and writes."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from llmner.corpora import ReadStats, guess_format, read_corpus, write_corpus
from llmner.spans import Sentence, Span, TextLabel

# What ``argilla.Record(...).to_dict()`` gives, argilla 2.8.
RECORD = {
    "id": "a1",
    "fields": {"text": "손흥민은 춘천에서"},
    "metadata": {"k": 1},
    "suggestions": {
        "entities": {
            "value": [{"start": 0, "end": 3, "label": "PS"}],
            "score": [0.9],
            "agent": "m",
        },
        "topic": {"value": "sport", "score": 0.5, "agent": None},
    },
    "responses": {
        "entities": [
            {"value": [{"start": 5, "end": 7, "label": "LC"}], "user_id": "5f4b"},
            {"value": [], "user_id": "6f4b"},
        ]
    },
    "vectors": {},
    "status": "pending",
    "_server_id": None,
}


def written(tmp_path: Path, *rows: object, whole: bool = False) -> Path:
    path = tmp_path / "records.json"
    text = json.dumps(rows) if whole else "".join(f"{json.dumps(row)}\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def test_responses_count_before_suggestions(tmp_path: Path) -> None:
    for whole in (False, True):
        path = written(tmp_path, RECORD, whole=whole)
        assert guess_format(path) == "argilla"
        stats = ReadStats()
        (sentence,) = read_corpus(path, stats=stats)
        assert sentence.id == "a1"
        assert sentence.spans == (Span(5, 7, "LC"),)
        assert sentence.labels == (TextLabel("sport", score=0.5),)
        # A second annotator is told, and not dropped in silence.
        assert sum(stats.losses.counts.values()) == 1
    (own,) = read_corpus(written(tmp_path, {**RECORD, "responses": {}}))
    assert own.spans == (Span(0, 3, "PS"),)
    assert own.spans[0].score == 0.9


def test_what_is_not_a_place_or_a_word_is_told(tmp_path: Path) -> None:
    row = {
        "fields": {"body": "a longer text", "title": "b"},
        "suggestions": {
            "ranking": {"value": [{"value": "x", "rank": 1}]},
            "rating": {"value": 4},
            "many": {"value": ["x", "y", "x"]},
        },
        "responses": {},
    }
    stats = ReadStats()
    (sentence,) = read_corpus(written(tmp_path, row), "argilla", stats=stats)
    assert sentence.text == "a longer text"
    assert [own.label for own in sentence.labels] == ["x", "y"]
    assert sum(stats.losses.counts.values()) == 2


@st.composite
def sentences(draw: st.DrawFn) -> Sentence:
    text = draw(st.text("가나 ab😀", min_size=1, max_size=12))
    start = draw(st.integers(0, len(text) - 1))
    end = draw(st.integers(start + 1, len(text)))
    score = draw(st.none() | st.floats(0, 1))
    spans = (Span(start, end, "A", score),) if draw(st.booleans()) else ()
    labels = tuple(TextLabel(label) for label in draw(st.sets(st.sampled_from("xyz"))))
    return Sentence(text, spans, draw(st.none() | st.just("7")), labels)


@given(st.lists(sentences(), min_size=1, max_size=4))
def test_what_is_written_is_read_as_it_was(corpus: list[Sentence]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.jsonl"
        write_corpus(corpus, path, "argilla")
        again = list(read_corpus(path, "argilla"))
    assert again == corpus
    scores = [[span.score for span in own.spans] for own in corpus]
    assert [[span.score for span in own.spans] for own in again] == scores
