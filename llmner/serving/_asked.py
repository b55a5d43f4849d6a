"""How one request wants its texts extracted."""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    recipe: str | None = None
    reply_format: str | None = None
    grounded: bool | None = None
    min_score: float | None = None
