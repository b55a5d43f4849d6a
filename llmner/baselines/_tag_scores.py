"""Scores of single tags, as tutorials of token classification print them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from llmner.baselines._alignment import Offsets, token_tags
from llmner.baselines._syllables import places_of
from llmner.spans import Sentence, Span
from llmner.tagging import OUTSIDE

__all__ = ["TagScore", "TagScores", "character_offsets", "tag_scores"]


@dataclass(frozen=True, slots=True)
class TagScore:
    """The figures of one tag, each from 0 to 1.

    Attributes:
        precision: Share of the predicted tags that are right.
        recall: Share of the gold tags that were found.
        f1: Their harmonic mean.
        support: How many gold tags there are.
    """

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class TagScores:
    """The figures of all tags, ``O`` included.

    They are higher than those of entities, and depend on what is tagged: of two models with two
    tokenizers they say nothing.

    Attributes:
        unit: What is tagged.
        accuracy: Share of the units whose tag is right, ``O`` included.
        tags: The figures of each tag, in alphabetical order, ``O`` last.
    """

    unit: Literal["token", "character"]
    accuracy: float
    tags: dict[str, TagScore]

    def to_dict(self) -> dict[str, Any]:
        """The figures as they are in ``baseline.json``."""
        return asdict(self)


def character_offsets(text: str) -> list[tuple[int, int]]:
    """The characters of a text that are not white space, as if they were tokens.

    >>> character_offsets("a b")
    [(0, 1), (2, 3)]
    """
    return [(place, place + 1) for place in places_of(text)]


def tag_scores(
    gold: Sequence[Sentence],
    predicted: Sequence[Sequence[Span]],
    offsets: Callable[[str], Offsets] = character_offsets,
    *,
    unit: Literal["token", "character"] = "character",
) -> TagScores | None:
    """Score the IOB2 tags that gold and predicted spans stand for.

    Args:
        gold: The sentences.
        predicted: The spans that were found in each.
        offsets: The tokens of a text.
        unit: What these are.

    Returns:
        The figures; ``None`` if there is nothing to tag.

    >>> gold = [Sentence("Anna B", (Span(0, 4, "PER"),))]
    >>> scores = tag_scores(gold, [[Span(0, 3, "PER")]])
    >>> scores.accuracy, scores.tags["I-PER"].recall
    (0.8, 0.6666666666666666)
    """
    from sklearn.metrics import precision_recall_fscore_support

    right: list[str] = []
    found: list[str] = []
    for sentence, spans in zip(gold, predicted, strict=True):
        tokens = offsets(sentence.text)
        guess = Sentence(sentence.text, tuple(spans))
        for tag, other in zip(token_tags(sentence, tokens), token_tags(guess, tokens), strict=True):
            if tag is not None:
                right.append(tag)
                found.append(other or OUTSIDE)
    if not right:
        return None
    names = sorted({*right, *found}, key=lambda tag: (tag == OUTSIDE, tag.partition("-")[2], tag))
    columns = precision_recall_fscore_support(right, found, labels=names, zero_division=0.0)
    rows = zip(names, *(column.tolist() for column in columns), strict=True)
    same = sum(tag == other for tag, other in zip(right, found, strict=True))
    return TagScores(
        unit,
        same / len(right),
        {name: TagScore(p, r, f1, int(support)) for name, p, r, f1, support in rows},
    )
