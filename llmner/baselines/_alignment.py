"""Subwords and characters: tags of one put on the other, by the offsets that fast tokenizers give.

Offsets are taken with care. They may hold the space before a word (SentencePiece), repeat (bytes of
one emoji), overlap (a normaliser that joins characters), leave characters out (one that drops them)
or be empty (special tokens). What is asked of each character that is no white space is only: which
token is it of?
"""

from __future__ import annotations

from collections.abc import Sequence

from llmner.extraction.windows import continues
from llmner.spans import Sentence, Span
from llmner.tagging import OUTSIDE, begin_tag, goes_on, inside_tag, tags_to_spans

__all__ = ["owners", "spans_of_tokens", "token_tags"]

Offsets = Sequence[tuple[int, int]]


def owners(text: str, offsets: Offsets) -> list[int | None]:
    """The token that each character is of: the first that covers it, ``None`` for spaces and where
    none does.

    A mark, a vowel or a final consonant that no token covers, as some normalisers leave them, is of
    the token of the character before, which it is part of.

    Args:
        text: The text.
        offsets: (start, end) of each token, in code points; empty ones own nothing.
    """
    found: list[int | None] = [None] * len(text)
    for token, (start, end) in enumerate(offsets):
        for at in range(max(0, start), min(end, len(text))):
            if found[at] is None and not text[at].isspace():
                found[at] = token
    for at in range(1, len(text)):
        if found[at] is None and continues(text[at]):
            found[at] = found[at - 1]
    return found


def token_tags(sentence: Sentence, offsets: Offsets) -> list[str | None]:
    """An IOB2 tag for each token, that of the first character it owns; ``None`` where it owns none.

    A token in which an entity begins after its first character loses it: with such a tokenizer no
    model can find that entity. :func:`spans_of_tokens` on the result tells what is left.
    """
    tags: list[str | None] = [None] * len(offsets)
    of = sentence.tags()
    for at, token in enumerate(owners(sentence.text, offsets)):
        if token is not None and tags[token] is None:
            tags[token] = of[at]
    return _begun(tags)


def _begun(tags: list[str | None]) -> list[str | None]:
    """Tags in which no entity goes on that was never begun: its beginning may lie inside a token
    before.
    """
    before = OUTSIDE
    for at, tag in enumerate(tags):
        if tag is None:
            continue
        if not goes_on(before, tag):
            tag = tags[at] = begin_tag(tag)
        before = tag
    return tags


def spans_of_tokens(
    text: str,
    offsets: Offsets,
    tags: Sequence[str | None],
    probabilities: Sequence[float] | None = None,
) -> tuple[Span, ...]:
    """Spans of characters from tags of tokens.

    A token's tag is that of the first character it owns, and the rest of the token goes on with it;
    characters that no token owns go on with what surrounds them. An ``I-X`` that goes on with
    nothing begins an entity, as seqeval's default reads it.

    Args:
        text: The text.
        offsets: (start, end) of each token, in code points.
        tags: An IOB2 tag for each token; ``None`` for none.
        probabilities: Of each token's tag. A span's score is the lowest of its tokens'.
    """
    places: list[int] = []
    held: list[str] = []
    sure: list[float] = []
    before: int | None = None
    for at, token in enumerate(owners(text, offsets)):
        if token is None or tags[token] is None:
            continue
        tag = str(tags[token])
        if token == before:
            tag = inside_tag(tag)
        places.append(at)
        held.append(tag)
        if probabilities is not None:
            sure.append(probabilities[token])
        before = token
    return tuple(
        Span(
            places[span.start],
            places[span.end - 1] + 1,
            span.label,
            min(sure[span.start : span.end]) if probabilities is not None else None,
        )
        for span in tags_to_spans(held)[0]
    )
