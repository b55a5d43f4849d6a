"""How well the model in the box reads damaged text: without spaces, with typing errors, decomposed.

    python benchmarks/damaged_text.py [--sentences 1000] [--adapter gemma-3-270m-klue-ner]

The first sentences of KLUE dev v1.1 are damaged, the same way at every call, and labels move along.
The model has not seen any of this in training. Takes ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import random
import unicodedata
from collections.abc import Callable
from typing import Any

from _report import klue, micro_figures, write

import llmner
from llmner.corpora import read_corpus
from llmner.scoring import Prediction, evaluate
from llmner.spans import Sentence, Span

# The share of syllables with a typing error.
_RATE = 0.04
_FIRST, _LAST = 0xAC00, 0xD7A3
_VOWELS, _TAILS = 21, 28


def moved(sentence: Sentence, pieces: list[str]) -> Sentence:
    """The sentence with each character replaced by a piece, and its spans moved along."""
    places, at = [], 0
    for piece in pieces:
        places.append(at)
        at += len(piece)
    places.append(at)
    spans = (Span(places[s.start], places[s.end], s.label) for s in sentence.spans)
    return Sentence("".join(pieces), tuple(s for s in spans if s.end > s.start), sentence.id)


def without_spaces(sentence: Sentence, _: random.Random) -> Sentence:
    """All words run together, as in messages."""
    return moved(sentence, ["" if char.isspace() else char for char in sentence.text])


def mistyped(sentence: Sentence, rng: random.Random) -> Sentence:
    """Some syllables have another vowel, or lack their last consonant."""
    return moved(
        sentence,
        [_slip(char, rng) if rng.random() < _RATE else char for char in sentence.text],
    )


def _slip(char: str, rng: random.Random) -> str:
    if not _FIRST <= ord(char) <= _LAST:
        return char
    lead, rest = divmod(ord(char) - _FIRST, _VOWELS * _TAILS)
    vowel, tail = divmod(rest, _TAILS)
    if tail and rng.random() < 0.5:
        tail = 0
    else:
        vowel = (vowel + rng.choice((1, _VOWELS - 1))) % _VOWELS
    return chr(_FIRST + (lead * _VOWELS + vowel) * _TAILS + tail)


def decomposed(sentence: Sentence, _: random.Random) -> Sentence:
    """Every syllable as two or three characters, as some systems name files."""
    return moved(sentence, [unicodedata.normalize("NFD", char) for char in sentence.text])


DAMAGES: dict[str, Callable[[Sentence, random.Random], Sentence]] = {
    "as it is": lambda sentence, _: sentence,
    "without spaces": without_spaces,
    "with typing errors": mistyped,
    "decomposed": decomposed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--adapter", default="gemma-3-270m-klue-ner")
    arguments = parser.parse_args()
    gold = list(read_corpus(klue("klue-ner-v1.1_dev.tsv")))[: arguments.sentences]
    figures: dict[str, Any] = {"sentences": len(gold)}
    for name, damage in DAMAGES.items():
        rng = random.Random(7)
        damaged = [damage(sentence, rng) for sentence in gold]
        texts = [sentence.text for sentence in damaged]
        found = list(llmner.extract(texts, adapter=arguments.adapter, max_new_tokens=128))
        predictions = [Prediction.of(own) for own in found]
        asked = [Sentence(own.text, own.spans) for own in damaged]
        figures[name] = micro_figures(evaluate(asked, predictions, resamples=500))
        print(name, figures[name], flush=True)
    command = f"python benchmarks/damaged_text.py --sentences {len(gold)}"
    if arguments.adapter != parser.get_default("adapter"):
        command += f" --adapter {arguments.adapter}"
    write("damaged_text", command, figures, ("llmner", "torch", "transformers"))


if __name__ == "__main__":
    main()
