"""Unicode normalisation in linear time, for texts that anyone may send."""

from __future__ import annotations

import unicodedata
from typing import Literal

__all__ = ["normalized"]

Form = Literal["NFC", "NFKC"]

# Unicode's stream-safe format knows no longer run of marks (UAX #15, section 13), and no language
# has one.
_MAX_MARKS = 30
# Letters by themselves, and nothing but marks once they are taken apart.
_MADE_OF_MARKS = frozenset("\u0f73\u0f75\u0f81")


def normalized(form: Form, text: str) -> str:
    """``unicodedata.normalize``, linear in the text.

    The library sorts the marks of one letter in quadratic time. After thirty marks in a row the
    text is taken apart, so that no more than thirty are ever sorted; shorter runs come out as they
    always do.

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
