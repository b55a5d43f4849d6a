"""Scores as the field computes them, how sure they are, and where what is missing went.

Takes aligned gold and predicted spans. How spans came about is of no concern to the figures; what
is known of it (outcomes of mentions, reading statuses, raw replies) goes into the breakdown and the
report.
"""

from typing import TYPE_CHECKING

from llmner._lazy import lazy_names
from llmner.scoring._bootstrap import Difference, Interval
from llmner.scoring._calibration import Calibration, CalibrationBin, reliability
from llmner.scoring._evaluate import (
    Change,
    Comparison,
    Confusion,
    Evaluation,
    Row,
    compare,
    evaluate,
    evaluate_all,
    read_run,
    signature_line,
    write_run,
)
from llmner.scoring._losses import CAUSES, Breakdown, Ceilings, Fault, Loss, find_faults
from llmner.scoring._predictions import (
    Prediction,
    align,
    corpus_signature,
    draw,
    read_predictions,
    sample,
)
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
    "CAUSES",
    "FIGURES",
    "KLUE_LABELS",
    "MODEL_COLUMNS",
    "PRF",
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
    "compare",
    "corpus_signature",
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

# Reports are a room above; they were here before.
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
