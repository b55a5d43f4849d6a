"""Token classification with any encoder of the Hub: BERT, RoBERTa, ELECTRA, DistilBERT, ..."""

from __future__ import annotations

import logging
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from llmner._mishaps import Mishap, attempt
from llmner._numbers import is_whole
from llmner.baselines._alignment import spans_of_tokens, token_tags
from llmner.baselines._types import (
    BestEpoch,
    Epoch,
    Fields,
    Trained,
    baseline_config,
    judge,
    learnt_labels,
)
from llmner.engines._denormals import denormals_flushed
from llmner.engines._loading import load_pretrained
from llmner.engines._model_files import check_finite
from llmner.errors import GenerationError, InputError, MissingExtraError
from llmner.spans import Sentence, Span
from llmner.tagging import OUTSIDE, is_tag, label_tags, labels_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["EncoderConfig", "EncoderTagger", "Window", "train_encoder"]

TOKENIZER_FILES = ("special_tokens_map.json", "tokenizer_config.json", "vocab.txt")
FILES = ("model.safetensors", "config.json", "tokenizer.json", *TOKENIZER_FILES)
"""Names of the files that :meth:`EncoderTagger.save` may write; old models lack some."""
# Label of tokens that have none; losses pass over it.
_NO_TAG = -100
_TOGETHER = 32
_SURROGATE = re.compile("[\ud800-\udfff]")


class EncoderConfig(Fields):
    """How an encoder is fine-tuned. The defaults are those of KLUE's own baseline for NER.

    KLUE-baseline's ``run_all.sh`` (Park et al. 2021): three epochs at 5e-5 falling linearly, no
    warm-up, no weight decay, 510 tokens. Its batches hold 32.

    Attributes:
        model: Name on the Hub (``klue/bert-base``, ``klue/roberta-base``, ``bert-base-cased``,
            ``distilbert-base-cased``, ``roberta-base``, ...) or a folder.
        epochs: Passes over the sentences at the most.
        patience: Epochs without a better F1 on held-out sentences after which training stops.
        batch_size: Windows a step.
        learning_rate: Its highest value.
        warmup: Share of the steps in which it rises.
        weight_decay: AdamW's.
        max_length: Longest window, in tokens, special ones included; longer sentences become
            several.
        stride: Tokens that two windows of a sentence share.
        freeze_encoder: Train the classification layer alone.
        trust_remote_code: Run Python code that comes with the model.
        seed: Of initial weights, order and dropout.
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


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a text's tokens that fits into the model.

    Attributes:
        ids: Numbers of the tokens, special ones included.
        offsets: (start, end) of each in the text, in code points; (0, 0) of special ones.
        own: Places of those that are not special.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    own: list[int]


class EncoderTagger:
    """A fine-tuned encoder.

    Args:
        model: A model for token classification, whose ``id2label`` are IOB2 tags.
        tokenizer: Its tokenizer, a fast one.
        max_length: Longest window, in tokens.
        stride: Tokens that two windows share.

    Raises:
        InputError: The tokenizer gives no offsets.
    """

    kind: ClassVar[str] = "encoder"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        max_length: int = 510,
        stride: int = 64,
    ) -> None:
        if not tokenizer.is_fast:
            raise InputError(
                "the tokenizer gives no offsets", hint="use a model that has a tokenizer.json"
            )
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = _longest(model, tokenizer, max_length)
        self.stride = min(stride, self.max_length // 4)
        self.tags = [
            str(model.config.id2label[number]) for number in range(model.config.num_labels)
        ]
        self.labels = labels_of(self.tags)

    @classmethod
    def load(
        cls,
        folder: Path,
        record: Mapping[str, Any],
        *,
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> EncoderTagger:
        """The encoder in a folder that :meth:`save` wrote to.

        Args:
            folder: The folder.
            record: What its ``baseline.json`` says.
            device: ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda:0"``, ...
            trust_remote_code: Run Python code that comes with the model.

        Raises:
            InputError: A file is missing or broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        config = baseline_config(record, folder, max_length=(8, 1 << 20), stride=(0, 1 << 20))
        try:
            model, tokenizer = _load(str(folder), trust_remote_code=trust_remote_code)
        except GenerationError as error:
            raise InputError(str(error), path=folder, hint="train it again") from None
        for path in sorted(folder.glob("model*.safetensors")):
            check_finite(path)
        import torch

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model.to(device)
        except (RuntimeError, AssertionError) as error:
            why = str(error).strip().splitlines()[0]
            raise InputError(
                f"device {device!r} cannot be used ({why})", hint="expected cpu, cuda, cuda:1"
            ) from None
        made = attempt(cls, model, tokenizer, **{key: int(value) for key, value in config.items()})
        # Its tokenizer may know tokens that the model does not, or the model labels that are no
        # tags.
        asked = made if isinstance(made, Mishap) else attempt(made.tag, ["."])
        if (
            isinstance(made, Mishap)
            or isinstance(asked, Mishap)
            or not all(is_tag(tag, "iob2") for tag in made.tags)
        ):
            why = f" ({asked})" if isinstance(asked, Mishap) else ""
            raise InputError(
                f"cannot be loaded: its files are not of one tagger{why}",
                path=folder,
                hint="train it again",
            )
        return made

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer into a folder."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def parameters(self) -> int:
        """Weights of the encoder and the classification layer, frozen ones included."""
        return sum(held.numel() for held in self.model.parameters())

    def windows(self, text: str) -> list[Window]:
        """A text's tokens, in windows that share ``stride`` tokens; one where it fits."""
        # Half a pair is no character to a tokenizer; what takes its place is as long.
        encoded = self.tokenizer(
            _SURROGATE.sub("\ufffd", text),
            truncation=True,
            max_length=self.max_length,
            stride=self.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        columns = (encoded[key] for key in ("input_ids", "offset_mapping", "special_tokens_mask"))
        return [
            Window(
                list(ids),
                [
                    (0, 0) if special else (start, end)
                    for (start, end), special in zip(offsets, mask, strict=True)
                ],
                [at for at, special in enumerate(mask) if not special],
            )
            for ids, offsets, mask in zip(*columns, strict=True)
        ]

    def tag(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """Spans of each text; one that does not fit into the model is tagged in windows that
        overlap.

        Where two windows overlap, the first half is the earlier one's.
        """
        pieces = [
            (number, window) for number, text in enumerate(texts) for window in self.windows(text)
        ]
        answered: dict[int, tuple[list[str], list[float]]] = {}
        order = sorted(range(len(pieces)), key=lambda at: -len(pieces[at][1].ids))
        for at in range(0, len(order), _TOGETHER):
            batch = order[at : at + _TOGETHER]
            answered.update(
                zip(batch, self._answer([pieces[one][1] for one in batch]), strict=True)
            )
        answers: list[list[tuple[Window, list[str], list[float]]]] = [[] for _ in texts]
        for at, (number, window) in enumerate(pieces):
            answers[number].append((window, *answered[at]))
        return [self._joined(text, held) for text, held in zip(texts, answers, strict=True)]

    def _answer(self, windows: Sequence[Window]) -> Iterator[tuple[list[str], list[float]]]:
        import torch
        from torch.nn.utils.rnn import pad_sequence

        self.model.eval()
        pad = self.tokenizer.pad_token_id or 0
        ids = pad_sequence([torch.tensor(window.ids) for window in windows], True, pad)
        mask = pad_sequence(
            [torch.ones(len(window.ids), dtype=torch.long) for window in windows], True, 0
        )
        device = self.model.device
        with torch.inference_mode(), denormals_flushed():
            scores = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        # Both (windows, longest).
        sure, best = scores.float().softmax(-1).max(-1)
        for window, row, probabilities in zip(windows, best.tolist(), sure.tolist(), strict=True):
            size = len(window.ids)
            yield [self.tags[tag] for tag in row[:size]], probabilities[:size]

    def _joined(
        self, text: str, answers: Sequence[tuple[Window, list[str], list[float]]]
    ) -> tuple[Span, ...]:
        """One sequence of tokens from those of all windows, and its spans."""
        offsets: list[tuple[int, int]] = []
        tags: list[str | None] = []
        sure: list[float] = []
        for number, (window, window_tags, window_sure) in enumerate(answers):
            first = self.stride // 2 if number else 0
            end = self.stride - self.stride // 2 if number + 1 < len(answers) else 0
            for at in window.own[first : len(window.own) - end]:
                offsets.append(window.offsets[at])
                tags.append(window_tags[at])
                sure.append(window_sure[at])
        return spans_of_tokens(text, offsets, tags, sure)


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
        sentences: What to learn from.
        config: How.
        folder: Not used: the model is in memory until it is saved.
        held_out: Sentences to choose the epoch by, and to stop early. Without them the last epoch
            is kept.
        on_epoch: Called after each epoch.
        report: Told in a sentence what is being done.

    Raises:
        InputError: No entity to learn, or a tokenizer without offsets.
        GenerationError: The model cannot be loaded.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    labels = learnt_labels(sentences)
    tags = [OUTSIDE, *label_tags(labels)]
    if report is not None:
        report(f"Loading {config.model}")
    _seed(config.seed)
    model, tokenizer = _load(config.model, tags, trust_remote_code=config.trust_remote_code)
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
        for line in _told(notes, len(sentences)):
            report(line)
    held_rows = _rows(tagger, held_out)[0]
    texts = [sentence.text for sentence in held_out]
    epochs: list[Epoch] = []

    class _Table(TrainerCallback):  # type: ignore[misc]
        """Keeps the table of epochs, and the weights of the best.

        A log entry has an epoch's loss, the next one what the held-out sentences say.
        """

        began = time.perf_counter()
        loss: float | None = None

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **known: Any
        ) -> None:
            logs = logs or {}
            self.loss = logs.get("loss", self.loss)
            if ("eval_loss" if held_out else "loss") not in logs:
                return
            now = time.perf_counter()
            figures = {key: logs.get(f"eval_{key}") for key in ("precision", "recall", "f1")}
            epoch = Epoch(round(state.epoch), self.loss, logs.get("eval_loss"), **figures)
            epochs.append(replace(epoch, seconds=round(now - self.began, 1)))
            self.began = now
            choice.judged(epochs[-1], model)
            control.should_training_stop = control.should_training_stop or choice.over(epochs[-1])
            if on_epoch is not None:
                on_epoch(epochs[-1])

    def figures(_: Any) -> dict[str, float]:
        """Figures of entities in characters: subwords would depend on the tokenizer."""
        return dict(
            zip(("precision", "recall", "f1"), judge(held_out, tagger.tag(texts)), strict=True)
        )

    choice = BestEpoch(config.patience)
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
            # The best weights are kept in memory: transformers loads checkpoints of older models
            # only in part.
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
    choice.restore(model)
    notes = {"base": config.model, **notes}
    return Trained(tagger, time.perf_counter() - started, tuple(epochs), choice.epoch, notes)


def _rows(
    tagger: EncoderTagger, sentences: Sequence[Sentence]
) -> tuple[list[dict[str, list[int]]], dict[str, Any]]:
    """Training rows, and what is to be known of them."""
    number_of = {tag: number for number, tag in enumerate(tagger.tags)}
    rows: list[dict[str, list[int]]] = []
    cut = lost = entities = 0
    for sentence in sentences:
        windows = tagger.windows(sentence.text)
        cut += len(windows) > 1
        kept: set[Span] = set()
        for window in windows:
            tags = token_tags(sentence, window.offsets)
            kept.update(spans_of_tokens(sentence.text, window.offsets, tags))
            # A label that only held-out sentences have cannot be answered, and is not asked for.
            labels = [_NO_TAG if tag is None else number_of.get(tag, _NO_TAG) for tag in tags]
            rows.append(
                {"input_ids": window.ids, "attention_mask": [1] * len(labels), "labels": labels}
            )
        entities += len(sentence.spans)
        lost += sum(span not in kept for span in sentence.spans)
    return rows, {"windowed_sentences": cut, "entities": entities, "entities_lost_to_tokens": lost}


def _told(notes: Mapping[str, Any], sentences: int) -> Iterator[str]:
    if cut := notes["windowed_sentences"]:
        yield (
            f"{cut} of {sentences} sentences are longer than the model takes, and become "
            "several windows"
        )
    if lost := notes["entities_lost_to_tokens"]:
        yield (
            f"{lost} of {notes['entities']} entities begin or end inside one of the tokenizer's "
            f"tokens: with "
            "it, no model can find these"
        )


def _load(
    name: str, tags: Sequence[str] | None = None, *, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A model for token classification in float32, and its tokenizer; with ``tags`` its last layer
    is new.
    """
    try:
        import torch
        from transformers import AutoModelForTokenClassification
        from transformers.utils import logging as told
    except ImportError:
        raise MissingExtraError("baselines", "an encoder") from None
    told.disable_progress_bar()
    # Of use to those who spread a model over several machines.
    logging.getLogger("transformers.distributed.tensor_parallel").setLevel(logging.ERROR)
    labels: dict[str, Any] = {}
    if tags is not None:
        # That the last layer is new is what is wanted here.
        logging.getLogger("transformers.modeling_utils").setLevel(logging.ERROR)
        labels = {
            "num_labels": len(tags),
            "id2label": dict(enumerate(tags)),
            "label2id": {tag: number for number, tag in enumerate(tags)},
            "ignore_mismatched_sizes": True,
        }
    model, tokenizer = load_pretrained(
        AutoModelForTokenClassification,
        name,
        name,
        dtype=torch.float32,
        trust_remote_code=trust_remote_code,
        # As the last layer is before it is trained.
        new_layers=tags is not None,
        **labels,
    )
    return model, tokenizer


def _seed(seed: int) -> None:
    try:
        from transformers import set_seed
    except ImportError:
        raise MissingExtraError("baselines", "an encoder") from None
    set_seed(seed)


def _longest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, wanted: int) -> int:
    """Tokens that fit into the model, as far as it says."""
    limits = [wanted, tokenizer.model_max_length]
    places = getattr(model.config, "max_position_embeddings", None)
    if is_whole(places) and places > 0:
        # RoBERTa and its kin count places from behind the padding's number.
        behind = (
            (model.config.pad_token_id or 0) + 1 if "roberta" in str(model.config.model_type) else 0
        )
        limits.append(places - behind)
    return int(min(limits))
