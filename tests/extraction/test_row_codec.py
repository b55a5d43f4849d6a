"""Rows go to JSON and back: spans, outcomes, readings, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmner.corpora import read_corpus, write_corpus
from llmner.corpora.jsonl import span_of_row, span_rows
from llmner.engines import Reply
from llmner.errors import CorpusError
from llmner.extraction import Extraction
from llmner.extraction.rows import outcome_of_row, outcome_row
from llmner.files import dump_json, parse_json
from llmner.projection import Outcome, OutcomeKind, Projection
from llmner.replies import ReadReply
from llmner.scoring import Prediction
from llmner.spans import Mention, Sentence, Span, TextLabel
from tests.strategies import sentences, texts

HERE = Path("rows.jsonl")
labels = st.sampled_from(["PS", "LC", "사람"])
values = (
    st.none() | st.booleans() | st.integers(-9, 9) | texts | st.lists(st.integers(0, 3), max_size=2)
)
attributes = st.dictionaries(texts, values, max_size=2)
scores = st.none() | st.floats(0, 1)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    start = draw(st.integers(0, 50))
    length = draw(st.integers(1, 9))
    return Span(start, start + length, draw(labels), draw(scores), draw(attributes))


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    return Outcome(
        Mention(draw(labels), draw(texts), draw(attributes)),
        draw(st.sampled_from(get_args(OutcomeKind))),
        draw(st.none() | spans()),
        round(draw(st.floats(0, 1)), 4),
        draw(texts),
        tuple(draw(st.lists(spans(), max_size=2))),
    )


def through_json(value: Any) -> Any:
    return parse_json(dump_json(value).decode("utf-8", "surrogatepass"))


@given(spans())
def test_a_span_comes_back_with_all_that_is_said_of_it(span: Span) -> None:
    (row,) = through_json(span_rows([span]))
    again = span_of_row(HERE, 1, None, row)
    assert (again, again.score, again.attributes) == (span, span.score, span.attributes)


def test_what_is_empty_is_left_out() -> None:
    assert repr(Span(0, 3, "PS")) == "Span(start=0, end=3, label='PS', score=None)"
    assert repr(Span(0, 3, "PS", None, {"a": 1})).endswith("score=None, attributes={'a': 1})")
    assert repr(Sentence("가")) == "Sentence(text='가', spans=(), id=None)"
    assert span_rows([Span(0, 3, "PS")]) == [{"start": 0, "end": 3, "label": "PS"}]
    row = outcome_row(Outcome(Mention("PS", "손흥민"), "not_found", reason="not in the text"))
    assert list(row) == ["label", "text", "kind", "start", "end", "similarity", "reason"]


@given(outcomes())
def test_an_outcome_comes_back(outcome: Outcome) -> None:
    again = outcome_of_row(through_json(outcome_row(outcome)), HERE)
    assert again == outcome
    assert again.mention.attributes == outcome.mention.attributes


@given(
    sentences(),
    st.lists(outcomes(), max_size=3),
    st.sampled_from(["ok", "repaired", "truncated", "empty"]),
)
def test_a_prediction_is_the_same_from_an_extraction_and_from_its_row(
    sentence: Sentence, told: list[Outcome], status: Any
) -> None:
    read = ReadReply(status=status, repairs=("fence",))
    projection = Projection(sentence.text, sentence.spans, tuple(told), read)
    for reply in (Reply("{}"), Reply("", "error", error="nobody at home")):
        extraction = Extraction(sentence, reply, projection)
        assert Prediction.of_row(through_json(extraction.row()), HERE) == Prediction.of(extraction)


@given(sentences(), attributes, scores)
def test_labels_of_the_whole_text_are_carried(
    sentence: Sentence, said: dict[str, Any], score: float | None
) -> None:
    import tempfile

    labelled = Sentence(
        sentence.text, sentence.spans, "1", (TextLabel("price", said, score), TextLabel("design"))
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labelled.jsonl"
        write_corpus([labelled], path, "spans")
        (again,) = read_corpus(path, "spans")
        assert again == labelled
        assert again.labels[0].score == score
        write_corpus([sentence], path, "spans")
        assert "labels" not in json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (3, "'outcomes' is not a list of objects"),
        ({"kind": "lucky"}, "outcome kind 'lucky' is unknown"),
        ({"kind": "exact", "start": "1"}, "an outcome's 'start' is '1'"),
        (
            {"kind": "exact", "start": 3, "end": 3, "label": "PS"},
            "an outcome's range [3, 3) is not valid",
        ),
        ({"kind": "exact", "similarity": True}, "an outcome's 'similarity' is True"),
        ({"kind": "exact", "repeats": {}}, "an outcome's 'repeats' is {}"),
        ({"kind": "exact", "repeats": [{}]}, "a span's 'start' is None"),
        ({"kind": "exact", "attributes": [1]}, "an outcome's 'attributes' is [1]"),
    ],
)
def test_outcomes_that_are_none_are_told(row: Any, told: str) -> None:
    with pytest.raises(CorpusError) as refused:
        outcome_of_row(row, HERE, 7)
    assert str(refused.value).startswith(f"rows.jsonl:7: {told}")


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([{"label": 3}], "a label's 'label' is 3"),
        ([{"label": "price", "score": 2}], "a label's 'score' is 2"),
        ([{"label": "price", "attributes": 2}], "a label's 'attributes' is 2"),
    ],
)
def test_labels_that_are_none_are_told(labels: Any, told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "a", "labels": labels}) + "\n", "utf-8")
    with pytest.raises(CorpusError, match=r"a\.jsonl:1: ") as refused:
        list(read_corpus(path, "spans"))
    assert told in str(refused.value)
    # Other tools write classes of the text as strings.
    path.write_text(json.dumps({"text": "a", "labels": ["price"]}) + "\n", "utf-8")
    assert list(read_corpus(path, "spans")) == [Sentence("a", labels=(TextLabel("price"),))]
