"""Trained models in other forms: for machines without torch, and for other runtimes.

Importing this package does not import torch or transformers; exporting does.
"""

from llmner.exporting.exports import FORMS, Exported, Form, export_model
from llmner.exporting.gguf_models import QUANTIZATIONS, Quantization
from llmner.exporting.measuring import Figures, compare_exported

__all__ = [
    "FORMS",
    "QUANTIZATIONS",
    "Exported",
    "Figures",
    "Form",
    "Quantization",
    "compare_exported",
    "export_model",
]
