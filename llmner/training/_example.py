"""One training row as the trainer sees it, for ``--show-example``: which tokens are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
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
    """Neighbouring tokens of the same kind.

    >>> ExamplePart("PS: Anna</s>", tokens=5, kind="learnt").kind
    'learnt'

    Attributes:
        text: The tokens as text, special tokens included.
        tokens: How many tokens they are.
        kind: ``learnt``, ``masked``, or ``padding``.
    """

    text: str
    tokens: int
    kind: str


def example_row(config: TrainingConfig) -> list[ExamplePart]:
    """The first row of the first batch, from the trainer's own data loader.

    >>> [part.kind for part in example_row(TrainingConfig())]  # doctest: +SKIP
    ['masked', 'learnt', 'padding']

    Raises:
        InputError: The corpus, the recipe or the configuration cannot be used.
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
    # Packed batches have no mask, since nothing is padded.
    attended = batch["attention_mask"][0].tolist() if "attention_mask" in batch else [1] * len(ids)
    return _parts(prepared.tokenizer, ids, batch["labels"][0].tolist(), attended)


def _parts(
    tokenizer: Any, ids: Sequence[int], labels: Sequence[int], attended: Sequence[int]
) -> list[ExamplePart]:
    parts: list[ExamplePart] = []
    kinds = [
        "padding" if not mask else "masked" if label == IGNORED else "learnt"
        for label, mask in zip(labels, attended, strict=True)
    ]
    for kind, group in groupby(zip(kinds, ids, strict=True), key=itemgetter(0)):
        tokens = [token for _, token in group]
        parts.append(ExamplePart(tokenizer.decode(tokens), len(tokens), kind))
    return parts
