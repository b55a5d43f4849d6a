"""A text as the taggers see it: its characters without white space, and a tag for each.

White space has no tag, but whether a character follows white space is a feature. A span may
continue over white space. So no tagger can begin, end or interrupt an entity at a space, and its
figures agree with those of KLUE, which drop spaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from llmner.spans import Sentence, Span
from llmner.tagging import TagSpan, spans_to_tags, tags_to_spans

__all__ = ["apart", "bioes_tags", "pieces", "places_of", "spans_of"]

# Characters in a piece of a long text, and of its context on either side.
_PIECE, _CONTEXT = 1000, 100


def places_of(text: str) -> list[int]:
    """Offsets of the characters that are not white space, in code points.

    >>> places_of("a bc")
    [0, 2, 3]
    """
    return [offset for offset, char in enumerate(text) if not char.isspace()]


def bioes_tags(sentence: Sentence, places: Sequence[int]) -> list[str]:
    """The BIOES tag of each of ``places``.

    Compared with IOB2, BIOES also tells a linear chain where an entity ends and whether it is a
    single character. A span of nothing but white space has no tag.

    >>> bioes_tags(Sentence("Anna B", (Span(0, 4, "PER"), Span(5, 6, "LOC"))), [0, 1, 2, 3, 5])
    ['B-PER', 'I-PER', 'I-PER', 'E-PER', 'S-LOC']
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
    """Spans from the BIOES tags of ``places``.

    Args:
        tags: One tag for each place. Broken sequences are repaired as in
            :func:`llmner.tagging.tags_to_spans`.
        places: Offsets in the text.
        probabilities: The probability of each tag, from 0 to 1. A span's score is the lowest one,
            because the span is right only if all its tags are.

    >>> spans_of(["B-PER", "E-PER", "O"], [0, 1, 3], [0.9, 0.8, 0.7])
    (Span(start=0, end=2, label='PER', score=0.8),)
    """
    scores = None if probabilities is None else list(probabilities)
    return tuple(
        Span(
            places[span.start],
            places[span.end - 1] + 1,
            span.label,
            None if scores is None else min(1.0, max(0.0, min(scores[span.start : span.end]))),
        )
        for span in tags_to_spans(tags, scheme="bioes")[0]
    )


def pieces(length: int) -> Iterator[tuple[int, int, int, int]]:
    """Cut a text into overlapping pieces, so that memory does not grow with its length.

    Args:
        length: The number of characters.

    Yields:
        (low, high, first, last): ``[low, high)`` is the piece with its context, and
        ``[first, last)`` is the part for which its answer counts.

    >>> list(pieces(1200))
    [(0, 1100, 0, 1000), (900, 1200, 1000, 1200)]
    """
    for first in range(0, length, _PIECE):
        yield (
            max(0, first - _CONTEXT),
            min(length, first + _PIECE + _CONTEXT),
            first,
            min(length, first + _PIECE),
        )


def apart(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The spans sorted; if two overlap, because two pieces meet there, only the first is kept."""
    kept: list[Span] = []
    for span in sorted(spans):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return tuple(kept)
