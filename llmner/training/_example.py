"""One training row as the trainer sees it, for ``--show-example``: which tokens are learnt, which
are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from llmner.training._config import TrainingConfig
from llmner.training._prepared import prepare
from llmner.training._rows import IGNORED
from llmner.training._run import trainer_builder

__all__ = ["ExamplePart", "example_row"]


@dataclass(frozen=True, slots=True)
class ExamplePart:
    """Neighbouring tokens of one kind.

    Attributes:
        text: What they say, special tokens spelled out.
        tokens: How many they are.
        kind: ``learnt``, ``masked``, or ``padding``.
    """

    text: str
    tokens: int
    kind: str


def example_row(config: TrainingConfig) -> list[ExamplePart]:
    """The first row of the first batch, taken from the trainer's own loader.

    Raises:
        InputError: Bad input.
        GenerationError: The model cannot be loaded.
        MissingExtraError: The ``train`` extra is not installed.
    """
    build = trainer_builder()
    prepared = prepare(config)
    with TemporaryDirectory() as folder:
        trainer = build(
            config,
            prepared,
            logs=Path(folder) / "runs",
            checkpoints=Path(folder),
        )
        batch = next(iter(trainer.get_train_dataloader()))
    ids = batch["input_ids"][0].tolist()
    # Packed batches have no mask: nothing is padded.
    seen = batch["attention_mask"][0].tolist() if "attention_mask" in batch else [1] * len(ids)
    return _parts(prepared.tokenizer, ids, batch["labels"][0].tolist(), seen)


def _parts(
    tokenizer: Any, ids: Sequence[int], labels: Sequence[int], seen: Sequence[int]
) -> list[ExamplePart]:
    parts: list[ExamplePart] = []
    run: list[int] = []
    kinds = [
        "padding" if not attended else "masked" if label == IGNORED else "learnt"
        for label, attended in zip(labels, seen, strict=True)
    ]
    for at, (token, kind) in enumerate(zip(ids, kinds, strict=True)):
        run.append(token)
        if at + 1 == len(ids) or kinds[at + 1] != kind:
            parts.append(ExamplePart(tokenizer.decode(run), len(run), kind))
            run = []
    return parts
