from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from llmner.projection import Projection, project, project_reply
from llmner.projection._canonical import canonicalize
from llmner.projection._similar import numbers
from llmner.replies import render_reply
from llmner.schema import LabelSchema
from llmner.spans import Mention, Sentence
from tests.strategies import LABELS, NASTY, sentences, texts

SCHEMA = LabelSchema.of(*LABELS)


@st.composite
def claims(draw: st.DrawFn) -> tuple[str, list[Mention]]:
    """A text and mentions that are, nearly are, or are not parts of it."""
    text = draw(texts)
    surfaces = []
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(text)))
        piece = text[start : start + draw(st.integers(0, 8))]
        if draw(st.booleans()):
            piece = piece[:1] + draw(st.text(alphabet=NASTY, max_size=2)) + piece[1:]
        surfaces.append(draw(st.sampled_from([piece, draw(texts)])))
    return text, [Mention(draw(st.sampled_from([*LABELS, "?"])), surface) for surface in surfaces]


def check(text: str, mentions: list[Mention], projection: Projection) -> None:
    Sentence(text, projection.spans)  # in range and apart
    assert len(projection.outcomes) == len(mentions)
    assert [outcome.mention for outcome in projection.outcomes] == mentions
    placed = [outcome.span for outcome in projection.outcomes if outcome.span is not None]
    assert sorted(placed) == list(projection.spans)
    for outcome in projection.outcomes:
        assert (outcome.span is None) == (
            outcome.kind in ("surplus", "overlapped", "not_found", "unknown_label")
        )
        assert (outcome.similarity == 0) == (outcome.span is None)
        if outcome.kind == "exact":
            assert outcome.span is not None
            assert text[outcome.span.start : outcome.span.end] == outcome.mention.text
    assert len(projection.tags()) == len(text)


@settings(max_examples=500, deadline=None)
@given(claims(), st.sampled_from(["text", "label", "none"]), st.sampled_from(["auto", "keep", "trim"]))
def test_projecting_is_total_and_keeps_its_promises(
    claim: tuple[str, list[Mention]], order: str, particles: str
) -> None:
    text, mentions = claim
    projection = project(text, mentions, SCHEMA, order=order, particles=particles)
    check(text, mentions, projection)
    assert projection == project(text, mentions, SCHEMA, order=order, particles=particles)


@settings(max_examples=300, deadline=None)
@given(texts, texts)
def test_projecting_any_reply_onto_any_text_never_raises(text: str, reply: str) -> None:
    projection = project_reply(text, reply, SCHEMA)
    assert projection.reply is not None
    check(text, list(projection.reply.mentions), projection)


@settings(max_examples=300, deadline=None)
@given(sentences())
def test_a_tagged_reply_gives_back_every_span(sentence: Sentence) -> None:
    projection = project_reply(sentence.text, render_reply(sentence, "tagged", SCHEMA), SCHEMA, "tagged")
    said = [span for span in sentence.spans if re.search(r"\w", sentence.surface(span))]
    if said == list(sentence.spans) and sentence.spans:
        assert projection.spans == sentence.spans


digits = st.text(alphabet="0123456789,.일원명 만k", min_size=1, max_size=8)


@settings(max_examples=1500, deadline=None)
@given(st.lists(digits, min_size=1, max_size=4), digits)
def test_no_match_changes_adds_or_drops_a_digit(pieces: list[str], surface: str) -> None:
    text = " 과 ".join(pieces)
    for outcome in project(text, [Mention("QT", surface)]).outcomes:
        if outcome.span is None:
            continue
        stretch = canonicalize(text[outcome.span.start : outcome.span.end]).text
        mention = canonicalize(surface).text
        assert re.sub(r"\D", "", stretch) == re.sub(r"\D", "", mention)
        if outcome.kind == "fuzzy":
            assert numbers(stretch) == numbers(mention)
        before, after = text[: outcome.span.start], text[outcome.span.end :]
        assert not (before[-1:].isdigit() and stretch[:1].isdigit())
        assert not (after[:1].isdigit() and stretch[-1:].isdigit())
