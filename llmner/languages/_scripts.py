"""Letters told apart by their script: which one a character is of, and which ones a text has."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

__all__ = ["KINDS", "main_language", "scripts_of"]


def _has_word_spaces(letter: str) -> bool:
    """Whether the letter's script parts its words by spaces: Latin, Greek, Cyrillic, Armenian.

    Thai has no spaces between words; in Arabic and Hebrew, small words join the next one.
    """
    return letter < "\u0590" or "\u1e00" <= letter <= "\u1fff" or "\uff21" <= letter <= "\uff5a"


class _Kinds(dict[str, str]):
    """Character → its kind, worked out when it is first asked for."""

    def __missing__(self, char: str) -> str:
        if "가" <= char <= "힣" or "ㄱ" <= char <= "ㆎ":
            kind = "h"
        elif "\u4e00" <= char <= "\u9fff" or "\u3400" <= char <= "\u4dbf":
            kind = "c"
        elif "\u3041" <= char <= "\u30ff":
            kind = "k"
        elif char.isnumeric():
            kind = "d"
        elif char.isalpha():
            kind = "a" if _has_word_spaces(char) else "r"
        else:
            kind = ""
        # Texts use few characters; a hostile one cannot make this grow without end.
        if len(self) < 100_000:
            self[char] = kind
        return kind


KINDS: Final = _Kinds()
"""Character → ``h`` for Hangul, ``c`` for an ideograph, ``k`` for kana, ``d`` for a digit, ``a``
for a letter of a script with spaces between all words (Latin, Greek, Cyrillic, Armenian), ``r`` for
another letter, empty for the rest.
"""

# Of canonical letters only: composed, lower-cased, of ordinary width. 々 and 〇 stand among
# ideographs.
_HAN_RANGE: Final = "々〇\u3400-\u4dbf\u4e00-\u9fff"
_KANA_RANGE: Final = "\u3041-\u30ff"
_OTHER_THAN_HANGUL: Final = re.compile(f"[a-z{_KANA_RANGE}{_HAN_RANGE}]").search
_SEARCHES: Final = {
    "hangul": re.compile("[가-힣]").search,
    "han": re.compile(f"[{_HAN_RANGE}]").search,
    "kana": re.compile(f"[{_KANA_RANGE}]").search,
    "latin": re.compile("[a-z]").search,
}
_HANGUL: Final = _SEARCHES["hangul"]
_HANGUL_ONLY: Final = ("hangul",)


def scripts_of(text: str) -> tuple[str, ...]:
    """The scripts of a canonical text that some language is told by. O(length).

    >>> scripts_of("손흥민은토트넘(spurs)의"), scripts_of("東京へ"), scripts_of("1,000")
    (('hangul', 'latin'), ('han', 'kana'), ())
    """
    if _OTHER_THAN_HANGUL(text) is None:
        # Most texts: searched once for all that they do not have.
        return _HANGUL_ONLY if _HANGUL(text) else ()
    if text.isascii():
        return ("latin",)
    return tuple([script for script, search in _SEARCHES.items() if search(text)])


def main_language(text: str) -> str:
    """The language that most letters of a text are of: ``ko``, ``ja``, ``zh``, or else ``en``.

    A syllable or an ideograph is about as much text as two letters. Kana among ideographs mean
    Japanese.

    >>> [main_language(text) for text in ("손흥민은 Tottenham에서", "東京へ行った", "去北京")]
    ['ko', 'ja', 'zh']
    """
    counts = Counter(KINDS[char] for char in text[:2000])
    japanese = counts["k"] > 0.1 * counts["c"]
    by_language = {
        "ko": 2 * counts["h"],
        "ja": 2 * (counts["k"] + counts["c"]) if japanese else 0,
        "zh": 0 if japanese else 2 * counts["c"],
        "en": counts["a"] + counts["r"],
    }
    best = max(by_language, key=lambda code: by_language[code])
    return best if by_language[best] else "en"
