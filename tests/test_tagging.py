from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.scheme import IOB2, Entities

from llmner.errors import TagError
from llmner.spans import Sentence, Span
from llmner.tagging import (
    OUTSIDE,
    TagSpan,
    begin_tag,
    follows,
    goes_on,
    guess_scheme,
    inside_tag,
    is_tag,
    label_tags,
    labels_of,
    looks_like_tag,
    spans_to_tags,
    split_tag,
    tags_to_spans,
)
from tests.strategies import sentences

tag = st.sampled_from(["O", "B-PS", "I-PS", "B-LC", "I-LC"])


@given(sentences())
def test_spans_to_tags_to_spans_is_the_identity(sentence: Sentence) -> None:
    spans, repairs = tags_to_spans(sentence.tags(), strict=True)
    assert tuple(Span(*span) for span in spans) == sentence.spans
    assert repairs == []


@given(st.lists(tag, max_size=12))
def test_repaired_tags_are_valid_iob2_for_seqeval(tags: list[str]) -> None:
    spans, _ = tags_to_spans(tags)
    again = spans_to_tags(spans, len(tags))
    found = {(e.start, e.end, e.tag) for e in Entities([again], IOB2).entities[0]}
    assert found == {(span.start, span.end, span.label) for span in spans}


@given(st.lists(tag, max_size=12))
def test_a_repair_is_reported_exactly_where_strict_raises(tags: list[str]) -> None:
    _, repairs = tags_to_spans(tags)
    if repairs:
        with pytest.raises(TagError, match="without B-"):
            tags_to_spans(tags, strict=True)
    else:
        tags_to_spans(tags, strict=True)


def test_an_inside_without_a_beginning_opens_a_span_and_says_so() -> None:
    spans, repairs = tags_to_spans(["O", "I-PS", "I-PS", "I-LC"])
    assert spans == [TagSpan(1, 3, "PS"), TagSpan(3, 4, "LC")]
    assert repairs == ["position 1: I-PS without B-PS", "position 3: I-LC without B-LC"]


def test_iob1_needs_a_beginning_only_between_neighbours() -> None:
    tags = ["I-PS", "I-PS", "B-PS", "O", "I-LC"]
    spans, repairs = tags_to_spans(tags, scheme="iob1", strict=True)
    assert spans == [TagSpan(0, 2, "PS"), TagSpan(2, 3, "PS"), TagSpan(4, 5, "LC")]
    assert repairs == []


@pytest.mark.parametrize(
    "tags", [["B-PS", "I-PS", "E-PS", "S-LC"], ["B-PS", "I-PS", "L-PS", "U-LC"]]
)
def test_bioes_and_its_other_spelling(tags: list[str]) -> None:
    assert guess_scheme(tags) == "bioes"
    assert tags_to_spans(tags, scheme="bioes", strict=True)[0] == [
        TagSpan(0, 3, "PS"),
        TagSpan(3, 4, "LC"),
    ]


def test_an_unclosed_bioes_span_is_closed_and_reported() -> None:
    spans, repairs = tags_to_spans(["B-PS", "I-PS", "O"], scheme="bioes")
    assert spans == [TagSpan(0, 2, "PS")]
    assert repairs == ["position 2: PS span not closed by E-PS"]


@pytest.mark.parametrize("bad", ["X-PS", "B", "B-", "PS", "", "b-PS"])
def test_what_is_no_tag_is_an_error_even_without_strict(bad: str) -> None:
    with pytest.raises(TagError, match="is not a tag"):
        tags_to_spans(["O", bad])


def test_an_end_tag_in_iob2_is_an_error() -> None:
    with pytest.raises(TagError, match="not a tag of iob2"):
        tags_to_spans(["E-PS"])


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["B-PS", "I-PS", "O"], "iob2"),
        (["I-PS", "I-PS", "O", "I-LC", "B-LC"], "iob1"),
        (["B-PS", "I-LC"], "iob2"),
        (["O", "S-PS"], "bioes"),
        ([], "iob2"),
    ],
)
def test_the_scheme_is_guessed_from_the_whole(tags: list[str], scheme: str) -> None:
    assert guess_scheme(tags) == scheme


@given(sentences())
def test_bioes_tags_give_the_same_spans_back(sentence: Sentence) -> None:
    tags = spans_to_tags(sentence.spans, len(sentence.text), scheme="bioes")
    spans, repairs = tags_to_spans(tags, scheme="bioes", strict=True)
    assert tuple(Span(*span) for span in spans) == sentence.spans
    assert repairs == []
    assert all(follows(before, after) for before, after in pairwise([None, *tags, None]))


@pytest.mark.parametrize("label", ["PS", "A-B", "-", "O", "a b", "개체"])
def test_a_tag_is_taken_apart_whatever_its_label(label: str) -> None:
    tags = label_tags([label], "bioes")
    assert [split_tag(tag) for tag in tags] == [(prefix, label) for prefix in "BIES"]
    assert {begin_tag(tag) for tag in tags} == {f"B-{label}"}
    assert {inside_tag(tag) for tag in tags} == {f"I-{label}"}
    assert begin_tag(OUTSIDE) == inside_tag(OUTSIDE) == OUTSIDE
    assert labels_of([OUTSIDE, *tags]) == (label,)
    assert all(is_tag(tag, "bioes") for tag in [OUTSIDE, *tags])
    assert [is_tag(tag, "iob2") for tag in tags] == [True, True, False, False]
    assert goes_on(f"B-{label}", f"I-{label}")
    assert not goes_on(OUTSIDE, f"I-{label}")
    assert not goes_on(f"B-{label}", f"B-{label}")


def test_what_is_no_tag() -> None:
    assert not any(
        is_tag(text, "bioes") for text in ("", "B", "B-", "-", "-PS", "BI-PS", "PS", "L-PS")
    )
    assert looks_like_tag("L-PS")
    assert not any(looks_like_tag(text) for text in ("", "B", "b-PS", "B-", "Seoul"))
