"""Which colour a label has: the same in the terminal, in notebooks, in reports and on the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from llmner.languages import meaning_of, words_for

__all__ = ["COLOURS", "LIGHT", "label_colours", "word_colours"]

COLOURS: Final = 8
"""The number of colours."""
LIGHT: Final = (
    "#cfe8ff", "#d3f2d3", "#fdeab0", "#f6d6f5", "#d9dcff", "#ffd9cc", "#d0f0ee", "#e4e4e4",
)  # fmt: skip
"""The colours, on which black reads with a contrast of 10 and more."""

# What most corpora have, so that people are blue in all of them.
_MEANT: Final[Mapping[str, int]] = MappingProxyType(
    {
        "person": 0, "place": 1, "organisation": 2, "date": 3, "time": 4, "quantity": 5, "other": 7,
    }
)  # fmt: skip


def label_colours(labels: Iterable[str]) -> dict[str, int]:
    """The number of each label's colour, from 0.

    Labels that mean people, places and the like have colours of their own, whatever they are
    called. Each other one has the colour that its letters decide, or the next one that is free. So
    a label keeps its colour wherever it is shown among the same labels, in whatever order.

    >>> label_colours(["PS", "LC"]), label_colours(["LOC", "PERSON"])
    ({'PS': 0, 'LC': 1}, {'LOC': 1, 'PERSON': 0})
    >>> label_colours(["PRODUCT", "PS"])["PRODUCT"] == label_colours(["PRODUCT"])["PRODUCT"]
    True
    """
    order = list(dict.fromkeys(labels))
    taken: dict[str, int] = {}
    # Those with a meaning come first.
    for label in sorted(order, key=lambda label: (_meant(label) is None, label)):
        meant = _meant(label)
        first = _mixed(label) % COLOURS if meant is None else meant
        places = [(first + step) % COLOURS for step in range(COLOURS)]
        free = [place for place in places if place not in taken.values()]
        taken[label] = free[0] if free else first
    return {label: taken[label] for label in order}


def word_colours() -> dict[str, int]:
    """The number of the colour of every word that means people, places and the like, folded.

    >>> word_colours()["person"], word_colours()["장소"]
    (0, 1)
    """
    return {
        word: number for meaning, number in _MEANT.items() for word in sorted(words_for(meaning))
    }


def _meant(label: str) -> int | None:
    meaning = meaning_of(label.casefold())
    return None if meaning is None else _MEANT.get(meaning)


def _mixed(label: str) -> int:
    """FNV-1a of a label in UTF-8, which the page computes, too."""
    number = 0x811C9DC5
    for byte in label.encode("utf-8", "replace"):
        number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
    return number
