"""An adapter's folder as a training run leaves it, without a training run."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import yaml

from llmner.recipes import Recipe

SETTINGS: dict[str, Any] = {
    "model": "gemma-3-270m",
    "quantization": "none",
    "lora_rank": 16,
    "lora_alpha": 32,
    "lora_targets": ["q_proj", "v_proj"],
    "train": "/home/someone/data/klue-ner-v1.1_train.tsv",
    "held_out": 0.1,
    "recipe": "klue",
    "reply_format": None,
    "epochs": 2.0,
    "learning_rate": 0.0002,
    "gradient_checkpointing": False,
    "seed": 42,
    "output": "/home/someone/build/adapter",
}
RECORD: dict[str, Any] = {
    "llmner": "0.1.0",
    "versions": {"python": "3.11.9", "peft": "0.21.2"},
    "model": "gemma-3-270m",
    "parameters": {"trained": 3_796_992, "all": 271_895_168, "share": 0.01396, "modules": 126},
    "sentences": {"train": 90, "held_out": 10, "answered": 8, "over_long": 0},
    "epochs": [
        {"epoch": 1, "step": 12, "train_loss": 1.25, "eval_loss": 0.75, "precision": 0.5, "recall": 0.25, "f1": 1 / 3, "seconds": 61.4},
        {"epoch": 2, "step": 24, "train_loss": 0.5, "eval_loss": None, "precision": None, "recall": None, "f1": None, "seconds": 60.0},
    ],
    "best": {"step": 12, "f1": 1 / 3},
    "seconds": 121.4,
}  # fmt: skip


def weights(
    names: tuple[str, ...] = ("base_model.model.q_proj.lora_A.weight",), **about: str
) -> bytes:
    """A safetensors file of 4,096 bytes a tensor."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **about}}
    for at, name in enumerate(names):
        header[name] = {
            "dtype": "F32",
            "shape": [1024],
            "data_offsets": [4096 * at, 4096 * (at + 1)],
        }
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + bytes(range(256)) * (16 * len(names))


def evaluation(
    adapter: str | None = "build/adapter", corpus: str = "klue-ner-v1.1_dev.tsv", **more: Any
) -> dict[str, Any]:
    """What ``llmner evaluate --json`` prints, as far as a card reads it."""
    return {
        "sentences": 5000,
        "gold_spans": 13000,
        "micro": {"precision": 0.85, "recall": 0.87, "f1": 0.859876},
        "strict": {"precision": 0.85, "recall": 0.87, "f1": 0.8590},
        "klue": {"entity_f1": 0.8412, "char_f1": 0.9011},
        "intervals": {"micro.f1": [0.8511, 0.8688], "klue.entity_f1": [0.83, 0.8522]},
        "signature": {
            "metric": "seqeval micro",
            "corpus": {"name": corpus, "sentences": 5000, "sha256": "f8a508177b31", "nfkc": True},
            "engine": "transformers",
            "model": "gemma-3-270m",
            "adapter": adapter,
            "interval": "bootstrap 95%, n=1000, seed=42",
        },
        **more,
    }


def adapter_folder(folder: Path, base: str = "google/gemma-3-270m", **changes: Any) -> Path:
    """Write such a folder.

    A keyword is a file's stem (``record`` for ``training.json``), its value what to write there,
    ``None`` for no file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, Any] = {
        "adapter_model.safetensors": weights(),
        "adapter_config.json": {"base_model_name_or_path": base, "peft_type": "LORA", "r": 16, "task_type": "CAUSAL_LM"},
        "tokenizer.json": {"version": "1.0"},
        "tokenizer_config.json": {"model_max_length": 2048, "eos_token": "/s"},
        "chat_template.jinja": "{{ messages }}",
        "recipe.yaml": Recipe.load("klue").to_yaml(),
        "training.yaml": yaml.safe_dump(SETTINGS, sort_keys=False),
        "training.json": RECORD,
        "curves.png": b"\x89PNG\r\n\x1a\n curves",
        "README.md": "# the run's own card\n",
    }  # fmt: skip
    for name in list(contents):
        stem = "record" if name == "training.json" else name.partition(".")[0]
        if stem in changes:
            contents[name] = changes.pop(stem)
    assert not changes
    for name, value in contents.items():
        if value is not None:
            write(folder / name, value)
    return folder


def write(path: Path, value: Any) -> Path:
    """Bytes and text as they are, anything else as JSON."""
    if isinstance(value, str):
        value = value.encode()
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value, indent=2).encode())
    return path
