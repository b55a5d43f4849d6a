"""How one request wants its texts extracted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from llmner.asking.building import GLANCE, language_of

if TYPE_CHECKING:
    from llmner.serving._schemas import ExplainRequest, ExtractRequest

__all__ = ["Asked"]


@dataclass(frozen=True, slots=True)
class Asked:
    """How one request wants its texts extracted; ``None`` keeps the server's own setting.

    >>> Asked(recipe="klue-strict", min_score=0.2).grounded is None
    True

    Attributes:
        recipe: Name of one of the server's recipes.
        reply_format: Format in which the model is asked to reply.
        grounded: Whether replies are restricted to the format, the labels and pieces of the text.
        min_score: Drop spans with a lower score, in [0, 1].
        labels: Labels in place of a recipe, each with what it means.
        language: The language in which they are asked for.
    """

    recipe: str | None = None
    reply_format: str | None = None
    grounded: bool | None = None
    min_score: float | None = None
    labels: tuple[tuple[str, str], ...] | None = None
    language: str = "en"

    @classmethod
    def of(cls, request: ExtractRequest | ExplainRequest, texts: Iterable[str]) -> Asked:
        """What a request says about its texts."""
        asked = cls(request.recipe, request.reply_format, request.grounded, request.min_score)
        labels = request.labels
        if labels is None:
            return asked
        meant = labels if isinstance(labels, dict) else dict.fromkeys(labels, "")
        language = request.language or language_of(islice(texts, GLANCE))
        return replace(asked, labels=tuple(meant.items()), language=language)
