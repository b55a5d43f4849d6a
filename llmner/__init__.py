"""llmner: any LLM's answer, turned into exact, auditable character spans.

Names are imported when they are first used, so ``import llmner`` costs next to nothing and loads
none of the optional libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmner._lazy import lazy_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    from llmner.asking import aextract, extract
    from llmner.corpora import read_corpus, write_corpus
    from llmner.errors import LlmnerError
    from llmner.extraction import Extraction, Extractor
    from llmner.projection import Outcome, Projection, project, project_reply
    from llmner.recipes import Recipe
    from llmner.replies import ReadReply, read_reply, render_reply
    from llmner.schema import Label, LabelSchema
    from llmner.scoring import Scores, score
    from llmner.spans import Mention, Sentence, Span

_HOMES = {
    "Extraction": "llmner.extraction",
    "Extractor": "llmner.extraction",
    "Label": "llmner.schema",
    "LabelSchema": "llmner.schema",
    "LlmnerError": "llmner.errors",
    "Mention": "llmner.spans",
    "Outcome": "llmner.projection",
    "Projection": "llmner.projection",
    "ReadReply": "llmner.replies",
    "Recipe": "llmner.recipes",
    "Scores": "llmner.scoring",
    "Sentence": "llmner.spans",
    "Span": "llmner.spans",
    "aextract": "llmner.asking",
    "extract": "llmner.asking",
    "project": "llmner.projection",
    "project_reply": "llmner.projection",
    "read_corpus": "llmner.corpora",
    "read_reply": "llmner.replies",
    "render_reply": "llmner.replies",
    "score": "llmner.scoring",
    "write_corpus": "llmner.corpora",
}

__all__ = [
    "Extraction",
    "Extractor",
    "Label",
    "LabelSchema",
    "LlmnerError",
    "Mention",
    "Outcome",
    "Projection",
    "ReadReply",
    "Recipe",
    "Scores",
    "Sentence",
    "Span",
    "__version__",
    "aextract",
    "extract",
    "project",
    "project_reply",
    "read_corpus",
    "read_reply",
    "render_reply",
    "score",
    "write_corpus",
]


__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
