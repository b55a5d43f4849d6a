from __future__ import annotations

import pytest
from hypothesis import given

from llmner.errors import SpanError
from llmner.spans import Mention, Sentence, Span, check_spans
from tests.strategies import sentences


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 3), (4, 2)])
def test_a_span_is_a_stretch_of_text(start: int, end: int) -> None:
    with pytest.raises(SpanError, match="not a valid range"):
        Span(start, end, "PS")


def test_a_span_needs_a_label() -> None:
    with pytest.raises(SpanError, match="empty label"):
        Span(0, 1, "")


def test_scores_do_not_make_spans_differ() -> None:
    assert Span(0, 2, "PS", 0.3) == Span(0, 2, "PS", 0.9)


def test_spans_of_a_sentence_are_sorted() -> None:
    sentence = Sentence("손흥민은 춘천", (Span(5, 7, "LC"), Span(0, 3, "PS")))
    assert [span.label for span in sentence.spans] == ["PS", "LC"]
    assert [sentence.surface(span) for span in sentence.spans] == ["손흥민", "춘천"]


def test_a_span_past_the_end_names_the_sentence() -> None:
    with pytest.raises(
        SpanError, match=r"id 'a': span \[0, 9\) PS ends after the text \(2 characters\)"
    ):
        Sentence("가나", (Span(0, 9, "PS"),), id="a")


def test_overlapping_spans_are_refused() -> None:
    with pytest.raises(SpanError, match="overlap"):
        check_spans([Span(0, 3, "PS"), Span(2, 4, "LC")], 9)


def test_adjacent_spans_are_fine() -> None:
    assert len(check_spans([Span(0, 1, "QT"), Span(1, 2, "QT")], 2)) == 2


def test_mentions_compare_without_their_place() -> None:
    assert Mention("PS", "손흥민", start=3) == Mention("PS", "손흥민")
    assert hash(Mention("PS", "손흥민", {"a": [1]})) == hash(Mention("PS", "손흥민"))


@given(sentences())
def test_a_tag_for_every_code_point(sentence: Sentence) -> None:
    assert len(sentence.tags()) == len(sentence.text)
