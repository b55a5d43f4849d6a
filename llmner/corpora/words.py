"""Words and their tags: what corpora in English are made of, from character spans and back."""

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
    """A sentence of words with a space between two, and what had to be repaired in its tags.

    Args:
        words: The words.
        tags: An IOB2 tag for each.
        id: The sentence's id.
        strict: Broken tag sequences are errors instead of being repaired.

    Raises:
        MismatchError: Another number of tags than of words.
        TagError: No tag at all; under ``strict`` any fault.
    """
    if len(words) != len(tags):
        raise MismatchError(f"{len(tags)} tags for {len(words)} words", id=id)
    spans, repairs = tags_to_spans(tags, strict=strict)
    starts = []
    at = 0
    for word in words:
        starts.append(at)
        at += len(word) + 1
    moved = tuple(
        Span(starts[span.start], starts[span.end - 1] + len(words[span.end - 1]), span.label)
        for span in spans
    )
    return Sentence(" ".join(words), moved, id), repairs


def word_tags(sentence: Sentence) -> list[tuple[str, str]]:
    """(word, IOB2 tag) of each word of a sentence; words are what white space separates.

    A word is tagged with the first span that has a character of it. So spans whose edges are those
    of words come back whole from :func:`from_words`, and a span that covers a part of a word
    becomes the word.
    """
    words: list[str] = []
    covered: list[TagSpan] = []
    spans = iter(sentence.spans)
    span = next(spans, None)
    begun: Span | None = None
    for word in _WORD.finditer(sentence.text):
        while span is not None and span.end <= word.start():
            span = next(spans, None)
        words.append(word[0])
        if span is not None and span.start < word.end():
            first = covered.pop().start if begun is span else len(words) - 1
            covered.append(TagSpan(first, len(words), span.label))
            begun = span
    return list(zip(words, spans_to_tags(covered, len(words)), strict=True))
