"""Scores as the field computes them, their confidence intervals, and the causes of errors.

Figures are computed from aligned gold and predicted spans alone. What is known about how the
predictions came about (outcomes of mentions, statuses of replies, raw replies) is used for the
breakdown by cause and for reports.
"""

from typing import TYPE_CHECKING

from llmner._lazy import lazy_names
from llmner.scoring._attribute_losses import ATTRIBUTE_CAUSES, AttributeLoss
from llmner.scoring._bootstrap import Difference, Interval
from llmner.scoring._calibration import Calibration, CalibrationBin, reliability
from llmner.scoring._comparison import Change, Comparison, compare
from llmner.scoring._evaluate import (
    Confusion,
    Evaluation,
    Row,
    evaluate,
    evaluate_all,
    signature_line,
)
from llmner.scoring._losses import CAUSES, Breakdown, Ceilings, Fault, Loss, find_faults
from llmner.scoring._meaning import doubts
from llmner.scoring._predictions import (
    Prediction,
    align,
    corpus_signature,
    corpus_source,
    draw,
    read_predictions,
    sample,
)
from llmner.scoring._saved_runs import check_replaceable_run, read_run, write_run
from llmner.scoring._scores import (
    KLUE_LABELS,
    PRF,
    KlueScores,
    LabelScore,
    ModeScore,
    Scores,
    score,
)
from llmner.scoring._sources import (
    Source,
    evaluate_runs,
    evaluate_sources,
    from_extractor,
    from_file,
)

if TYPE_CHECKING:
    from llmner.reports import (
        FIGURES,
        MODEL_COLUMNS,
        Facts,
        Figure,
        headline,
        label_rows,
        model_rows,
        quotes,
        render_report,
    )

__all__ = [
    "ATTRIBUTE_CAUSES",
    "CAUSES",
    "FIGURES",
    "KLUE_LABELS",
    "MODEL_COLUMNS",
    "PRF",
    "AttributeLoss",
    "Breakdown",
    "Calibration",
    "CalibrationBin",
    "Ceilings",
    "Change",
    "Comparison",
    "Confusion",
    "Difference",
    "Evaluation",
    "Facts",
    "Fault",
    "Figure",
    "Interval",
    "KlueScores",
    "LabelScore",
    "Loss",
    "ModeScore",
    "Prediction",
    "Row",
    "Scores",
    "Source",
    "align",
    "check_replaceable_run",
    "compare",
    "corpus_signature",
    "corpus_source",
    "doubts",
    "draw",
    "evaluate",
    "evaluate_all",
    "evaluate_runs",
    "evaluate_sources",
    "find_faults",
    "from_extractor",
    "from_file",
    "headline",
    "label_rows",
    "model_rows",
    "quotes",
    "read_predictions",
    "read_run",
    "reliability",
    "render_report",
    "sample",
    "score",
    "signature_line",
    "write_run",
]

# Reports moved to llmner.reports, which imports this package. The old names still work.
__getattr__ = lazy_names(
    __name__,
    dict.fromkeys(
        (
            "FIGURES",
            "MODEL_COLUMNS",
            "Facts",
            "Figure",
            "headline",
            "label_rows",
            "model_rows",
            "quotes",
            "render_report",
        ),
        "llmner.reports",
    ),
)
