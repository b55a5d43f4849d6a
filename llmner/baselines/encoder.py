"""Token classification with any encoder of the Hub: BERT, RoBERTa, ELECTRA, DistilBERT, ..."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from llmner.baselines._alignment import spans_of_tokens, token_tags
from llmner.baselines._encoder_tagger import FILES, EncoderTagger, Window, load_encoder
from llmner.baselines._types import BestEpoch, Epoch, Fields, Trained, judge, learnt_labels
from llmner.engines._denormals import denormals_flushed
from llmner.errors import MissingExtraError
from llmner.spans import Sentence, Span
from llmner.tagging import OUTSIDE, label_tags

__all__ = ["FILES", "EncoderConfig", "EncoderTagger", "Window", "train_encoder"]

# Label of tokens without a tag; losses ignore it.
_NO_TAG = -100


class EncoderConfig(Fields):
    """The configuration of an encoder's fine-tuning. The defaults are those of KLUE's own baseline.

    These are in KLUE-baseline's ``run_all.sh`` (Park et al. 2021): three epochs, a learning rate of
    5e-5 that falls linearly, no warm-up, no weight decay, 510 tokens, and batches of 32.

    Attributes:
        model: Name on the Hub (``klue/bert-base``, ``klue/roberta-base``, ``bert-base-cased``,
            ``distilbert-base-cased``, ``roberta-base``, ...) or a folder.
        epochs: The maximum number of epochs.
        patience: Training stops after this many epochs without a better held-out F1.
        batch_size: Windows per step.
        learning_rate: The highest learning rate.
        warmup: Share of the steps in which the learning rate rises.
        weight_decay: The weight decay of AdamW.
        max_length: Longest window in tokens, including special ones. Longer sentences are cut into
            several windows.
        stride: Tokens that two neighbouring windows of a sentence share.
        freeze_encoder: Train only the classification layer.
        trust_remote_code: Run Python code that comes with the model.
        seed: Seed of initial weights, order and dropout.

    >>> EncoderConfig(model="bert-base-cased").learning_rate
    5e-05
    """

    model: str = "klue/roberta-base"
    epochs: int = Field(default=3, ge=1)
    patience: int = Field(default=3, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0)
    warmup: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_length: int = Field(default=510, ge=8)
    stride: int = Field(default=64, ge=0)
    freeze_encoder: bool = False
    trust_remote_code: bool = False
    seed: int = Field(default=42, ge=0)


def train_encoder(
    sentences: Sequence[Sentence],
    config: EncoderConfig,
    folder: Path,
    *,
    held_out: Sequence[Sentence] = (),
    on_epoch: Callable[[Epoch], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> Trained:
    """Fine-tune an encoder; with held-out sentences the epoch with the best F1 on them is kept.

    Args:
        sentences: The training sentences.
        config: The configuration.
        folder: Not used, because the model is in memory until it is saved.
        held_out: Sentences that choose the best epoch and stop the training early. Without them,
            the last epoch is kept.
        on_epoch: Called after each epoch.
        report: Called with a sentence about what is being done.

    Raises:
        InputError: There is no entity to learn, or the tokenizer has no offsets.
        GenerationError: The model cannot be loaded.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    labels = learnt_labels(sentences)
    tags = [OUTSIDE, *label_tags(labels)]
    if report is not None:
        report(f"Loading {config.model}")
    _seed(config.seed)
    model, tokenizer = load_encoder(config.model, tags, trust_remote_code=config.trust_remote_code)
    started = time.perf_counter()
    import torch
    from transformers import (
        DataCollatorForTokenClassification,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )
    from transformers.trainer_callback import PrinterCallback

    if config.freeze_encoder:
        for weights in model.base_model.parameters():
            weights.requires_grad = False
    tagger = EncoderTagger(model, tokenizer, max_length=config.max_length, stride=config.stride)
    rows, notes = _rows(tagger, sentences)
    if report is not None:
        for line in _warnings(notes, len(sentences)):
            report(line)
    held_rows = _rows(tagger, held_out)[0]
    texts = [sentence.text for sentence in held_out]
    epochs: list[Epoch] = []

    class _Table(TrainerCallback):  # type: ignore[misc]
        """Collects the epochs, and keeps the weights of the best one.

        The first log entry of an epoch has its loss, the second one its held-out figures.
        """

        epoch_started = time.perf_counter()
        loss: float | None = None

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any
        ) -> None:
            logs = logs or {}
            self.loss = logs.get("loss", self.loss)
            if ("eval_loss" if held_out else "loss") not in logs:
                return
            now = time.perf_counter()
            figures = {key: logs.get(f"eval_{key}") for key in ("precision", "recall", "f1")}
            epoch = Epoch(round(state.epoch), self.loss, logs.get("eval_loss"), **figures)
            epochs.append(replace(epoch, seconds=round(now - self.epoch_started, 1)))
            self.epoch_started = now
            best.update(epochs[-1], model)
            if best.should_stop(epochs[-1]):
                control.should_training_stop = True
            if on_epoch is not None:
                on_epoch(epochs[-1])

    def figures(_: Any) -> dict[str, float]:
        """Figures of spans of characters; those of subwords would depend on the tokenizer."""
        return dict(
            zip(("precision", "recall", "f1"), judge(held_out, tagger.tag(texts)), strict=True)
        )

    best = BestEpoch(config.patience)
    work = tempfile.TemporaryDirectory(prefix="llmner-")
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir=work.name,
            num_train_epochs=config.epochs,
            per_device_train_batch_size=config.batch_size,
            per_device_eval_batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            warmup_steps=config.warmup,
            weight_decay=config.weight_decay,
            lr_scheduler_type="linear",
            logging_strategy="epoch",
            eval_strategy="epoch" if held_out else "no",
            # The best weights are kept in memory, because transformers does not load checkpoints of
            # older models completely.
            save_strategy="no",
            seed=config.seed,
            dataloader_pin_memory=torch.cuda.is_available(),
            report_to=[],
            disable_tqdm=True,
        ),
        data_collator=DataCollatorForTokenClassification(tokenizer),
        train_dataset=rows,
        eval_dataset=held_rows or None,
        compute_metrics=figures if held_out else None,
        callbacks=[_Table()],
    )
    trainer.remove_callback(PrinterCallback)
    with work, denormals_flushed():
        trainer.train()
    best.restore(model)
    notes = {"base": config.model, **notes}
    return Trained(tagger, time.perf_counter() - started, tuple(epochs), best.epoch, notes)


def _rows(
    tagger: EncoderTagger, sentences: Sequence[Sentence]
) -> tuple[list[dict[str, list[int]]], dict[str, Any]]:
    """The training rows of sentences, and notes on what is cut or lost."""
    tag_numbers = {tag: number for number, tag in enumerate(tagger.tags)}
    rows: list[dict[str, list[int]]] = []
    cut = lost = entities = 0
    for sentence in sentences:
        windows = tagger.windows(sentence.text)
        cut += len(windows) > 1
        remaining: set[Span] = set()
        for window in windows:
            tags = token_tags(sentence, window.offsets)
            remaining.update(spans_of_tokens(sentence.text, window.offsets, tags))
            # The model has no tags for labels that only held-out sentences have.
            labels = [_NO_TAG if tag is None else tag_numbers.get(tag, _NO_TAG) for tag in tags]
            rows.append(
                {"input_ids": window.ids, "attention_mask": [1] * len(labels), "labels": labels}
            )
        entities += len(sentence.spans)
        lost += sum(span not in remaining for span in sentence.spans)
    return rows, {"windowed_sentences": cut, "entities": entities, "entities_lost_to_tokens": lost}


def _warnings(notes: Mapping[str, Any], sentences: int) -> Iterator[str]:
    if cut := notes["windowed_sentences"]:
        yield (
            f"{cut} of {sentences} sentences are too long for the model, and are cut into several "
            "windows"
        )
    if lost := notes["entities_lost_to_tokens"]:
        yield (
            f"{lost} of {notes['entities']} entities begin or end inside a token: with this "
            "tokenizer, no model can find them"
        )


def _seed(seed: int) -> None:
    try:
        from transformers import set_seed
    except ImportError:
        raise MissingExtraError("baselines", "an encoder") from None
    set_seed(seed)
