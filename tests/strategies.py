"""Hypothesis strategies: texts that break things, and sentences with spans over them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

from llmner.spans import Sentence, Span

LABELS = ("PS", "LC", "OG", "DT", "TI", "QT")

NASTY = "가나다손흥민서울대학교은는이가에서 0123456789,.-·%㎞㎝½①²İßﬁｍＡＢkmKMㅋㅜ쿠한한é\u0301\u200b\u00a0\u3000\t<>:\\\"'“”‘’`[]{}()|#*_~…—「」😀👨‍👩‍👧🇰🇷\u2028\x7f"

texts = st.one_of(
    st.text(alphabet=NASTY, max_size=60),
    st.text(max_size=40),
    st.text(alphabet=st.characters(exclude_categories=()), max_size=20),
)
"""Any string; the last kind holds lone surrogates too."""

tidy_texts = st.text(alphabet=NASTY, min_size=1, max_size=60)


@st.composite
def sentences(draw: st.DrawFn, text: st.SearchStrategy[str] = texts) -> Sentence:
    """A text with any number of spans lying apart."""
    value = draw(text)
    edges = sorted(draw(st.sets(st.integers(0, len(value)), max_size=8)))
    spans = []
    for start, end in pairwise(edges):
        if draw(st.booleans()):
            spans.append(Span(start, end, draw(st.sampled_from(LABELS))))
    return Sentence(value, tuple(spans), draw(st.none() | st.just("id-1")))
