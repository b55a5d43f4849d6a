"""The same name in another spelling: U.S. and US, March 3, 2021 and March 3 2021, Müller and
Mueller.

Only where nothing but separators, dots of acronyms, or marks on Latin letters differ. What is
written with other letters is for ``_near`` to compare.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from llmner.projection._canonical import Canonical
from llmner.projection._positions import occurrences

__all__ = ["Accents", "separated_otherwise"]

# An acronym with dots, a run of letters, a number, or a sign that is no separator.
_TOKEN: Final = re.compile(r"(?:(?<![^\W_])[A-Z]\.\s?){2,}|[^\W\d_]+|\d+|[^\w\s,·.–-]")
# Two tokens or an acronym: all that can be separated in another way.
_may_be_separated: Final = re.compile(r"\S[\s,·.–-]+\S|[A-Z]{2}|\d[^\W\d_]|[^\W\d_]\d").search
_dashed: Final = re.compile(r"\s[-–—]+\s").search
_marked: Final = re.compile("[\u00c0-\u024f\u1e00-\u1effё]").search
_is_gap: Final = re.compile(r"[\s,·.–-]*").fullmatch
_is_number_gap: Final = re.compile(r",?\s+").fullmatch
# What may stand between two tokens, and between two numbers: 3 2021 is 3, 2021, and no 32021.
_gap: Final = re.compile(r"[\s,·.–-]{0,3}").match
_number_gap: Final = re.compile(r",?\s{1,3}").match
_LONGEST_ACRONYM: Final = 5
_MOST_TOKENS: Final = 12
_DIGRAPHS: Final = {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae", "œ": "oe"}
_BARE: Final = {"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "ё": "е"}


def separated_otherwise(source: str, text: str, spaced: str) -> Iterator[tuple[int, int]]:
    """Source offsets of stretches that differ from a mention in separators or dots of acronyms
    only.

    Args:
        source: The text.
        text: Its canonical form, for a quick look.
        spaced: The mention as the reply wrote it.
    """
    if _may_be_separated(spaced) is None or _dashed(spaced) is not None:
        # What stands behind a dash with spaces is said about the name.
        return
    spaced = spaced.strip()
    tokens = list(_TOKEN.finditer(spaced))
    if not tokens or tokens[0].start() or len(tokens) > _MOST_TOKENS:
        # A sign at the beginning belongs: -5, .5.
        return
    acronyms = [_letters_of_acronym(token[0]) if token[0].isascii() else "" for token in tokens]
    if len(tokens) == 1 and not acronyms[0]:
        return
    for token, acronym in zip(tokens, acronyms, strict=True):
        if not acronym and token[0].lower() not in text:
            return
    pieces: list[_Piece] = []
    end = 0
    for token, acronym in zip(tokens, acronyms, strict=True):
        written = spaced[end : token.start()]
        numbers = spaced[end - 1 : end].isdigit() and token[0][0].isdigit()
        is_gap = _is_number_gap if numbers else _is_gap
        gap = (_number_gap if numbers else _gap) if is_gap(written) is not None else None
        pieces.append(_Piece(acronym or token[0].lower(), bool(acronym), written, gap))
        end = token.end()
    lowered = source.lower()
    if len(lowered) != len(source):
        return
    first = pieces[0].letters
    for start in occurrences(lowered, first[0].lower() if pieces[0].acronym else first):
        stop = _end_of(pieces, source, lowered, start)
        if stop and source[start:stop] != spaced:
            yield start, stop


class _Piece(NamedTuple):
    """A token of a mention: its letters, and what stands before it."""

    letters: str
    acronym: bool
    written: str
    gap: Callable[[str, int], re.Match[str] | None] | None


def _end_of(pieces: Sequence[_Piece], source: str, lowered: str, start: int) -> int:
    """Where the tokens end that stand at ``start``, one after the other; 0 if they do not."""
    position = start
    for number, piece in enumerate(pieces):
        if number and piece.gap is not None:
            gap = piece.gap(source, position)
            if gap is None:
                return 0
            position = gap.end()
        elif number:
            if not source.startswith(piece.written, position):
                return 0
            position += len(piece.written)
        if piece.acronym:
            position = _end_of_acronym(piece.letters, source, position)
            if not position:
                return 0
        elif lowered.startswith(piece.letters, position):
            position += len(piece.letters)
        else:
            return 0
    return position


def _end_of_acronym(letters: str, source: str, position: int) -> int:
    """Where an acronym ends, with or without dots and spaces between its letters; 0 if none is."""
    dotted = False
    for number, letter in enumerate(letters):
        if number and source.startswith(".", position):
            dotted = True
            position += 1 + source[position + 1 : position + 2].isspace()
        if not source.startswith(letter, position):
            return 0
        position += 1
    return position + (dotted and source.startswith(".", position))


def _letters_of_acronym(token: str) -> str:
    """The letters of an acronym, which is written with dots or in capitals; empty for others."""
    letters = token.replace(".", "").replace(" ", "")
    if not 1 < len(letters) <= _LONGEST_ACRONYM or not letters.isupper() or not letters.isalpha():
        return ""
    return letters


class Accents:
    """A canonical text with Latin letters written plainly: Müller as Mueller and as Muller.

    Args:
        text: The canonical text.
    """

    __slots__ = ("_bare", "_digraphs", "_marks", "_text")

    def __init__(self, text: Canonical) -> None:
        self._text = text
        self._marks: bool | None = False if text.plain else None
        self._bare: tuple[str, list[int]] | None = None
        self._digraphs: tuple[str, list[int]] | None = None

    def occurrences(self, mention: str) -> Iterator[tuple[int, int]]:
        """Canonical ``(start, end)`` of stretches that differ from a mention in marks only.

        One of the two has no marks: Hà Nội is Ha Noi, and not Hả Nối.
        """
        if not self._has_marks and _marked(mention) is None:
            return
        bare, digraphs = _plainly(mention, _bare), _plainly(mention, _digraph)
        for form, table in ((bare[0], self._without_marks()), (digraphs[0], self._with_digraphs())):
            text, origins = table
            if text == self._text.text and form == mention:
                continue
            for position in occurrences(text, form):
                start, last = origins[position], origins[position + len(form) - 1]
                whole = (position == 0 or origins[position - 1] != start) and (
                    position + len(form) == len(text) or origins[position + len(form)] != last
                )
                stretch = self._text.text[start : last + 1]
                if whole and (mention.isascii() or stretch.isascii()):
                    yield start, last + 1

    @property
    def _has_marks(self) -> bool:
        if self._marks is None:
            self._marks = _marked(self._text.text) is not None
        return self._marks

    def _without_marks(self) -> tuple[str, list[int]]:
        if self._bare is None:
            self._bare = _plainly(self._text.text, _bare)
        return self._bare

    def _with_digraphs(self) -> tuple[str, list[int]]:
        if self._digraphs is None:
            self._digraphs = _plainly(self._text.text, _digraph)
        return self._digraphs


def _plainly(text: str, plain: dict[str, str]) -> tuple[str, list[int]]:
    """A text with its letters replaced, and the position each new letter comes from."""
    pieces = [plain[char] for char in text]
    origins = [position for position, piece in enumerate(pieces) for _ in piece]
    return "".join(pieces), origins


class _Plain(dict[str, str]):
    """Letter → how it is written without marks; other characters stay."""

    def __init__(self, special: dict[str, str]) -> None:
        self.update(special)

    def __missing__(self, char: str) -> str:
        plain = char
        if "\u00c0" <= char <= "\u024f" or "\u1e00" <= char <= "\u1eff":
            base = unicodedata.normalize("NFD", char)[0]
            plain = _BARE.get(base, base)
        if len(self) < 50_000:
            self[char] = plain
        return plain


_bare: Final = _Plain(_BARE)
_digraph: Final = _Plain(_BARE | _DIGRAPHS)
