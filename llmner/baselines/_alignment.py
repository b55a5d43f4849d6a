"""Aligning tags of subword tokens with characters, by the offsets of fast tokenizers.

Offsets may include the space before a word (SentencePiece), repeat (bytes of one emoji), overlap (a
normaliser that joins characters), leave out characters (a normaliser that drops them) or be empty
(special tokens). So only one thing is taken from them: the token to which each character belongs.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmner.extraction.windows import continues
from llmner.spans import Sentence, Span
from llmner.tagging import OUTSIDE, Scheme, begin_tag, goes_on, inside_tag, tags_to_spans

__all__ = ["owners", "spans_of_all_tokens", "spans_of_tokens", "token_tags"]

Offsets = Sequence[tuple[int, int]]


def owners(text: str, offsets: Offsets) -> list[int | None]:
    """The number of the token that owns each character.

    This is the first token that covers the character; ``None`` for spaces and for characters that
    no token covers. A combining mark, vowel or final consonant that no token covers (because of
    some normalisers) belongs to the token of the character before it.

    Args:
        text: The text.
        offsets: (start, end) of each token, in code points; empty ones own nothing.

    >>> owners("ab c", [(0, 2), (2, 4)])
    [0, 0, None, 1]
    """
    tokens: list[int | None] = [None] * len(text)
    for token, (start, end) in enumerate(offsets):
        for position in range(max(0, start), min(end, len(text))):
            if tokens[position] is None and not text[position].isspace():
                tokens[position] = token
    for position in range(1, len(text)):
        if tokens[position] is None and continues(text[position]):
            tokens[position] = tokens[position - 1]
    return tokens


def token_tags(sentence: Sentence, offsets: Offsets) -> list[str | None]:
    """The IOB2 tag of each token: that of the first character it owns, ``None`` if it owns none.

    An entity that begins inside a token is lost: with this tokenizer no model can find it.
    :func:`spans_of_tokens` on the result gives the entities that remain.

    >>> token_tags(Sentence("Anna Berg", (Span(0, 9, "PER"),)), [(0, 4), (4, 9)])
    ['B-PER', 'I-PER']
    """
    tags: list[str | None] = [None] * len(offsets)
    character_tags = sentence.tags()
    for position, token in enumerate(owners(sentence.text, offsets)):
        if token is not None and tags[token] is None:
            tags[token] = character_tags[position]
    return _with_beginnings(tags)


def _with_beginnings(tags: list[str | None]) -> list[str | None]:
    """The tags with a ``B-`` at the first token of each entity, whose own ``B-`` may be lost."""
    previous = OUTSIDE
    for token, tag in enumerate(tags):
        if tag is None:
            continue
        if not goes_on(previous, tag):
            tag = tags[token] = begin_tag(tag)
        previous = tag
    return tags


def spans_of_tokens(
    text: str,
    offsets: Offsets,
    tags: Sequence[str | None],
    probabilities: Sequence[float] | None = None,
) -> tuple[Span, ...]:
    """Spans of characters from tags of tokens.

    The first character of a token gets its tag, and the token's other characters continue it.
    Characters that no token owns continue an entity around them. An ``I-X`` that continues nothing
    begins an entity, as in seqeval's default mode.

    Args:
        text: The text.
        offsets: (start, end) of each token, in code points.
        tags: The IOB2 tag of each token; ``None`` for a token without a tag.
        probabilities: The probability of each token's tag. A span's score is the lowest of these.

    >>> spans_of_tokens("Anna Berg", [(0, 4), (4, 9)], ["B-PER", "I-PER"], [0.9, 0.8])
    (Span(start=0, end=9, label='PER', score=0.8),)
    """
    positions: list[int] = []
    character_tags: list[str] = []
    scores: list[float] = []
    previous: int | None = None
    for position, token in enumerate(owners(text, offsets)):
        if token is None or tags[token] is None:
            continue
        tag = str(tags[token])
        if token == previous:
            tag = inside_tag(tag)
        positions.append(position)
        character_tags.append(tag)
        if probabilities is not None:
            scores.append(probabilities[token])
        previous = token
    return tuple(
        Span(
            positions[span.start],
            positions[span.end - 1] + 1,
            span.label,
            min(scores[span.start : span.end]) if probabilities is not None else None,
        )
        for span in tags_to_spans(character_tags)[0]
    )


def spans_of_all_tokens(
    text: str,
    offsets: Offsets,
    tags: Sequence[str],
    probabilities: Sequence[float],
    *,
    scheme: Scheme,
) -> tuple[Span, ...]:
    """Spans of characters from tags of tokens, those of tokens that own no character included.

    So a token of white space that is outside parts two entities, and one that begins an entity
    begins it.

    Args:
        text: The text.
        offsets: (start, end) of each token, in code points.
        tags: The tag of each token.
        probabilities: The probability of each token's tag. A span's score is the lowest of these.
        scheme: The scheme of the tags.

    >>> spans_of_all_tokens("A B", [(0, 1), (1, 1), (2, 3)], ["S-X", "O", "S-X"], [1, 1, 1],
    ...     scheme="bioes")
    (Span(start=0, end=1, label='X', score=1), Span(start=2, end=3, label='X', score=1))
    """
    owned: dict[int, list[int]] = {}
    for position, token in enumerate(owners(text, offsets)):
        if token is not None:
            owned.setdefault(token, []).append(position)
    spans: list[Span] = []
    for span in tags_to_spans(tags, scheme=scheme)[0]:
        places = [place for token in range(span.start, span.end) for place in owned.get(token, ())]
        # Tokens may overlap; a character that an entity has is no other's.
        places = [place for place in places if not spans or place >= spans[-1].end]
        if places:
            score = min(probabilities[span.start : span.end])
            spans.append(Span(min(places), max(places) + 1, span.label, score))
    return tuple(spans)
