"""Reports of evaluations and explanations: tables on a console, HTML and Markdown.

All of them use the same table of figures. ``llmner.scoring`` computes the figures, and
``llmner.hub`` writes model cards.
"""

from llmner.reports.document import (
    render_audit,
    render_explanations,
    render_report,
    render_view,
)
from llmner.reports.figures import (
    FIGURES,
    MODEL_COLUMNS,
    Facts,
    Figure,
    headline,
    label_rows,
    model_rows,
    quotes,
)

__all__ = [
    "FIGURES",
    "MODEL_COLUMNS",
    "Facts",
    "Figure",
    "headline",
    "label_rows",
    "model_rows",
    "quotes",
    "render_audit",
    "render_explanations",
    "render_report",
    "render_view",
]
