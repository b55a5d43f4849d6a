"""Fine-tuning of any encoder of the Hub: BERT, RoBERTa, ELECTRA, DistilBERT, ... and of Gemma 3."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from llmner._checkpoints import last_checkpoint
from llmner.baselines._alignment import spans_of_tokens, token_tags
from llmner.baselines._encoder_tagger import (
    FILES,
    EncoderTagger,
    Window,
    config_fields,
    load_encoder,
    model_path,
)
from llmner.baselines._types import Epoch, Fields, Report, Trained, judge, learnt_labels, silent
from llmner.engines._denormals import denormals_flushed
from llmner.errors import InputError, MissingExtraError
from llmner.spans import Sentence, Span
from llmner.tagging import OUTSIDE, label_tags

__all__ = [
    "CHECKPOINTS",
    "FILES",
    "LOGS",
    "EncoderConfig",
    "EncoderTagger",
    "Window",
    "train_encoder",
]

CHECKPOINTS = "checkpoints"
LOGS = "runs"
# Label of tokens without a tag; losses ignore it.
_NO_TAG = -100
# Of the head of characters.
_HEAD_DROPOUT, _HEAD_FORGETS = 0.3, 0.2


class EncoderConfig(Fields):
    """The configuration of an encoder's fine-tuning. The defaults are those of KLUE's own baseline.

    These are in KLUE-baseline's ``run_all.sh`` (Park et al. 2021): three epochs, a learning rate of
    5e-5 that falls linearly, no warm-up, no weight decay, 510 tokens, and batches of 32.

    Attributes:
        model: Name on the Hub (``klue/bert-base``, ``klue/roberta-base``, ``bert-base-cased``,
            ``distilbert-base-cased``, ``roberta-base``, ...), a folder, or ``gemma-3-270m``.
        head: What is tagged. ``tokens`` is a classification layer on tokens, ``characters`` a
            BiLSTM-CRF on characters with the states of their tokens. ``auto`` is tokens, and
            characters for language models, which have no layer for tokens.
        epochs: The maximum number of epochs.
        patience: Training stops after this many epochs without a better held-out F1.
        batch_size: Windows a device takes at once.
        gradient_accumulation: Batches added up for one step.
        learning_rate: The highest learning rate.
        head_learning_rate: That of the head of characters, which begins at random.
        warmup: Share of the steps in which the learning rate rises.
        weight_decay: The weight decay of AdamW.
        max_grad_norm: Gradients are scaled down to this length (L2).
        dropout: Share of hidden states dropped in training; ``None`` for the model's own.
        precision: ``float32``, or mixed precision in ``bf16`` or ``fp16``.
        batching: ``length`` puts windows of similar lengths together, ``random`` does not.
        max_length: Longest window in tokens, including special ones. Longer sentences are cut into
            several windows.
        stride: Tokens that two neighbouring windows of a sentence share.
        freeze_encoder: Train only the classification layer, or the head.
        freeze_embeddings: Leave the vectors of tokens as they are; ``None`` to do so where they are
            more than half of the weights.
        hidden: Units of each direction of the head of characters.
        log_steps: Steps between two logged losses, besides the one of each epoch.
        save_steps: Steps between two checkpoints, besides the one at each epoch's end.
        trust_remote_code: Run Python code that comes with the model.
        seed: Seed of initial weights, order and dropout.

    >>> EncoderConfig(model="bert-base-cased").learning_rate
    5e-05
    """

    model: str = "klue/roberta-base"
    head: Literal["auto", "tokens", "characters"] = "auto"
    epochs: int = Field(default=3, ge=1)
    patience: int = Field(default=3, ge=1)
    batch_size: int = Field(default=32, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0)
    head_learning_rate: float = Field(default=1e-3, gt=0)
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
    hidden: int = Field(default=200, ge=1, le=1 << 14)
    log_steps: int | None = Field(default=None, ge=1)
    save_steps: int | None = Field(default=None, ge=1)
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

    A training that was interrupted goes on from its last checkpoint.

    Args:
        sentences: The training sentences.
        config: The configuration.
        folder: Where checkpoints and logs for TensorBoard are written.
        held_out: Sentences that choose the best epoch and stop the training early. Without them,
            the last epoch is kept.
        on_epoch: Called after each epoch.
        report: Called with a sentence about what is being done.

    Raises:
        InputError: There is no entity to learn, the tokenizer has no offsets, or the precision is
            not for this machine.
        GenerationError: The model cannot be loaded.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    say = report if report is not None else silent
    labels = learnt_labels(sentences)
    say(f"Loading {config.model}")
    _seed(config.seed)
    started = time.perf_counter()
    task = make_task(config, labels, sentences, say)
    import torch
    from transformers import TrainingArguments

    from llmner.baselines._encoder_trainer import EncoderTrainer, optimizer_for

    cuda = torch.cuda.is_available()
    if config.precision == "fp16" and not cuda:
        raise InputError("precision fp16 needs a CUDA device", hint="use bf16 or float32")
    _freeze(task.network, config)
    rows, notes = task.rows(sentences)
    for line in _warnings(notes, len(sentences)):
        say(line)
    held_rows = task.rows(held_out)[0]
    texts = [sentence.text for sentence in held_out]

    def figures() -> dict[str, float]:
        tagged = task.tagger.tag(texts)
        return dict(zip(("precision", "recall", "f1"), judge(held_out, tagged), strict=True))

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
            optimizer_for(task.network, args, head=task.head, head_rate=config.head_learning_rate),
            None,
        ),
    )
    if last is not None:
        say(f"Resuming from {last.name}")
    with denormals_flushed():
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    notes = {"base": config.model, **notes}
    return Trained(
        task.tagger,
        max(time.perf_counter() - started, trainer.seconds),
        tuple(trainer.epochs),
        trainer.best.epoch,
        notes=notes,
    )


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained, and how sentences become rows for it.

    Attributes:
        tagger: The tagger.
        network: All that has weights.
        head: A part of it that has a learning rate of its own.
        rows: The rows of sentences, and notes on what is cut or lost.
        collate: A batch of rows.
    """

    tagger: EncoderTagger
    network: Any
    head: Any
    rows: Callable[[Sequence[Sentence]], tuple[list[dict[str, Any]], dict[str, Any]]]
    collate: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]]


def make_task(
    config: EncoderConfig, labels: Sequence[str], sentences: Sequence[Sentence], say: Report
) -> Task:
    """The task of a configuration."""
    path = model_path(config.model, say)
    if _head(config, path) == "characters":
        return _task_of_characters(config, path, labels, sentences)
    tags = [OUTSIDE, *label_tags(labels)]
    model, tokenizer = load_encoder(
        path,
        tags,
        name=config.model,
        trust_remote_code=config.trust_remote_code,
        dropout=config.dropout,
    )
    from transformers import DataCollatorForTokenClassification

    tagger = EncoderTagger(model, tokenizer, max_length=config.max_length, stride=config.stride)
    return Task(
        tagger,
        model,
        None,
        partial(_rows, tagger),
        DataCollatorForTokenClassification(tokenizer),
    )


def _head(config: EncoderConfig, path: str) -> str:
    """Whether tokens or characters are tagged."""
    if config.head != "auto":
        return config.head
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    )

    fields = config_fields(path, trust_remote_code=config.trust_remote_code)
    kind, remote = fields.get("model_type"), fields.get("auto_map") or {}
    tokens = (
        kind is None
        or kind in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES
        or "AutoModelForTokenClassification" in remote
    )
    return "tokens" if tokens else "characters"


def _task_of_characters(
    config: EncoderConfig, path: str, labels: Sequence[str], sentences: Sequence[Sentence]
) -> Task:
    from llmner.baselines._character_tagger import (
        VIEWS,
        CharacterModel,
        CharacterTagger,
        collate,
        make_head,
        row_tags,
        window_views,
    )
    from llmner.baselines._network import vocabularies

    encoder, tokenizer = load_encoder(
        path,
        name=config.model,
        trust_remote_code=config.trust_remote_code,
        head="none",
        dropout=config.dropout,
    )
    tags = [OUTSIDE, *label_tags(labels, "bioes")]
    lengths: dict[str, Any] = {"max_length": config.max_length, "stride": config.stride}
    cutter = EncoderTagger(encoder, tokenizer, tags=tags, **lengths)
    vocabulary = vocabularies(
        values for sentence in sentences for *_, values in window_views(cutter, sentence.text)
    )
    vocabulary = {view: vocabulary.get(view, {}) for view in VIEWS}
    head = make_head(
        vocabulary,
        tags,
        hidden=config.hidden,
        states=encoder.config.get_text_config().hidden_size,
        dropout=_HEAD_DROPOUT if config.dropout is None else config.dropout,
        forget=_HEAD_FORGETS,
    )
    network = CharacterModel(encoder, head)
    tagger = CharacterTagger(network, tokenizer, tags, vocabulary, **lengths)
    numbers = {tag: number for number, tag in enumerate(tags)}

    def rows(given: Sequence[Sentence]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        made: list[dict[str, Any]] = []
        cut = 0
        for sentence in given:
            of_sentence = tagger.rows(sentence.text)
            cut += len(of_sentence) > 1
            made += [
                row.to_dict() | {"labels": row_tags(sentence, row.places, numbers)}
                for row in of_sentence
            ]
        return made, {"windowed_sentences": cut}

    pad = tokenizer.pad_token_id or 0
    return Task(tagger, network, head, rows, partial(collate, pad=pad))


def _freeze(network: Any, config: EncoderConfig) -> None:
    """Keep the weights from learning that are to stay as they are."""
    encoder = network.base_model
    if config.freeze_encoder:
        for weights in encoder.parameters():
            weights.requires_grad = False
    vectors = encoder.get_input_embeddings().weight
    share = vectors.numel() / sum(weights.numel() for weights in encoder.parameters())
    frozen = config.freeze_embeddings
    if share > 0.5 if frozen is None else frozen:
        vectors.requires_grad = False


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
    if lost := notes.get("entities_lost_to_tokens"):
        yield (
            f"{lost} of {notes['entities']} entities begin or end inside a token: with this "
            "tokenizer, no model can find them"
        )


def _seed(seed: int) -> None:
    # On a CPU it warns of a kernel that is not needed.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        from transformers import set_seed
    except ImportError:
        raise MissingExtraError("baselines", "an encoder") from None
    set_seed(seed)
