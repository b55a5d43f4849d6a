from __future__ import annotations

import random
import re

import pytest
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
    placed += [span for outcome in projection.outcomes for span in outcome.repeats]
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
@given(
    claims(),
    st.sampled_from(["auto", "text", "label", "none"]),
    st.sampled_from(["auto", "keep", "trim"]),
    st.sampled_from(["listed", "all"]),
)
def test_projecting_is_total_and_keeps_its_promises(
    claim: tuple[str, list[Mention]], order: str, particles: str, repeats: str
) -> None:
    text, mentions = claim
    policy = {"order": order, "particles": particles, "repeats": repeats}
    projection = project(text, mentions, SCHEMA, **policy)
    check(text, mentions, projection)
    assert projection == project(text, mentions, SCHEMA, **policy)
    assert repeats == "all" or not any(outcome.repeats for outcome in projection.outcomes)


@settings(max_examples=300, deadline=None)
@given(texts, texts)
def test_projecting_any_reply_onto_any_text_never_raises(text: str, reply: str) -> None:
    projection = project_reply(text, reply, SCHEMA)
    assert projection.reply is not None
    check(text, list(projection.reply.mentions), projection)


@settings(max_examples=300, deadline=None)
@given(sentences())
def test_a_tagged_reply_gives_back_every_span(sentence: Sentence) -> None:
    projection = project_reply(
        sentence.text, render_reply(sentence, "tagged", SCHEMA), SCHEMA, "tagged"
    )
    characters = canonicalize(sentence.text)
    said = [
        span
        for span in sentence.spans
        if re.search(r"\w", sentence.surface(span))
        and characters.parts(span.start)
        and characters.parts(span.end)
    ]
    assert [span for span in projection.spans if span in said] == said


digits = st.text(alphabet="0123456789,.일원명 만k%㎞１２３", min_size=1, max_size=8)


@st.composite
def numbers_and_near_numbers(draw: st.DrawFn) -> tuple[str, str]:
    """A text with numbers, and a mention that is one of them, nearly one of them, or none."""
    pieces = draw(st.lists(digits, min_size=1, max_size=4))
    surface = draw(st.one_of(digits, st.sampled_from(pieces)))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(surface)))
        surface = (
            surface[:at] + draw(st.text(alphabet="0123456789１２", max_size=2)) + surface[at + 1 :]
        )
    return draw(st.sampled_from([" 과 ", "에서 ", "씨 등 "])).join(pieces), surface or "1"


@settings(max_examples=3000, deadline=None)
@given(numbers_and_near_numbers())
def test_no_match_changes_adds_or_drops_a_digit(case: tuple[str, str]) -> None:
    text, surface = case
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


@pytest.mark.slow
def test_a_million_random_pairs() -> None:
    """Texts and mentions of anything Unicode has, whole or cut or changed: no exception, no
    false promise.
    """
    rng = random.Random(7)
    alphabet = (
        NASTY * 3 + "$¥€ー々일이삼한두개년월김박씨님모은는을를ﾞｶ칵\u1100\u1161\ud800\U0001f9d1"
    )

    def string(longest: int) -> str:
        size = rng.randrange(longest)
        if rng.random() < 0.1:
            return "".join(chr(rng.randrange(0x110000)) for _ in range(size))
        return "".join(rng.choices(alphabet, k=size))

    pairs = 0
    while pairs < 1_000_000:
        text = string(24)
        surfaces = []
        for _ in range(10):
            start = rng.randrange(len(text) + 1)
            piece = text[start : start + rng.randrange(10)]
            roll = rng.random()
            if roll < 0.3:
                piece = string(8)
            elif roll < 0.7 and piece:
                at = rng.randrange(len(piece))
                piece = piece[:at] + string(3) + piece[at + rng.randrange(2) :]
            surfaces.append(Mention(rng.choice(LABELS), piece))
        projection = project(text, surfaces, SCHEMA)
        pairs += len(surfaces)
        end = 0
        for span in projection.spans:
            assert end <= span.start < span.end <= len(text)
            end = span.end
        for outcome in projection.outcomes:
            if outcome.span is None or outcome.reason == "the same quantity":
                continue
            if outcome.reason.startswith("remark"):
                # What a reply adds behind a name may be a number: 민준 1, 민준(26).
                continue
            stands = canonicalize(text[outcome.span.start : outcome.span.end]).text
            # Whatever was trimmed or mended, it was no digit.
            assert [c for c in stands if c.isdigit()] == [
                c for c in canonicalize(outcome.mention.text).text if c.isdigit()
            ]
