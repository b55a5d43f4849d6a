"""What int8 costs: F1, and what scores are worth, on a thousand sentences held out from training.

    python benchmarks/readings.py                     # trains build/readings/two-42
    python benchmarks/int8.py --adapter build/readings/two-42

The adapter must not have learnt from these sentences: seed 42 holds out the same thousand. They are
answered as the packaged adapter answers (grounded, 32 together), in float32, in bfloat16, and in
int8; and in int8 once more without the instructions beyond AVX2 (``ONEDNN_MAX_CPU_ISA=AVX2``),
where a processor adds two products in 16 bits. ``other_replies`` counts replies that are not those
of float32.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from _report import klue, write
from processors import in_each_dtype

SEED, HELD_OUT = 42, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapter", required=True, type=Path)
    parser.add_argument("--dtype", help="answer in one number type, and print")
    arguments = parser.parse_args()
    if arguments.dtype:
        print(json.dumps(answered(str(arguments.adapter), arguments.dtype)))
        return
    results = in_each_dtype([__file__, "--adapter", str(arguments.adapter)])
    write("int8", f"python benchmarks/int8.py --adapter {arguments.adapter}", results,
          ("llmner", "torch", "transformers"))  # fmt: skip


def answered(adapter: str, dtype: str) -> dict[str, Any]:
    from sklearn.metrics import roc_auc_score

    from llmner.corpora import read_corpus
    from llmner.corpora._held_out import split_held_out
    from llmner.extraction import Extractor
    from llmner.scoring import reliability, score

    sentences = list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv")))
    _, gold = split_held_out(sentences, HELD_OUT, SEED)
    adapted = Extractor.from_adapter(adapter, batch_size=32, max_new_tokens=128, dtype=dtype)
    extractor = Extractor(adapted.recipe, adapted.generator, grounded=True, batch_size=HELD_OUT)
    list(extractor.extract(gold[:1]))
    started = time.perf_counter()
    answers = list(extractor.extract(gold))
    seconds = time.perf_counter() - started
    micro = score([one.spans for one in gold], [answer.spans for answer in answers]).micro
    judged = [
        (span.score, span in one.spans)
        for one, answer in zip(gold, answers, strict=True)
        for span in answer.spans
    ]
    table = reliability(judged)
    assert table is not None
    auc = roc_auc_score([right for _, right in judged], [sure for sure, _ in judged])
    return {
        "seconds_a_sentence": round(seconds / len(gold), 3),
        "micro_f1": round(micro.f1, 4),
        "precision": round(micro.precision, 4),
        "recall": round(micro.recall, 4),
        "auc": round(float(auc), 4),
        "ece": round(table.ece, 4),
        "replies": [answer.reply.text for answer in answers],
    }


if __name__ == "__main__":
    main()
