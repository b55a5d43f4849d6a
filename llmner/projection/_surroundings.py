"""What stands around a place in the text, and what it says about the place: whole words before
parts of words.

Reads the source, not the canonical text: spaces and signs matter here. What may follow a name in
its word is for a :class:`Language` to say.
"""

from __future__ import annotations

import re
from typing import Final

from llmner.languages import KINDS, Language

__all__ = ["place_cost"]

_THOUSAND: Final = re.compile(r"\d{3}(?!\d)")
_CHAINED: Final = re.compile(r"\d[.．]\d+[.．]")


def place_cost(source: str, start: int, end: int, language: Language) -> float | None:
    """What sitting between its neighbours costs a place; ``None`` if it would split a number.

    On the left: nothing after a space or a sign, 0.3 after the same kind of letter (inside a word;
    1 for Latin letters), 0.1 after another kind. On the right: nothing before a space, a sign, a
    title or a particle that ends the word, 0.2 before other letters of its kind (1 for Latin
    letters, whose words do not run on), 0.05 before another kind. Where people are called by what
    follows, nothing at all. What one letter alone costs more, its language says.
    """
    cost = 0.0
    if start and (char := source[start - 1]) != " ":
        before, first = KINDS[char], KINDS[source[start]]
        if first == "d" and (before == "d" or _continues(source, start)):
            return None
        if before:
            cost = (1.0 if first == "a" else 0.3) if before == first else 0.1
    if end < len(source) and (char := source[end]) != " ":
        last, after = KINDS[source[end - 1]], KINDS[char]
        if last == "d" and (after == "d" or _continues(source, end + 1)):
            return None
        if char in language.called_begins and source.startswith(language.called, end):
            return 0.0
        if after:
            tail_cost = language.tail_cost(last, source, end)
            if tail_cost is not None:
                cost += tail_cost
            elif after != last:
                cost += 0.05
            else:
                cost += 1.0 if after == "a" else 0.2
    if end - start == 1 and (lone_cost := language.lone_cost(source, start, cost)) is not None:
        return lone_cost
    return cost


def _continues(source: str, at: int) -> bool:
    """Whether the digit at ``at`` belongs to the number before it: 7.2, 3,000, but not 시즌1,2."""
    if at < 2 or at >= len(source) or not (source[at].isdigit() and source[at - 2].isdigit()):
        return False
    if source[at - 1] in ".．":
        # 2014.3.5 and 4.4.4 are lists of numbers, 7.2 is one.
        return not _CHAINED.search(source[max(0, at - 12) : at + 12])
    return source[at - 1] in ",，" and _THOUSAND.match(source, at) is not None
