"""Splitting a corpus into training and held-out sentences."""

from __future__ import annotations

import random
from collections.abc import Sequence

from llmner.errors import InputError
from llmner.spans import Sentence

__all__ = ["split_held_out"]


def split_held_out(
    sentences: Sequence[Sentence], held_out: float, seed: int
) -> tuple[list[Sentence], list[Sentence]]:
    """Split sentences at random into (training, held-out); equal texts stay on one side.

    Args:
        sentences: The sentences to split.
        held_out: A share below 1, or a number of sentences. Slightly more are held out if texts
            occur more than once.
        seed: Seed of the random choice.

    Raises:
        InputError: No sentence would be left to train on.

    >>> sentences = [Sentence(text) for text in "abcdefgh"]
    >>> train, test = split_held_out(sentences, 0.25, seed=42)
    >>> len(train), len(test)
    (6, 2)
    """
    size = round(held_out * len(sentences)) if held_out < 1 else int(held_out)
    texts = list(dict.fromkeys(sentence.text for sentence in sentences))
    random.Random(seed).shuffle(texts)
    copies: dict[str, int] = {}
    for sentence in sentences:
        copies[sentence.text] = copies.get(sentence.text, 0) + 1
    chosen, count = set(), 0
    for text in texts:
        if count >= size:
            break
        chosen.add(text)
        count += copies[text]
    train = [sentence for sentence in sentences if sentence.text not in chosen]
    if not train:
        raise InputError(
            f"held_out={held_out:g} leaves none of {len(sentences)} sentences to train on",
            hint="hold out fewer",
        )
    return train, [sentence for sentence in sentences if sentence.text in chosen]
