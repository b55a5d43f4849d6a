"""What the prompts for labels without a recipe find, with the model in the box and no adapter.

    python benchmarks/zero_shot.py [--sentences 100]

A seeded sample of KLUE's train part (Korean) and of MAMS (English). The model is Gemma 3 270M,
which was never tuned to follow instructions, so the figures are a floor: they compare the prompts,
in the language of the texts and in another, with labels alone and with what they mean, with replies
free and grounded, and the recipe with worked examples.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from _report import KLUE, klue, micro_figures, write

from llmner import Recipe, Sentence
from llmner.asking import AskOptions, build, prepare
from llmner.corpora import read_corpus
from llmner.scoring import Prediction, evaluate, sample

MOST_TOKENS = 128
TERM = {"TERM": "things that the review judges, such as dishes, drinks and service"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=100)
    arguments = parser.parse_args()
    korean = sample(list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv"))), arguments.sentences, 7)
    mams = KLUE.parent / "mams" / "atsa-train.xml"
    english = [
        replace(sentence, spans=tuple(replace(span, attributes={}) for span in sentence.spans))
        for sentence in sample(list(read_corpus(mams)), arguments.sentences, 7)
    ]
    recipe = Recipe.load("klue")
    meant = {label.code: label.description for label in recipe.labels}
    named = {label.name: label.description for label in recipe.labels}
    codes = {label.name: label.code for label in recipe.labels}
    ways: dict[str, tuple[Sequence[Sentence], Recipe]] = {
        "KLUE, codes alone": (korean, Recipe.of(list(meant), language="ko")),
        "KLUE, codes with meanings": (korean, Recipe.of(meant, language="ko")),
        "KLUE, codes with meanings, asked in English": (korean, Recipe.of(meant, language="en")),
        "KLUE, Korean names with meanings": (korean, Recipe.of(named, language="ko")),
        "KLUE, recipe with worked examples": (korean, recipe),
        "MAMS, label alone": (english, Recipe.of(["TERM"], language="en")),
        "MAMS, label with its meaning": (english, Recipe.of(TERM, language="en")),
    }
    figures: dict[str, Any] = {"sentences": arguments.sentences}
    for name, (gold, asked) in ways.items():
        figures[name] = {
            "grounded" if grounded else "free": figures_of(gold, asked, codes, grounded=grounded)
            for grounded in (False, True)
        }
        print(name, figures[name], flush=True)
    write(
        "zero_shot",
        f"python benchmarks/zero_shot.py --sentences {arguments.sentences}",
        figures,
        ("llmner", "torch", "transformers"),
    )


def figures_of(
    gold: Sequence[Sentence], recipe: Recipe, codes: dict[str, str], *, grounded: bool
) -> dict[str, Any]:
    options = AskOptions.of(adapter="none", grounded=grounded, max_new_tokens=MOST_TOKENS)
    extractor = build(prepare(options, recipe=recipe))
    started = time.perf_counter()
    found = []
    for extraction in extractor.extract(gold):
        spans = tuple(replace(s, label=codes.get(s.label, s.label)) for s in extraction.spans)
        found.append(replace(Prediction.of(extraction), spans=spans))
    result = evaluate(gold, found)
    return {
        **micro_figures(result),
        # The place is right, whatever the label.
        "exact_f1": round(result.scores.partial["exact"].f1, 4),
        "replies": {name: count for name, count in result.replies.items() if count},
        "seconds": round(time.perf_counter() - started, 1),
    }


if __name__ == "__main__":
    main()
