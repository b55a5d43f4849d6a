"""What stands around a place in the text, and what it says about the place: whole words before parts of words.

Reads the source, not the canonical text: spaces and signs matter here.
"""

from __future__ import annotations

import re
from typing import Final

from llmner.projection._korean import tail_is_function_word

__all__ = ["KINDS", "place_cost", "tail_of"]

# What follows one syllable that is a surname: 이씨, 이 씨, 김모(26), 전 전 대통령, 박 감독.
_NAMED: Final = re.compile(
    r"모?\s?(?:씨|군|양|옹|\(\d)|모\b|\s(?:전\s)?(?:대통령|총리|장관|차관|의원|위원장|위원|총재|회장|부회장|사장|부사장|대표|"
    r"이사|교수|박사|감독|코치|선수|기자|판사|검사|변호사|청장|차장|국장|실장|수석|후보|시장|지사|경위|경사|순경|대위|대령|중위|"
    r"병장|상병|일병|원장|소장|팀장|과장|부장|작가|배우|할머니|할아버지)"
)
# How people are called after their names in Japanese and Chinese; particles in kana.
_CALLED: Final = ("さん", "氏", "様", "さま", "君", "くん", "ちゃん", "先生", "女士", "小姐", "老师", "老師")
_KANA_PARTICLES: Final = frozenset("はがをにでとものへや")
_COUNTRIES: Final = frozenset("한일중미북남영러불독")
_THOUSAND: Final = re.compile(r"\d{3}(?!\d)")
_CHAINED: Final = re.compile(r"\d[.．]\d+[.．]")


class _Kinds(dict[str, str]):
    """Character → ``h`` for Hangul, ``c`` for an ideograph, ``k`` for kana, ``d`` for a digit, ``a`` for
    another letter, empty for the rest."""

    def __missing__(self, char: str) -> str:
        if "가" <= char <= "힣" or "ㄱ" <= char <= "ㆎ":
            kind = "h"
        elif "\u4e00" <= char <= "\u9fff" or "\u3400" <= char <= "\u4dbf":
            kind = "c"
        elif "\u3041" <= char <= "\u30ff":
            kind = "k"
        else:
            kind = "d" if char.isnumeric() else "a" if char.isalpha() else ""
        if len(self) < 100_000:
            self[char] = kind
        return kind


KINDS: Final = _Kinds()


def place_cost(source: str, start: int, end: int) -> float | None:
    """What sitting between its neighbours costs a place; ``None`` if it would split a number.

    On the left: nothing after a space or a sign, 0.3 after the same kind of letter (inside a word; 1
    for Latin letters), 0.1 after another kind. On the right: nothing before a space, a sign, a title or a
    particle that ends the word, 0.2 before other letters of its kind (1 for Latin letters, whose words
    do not run on), 0.05 before another kind. One syllable alone is more often a word of its own (이, 전, 한)
    than a name: 0.35 unless a title or an age follows, or it stands in a pair of countries (한일).
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
        if after in ("c", "k") and source.startswith(_CALLED, end):
            return 0.0
        if after:
            cost += _tail_cost(source, end, last, after)
    if end - start == 1 and "가" <= source[start] <= "힣":
        return _syllable_cost(source, start, cost)
    return cost


def _tail_cost(source: str, end: int, last: str, after: str) -> float:
    """0 for what may follow a name in its word; 0.3 for people of a place."""
    if after == "h":
        tail = tail_of(source, end)
        if tail_is_function_word(tail):
            return 0.0
        if last == "h":
            return 0.3 if tail.startswith("인") else 0.2
    if after != last:
        return 0.0 if after == "k" and source[end] in _KANA_PARTICLES else 0.05
    return 1.0 if after == "a" else 0.2


def _syllable_cost(source: str, start: int, cost: float) -> float:
    if _NAMED.match(source, start + 1):
        # 노무현 전 대통령: the office is a former one. 전 전 대통령: the first 전 is a name.
        return cost + 0.35 if source[start] == "전" and source[start + 1 : start + 4] != " 전 " else 0.0
    if source[start] in _COUNTRIES:
        around = source[max(0, start - 1) : start] + source[start + 1 : start + 2]
        if any(char in _COUNTRIES for char in around):
            return 0.05
    return cost + 0.35


def _continues(source: str, at: int) -> bool:
    """Whether the digit at ``at`` belongs to the number before it: 7.2, 3,000, but not 시즌1,2."""
    if at < 2 or at >= len(source) or not (source[at].isdigit() and source[at - 2].isdigit()):
        return False
    if source[at - 1] in ".．":
        # 2014.3.5 and 4.4.4 are lists of numbers, 7.2 is one.
        return not _CHAINED.search(source[max(0, at - 12) : at + 12])
    return source[at - 1] in ",，" and _THOUSAND.match(source, at) is not None


def tail_of(source: str, at: int) -> str:
    """The Hangul run from ``at``, up to five syllables; longer ones are no particle."""
    end = at
    while end < len(source) and end - at < 6 and "가" <= source[end] <= "힣":
        end += 1
    return source[at:end]
