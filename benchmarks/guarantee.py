"""How often a guaranteed precision holds: a CRF on KLUE, 500 splits of the sentences it never saw.

    python benchmarks/guarantee.py

A CRF learns from half of KLUE's train part that is here, and tags the other half. Each split fits a
guarantee on one half of those sentences, and looks at the precision on the rest.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from _report import klue, write

from llmner.baselines.crf import CrfConfig, train_crf
from llmner.corpora import read_corpus
from llmner.extraction.guarantee import guarantee

SPLITS, CONFIDENCE = 500, 0.95


def main() -> None:
    sentences = list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv")))
    random.Random(5).shuffle(sentences)
    learnt, others = sentences[: len(sentences) // 2], sentences[len(sentences) // 2 :]
    with tempfile.TemporaryDirectory() as folder:
        tagger = train_crf(learnt, CrfConfig(), Path(folder)).baseline
        tagged = tagger.tag([sentence.text for sentence in others])
    pairs = [
        [(float(span.score or 0), span in set(sentence.spans)) for span in spans]
        for sentence, spans in zip(others, tagged, strict=True)
    ]
    every = [pair for own in pairs for pair in own]
    figures: dict[str, Any] = {
        "sentences": len(others),
        "spans": len(every),
        "precision": round(sum(right for _, right in every) / len(every), 4),
        "splits": SPLITS,
        "confidence": CONFIDENCE,
    }
    for target in (0.9, 0.95):
        figures[f"precision {target}"] = splits(pairs, target)
    write("guarantee", "python benchmarks/guarantee.py", figures, ("llmner", "python-crfsuite"))


def splits(pairs: list[list[tuple[float, bool]]], target: float) -> dict[str, Any]:
    rng = random.Random(7)
    numbers = list(range(len(pairs)))
    promised = broken = 0
    shares, precisions = [], []
    for _ in range(SPLITS):
        rng.shuffle(numbers)
        half = len(numbers) // 2
        fitted = [pair for number in numbers[:half] for pair in pairs[number]]
        rest = [pair for number in numbers[half:] for pair in pairs[number]]
        own = guarantee(fitted, target, CONFIDENCE)
        if own is None:
            continue
        promised += 1
        kept = [right for score, right in rest if score >= own.min_score]
        precisions.append(sum(kept) / len(kept))
        shares.append(len(kept) / len(rest))
        broken += precisions[-1] < target
    return {
        "promised": promised,
        "broken": broken,
        "mean_precision": round(sum(precisions) / max(1, promised), 4),
        "mean_share_kept": round(sum(shares) / max(1, promised), 4),
    }


if __name__ == "__main__":
    main()
