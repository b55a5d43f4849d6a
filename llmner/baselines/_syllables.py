"""A text as the taggers see it: its characters without white space, and tags over them.

White space carries no tag of its own. Whether it stands before a character is a feature; a span
that goes on over it is a span. So no tagger can begin, end or break an entity at a space, and
KLUE's figures, which drop spaces, and character spans agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from llmner.spans import Sentence, Span
from llmner.tagging import TagSpan, spans_to_tags, tags_to_spans

__all__ = ["apart", "bioes_tags", "pieces", "places_of", "spans_of"]

# Places in a piece of a long text, and of its neighbours on either side.
_PIECE, _AROUND = 1000, 100


def places_of(text: str) -> list[int]:
    """Offsets of the characters that are no white space, in code points."""
    return [at for at, char in enumerate(text) if not char.isspace()]


def bioes_tags(sentence: Sentence, places: Sequence[int]) -> list[str]:
    """One BIOES tag for each of ``places``.

    BIOES tells a linear chain more than IOB2: how an entity ends, and that one is a single
    character. A span of nothing but white space leaves no tag.
    """
    number_of = {place: number for number, place in enumerate(places)}
    spans = []
    for span in sentence.spans:
        numbers = [number_of[place] for place in range(span.start, span.end) if place in number_of]
        if numbers:
            spans.append(TagSpan(numbers[0], numbers[-1] + 1, span.label))
    return spans_to_tags(spans, len(places), scheme="bioes")


def spans_of(
    tags: Sequence[str], places: Sequence[int], probabilities: Iterable[float] | None = None
) -> tuple[Span, ...]:
    """Spans of a BIOES sequence over ``places``.

    Args:
        tags: One tag for each place; broken sequences are read as
            :func:`llmner.tagging.tags_to_spans` reads them.
        places: Offsets in the text.
        probabilities: Of each tag, in [0, 1]. A span's score is the lowest of its tags': all of
            them must be right for the span to be.
    """
    known = None if probabilities is None else list(probabilities)
    return tuple(
        Span(
            places[span.start],
            places[span.end - 1] + 1,
            span.label,
            None if known is None else min(1.0, max(0.0, min(known[span.start : span.end]))),
        )
        for span in tags_to_spans(tags, scheme="bioes")[0]
    )


def pieces(length: int) -> Iterator[tuple[int, int, int, int]]:
    """Cuts so many places into pieces that overlap, so that long texts take no more memory than
    short ones.

    Yields:
        (low, high, first, last): the piece is ``[low, high)``, and ``[first, last)`` of it is its
        own.
    """
    for first in range(0, length, _PIECE):
        yield (
            max(0, first - _AROUND),
            min(length, first + _PIECE + _AROUND),
            first,
            min(length, first + _PIECE),
        )


def apart(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans sorted; of two that overlap, where two pieces meet, the first."""
    kept: list[Span] = []
    for span in sorted(spans):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return tuple(kept)
