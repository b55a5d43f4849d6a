"""Fine-tuning of encoders, whatever they are trained to give: a task, and transformers' trainer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from llmner._checkpoints import last_checkpoint
from llmner.baselines._types import Baseline, Epoch, Fields, Report, Trained, silent
from llmner.engines._denormals import denormals_flushed
from llmner.errors import InputError, MissingExtraError
from llmner.spans import Sentence

__all__ = ["CHECKPOINTS", "LOGS", "FineTuningConfig", "FineTuningTask", "fine_tune"]

CHECKPOINTS = "checkpoints"
LOGS = "runs"


class FineTuningConfig(Fields):
    """What the fine-tuning of every encoder is configured by.

    Attributes:
        model: Name on the Hub (``klue/bert-base``, ``klue/roberta-base``, ``bert-base-cased``,
            ``distilbert-base-cased``, ``roberta-base``, ...), a folder, or ``gemma-3-270m``.
        epochs: The maximum number of epochs.
        patience: Training stops after this many epochs without a better held-out F1.
        batch_size: Windows a device takes at once.
        gradient_accumulation: Batches added up for one step.
        learning_rate: The highest learning rate.
        warmup: Share of the steps in which the learning rate rises.
        weight_decay: The weight decay of AdamW.
        max_grad_norm: Gradients are scaled down to this length (L2).
        dropout: Share of hidden states dropped in training; ``None`` for the model's own.
        precision: ``float32``, or mixed precision in ``bf16`` or ``fp16``.
        batching: ``length`` puts windows of similar lengths together, ``random`` does not.
        max_length: Longest window in tokens, including special ones. Longer texts are cut into
            several windows.
        stride: Tokens that two neighbouring windows of a text share.
        freeze_encoder: Train only the classification layer, or the head.
        freeze_embeddings: Leave the vectors of tokens as they are; ``None`` to do so where they are
            more than half of the weights.
        log_steps: Steps between two logged losses, besides the one of each epoch.
        save_steps: Steps between two checkpoints, besides the one at each epoch's end.
        trust_remote_code: Run Python code that comes with the model.
        seed: Seed of initial weights, order and dropout.
    """

    model: str = "klue/roberta-base"
    epochs: int = Field(default=3, ge=1)
    patience: int = Field(default=3, ge=1)
    batch_size: int = Field(default=32, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0)
    warmup: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    batching: Literal["random", "length"] = "random"
    max_length: int = Field(default=510, ge=8)
    stride: int = Field(default=64, ge=0)
    freeze_encoder: bool = False
    freeze_embeddings: bool | None = None
    log_steps: int | None = Field(default=None, ge=1)
    save_steps: int | None = Field(default=None, ge=1)
    trust_remote_code: bool = False
    seed: int = Field(default=42, ge=0)


@dataclass(frozen=True, slots=True)
class FineTuningTask:
    """What is trained, and how sentences become rows for it.

    Attributes:
        baseline: The tagger or classifier with the weights that are trained.
        network: All that has weights.
        models: Its encoders, models of transformers.
        rows: The rows of sentences, and notes on what is cut or lost.
        collate: A batch of rows.
        judge: Micro precision, recall and F1 on sentences.
        warnings: What the notes of so many training sentences say to the user.
        head: A part of the network that has a learning rate of its own.
        head_learning_rate: The highest of it.
    """

    baseline: Baseline
    network: Any
    models: Sequence[Any]
    rows: Callable[[Sequence[Sentence]], tuple[list[dict[str, Any]], dict[str, Any]]]
    collate: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]]
    judge: Callable[[Sequence[Sentence]], tuple[float, float, float]]
    warnings: Callable[[Mapping[str, Any], int], Iterable[str]]
    head: Any = None
    head_learning_rate: float | None = None


def fine_tune(
    make_task: Callable[[Report], FineTuningTask],
    sentences: Sequence[Sentence],
    config: FineTuningConfig,
    folder: Path,
    *,
    held_out: Sequence[Sentence] = (),
    on_epoch: Callable[[Epoch], None] | None = None,
    report: Report | None = None,
) -> Trained:
    """Fine-tune an encoder; with held-out sentences the epoch with the best F1 on them is kept.

    A training that was interrupted goes on from its last checkpoint.

    Args:
        make_task: Makes what is trained, after the seed is set; it is given the report.
        sentences: The training sentences.
        config: The configuration.
        folder: Where checkpoints and logs for TensorBoard are written.
        held_out: Sentences that choose the best epoch and stop the training early. Without them,
            the last epoch is kept.
        on_epoch: Called after each epoch.
        report: Called with a sentence about what is being done.

    Raises:
        InputError: The precision is not for this machine.
        GenerationError: The model cannot be loaded.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    say = report if report is not None else silent
    say(f"Loading {config.model}")
    _seed(config.seed)
    started = time.perf_counter()
    task = make_task(say)
    import torch
    from transformers import TrainingArguments

    from llmner.baselines._encoder_trainer import EncoderTrainer, optimizer_for

    cuda = torch.cuda.is_available()
    if config.precision == "fp16" and not cuda:
        raise InputError("precision fp16 needs a CUDA device", hint="use bf16 or float32")
    for model in task.models:
        _freeze(model, config)
    rows, notes = task.rows(sentences)
    for line in task.warnings(notes, len(sentences)):
        say(line)
    held_rows = task.rows(held_out)[0]

    def figures() -> dict[str, float]:
        return dict(zip(("precision", "recall", "f1"), task.judge(held_out), strict=True))

    last = last_checkpoint(folder / CHECKPOINTS)
    args = TrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        lr_scheduler_type="linear",
        bf16=config.precision == "bf16",
        fp16=config.precision == "fp16",
        train_sampling_strategy="group_by_length" if config.batching == "length" else "random",
        remove_unused_columns=False,
        logging_strategy="epoch",
        eval_strategy="epoch" if held_rows else "no",
        eval_on_start=bool(held_rows) and last is None,
        prediction_loss_only=True,
        label_names=["labels"],
        save_strategy="epoch",
        save_total_limit=1,
        seed=config.seed,
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        report_to=[],
        disable_tqdm=True,
    )
    trainer = EncoderTrainer(
        judge=figures if held_rows else None,
        on_epoch=on_epoch,
        patience=config.patience,
        log_steps=config.log_steps,
        save_steps=config.save_steps,
        logs=folder / LOGS,
        model=task.network,
        args=args,
        data_collator=task.collate,
        train_dataset=rows,
        eval_dataset=held_rows or None,
        optimizers=(
            optimizer_for(task.network, args, head=task.head, head_rate=task.head_learning_rate),
            None,
        ),
    )
    if last is not None:
        say(f"Resuming from {last.name}")
    with denormals_flushed():
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    return Trained(
        task.baseline,
        max(time.perf_counter() - started, trainer.seconds),
        tuple(trainer.epochs),
        trainer.best.epoch,
        notes={"base": config.model, **notes},
    )


def _freeze(model: Any, config: FineTuningConfig) -> None:
    """Keep the weights from learning that are to stay as they are."""
    encoder = model.base_model
    if config.freeze_encoder:
        for weights in encoder.parameters():
            weights.requires_grad = False
    vectors = encoder.get_input_embeddings().weight
    share = vectors.numel() / sum(weights.numel() for weights in encoder.parameters())
    frozen = config.freeze_embeddings
    if share > 0.5 if frozen is None else frozen:
        vectors.requires_grad = False


def _seed(seed: int) -> None:
    # On a CPU it warns of a kernel that is not needed.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        from transformers import set_seed
    except ImportError:
        raise MissingExtraError("baselines", "an encoder") from None
    set_seed(seed)
