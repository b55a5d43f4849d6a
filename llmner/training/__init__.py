"""Fine-tuning: LoRA and QLoRA on answers, evaluated by entity F1; adapters, cards and the Hub.

Importing this package does not import torch; a run does. Whether a run fits into memory is computed
before anything is downloaded.
"""

from llmner.hub.adapters import PushResult, push_adapter
from llmner.hub.card import model_card
from llmner.training._config import (
    DataOptions,
    EvaluationOptions,
    LoraOptions,
    ModelOptions,
    OptimOptions,
    TrainingConfig,
    load_config,
    parse_arguments,
    parse_config,
)
from llmner.training._example import ExamplePart, example_row
from llmner.training._fit import check_fit
from llmner.training._memory import MemoryEstimate, estimate
from llmner.training._record import EpochRow
from llmner.training._run import TrainingResult, is_main_process, train

__all__ = [
    "DataOptions",
    "EpochRow",
    "EvaluationOptions",
    "ExamplePart",
    "LoraOptions",
    "MemoryEstimate",
    "ModelOptions",
    "OptimOptions",
    "PushResult",
    "TrainingConfig",
    "TrainingResult",
    "check_fit",
    "estimate",
    "example_row",
    "is_main_process",
    "load_config",
    "model_card",
    "parse_arguments",
    "parse_config",
    "push_adapter",
    "train",
]
