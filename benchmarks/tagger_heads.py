"""What a CRF adds to a head of characters on the states of Gemma 3 270M, and what epochs do.

    python benchmarks/tagger_heads.py

Both heads are trained on the same sentences of KLUE's training part, with the settings of the table
of models (``benchmarks/models.yaml``) and one seed, and judged on the 500 held-out sentences after
each epoch. ``chain`` is what ``--head characters`` is: a BiLSTM on characters with a CRF.
``characters`` scores each character alone; only sequences of tags that are valid count. KLUE's dev
part is not touched. Gemma 3 has no classification layer on tokens in transformers.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from _report import ROOT, klue, write

from llmner.baselines import EncoderConfig, encoder, train_baseline
from llmner.corpora import read_corpus
from llmner.corpora._held_out import split_held_out

HEADS = ("characters", "chain")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--held-out", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=HEADS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sentences = list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv")))
    train, held_out = split_held_out(sentences, arguments.held_out, 42)
    train = train[: arguments.sentences]
    write(
        "tagger_heads",
        "python benchmarks/tagger_heads.py",
        {
            "sentences": len(train),
            "held_out": len(held_out),
            "threads": arguments.threads,
            "epochs": {
                head: trained(head, train, held_out, arguments.epochs) for head in arguments.heads
            },
        },
        ("llmner", "torch", "transformers"),
    )


def trained(head: str, train: Any, held_out: Any, epochs: int) -> list[dict[str, Any]]:
    """What each epoch gave."""
    table = yaml.safe_load((ROOT / "benchmarks" / "models.yaml").read_text(encoding="utf-8"))
    options = next(entry["options"] for entry in table["models"] if entry.get("train") == "encoder")
    options["epochs"] = epochs
    make_task = encoder.make_task

    def alone(*given: Any) -> Any:
        """A head in which no tag depends on its neighbour: all moves are equally good, for good."""
        task = make_task(*given)
        for weights in task.network.head.chain.parameters():
            weights.requires_grad_(False).zero_()
        return task

    encoder.make_task = alone if head == "characters" else make_task
    try:
        with tempfile.TemporaryDirectory() as name:
            result = train_baseline(
                train,
                EncoderConfig(**options),
                Path(name),
                validation=held_out,
                report=lambda line: print(f"{head}: {line}", flush=True),
            )
    finally:
        encoder.make_task = make_task
    return [
        {"epoch": epoch.epoch, "loss": epoch.train_loss, "f1": epoch.f1, "seconds": epoch.seconds}
        for epoch in result.epochs
    ]


if __name__ == "__main__":
    main()
