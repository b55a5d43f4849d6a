"""Baselines to compare the LLM with: CRF, BiLSTM-CRF and fine-tuned encoders.

They use the same readers and the same scorer, and return spans of characters with scores as the
same ``Extraction``. Importing this package does not import torch or transformers; training and
tagging do.
"""

from typing import TYPE_CHECKING

from llmner._lazy import lazy_names
from llmner.baselines._extract import BaselineExtractor
from llmner.baselines._store import find_baseline, load_baseline
from llmner.baselines._train import train_baseline
from llmner.baselines._types import Baseline, Epoch, Trained
from llmner.baselines.bilstm import BilstmCrfConfig, BilstmCrfTagger
from llmner.baselines.crf import CrfConfig, CrfTagger
from llmner.baselines.encoder import EncoderConfig, EncoderTagger
from llmner.baselines.encoder_classifier import EncoderClassifier, EncoderClassifierConfig
from llmner.baselines.linear import LinearClassifier, LinearClassifierConfig

if TYPE_CHECKING:
    from llmner.comparison import (
        ComparedModel,
        ModelEntry,
        ModelsConfig,
        compare_models,
        load_models_config,
    )
    from llmner.hub.taggers import push_baseline

__all__ = [
    "Baseline",
    "BaselineExtractor",
    "BilstmCrfConfig",
    "BilstmCrfTagger",
    "ComparedModel",
    "CrfConfig",
    "CrfTagger",
    "EncoderClassifier",
    "EncoderClassifierConfig",
    "EncoderConfig",
    "EncoderTagger",
    "Epoch",
    "LinearClassifier",
    "LinearClassifierConfig",
    "ModelEntry",
    "ModelsConfig",
    "Trained",
    "compare_models",
    "find_baseline",
    "load_baseline",
    "load_models_config",
    "push_baseline",
    "train_baseline",
]

# These names moved to packages that import this one. The old names still work.
__getattr__ = lazy_names(
    __name__,
    dict.fromkeys(
        ("ComparedModel", "ModelEntry", "ModelsConfig", "compare_models", "load_models_config"),
        "llmner.comparison",
    )
    | {"push_baseline": "llmner.hub.taggers"},
)
