"""Words with IOB2 tags, as most English corpora have them, to character spans and back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmner.errors import MismatchError
from llmner.spans import Sentence, Span
from llmner.tagging import TagSpan, spans_to_tags, tags_to_spans

__all__ = ["from_words", "word_tags"]

_WORD = re.compile(r"\S+")


def from_words(
    words: Sequence[str], tags: Sequence[str], id: str | None = None, *, strict: bool = False
) -> tuple[Sentence, list[str]]:
    """A sentence made of words joined by spaces, and the repairs made to its tags.

    Args:
        words: The words.
        tags: An IOB2 tag for each word.
        id: The sentence's id.
        strict: Raise an error for a broken tag sequence instead of repairing it.

    Returns:
        The sentence, and a description of each repair.

    Raises:
        MismatchError: The numbers of words and tags differ.
        TagError: A string is not a tag; with ``strict``, a tag sequence is broken.

    >>> sentence, repairs = from_words(["Anna", "Berg", "sings"], ["B-PER", "I-PER", "O"])
    >>> sentence.text, sentence.spans[0].start, sentence.spans[0].end, repairs
    ('Anna Berg sings', 0, 9, [])
    """
    if len(words) != len(tags):
        raise MismatchError(f"{len(tags)} tags for {len(words)} words", id=id)
    word_spans, repairs = tags_to_spans(tags, strict=strict)
    starts = []
    offset = 0
    for word in words:
        starts.append(offset)
        offset += len(word) + 1
    spans = tuple(
        Span(starts[span.start], starts[span.end - 1] + len(words[span.end - 1]), span.label)
        for span in word_spans
    )
    return Sentence(" ".join(words), spans, id), repairs


def word_tags(sentence: Sentence) -> list[tuple[str, str]]:
    """The (word, IOB2 tag) pairs of a sentence; words are separated by white space.

    A word gets the label of the first span that overlaps it. So a span that covers whole words is
    the same again after :func:`from_words`, and a span that covers part of a word grows to the
    whole word.

    >>> word_tags(Sentence("anti-Roman riots", (Span(5, 10, "gpe"),)))
    [('anti-Roman', 'B-gpe'), ('riots', 'O')]
    """
    words: list[str] = []
    word_spans: list[TagSpan] = []
    spans = iter(sentence.spans)
    span = next(spans, None)
    last: Span | None = None
    for word in _WORD.finditer(sentence.text):
        while span is not None and span.end <= word.start():
            span = next(spans, None)
        words.append(word[0])
        if span is not None and span.start < word.end():
            first = word_spans.pop().start if last is span else len(words) - 1
            word_spans.append(TagSpan(first, len(words), span.label))
            last = span
    return list(zip(words, spans_to_tags(word_spans, len(words)), strict=True))
