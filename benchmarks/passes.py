"""What a second pass finds with the model in the box: recall gained, precision lost, and time.

    python benchmarks/passes.py [--sentences 300]

A seeded sample of KLUE's dev part, each text asked about once, twice and three times. What was
found is covered before the text is asked about again.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from _report import klue, micro_figures, write

from llmner.asking import AskOptions, build
from llmner.corpora import read_corpus
from llmner.scoring import Prediction, evaluate, sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=300)
    arguments = parser.parse_args()
    gold = sample(list(read_corpus(klue("klue-ner-v1.1_dev.tsv"))), arguments.sentences, 42)
    figures: dict[str, Any] = {"sentences": len(gold)}
    for passes in (1, 2, 3):
        extractor = build(AskOptions.of(passes=passes))
        list(extractor.extract(gold[:2]))
        started = time.perf_counter()
        found = [Prediction.of(extraction) for extraction in extractor.extract(gold)]
        seconds = time.perf_counter() - started
        result = evaluate(gold, found)
        figures[f"{passes} passes"] = {
            **micro_figures(result),
            "spans": sum(len(prediction.spans) for prediction in found),
            "seconds": round(seconds, 1),
        }
        print(passes, figures[f"{passes} passes"], flush=True)
    write(
        "passes",
        f"python benchmarks/passes.py --sentences {len(gold)}",
        figures,
        ("llmner", "torch", "transformers", "peft"),
    )


if __name__ == "__main__":
    main()
