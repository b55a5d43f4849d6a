"""Finds the best window size for the embedded model: how much text it is asked about at once.

    python benchmarks/windows.py

The model was trained on single sentences. The hundred sentences of ``data/sample.tsv`` are joined
to paragraphs of five. These are extracted in windows of several sizes and in those of the model's
recipe, grounded, and scored on the same characters.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from _report import ROOT, write

from llmner.corpora import read_corpus
from llmner.extraction import Extractor
from llmner.scoring import score
from llmner.spans import Sentence, Span

# Windows and overlaps; without both, those of the recipe.
SIZES = ((None, None), (400, 80), (200, 40), (100, 30), (100, 0), (60, 20), (60, 0), (40, 0))


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    sentences = iter(read_corpus(str(ROOT / "data" / "sample.tsv")))
    paragraphs = [joined(part) for part in iter(lambda: list(islice(sentences, 5)), [])]
    default = Extractor.from_adapter(batch_size=16)
    list(default.extract(["."]))
    rows: list[dict[str, Any]] = []
    for window, overlap in SIZES:
        extractor = Extractor(
            default.recipe,
            default.generator,
            batch_size=64,
            grounded=True,
            window=window,
            overlap=overlap,
        )
        started = time.perf_counter()
        spans = [extraction.spans for extraction in extractor.extract(paragraphs)]
        seconds = time.perf_counter() - started
        micro = score([paragraph.spans for paragraph in paragraphs], spans).micro
        rows.append(
            {
                **asdict(extractor.windows),
                "precision": round(micro.precision, 4),
                "recall": round(micro.recall, 4),
                "f1": round(micro.f1, 4),
                "characters_a_second": round(
                    sum(len(each.text) for each in paragraphs) / seconds, 1
                ),
            }
        )
    lengths = sorted(len(paragraph.text) for paragraph in paragraphs)
    figures = {
        "paragraphs": len(paragraphs),
        "median_characters": lengths[len(lengths) // 2],
        "windows": rows,
    }
    write("windows", "python benchmarks/windows.py", figures, ("llmner", "torch", "transformers"))


def joined(sentences: Sequence[Sentence]) -> Sentence:
    """Sentences as one text, with a space between them."""
    text, spans = "", []
    for sentence in sentences:
        text += " " if text else ""
        spans += [
            Span(span.start + len(text), span.end + len(text), span.label)
            for span in sentence.spans
        ]
        text += sentence.text
    return Sentence(text, tuple(spans))


if __name__ == "__main__":
    main()
