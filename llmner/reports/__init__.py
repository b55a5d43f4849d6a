"""What people look at: figures as tables on a console, as HTML and as Markdown.

One table of figures feeds them all. What figures are is ``scoring``'s to know; cards of models are
``hub``'s.
"""

from llmner.reports.document import render_report
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
    "render_report",
]
