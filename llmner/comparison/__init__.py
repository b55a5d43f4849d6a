"""Several models on the same sentences, in one table: taggers, engines, and files of predictions.

Each is trained, loaded or asked as a configuration says, and evaluated on the same sample. How one
is trained is ``baselines``' to know; what the table looks like is ``reports``'.
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
