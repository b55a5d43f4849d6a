"""Work on labels: which to give next, which are likely wrong, and why a text has one."""

from llmner.labelling.audit import Suspicion, apply_decisions, audit, suspicion_of_row
from llmner.labelling.distilling import Silver, certain
from llmner.labelling.evidence import (
    FOLD_MODELS,
    Classifier,
    Evidence,
    asked_evidence,
    fold_evidence,
    learnt_evidence,
)
from llmner.labelling.explaining import (
    Explanation,
    WordShare,
    explain,
    explain_doubt,
    explain_text,
)
from llmner.labelling.select import CRITERIA, Criterion, Picked, picked_reasons, select

__all__ = [
    "CRITERIA",
    "FOLD_MODELS",
    "Classifier",
    "Criterion",
    "Evidence",
    "Explanation",
    "Picked",
    "Silver",
    "Suspicion",
    "WordShare",
    "apply_decisions",
    "asked_evidence",
    "audit",
    "certain",
    "explain",
    "explain_doubt",
    "explain_text",
    "fold_evidence",
    "learnt_evidence",
    "picked_reasons",
    "select",
    "suspicion_of_row",
]
