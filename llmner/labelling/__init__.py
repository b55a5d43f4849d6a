"""Work on labels: which are likely wrong, and why a text has one."""

from llmner.labelling.audit import Suspicion, apply_decisions, audit, suspicion_of_row
from llmner.labelling.evidence import FOLD_MODELS, Evidence, asked_evidence, fold_evidence
from llmner.labelling.explaining import Classifier, Explanation, WordShare, explain, explain_text

__all__ = [
    "FOLD_MODELS",
    "Classifier",
    "Evidence",
    "Explanation",
    "Suspicion",
    "WordShare",
    "apply_decisions",
    "asked_evidence",
    "audit",
    "explain",
    "explain_text",
    "fold_evidence",
    "suspicion_of_row",
]
