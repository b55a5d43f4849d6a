"""Comparing several models on the same sentences: taggers, engines and files of predictions.

Each model is trained, loaded or asked as a configuration says, and evaluated on the same sample.
Training is in ``baselines``, and the table is made by ``reports``.
"""

from llmner.comparison.config import ModelEntry, ModelsConfig, load_models_config
from llmner.comparison.models import compare_models
from llmner.comparison.results import ComparedModel, models_dict, write_loss_curves, write_models

__all__ = [
    "ComparedModel",
    "ModelEntry",
    "ModelsConfig",
    "compare_models",
    "load_models_config",
    "models_dict",
    "write_loss_curves",
    "write_models",
]
