"""Splitting a corpus into training and held-out sentences, or into a train and a test part."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from llmner.errors import InputError
from llmner.spans import Sentence

__all__ = ["split_held_out", "split_sentences"]

_SPLIT = re.compile(r"(train|test)(?::(0?\.\d+))?(?::(\d{1,18}))?")
_SHARE, _SEED = 0.8, 42


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


def split_sentences(sentences: Sequence[Sentence], split: str) -> list[Sentence]:
    """A random ``train`` part (four fifths) or ``test`` part (the rest), in the file's order.

    Equal texts are in one part.

    Args:
        sentences: All sentences of the file.
        split: ``"train"`` or ``"test"``, optionally with the share of the train part and with a
            seed: ``"test:0.9"``, ``"test:7"``, ``"test:0.9:7"``. The default seed is 42.

    Raises:
        InputError: There is no such split.

    >>> sentences = [Sentence(text) for text in "abcde"]
    >>> [sentence.text for sentence in split_sentences(sentences, "test:7")]
    ['c']
    """
    match = _SPLIT.fullmatch(split)
    if match is None:
        raise InputError(
            f"unknown split {split!r}",
            hint="expected train or test, or with a share or a seed: train:0.9, train:7, "
            "train:0.9:7",
        )
    part, share, seed = match.groups()
    texts = list(dict.fromkeys(sentence.text for sentence in sentences))
    random.Random(int(seed or _SEED)).shuffle(texts)
    copies: dict[str, int] = {}
    for sentence in sentences:
        copies[sentence.text] = copies.get(sentence.text, 0) + 1
    left = round(float(share or _SHARE) * len(sentences))
    train = set()
    for text in texts:
        if left <= 0:
            break
        train.add(text)
        left -= copies[text]
    return [sentence for sentence in sentences if (sentence.text in train) == (part == "train")]
