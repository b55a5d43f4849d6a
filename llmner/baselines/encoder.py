"""Fine-tuning of any encoder of the Hub: BERT, RoBERTa, ELECTRA, DistilBERT, ... and of Gemma 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from llmner.baselines._alignment import spans_of_tokens, token_tags
from llmner.baselines._encoder_tagger import FILES, EncoderTagger, Window
from llmner.baselines._encoders import config_fields, load_encoder, model_path
from llmner.baselines._fine_tuning import FineTuningConfig, FineTuningTask, fine_tune
from llmner.baselines._types import Epoch, Report, Trained, judge, learnt_labels
from llmner.spans import Sentence, Span
from llmner.tagging import OUTSIDE, label_tags

__all__ = ["FILES", "EncoderConfig", "EncoderTagger", "Window", "train_encoder"]

# Label of tokens without a tag; losses ignore it.
_NO_TAG = -100
# Of the head of characters.
_HEAD_DROPOUT, _HEAD_FORGETS = 0.3, 0.2


class EncoderConfig(FineTuningConfig):
    """The configuration of an encoder's fine-tuning. The defaults are those of KLUE's own baseline.

    These are in KLUE-baseline's ``run_all.sh`` (Park et al. 2021): three epochs, a learning rate of
    5e-5 that falls linearly, no warm-up, no weight decay, 510 tokens, and batches of 32.

    The other fields are those of :class:`FineTuningConfig`.

    Attributes:
        head: What is tagged. ``tokens`` is a classification layer on tokens, ``characters`` a
            BiLSTM-CRF on characters with the states of their tokens. ``auto`` is tokens, and
            characters for language models, which have no layer for tokens.
        head_learning_rate: That of the head of characters, which begins at random.
        hidden: Units of each direction of the head of characters.

    >>> EncoderConfig(model="bert-base-cased").learning_rate
    5e-05
    """

    head: Literal["auto", "tokens", "characters"] = "auto"
    head_learning_rate: float = Field(default=1e-3, gt=0)
    hidden: int = Field(default=200, ge=1, le=1 << 14)


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
    labels = learnt_labels(sentences)
    return fine_tune(
        partial(make_task, config, labels, sentences),
        sentences,
        config,
        folder,
        held_out=held_out,
        on_epoch=on_epoch,
        report=report,
    )


def make_task(
    config: EncoderConfig, labels: Sequence[str], sentences: Sequence[Sentence], say: Report
) -> FineTuningTask:
    path = model_path(config.model, say)
    if _head(config, path) == "characters":
        return _task_of_characters(config, path, labels, sentences)
    model, tokenizer = load_encoder(
        path,
        [OUTSIDE, *label_tags(labels)],
        name=config.model,
        trust_remote_code=config.trust_remote_code,
        dropout=config.dropout,
    )
    from transformers import DataCollatorForTokenClassification

    tagger = EncoderTagger(model, tokenizer, max_length=config.max_length, stride=config.stride)
    return FineTuningTask(
        tagger,
        model,
        [model],
        partial(_rows, tagger),
        DataCollatorForTokenClassification(tokenizer),
        partial(_judge, tagger),
        _warnings,
    )


def _judge(tagger: EncoderTagger, held_out: Sequence[Sentence]) -> tuple[float, float, float]:
    return judge(held_out, tagger.tag([sentence.text for sentence in held_out]))


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
) -> FineTuningTask:
    from llmner.baselines._character_tagger import (
        CharacterModel,
        CharacterTagger,
        collate,
        make_head,
        row_tags,
    )
    from llmner.baselines._characters import VIEWS, window_views
    from llmner.baselines._network import vocabularies

    encoder, tokenizer = load_encoder(
        path,
        name=config.model,
        trust_remote_code=config.trust_remote_code,
        layer="none",
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
    return FineTuningTask(
        tagger,
        network,
        [encoder],
        rows,
        partial(collate, pad=pad),
        partial(_judge, tagger),
        _warnings,
        head,
        config.head_learning_rate,
    )


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
