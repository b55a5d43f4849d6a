"""The kinds of baselines, in one table: everything that differs from kind to kind.

A new kind is a module with its configuration, its tagger and its training, and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from llmner.baselines import bilstm, crf, encoder, encoder_classifier, linear
from llmner.baselines._types import Baseline, Trained

__all__ = ["KINDS", "BaselineConfig", "Kind", "kind_named", "kind_of_config", "seeded"]

BaselineConfig: TypeAlias = (
    crf.CrfConfig
    | bilstm.BilstmCrfConfig
    | encoder.EncoderConfig
    | linear.LinearClassifierConfig
    | encoder_classifier.EncoderClassifierConfig
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of baseline.

    Attributes:
        config: The class of its configuration.
        tagger: The class of its tagger.
        train: Trains it: ``train(sentences, config, folder, *, held_out, on_epoch, report)``.
        files: Names of the model's files in its folder.
        step: What one step of the training log is. An ``"iteration"`` is short, there are many of
            them, and held-out sentences choose none; they choose among epochs.
        loss_unit: What the training loss is an average over.
        holds_words: Whether the model's files hold words of the training sentences.
        title: What a model card calls it.
        library: What a model card names as its library.
        about: Whether it finds spans, or labels of whole texts.
    """

    config: type[BaselineConfig]
    tagger: type[Baseline]
    train: Callable[..., Trained]
    files: tuple[str, ...]
    step: Literal["epoch", "iteration"]
    loss_unit: Literal["sentence", "token"]
    holds_words: bool
    title: str
    library: str
    about: Literal["spans", "texts"] = "spans"


KINDS: dict[str, Kind] = {
    "crf": Kind(
        config=crf.CrfConfig,
        tagger=crf.CrfTagger,
        train=crf.train_crf,
        files=(crf.WEIGHTS,),
        step="iteration",
        loss_unit="sentence",
        holds_words=True,
        title="A CRF on characters",
        library="sklearn-crfsuite",
    ),
    "bilstm-crf": Kind(
        config=bilstm.BilstmCrfConfig,
        tagger=bilstm.BilstmCrfTagger,
        train=bilstm.train_bilstm_crf,
        files=(bilstm.WEIGHTS, bilstm.VOCABULARY),
        step="epoch",
        loss_unit="sentence",
        holds_words=True,
        title="A BiLSTM-CRF on characters",
        library="llmner",
    ),
    "encoder": Kind(
        config=encoder.EncoderConfig,
        tagger=encoder.EncoderTagger,
        train=encoder.train_encoder,
        files=encoder.FILES,
        step="epoch",
        loss_unit="token",
        holds_words=False,
        title="An encoder",
        library="transformers",
    ),
    "linear-classifier": Kind(
        config=linear.LinearClassifierConfig,
        tagger=linear.LinearClassifier,
        train=linear.train_linear_classifier,
        files=(linear.WEIGHTS, linear.CLASSES),
        step="epoch",
        loss_unit="sentence",
        holds_words=False,
        title="A linear classifier of whole texts",
        library="scikit-learn",
        about="texts",
    ),
    "encoder-classifier": Kind(
        config=encoder_classifier.EncoderClassifierConfig,
        tagger=encoder_classifier.EncoderClassifier,
        train=encoder_classifier.train_encoder_classifier,
        files=encoder_classifier.FILES,
        step="epoch",
        loss_unit="sentence",
        holds_words=False,
        title="An encoder as a classifier of whole texts",
        library="transformers",
        about="texts",
    ),
}
"""The kinds by name."""


def kind_of_config(config: BaselineConfig) -> Kind:
    """The kind that a configuration is of."""
    return next(kind for kind in KINDS.values() if isinstance(config, kind.config))


def seeded(config: type[BaselineConfig], seed: int, **options: Any) -> BaselineConfig:
    """A configuration with options, and with a seed where its kind takes one and none is given.

    >>> seeded(bilstm.BilstmCrfConfig, 7, epochs=2).seed
    7
    """
    own = {"seed": seed} if "seed" in config.model_fields else {}
    return config(**own | options)


def kind_named(name: str, options: Mapping[str, Any]) -> Kind:
    """The kind that a user names.

    Args:
        name: ``crf``, ``bilstm-crf``, ``encoder`` or ``classifier``.
        options: The options beside it. A classifier with a ``model`` other than ``linear`` is an
            encoder.

    >>> kind_named("classifier", {"model": "klue/bert-base"}).library
    'transformers'
    """
    if name == "classifier":
        is_linear = options.get("model") in (None, "linear")
        name = "linear-classifier" if is_linear else "encoder-classifier"
    return KINDS[name]
