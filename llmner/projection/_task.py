"""One text and the mentions to be placed in it, made ready once for every step of the way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from llmner._budget import UNBOUNDED, Budget
from llmner.languages import Language, find_language
from llmner.projection._canonical import Canonical, canonical_surface, canonicalize
from llmner.projection._outcome import Policy
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["Task", "task_of"]

# Anything but Hangul syllables and what is folded in no other way than they are: digits, and the
# signs of ASCII that ``canonicalize`` leaves alone.
_more_than_hangul: Final = re.compile(r"[^ -%'-@\[-_{-~가-힣]").search
_syllable: Final = re.compile("[가-힣]").search


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
    canonical, surfaces, letters = _folded(text, [mention.text for mention in mentions])
    language = find_language(letters, None if schema is None else schema.language)
    return Task(text, canonical, mentions, surfaces, schema, language, policy, budget or UNBOUNDED)


def _folded(text: str, said: Sequence[str]) -> tuple[Canonical, Sequence[str], str]:
    """A text and its mentions in canonical form, and letters of every script that they have."""
    everything = "".join([text, *said])
    if _more_than_hangul(everything) is None:
        # Most Korean texts: looked through once, with all their mentions.
        syllable = _syllable(everything)
        surfaces = [mention.replace(" ", "") for mention in said]
        canonical = Canonical(text.replace(" ", ""), source=text)
        return canonical, surfaces, "" if syllable is None else syllable[0]
    canonical = canonicalize(text)
    surfaces = [canonical_surface(mention) for mention in said]
    # A mention may carry the particles of another language than the text's.
    return canonical, surfaces, "".join([canonical.text, *surfaces])
