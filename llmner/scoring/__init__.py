"""Scores as the field computes them: seqeval's two, KLUE's two, per label; and what a run is worth.

Takes aligned gold and predicted spans. How spans came about is of no concern here, but for the counts of
outcomes and reading statuses that an evaluation reports beside its figures.
"""

from llmner.scoring._evaluate import (
    Evaluation,
    Prediction,
    align,
    align_sample,
    corpus_signature,
    evaluate,
    read_predictions,
    sample,
)
from llmner.scoring._scores import KLUE_LABELS, PRF, KlueScores, LabelScore, Scores, score

__all__ = [
    "KLUE_LABELS",
    "PRF",
    "Evaluation",
    "KlueScores",
    "LabelScore",
    "Prediction",
    "Scores",
    "align",
    "align_sample",
    "corpus_signature",
    "evaluate",
    "read_predictions",
    "sample",
    "score",
]
