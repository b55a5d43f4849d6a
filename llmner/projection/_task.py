"""One text and the mentions to be placed in it, made ready once for every step of the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llmner._budget import UNBOUNDED, Budget
from llmner.languages import Language, find_language
from llmner.projection._canonical import Canonical, canonical_surface, canonicalize
from llmner.projection._outcome import Policy
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["Task", "task_of"]


class Task(NamedTuple):
    """What is to be projected, and by which rules.

    Attributes:
        text: The text itself, for what stands around a place.
        canonical: Its canonical form.
        mentions: What a reply claims.
        surfaces: The canonical form of each mention.
        schema: The labels, if they are known.
        language: The rules of the text's languages and of those of the mentions.
        policy: How to project.
        budget: What it may cost.
    """

    text: str
    canonical: Canonical
    mentions: Sequence[Mention]
    surfaces: Sequence[str]
    schema: LabelSchema | None
    language: Language
    policy: Policy
    budget: Budget


def task_of(
    text: str,
    mentions: Sequence[Mention],
    schema: LabelSchema | None,
    policy: Policy,
    budget: Budget | None = None,
) -> Task:
    """Fold a text and its mentions, and find their languages. O(length of all)."""
    canonical = canonicalize(text)
    surfaces = [canonical_surface(mention.text) for mention in mentions]
    # A mention may carry the particles of another language than the text's.
    letters = "".join([canonical.text, *surfaces])
    language = find_language(letters, None if schema is None else schema.language)
    return Task(text, canonical, mentions, surfaces, schema, language, policy, budget or UNBOUNDED)
