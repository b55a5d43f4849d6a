"""Fine-tuning: QLoRA and LoRA on answers, watched by entity F1; adapters, their cards, and the Hub.

Importing it loads no torch; a run does. Whether a run fits into memory is worked out before any
download.
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
