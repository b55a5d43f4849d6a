"""What stands around a place in the text, and what it says about the place: whole words before
parts of words.

Reads the source, not the canonical text: spaces and signs matter here. What may follow a name in
its word is for a :class:`Language` to say.
"""

from __future__ import annotations

import re
from typing import Final

from llmner.languages import KINDS, Language

__all__ = ["joins_pieces", "place_cost"]

_THOUSAND: Final = re.compile(r"\d{3}(?!\d)")
_TAG: Final = re.compile(r"(?<!\w)[#@]\w+$")
_LONGEST_TAG: Final = 60
_SHORTEST_INFLECTED: Final = 3
_SHORTEST_CUT: Final = 4
_SHORTEST_NAME: Final = 3
_SHORT_KATAKANA: Final = 3
_SHORT_PIECE: Final = 2
_LONG_PIECE: Final = 8
_CHAINED: Final = re.compile(r"\d[.．]\d+[.．]")


def place_cost(source: str, start: int, end: int, language: Language) -> float | None:
    """What sitting between its neighbours costs a place; ``None`` if it is none.

    No place splits a number, or begins or ends inside a word of a script with spaces between all
    words (US in business). Such a word may go on only in an ending that its language gives names
    (CEOs), or at a capital letter of a hashtag (#VisitSeoul).

    On the left: nothing after a space or a sign, 0.3 after the same kind of letter (inside a word),
    0.1 after another kind. On the right: nothing before a space, a sign, a title or a particle that
    ends the word, 0.2 before other letters of its kind, 0.05 before another kind. Where people are
    called by what follows, nothing at all. What one letter alone costs more, its language says.
    """
    cost = 0.0
    if start and (char := source[start - 1]) != " ":
        before, first = KINDS[char], KINDS[source[start]]
        if first == "d" and (before == "d" or _continues(source, start)):
            return None
        if before:
            if before != first or (first == "k" and _changes_kana(source, start)):
                cost = 0.1
            elif (first == "k" and _cuts_katakana(source, start, end - start)) or (
                first == "a" and not _begins_in_hashtag(source, start)
            ):
                return None
            else:
                cost = 0.3
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
            elif after != last or (after == "k" and _changes_kana(source, end)):
                cost += 0.05
            elif after == "k" and end - start <= _SHORT_KATAKANA and _cuts_katakana(source, end, 0):
                return None
            elif after != "a":
                cost += 0.2
            elif _is_inflected(source, start, end, language):
                cost += 0.1
            elif _begins_in_hashtag(source, end):
                cost += 0.2
            elif _lacks_a_letter(source, start, end) and not cost:
                cost += 1.0
            else:
                return None
    if end - start == 1 and (lone_cost := language.lone_cost(source, start, cost)) is not None:
        return lone_cost
    return cost


def _changes_kana(source: str, edge: int) -> bool:
    """Whether hiragana and katakana meet at an edge: い and ア in 冷たいアイス."""
    return (source[edge - 1] >= "ァ") != (source[edge] >= "ァ")


def _cuts_katakana(source: str, edge: int, size: int) -> bool:
    """Whether an edge of a short place is inside a run of katakana: インド in ウインドウ."""
    return (
        size <= _SHORT_KATAKANA
        and "ァ" <= source[edge - 1] <= "ー"
        and "ァ" <= source[edge] <= "ー"
    )


def _begins_in_hashtag(source: str, start: int) -> bool:
    """Whether a word begins at ``start`` inside a hashtag or a handle: Seoul in #VisitSeoul."""
    if not source[start].isupper() or source[start - 1].isupper():
        return False
    tag = _TAG.search(source, max(0, start - _LONGEST_TAG), start)
    return tag is not None


def _lacks_a_letter(source: str, start: int, end: int) -> bool:
    """Whether all but the last letter of a capitalised word of five letters is there: Londo."""
    if end - start < _SHORTEST_CUT or not source[start].isupper():
        return False
    return not source[end + 1 : end + 2].isalpha()


def _is_inflected(source: str, start: int, end: int, language: Language) -> bool:
    """Whether a capitalised name of three letters or an acronym goes on in an ending: CEOs."""
    if not source[start].isupper():
        return False
    if end - start < _SHORTEST_INFLECTED and not source[start:end].isupper():
        return False
    return any(
        source.startswith(ending, end)
        and not source[end + len(ending) : end + len(ending) + 1].isalnum()
        for ending in language.endings
    )


def _continues(source: str, at: int) -> bool:
    """Whether the digit at ``at`` belongs to the number before it: 7.2, 3,000, but not 시즌1,2."""
    if at < 2 or at >= len(source) or not (source[at].isdigit() and source[at - 2].isdigit()):
        return False
    if source[at - 1] in ".．":
        # 2014.3.5 and 4.4.4 are lists of numbers, 7.2 is one.
        return not _CHAINED.search(source[max(0, at - 12) : at + 12])
    return source[at - 1] in ",，" and _THOUSAND.match(source, at) is not None


def joins_pieces(source: str, start: int, end: int, surface: str, language: Language) -> bool:
    """Whether a place joins a word and a piece of the next one, which the mention writes as one.

    한국인 is not in "한국 인삼공사"; but 국립중앙박물관 is in "국립 중앙박물관장".

    Args:
        source: The text.
        start: Where the place starts.
        end: Where it ends.
        surface: The mention as the reply wrote it.
        language: What may follow a name.
    """
    if source.startswith(surface, start):
        return False
    pieces, words = source[start:end].split(), surface.split()
    if (
        len(pieces) == 2
        and len(words) == 1
        and surface.isascii()
        and min(map(len, pieces)) < _SHORTEST_NAME
        and any(piece.lower() in language.common_words for piece in pieces)
    ):
        # Iran is not in "I ran".
        return True
    if len(pieces) < 2 or not words or not _has_word_ends(source[start], source[end - 1]):
        # Chinese and Japanese have no spaces between words: 王芳 is in 主持人王 芳昨晚.
        return False
    first, last = pieces[0], pieces[-1]
    # A word of one or two letters that goes on for longer than it is, was cut off.
    after = before = 0
    if len(last) <= _SHORT_PIECE and not words[-1].startswith(last):
        after = _rest_of_word(source, end, language)
    if len(first) <= _SHORT_PIECE and not words[0].endswith(first):
        before = _start_of_word(source, start)
    # Of what is counted more may follow: 한 달간, 3 명이서.
    counts = not before and (first in language.numerals or any(map(str.isdigit, first + last)))
    return after > (2 if counts else 0) or before > len(first) or (after > 0 < before)


def _has_word_ends(first: str, last: str) -> bool:
    """Whether the letters at the ends of a place are of words with spaces between, or katakana."""
    return "h" in (KINDS[first], KINDS[last]) or ("ァ" <= first <= "ー" >= last >= "ァ")


def _rest_of_word(source: str, end: int, language: Language) -> int:
    """How many letters the word that a place ends in goes on for; 0 if they are a particle."""
    stop, last = end, KINDS[source[end - 1]]
    while stop < len(source) and stop - end < _LONG_PIECE and last == KINDS[source[stop]] != "":
        stop += 1
    if stop > end and language.tail_cost(last, source, end) == 0:
        return 0
    return stop - end


def _start_of_word(source: str, start: int) -> int:
    """How many letters of its word stand before a place."""
    begin, first = start, KINDS[source[start]]
    while begin and start - begin < _LONG_PIECE and first == KINDS[source[begin - 1]] != "":
        begin -= 1
    return start - begin
