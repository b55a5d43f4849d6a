"""Compares definitions of a span's score: product, mean or minimum of its tokens' probabilities.

    python benchmarks/score_definitions.py

The packaged model answers the 500 sentences of the KLUE training file that it was not trained on.
It answers them twice: once scoring only the tokens that the grammar allows, as the engine does, and
once with the whole output head, which gives probabilities among all tokens. Whether the replies are
the same is counted.

For each definition: the expected calibration error, and the area under the ROC curve, which is the
probability that a right span has a higher score than a wrong one. Each definition is measured with
and without the character that ends the surface. No sentence of dev is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from _report import klue, write
from sklearn.metrics import roc_auc_score

from llmner.corpora import read_corpus
from llmner.corpora._held_out import split_held_out
from llmner.engines import _decoding
from llmner.engines._decoding import Answer, normalizers
from llmner.engines._scores import NextScores
from llmner.extraction import Extraction, Extractor
from llmner.replies import find_places
from llmner.scoring import reliability

DEFINITIONS: dict[str, Callable[[list[float]], float]] = {
    "product": lambda logprobs: math.exp(sum(logprobs)),
    "geometric mean": lambda logprobs: math.exp(sum(logprobs) / len(logprobs)),
    "least": lambda logprobs: math.exp(min(logprobs)),
}


Scored = tuple[list[float], list[float], bool]


def main() -> None:
    _, held_out = split_held_out(list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv"))), 0.1, 42)
    ungrounded = Extractor.from_adapter(batch_size=32, max_new_tokens=128)
    extractor = Extractor(ungrounded.recipe, ungrounded.generator, batch_size=512, grounded=True)
    results: dict[str, Any] = {"sentences": len(held_out)}
    replies = []
    for name, among in (("allowed", _decoding._among_allowed), ("all", _among_every)):
        _decoding._among_allowed = among
        extractions = list(extractor.extract(held_out))
        replies.append([extraction.reply.text for extraction in extractions])
        results[f"probabilities among {name} tokens"] = measured(
            [span for extraction in extractions for span in scored(extraction)]
        )
    results["replies that are the same"] = sum(
        one == other for one, other in zip(*replies, strict=True)
    )
    write("score_definitions", "python benchmarks/score_definitions.py", results,
          ("llmner", "torch", "transformers", "peft", "scikit-learn"))  # fmt: skip


def _among_every(
    answers: Sequence[Answer], scores: NextScores, ends: set[int], temperature: float
) -> list[tuple[int, float]]:
    """As ``_decoding._among_allowed``, with the whole head in float32."""
    if not answers:
        return []
    assert scores._head is not None
    every = torch.nn.functional.linear(scores._states.float(), scores._head.weight.float())
    chosen = []
    for answer, row, total in zip(answers, every, normalizers(every), strict=True):
        allowed = _decoding._allowed(answer.matcher, ends)
        token = int(allowed[row[allowed].argmax()])
        chosen.append((token, float(row[token] - total)))
    return chosen


def scored(extraction: Extraction) -> list[Scored]:
    """The log-probabilities of each span, with and without what ends it, and if it is right."""
    read, tokens = extraction.projection.reply, extraction.reply.tokens
    assert read is not None
    assert tokens is not None
    outcomes = extraction.projection.outcomes
    places = find_places(
        extraction.reply.text, [outcome.mention for outcome in outcomes], read.format
    )
    spans = []
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
    return spans


def measured(spans: list[Scored]) -> dict[str, Any]:
    """Spans, right ones, and the figures of each definition."""
    figures: dict[str, Any] = {"spans": len(spans), "right": sum(right for _, _, right in spans)}
    for ending in (True, False):
        for name, definition in DEFINITIONS.items():
            pairs = [
                (min(1.0, definition(one if ending else other)), right)
                for one, other, right in spans
            ]
            table = reliability(pairs)
            assert table is not None
            auc = roc_auc_score([right for _, right in pairs], [score for score, _ in pairs])
            figures[
                f"{name}, {'with' if ending else 'without'} the character after the surface"
            ] = {"ece": round(table.ece, 4), "auc": round(float(auc), 4)}
    return figures


if __name__ == "__main__":
    main()
