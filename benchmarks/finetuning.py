"""Compares training settings of a small model: reply formats, questions, ranks, learning rates.

    python benchmarks/finetuning.py [--only rank tagged ...] [--sentences 1000] [--held-out 200]

Each setting is one run of ``llmner train`` on the embedded model. All runs have the same number of
KLUE's training sentences and are evaluated on the same held-out ones; KLUE dev is not used. Runs
are kept under ``build/finetuning/``. Finished ones are not repeated, and an interrupted one
continues. A setting takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from _report import ROOT, klue, write

from llmner.errors import InputError
from llmner.training import parse_config, train

RUNS = ROOT / "build" / "finetuning"
CONFIG = ROOT / "scripts" / "configs" / "gemma-3-270m-cpu.yaml"
ONCE = ROOT / "benchmarks" / "klue-once.yaml"

# Groups of settings: the name of each, and what differs from the shipped configuration.
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "formats": {
        format: {"reply_format": format}
        for format in ("pairs", "json-by-type", "lines", "json-list", "tagged")
    },
    "question": {"sentence once": {"recipe": ONCE}},
    "rank": {f"rank {rank}": {"lora_rank": rank, "lora_alpha": 2 * rank} for rank in (8, 16)},
    "rate": {f"learning rate {rate}": {"learning_rate": rate} for rate in ("2e-4", "1e-3")},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*SETTINGS, *(name for settings in SETTINGS.values() for name in settings)]
    parser.add_argument(
        "--only", nargs="+", choices=names, default=list(SETTINGS), metavar="NAME", help=str(names)
    )
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--held-out", type=int, default=200)
    arguments = parser.parse_args()
    rows: dict[str, Any] = {}
    for group, settings in SETTINGS.items():
        for name, changed in settings.items():
            folder = RUNS / f"{name.replace(' ', '-')}-{arguments.sentences}"
            if not (folder / "training.json").exists():
                if not {group, name} & set(arguments.only):
                    continue
                learn(changed, arguments.sentences, arguments.held_out, folder)
            record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
            rows[name] = {
                "differs": {key: getattr(value, "name", value) for key, value in changed.items()},
                **{
                    key: record["epochs"][-1][key]
                    for key in ("eval_loss", "precision", "recall", "f1")
                },
                "seconds": record["seconds"],
                "sentences": record["sentences"],
            }
            print(name, rows[name], flush=True)
    packages = ("llmner", "torch", "transformers", "peft", "trl")
    size = f"--sentences {arguments.sentences} --held-out {arguments.held_out}"
    write("finetuning", f"python benchmarks/finetuning.py {size}", rows, packages)


def learn(changed: dict[str, Any], sentences: int, held_out: int, folder: Any) -> None:
    options = {
        "train": klue("klue-ner-v1.1_train_mini.tsv"),
        "train_limit": sentences + held_out,
        "held_out": held_out,
        "eval_sentences": held_out,
        "epochs": 1,
        "output": folder,
        **changed,
    }
    config = parse_config(
        ["--config", str(CONFIG), *(f"--{key}={value}" for key, value in options.items())]
    )
    try:
        train(config, report=print)
    except InputError as error:
        raise SystemExit(f"{folder.name}: {error}") from None


if __name__ == "__main__":
    main()
