"""How well planted errors are found in attributes of labels of whole texts.

    python benchmarks/audit_attributes.py [--seed 0]

Of the aspects of MAMS (ACSA, train part), one in twenty gets another polarity. A linear classifier
judges each fifth after learning from the others, errors included. Each text has aspects of
different sentiments, so that the words of the one stand beside those of the other. MAMS's own
errors count against the ranking.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from _report import ROOT, write

from llmner import Sentence
from llmner.corpora import read_corpus
from llmner.labelling import audit, fold_evidence

SHARE = 0.05
VALUES = ("positive", "neutral", "negative")
CORPUS = ROOT.parent / "shared" / "data" / "mams" / "acsa-train.xml"


def planted(sentences: list[Sentence], seed: int) -> tuple[list[Sentence], set[tuple[int, str]]]:
    """The sentences with errors, and where these are: numbers of sentences, and labels."""
    rng = random.Random(seed)
    errors: set[tuple[int, str]] = set()
    damaged = []
    for number, sentence in enumerate(sentences):
        labels = []
        for label in sentence.labels:
            value = label.attributes.get("polarity")
            if value in VALUES and rng.random() < SHARE:
                others = [own for own in VALUES if own != value]
                changed = {**label.attributes, "polarity": rng.choice(others)}
                labels.append(replace(label, attributes=changed))
                errors.add((number, label.label))
            else:
                labels.append(label)
        damaged.append(replace(sentence, labels=tuple(labels)))
    return damaged, errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    sentences, errors = planted(list(read_corpus(CORPUS)), seed)
    with tempfile.TemporaryDirectory() as folder:
        evidence = fold_evidence(sentences, "crf", Path(folder), report=print)
    rows = [own for own in audit(sentences, [evidence]) if own.kind == "attribute"]
    right = [(own.sentence, own.label) in errors for own in rows]
    labels = sum(len(sentence.labels) for sentence in sentences)
    figures: dict[str, Any] = {
        "seed": seed,
        "labels": labels,
        "planted": len(errors),
        "rows": len(rows),
        "found": sum(right),
        "precision": {n: round(sum(right[:n]) / n, 3) for n in (50, 100, 200, 400)},
        "by chance": round(len(errors) / labels, 3),
    }
    write("audit_attributes", "python benchmarks/audit_attributes.py", figures, ("llmner",))


if __name__ == "__main__":
    main()
