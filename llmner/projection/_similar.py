"""How alike two canonical strings are: Hangul letter by letter, and numbers not at all unless
equal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from rapidfuzz.distance import OSA, Levenshtein

from llmner._kept import kept
from llmner.languages import EVERY_LANGUAGE, Language
from llmner.projection._quantities import units_in

__all__ = ["jamo", "numbers", "same_numbers", "same_words"]

_LEADS: Final = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS: Final = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_TAILS: Final = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
# With the sign or the point that belongs to it: -5, .5; but 2010-2012 are two numbers.
_NUMBER: Final = re.compile(r"(?:(?<![0-9A-Za-z가-힣])[-.])?\d+(?:[.,:/]\d+)*")
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
# A digit, or one letter that counts: what most mentions with a unit have.
_COUNTABLE: Final = re.compile(
    "[0-9{}]".format("".join(end for end in EVERY_LANGUAGE.number_ends if len(end) == 1))
).search


_SHORT_WORD: Final = 8
_HANGUL_WORDS_ALIKE: Final = 0.66


class _Jamo(dict[int, str]):
    """Code point → its jamo, for ``str.translate``; other characters stay."""

    def __missing__(self, point: int) -> str:
        index = point - 0xAC00
        if not 0 <= index < 11172:
            # Asked for again and again, but a hostile text cannot make this grow without end.
            if len(self) < 50_000:
                self[point] = chr(point)
            raise LookupError(point)
        letters: str = _LEADS[index // 588] + _VOWELS[index // 28 % 21] + _TAILS[index % 28]
        self[point] = letters
        return letters


_TABLE: Final = _Jamo()


def jamo(text: str) -> str:
    """Hangul syllables as two or three letters each; everything else as it is."""
    return text.translate(_TABLE)


@kept(65_536)
def numbers(text: str) -> tuple[str, ...]:
    """The numbers in a canonical text, thousands separators dropped: 2,000.5만 →
    ``("2000.5",)``.
    """
    return tuple(
        number.replace(",", "") if _THOUSANDS.fullmatch(number) else number
        for number in _NUMBER.findall(text)
    )


def same_numbers(mention: str, stretch: str, language: Language) -> bool:
    """Whether no quantity differs: digits, units, numerals (삼십, 사십; 三, 四), signs, days of the
    week.
    """
    if numbers(mention) != numbers(stretch):
        return False
    # Where only one side has such a word, a letter of it is wrong on the other.
    if language.hints_at_exact_words(mention) and _differ(
        language.find_exact_words(mention), language.find_exact_words(stretch)
    ):
        return False
    if _COUNTABLE(mention) and _differ(units_in(mention), units_in(stretch)):
        return False
    for op in Levenshtein.editops(mention, stretch):
        if op.tag == "replace" and (
            _counts_things(mention, op.src_pos) or _counts_things(stretch, op.dest_pos)
        ):
            return False
        if (op.tag == "insert" or _counts(mention, op.src_pos, language)) and (
            op.tag == "delete" or _counts(stretch, op.dest_pos, language)
        ):
            return False
    return True


def same_words(mention: str, stretch: str, words: Sequence[int]) -> bool:
    """Whether every word of a stretch may be one of the mention's, misspelt: and is not the.

    Args:
        mention: The canonical mention.
        stretch: The canonical stretch.
        words: How many canonical letters each word of the stretch has.
    """
    blocks = list(Levenshtein.opcodes(mention, stretch))
    start = 0
    for size in words:
        word = stretch[start : start + size]
        begin, end = _aligned(blocks, start), _aligned(blocks, start + size)
        if not _same_word(mention[begin:end], word):
            return False
        start += size
    return True


def _aligned(blocks: Sequence[Any], position: int) -> int:
    """The position in the mention that goes with one in the stretch."""
    for block in blocks:
        if position < block.dest_end or (position == block.dest_end and block is blocks[-1]):
            if block.tag == "insert":
                return int(block.src_start)
            return int(min(block.src_start + position - block.dest_start, block.src_end))
    return int(blocks[-1].src_end) if blocks else position


def _same_word(said: str, word: str) -> bool:
    if said != word and not (said.isalpha() and word.isalpha()):
        said, word = ("".join(filter(str.isalnum, side)) for side in (said, word))
        if not said or any(map(str.isdigit, said + word)):
            # Numbers are compared elsewhere.
            return bool(said)
    if said == word:
        return True
    if not word:
        return False
    if min(said) >= "가":
        letters = jamo(said), jamo(word)
        alike = Levenshtein.normalized_similarity(*letters)
        return len(word) == 1 or alike >= _HANGUL_WORDS_ALIKE
    size = max(len(said), len(word))
    return OSA.distance(said, word) <= (1 if size < _SHORT_WORD else size // 4)


def _differ(said: Sequence[str], stands: Sequence[str]) -> bool:
    return bool(said and stands) and said != stands


def _counts_things(text: str, position: int) -> bool:
    """Whether a letter stands right after a number and says of what: 일 in 12일."""
    return position > 0 and text[position].isalpha() and text[position - 1].isdigit()


def _counts(text: str, at: int, language: Language) -> bool:
    """Whether a numeral counts: 이 in 이십 and 이월, not in 이정재."""
    if text[at] not in language.numerals:
        return False
    around = text[max(0, at - 1) : at] + text[at + 1 : at + 2]
    return any(char in language.counted_by or char.isdigit() for char in around)
