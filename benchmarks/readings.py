"""Compares one reading of the sentence in a question with two, on the whole training part.

    python benchmarks/readings.py

Trains the embedded model as the packaged adapter was trained, once with ``klue-mini``, which has
the sentence twice, and once with ``klue-once.yaml``; with two seeds, each of which holds out other
thousand sentences. The F1 is that of all held-out sentences after the last epoch, answered freely.
A run takes five minutes on a GPU that four share, and two hours on two cores. Finished runs under
``build/readings/`` are not repeated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from _report import ROOT, klue, write

from llmner.engines._processor import processor_name
from llmner.training import parse_config, train

RECIPES = {"two": "klue-mini", "one": str(ROOT / "benchmarks" / "klue-once.yaml")}
SEEDS = (42, 43)
DEVICE = "device.txt"


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    results: dict[str, Any] = {}
    for seed in SEEDS:
        for name, recipe in RECIPES.items():
            folder = ROOT / "build" / "readings" / f"{name}-{seed}"
            if not (folder / "training.json").exists():
                trained(recipe, seed, folder)
            record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
            results[f"{name}, seed {seed}"] = {
                "held_out": record["sentences"]["held_out"],
                **{key: round(record["best"][key], 4) for key in ("f1", "loss")},
                "f1_by_epoch": [round(epoch["f1"], 4) for epoch in record["epochs"]],
                "seconds": record["seconds"],
                "device": (folder / DEVICE).read_text(encoding="utf-8").strip(),
                "torch": record["versions"]["torch"],
            }
    write("readings", "python benchmarks/readings.py", results,
          ("llmner", "transformers", "peft", "trl"))  # fmt: skip


def trained(recipe: str, seed: int, folder: Path) -> None:
    import torch

    train(
        parse_config(
            [
                "--config", str(ROOT / "scripts" / "configs" / "gemma-3-270m-cpu.yaml"),
                "--train", str(klue("klue-ner-v1.1_train_mini.tsv")),
                "--recipe", recipe, "--seed", str(seed), "--held-out", "1000",
                "--eval-sentences", "null", "--eval-batch-size", "256", "--output", str(folder),
            ]
        ),
        report=print,
    )  # fmt: skip
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name()
    (folder / DEVICE).write_text(device + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
