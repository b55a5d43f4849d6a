"""Runs for the tests of scoring: gold sentences and what a model might have made of them."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from llmner.scoring import KLUE_LABELS
from llmner.spans import Sentence, Span
from tests.strategies import sentences


def disturbed(sentence: Sentence, rng: random.Random) -> Sentence:
    """The sentence with some spans dropped, some labels changed, some edges moved, and some
    spans more.
    """
    spans: list[Span] = []
    at = 0
    for number, span in enumerate(sentence.spans):
        following = (
            sentence.spans[number + 1].start
            if number + 1 < len(sentence.spans)
            else len(sentence.text)
        )
        if rng.random() < 0.1 and span.start - at >= 2:
            spans.append(Span(at, at + 1, rng.choice(KLUE_LABELS)))
            at += 1
        roll = rng.random()
        if roll < 0.2:
            continue
        start, end, label = span.start, span.end, span.label
        if roll < 0.35:
            label = rng.choice(KLUE_LABELS)
        if 0.3 < roll < 0.5:
            start = rng.randint(at, span.end - 1)
            end = rng.randint(max(start, span.start) + 1, following)
        if start < at:
            continue
        spans.append(Span(start, end, label))
        at = end
    return Sentence(sentence.text, tuple(spans), sentence.id)


def random_run(
    size: int, seed: int, *, length: int = 40, entities: int | None = None
) -> tuple[list[Sentence], list[Sentence]]:
    """Gold and predicted; each sentence has ``entities``, or none to three."""
    rng = random.Random(seed)
    gold = []
    for number in range(size):
        text = "".join(rng.choice("가나다라 마바") for _ in range(length))
        edges = sorted(
            rng.sample(
                range(length + 1), rng.choice((0, 2, 4, 6)) if entities is None else 2 * entities
            )
        )
        spans = tuple(
            Span(start, end, rng.choice(KLUE_LABELS))
            for start, end in zip(edges[::2], edges[1::2], strict=True)
        )
        gold.append(Sentence(text, spans, str(number)))
    return gold, [disturbed(sentence, rng) for sentence in gold]


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Sentence], list[Sentence]]:
    gold = draw(
        st.lists(
            sentences(st.text(alphabet="가나 다라", min_size=1, max_size=14)),
            min_size=1,
            max_size=5,
        )
    )
    rng = random.Random(draw(st.integers(0, 10_000)))
    return gold, [disturbed(sentence, rng) for sentence in gold]
