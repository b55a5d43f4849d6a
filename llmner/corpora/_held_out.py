"""Which sentences of a corpus are kept apart, to judge by."""

from __future__ import annotations

import random
from collections.abc import Sequence

from llmner.errors import InputError
from llmner.spans import Sentence

__all__ = ["split_held_out"]


def split_held_out(
    sentences: Sequence[Sentence], held_out: float, seed: int
) -> tuple[list[Sentence], list[Sentence]]:
    """(training, held-out) sentences, chosen at random; equal texts stay on one side.

    Args:
        sentences: All of them.
        held_out: A share below 1, or a number of sentences; texts that occur more than once may
            make it slightly more.
        seed: Decides which.

    Raises:
        InputError: Nothing would be left to learn from.
    """
    wanted = round(held_out * len(sentences)) if held_out < 1 else int(held_out)
    texts = list(dict.fromkeys(sentence.text for sentence in sentences))
    random.Random(seed).shuffle(texts)
    copies: dict[str, int] = {}
    for sentence in sentences:
        copies[sentence.text] = copies.get(sentence.text, 0) + 1
    chosen, count = set(), 0
    for text in texts:
        if count >= wanted:
            break
        chosen.add(text)
        count += copies[text]
    train = [sentence for sentence in sentences if sentence.text not in chosen]
    if not train:
        raise InputError(
            f"held_out {held_out:g} leaves none of {len(sentences)} sentences to learn from",
            hint="hold out fewer",
        )
    return train, [sentence for sentence in sentences if sentence.text in chosen]
