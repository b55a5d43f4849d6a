"""Evaluates a fine-tuned embedded model on all 5,000 sentences of KLUE dev, v1 and v1.1.

    python benchmarks/embedded.py --adapter build/gemma-3-270m-klue-ner

Measured are micro and strict F1 and KLUE's two scores with their intervals, and the causes of lost
F1; the same on the published sample of 100 sentences. The same replies are also placed by the first
``find()``, which shows what projection adds. A sentence that is the same in both versions is asked
once. The time is that of one uninterrupted run over 256 sentences, the memory is the process's
peak.

Replies are kept under ``build/``, and an interrupted run continues. The predictions for each
version lie beside them, for ``llmner evaluate --predicted build/embedded-dev-v1.1.jsonl``.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

from _peers import first_find
from _report import ROOT, klue, write
from evaluation import figures, projected
from round_trip import micro_f1

from llmner.corpora import read_corpus
from llmner.extraction import Extractor
from llmner.extraction.runs import run_extraction
from llmner.files import dump_json, read_jsonl
from llmner.recipes import Recipe
from llmner.replies import read_reply
from llmner.scoring import evaluate_all, sample
from llmner.spans import Sentence

TIMED = 256
# Sentences answered together. The output layer, for 262,144 tokens, is read from memory once for
# all of them.
BATCH = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapter", required=True)
    parser.add_argument("--name", default="embedded", help="of the result file")
    arguments = parser.parse_args()
    extractor = Extractor.from_adapter(arguments.adapter, batch_size=BATCH, max_new_tokens=128)
    extractor.batch_size = 4 * BATCH
    corpora = {
        version: list(read_corpus(klue(f"klue-ner-{version}_dev.tsv")))
        for version in ("v1.1", "v1")
    }
    list(extractor.extract(corpora["v1.1"][:1]))
    started = time.perf_counter()
    list(extractor.extract(corpora["v1.1"][:TIMED]))
    seconds = (time.perf_counter() - started) / TIMED
    distinct = list(dict.fromkeys(s.text for corpus in corpora.values() for s in corpus))
    output = ROOT / "build" / f"{arguments.name}-dev.jsonl"
    output.parent.mkdir(exist_ok=True)
    if not output.exists():
        run_extraction(
            extractor, [Sentence(text) for text in distinct], output, source="KLUE dev, v1.1 and v1"
        )
    replies = {row["text"]: row for _, row in read_jsonl(output)}
    for version, corpus in corpora.items():
        keep(output, version, corpus, replies)
    results: dict[str, object] = {
        "adapter": arguments.adapter,
        "recipe": extractor.recipe.name,
        "reply_format": extractor.recipe.reply_format,
        "seconds_a_sentence": round(seconds, 3),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "batch": BATCH,
        "replies": len(distinct),
        "replies_cut_off": sum(row["finish_reason"] == "length" for row in replies.values()),
    }
    for version, corpus in corpora.items():
        results[f"klue-ner-{version} dev"] = measured(corpus, replies, extractor.recipe)
        results[f"klue-ner-{version} dev, published sample"] = measured(
            sample(corpus, 100, 42), replies, extractor.recipe
        )
    named = "" if arguments.name == "embedded" else f" --name {arguments.name}"
    write(arguments.name, f"python benchmarks/embedded.py --adapter "
    f"{Path(arguments.adapter).name}{named}", results,
          ("llmner", "torch", "transformers", "peft"))  # fmt: skip


def keep(
    output: Path, version: str, corpus: list[Sentence], replies: dict[str, dict[str, Any]]
) -> None:
    """Write the predictions for one version, with the record of the run."""
    target = output.with_name(f"{output.stem}-{version}.jsonl")
    rows = ({**replies[sentence.text], "id": sentence.id} for sentence in corpus)
    target.write_bytes(b"".join(dump_json(row) + b"\n" for row in rows))
    record = output.with_name(f"{output.name}.run.json").read_bytes()
    target.with_name(f"{target.name}.run.json").write_bytes(record)


def measured(
    gold: list[Sentence], replies: dict[str, dict[str, Any]], recipe: Recipe
) -> dict[str, Any]:
    """Figures on one version or sample, and the F1 of the first ``find()`` on the same replies."""
    texts = [replies[sentence.text]["reply"] for sentence in gold]
    format = recipe.reply_format
    predictions = projected(gold, texts, format=format)
    (evaluation,) = evaluate_all(gold, [predictions])
    read = [read_reply(reply, recipe.schema_, format).mentions for reply in texts]
    first = [
        first_find(sentence.text, mentions) for sentence, mentions in zip(gold, read, strict=True)
    ]
    return {
        **figures(evaluation),
        "entities": evaluation.scores.gold_spans,
        "first_find_micro_f1": round(
            micro_f1([set(sentence.spans) for sentence in gold], first), 4
        ),
    }


if __name__ == "__main__":
    main()
