"""Unicode: normalisation in linear time, for texts from untrusted sources; and what nobody sees."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal

__all__ = ["FILLERS", "INVISIBLE", "askable", "is_invisible", "normalized", "writable"]

Form = Literal["NFC", "NFKC"]

INVISIBLE: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
"""Categories of characters that show nothing: controls, formats such as U+200B, and spaces."""

FILLERS: Final = "\u115f\u1160\u3164\uffa0"
"""Letters to Unicode, and nothing to a reader: Hangul fillers."""

# Others that show nothing where they stand alone: a joiner, the blank of Braille, and variation
# selectors.
_UNSEEN: Final = frozenset(
    f"{FILLERS}\u034f\u2800" + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)

_SURROGATE: Final = re.compile("[\ud800-\udfff]")

# The longest run of marks in Unicode's stream-safe text format (UAX #15, section 13). No language
# has a longer one.
_MAX_MARKS = 30
# These are not combining characters, but decompose into nothing but combining marks.
_MADE_OF_MARKS = frozenset("\u0f73\u0f75\u0f81")


def normalized(form: Form, text: str) -> str:
    """``unicodedata.normalize`` in O(characters).

    The standard library sorts the marks of one letter in quadratic time. Here the text is split
    after thirty marks in a row, so no more than thirty are ever sorted. Texts with shorter runs
    come out exactly as the standard library normalises them.

    >>> normalized("NFC", "e\\u0301")
    'é'
    """
    if len(text) <= _MAX_MARKS or text.isascii():
        return unicodedata.normalize(form, text)
    pieces: list[str] = []
    start = marks = 0
    combining = unicodedata.combining
    for index, char in enumerate(text):
        if combining(char) or char in _MADE_OF_MARKS:
            marks += 1
            if marks > _MAX_MARKS:
                pieces.append(text[start:index])
                start, marks = index, 1
        else:
            marks = 0
    if not pieces:
        return unicodedata.normalize(form, text)
    pieces.append(text[start:])
    return "".join(unicodedata.normalize(form, piece) for piece in pieces)


def is_invisible(text: str) -> bool:
    """Whether a text shows nothing: it is empty, or all white space and invisible characters.

    It ends at the first character that can be seen.

    >>> is_invisible(" \\u3000\\u200b\\n"), is_invisible(" -")
    (True, False)
    """
    return all(
        char.isspace() or char in _UNSEEN or unicodedata.category(char) in INVISIBLE
        for char in text
    )


def askable(text: str) -> str:
    """A text as models are asked about it: encodable, and composed (NFC).

    Tokenizers cut decomposed Hangul into letters, which models have hardly seen. What they answer
    is placed in the text as it is.

    >>> askable("\u1112\u1161\u11ab") == "\ud55c"
    True
    """
    return normalized("NFC", writable(text))


def writable(text: str) -> str:
    """A text with its lone surrogates, which UTF-8 cannot encode, replaced by U+FFFD.

    >>> writable("a\\ud800") == "a\\ufffd"
    True
    """
    return _SURROGATE.sub("\ufffd", text)
