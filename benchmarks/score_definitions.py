"""Compares definitions of a span's score: product, mean or minimum of its tokens' probabilities.

    python benchmarks/score_definitions.py

The packaged model answers the 500 sentences of the KLUE training file that it was not trained on.
For each definition: the expected calibration error, and the area under the ROC curve, which is the
probability that a right span has a higher score than a wrong one. Each definition is measured with
and without the character that ends the surface. No sentence of dev is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from _report import klue, write
from sklearn.metrics import roc_auc_score

from llmner.corpora import read_corpus
from llmner.corpora._held_out import split_held_out
from llmner.extraction import Extractor
from llmner.replies import find_places
from llmner.scoring import reliability

DEFINITIONS: dict[str, Callable[[list[float]], float]] = {
    "product": lambda logprobs: math.exp(sum(logprobs)),
    "geometric mean": lambda logprobs: math.exp(sum(logprobs) / len(logprobs)),
    "least": lambda logprobs: math.exp(min(logprobs)),
}


def main() -> None:
    _, held_out = split_held_out(list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv"))), 0.1, 42)
    extractor = Extractor.from_adapter(batch_size=128, max_new_tokens=128)
    extractor.batch_size = 512
    spans: list[tuple[list[float], list[float], bool]] = []
    for extraction in extractor.extract(held_out):
        read, tokens = extraction.projection.reply, extraction.reply.tokens
        assert read is not None
        assert tokens is not None
        outcomes = extraction.projection.outcomes
        places = find_places(
            extraction.reply.text, [outcome.mention for outcome in outcomes], read.format
        )
        for outcome, place in zip(outcomes, places, strict=True):
            if outcome.span is None or place is None:
                continue
            (start, end), label = place
            logprobs = []
            for surface in ((start, end), (start, end - 1)):
                ranges = [surface] if label is None else [surface, label]
                logprobs.append(
                    [t.logprob for t in tokens if any(t.start < b and a < t.end for a, b in ranges)]
                )
            spans.append((logprobs[0], logprobs[1], outcome.span in extraction.sentence.spans))
    results: dict[str, Any] = {
        "sentences": len(held_out),
        "spans": len(spans),
        "right": sum(s[2] for s in spans),
    }
    for ending in (True, False):
        for name, definition in DEFINITIONS.items():
            pairs = [
                (min(1.0, definition(one if ending else other)), right)
                for one, other, right in spans
            ]
            table = reliability(pairs)
            assert table is not None
            results[
                f"{name}, {'with' if ending else 'without'} the character after the surface"
            ] = {
                "ece": round(table.ece, 4),
                "auc": round(
                    float(
                        roc_auc_score([right for _, right in pairs], [score for score, _ in pairs])
                    ),
                    4,
                ),
            }
    write("score_definitions", "python benchmarks/score_definitions.py", results,
          ("llmner", "torch", "transformers", "peft", "scikit-learn"))  # fmt: skip


if __name__ == "__main__":
    main()
