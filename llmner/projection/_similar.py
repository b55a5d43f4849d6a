"""How alike two canonical strings are: Hangul letter by letter, and numbers not at all unless equal."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from rapidfuzz.distance import Levenshtein

__all__ = ["jamo", "numbers", "same_numbers", "similarity"]

_LEADS: Final = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS: Final = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_TAILS: Final = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
_NUMERALS: Final = frozenset("일이삼사오육륙칠팔구십백천만억조영공한두세네")
_NUMBER: Final = re.compile(r"\d+(?:[.,:/]\d+)*")
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")


class _Jamo(dict[int, str]):
    """Code point → its jamo, for ``str.translate``; other characters stay."""

    def __missing__(self, point: int) -> str:
        index = point - 0xAC00
        if not 0 <= index < 11172:
            raise LookupError(point)
        letters: str = _LEADS[index // 588] + _VOWELS[index // 28 % 21] + _TAILS[index % 28]
        self[point] = letters
        return letters


_TABLE: Final = _Jamo()


def jamo(text: str) -> str:
    """Hangul syllables as two or three letters each; everything else as it is."""
    return text.translate(_TABLE)


@lru_cache(maxsize=65_536)
def numbers(text: str) -> tuple[str, ...]:
    """The numbers in a canonical text, thousands separators dropped: 2,000.5만 → ``("2000.5",)``."""
    return tuple(
        number.replace(",", "") if _THOUSANDS.fullmatch(number) else number for number in _NUMBER.findall(text)
    )


def same_numbers(mention: str, stretch: str) -> bool:
    """Whether no number differs: digits exactly, and numerals in Hangul (삼십, 사십) wherever edited."""
    if numbers(mention) != numbers(stretch):
        return False
    for op in Levenshtein.editops(mention, stretch):
        gone = mention[op.src_pos] if op.tag != "insert" else ""
        come = stretch[op.dest_pos] if op.tag != "delete" else ""
        if (gone in _NUMERALS if gone else True) and (come in _NUMERALS if come else True):
            return False
    return True


def similarity(a: str, b: str, cutoff: float) -> float:
    """1 − edit distance over the longer length, in jamo; 0 below ``cutoff``. O(len²/64)."""
    return Levenshtein.normalized_similarity(jamo(a), jamo(b), score_cutoff=cutoff)
