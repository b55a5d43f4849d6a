"""The features of each character for a CRF: its neighbours, its word and the words beside it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["character_kind", "features", "folded"]

_LONGEST_AFFIX = 6
# Only addresses and encoded data have longer words. Features grow with the square of a word's
# length.
_LONGEST_WORD = 40


def folded(text: str) -> str:
    """The text in NFKC and lower case, with all digits as 0.

    A character that would become several stays as it is, so offsets do not change.

    >>> folded("Room 42")
    'room 00'
    """
    return "".join(map(_fold, text))


@lru_cache(maxsize=65536)
def _fold(char: str) -> str:
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"  # CRFsuite takes UTF-8, which has no surrogates.
    normal = unicodedata.normalize("NFKC", char)
    if len(normal) != 1:
        return char
    if unicodedata.category(normal) == "Nd":
        return "0"
    lower = normal.lower()
    return lower if len(lower) == 1 else normal


@lru_cache(maxsize=65536)
def character_kind(char: str) -> str:
    """The kind of a character as one character.

    ``가`` is Hangul, ``漢`` Chinese, ``か`` kana, ``a`` and ``A`` letters, ``0`` a number, ``_``
    white space, ``-`` a mark inside words, ``.`` other punctuation and ``%`` anything else.

    >>> "".join(map(character_kind, "서울 A1!"))
    '가가_A0.'
    """
    if char.isspace():
        return "_"
    normal = unicodedata.normalize("NFKC", char)[0]
    category = unicodedata.category(normal)
    if category.startswith("N"):
        return "0"
    name = unicodedata.name(normal, "")
    if name.startswith("HANGUL"):
        return "가"
    if name.startswith("CJK"):
        return "漢"
    if name.startswith(("HIRAGANA", "KATAKANA")):
        return "か"
    if category == "Lu":
        return "A"
    if category.startswith("L"):
        return "a"
    if normal in "·-~/&'’":
        return "-"
    return "." if category.startswith("P") else "%"


def features(text: str, places: Sequence[int]) -> list[list[str]]:
    """The features of each character that is not white space: about fifty strings for each.

    Args:
        text: The text.
        places: Offsets of these characters (see ``places_of``).

    >>> features("a b", [0, 2])[0][:3]
    ['1', 'ca', 'p1\\x02']
    """
    flat = folded(text)
    chars = "".join(flat[place] for place in places)
    kinds = [character_kind(text[place]) for place in places]
    # For each character, the number of its word and its offset in it.
    words: list[str] = []
    word_numbers: list[int] = []
    word_offsets: list[int] = []
    for number, place in enumerate(places):
        if number == 0 or place != places[number - 1] + 1 or len(words[-1]) == _LONGEST_WORD:
            words.append("")
        word_numbers.append(len(words) - 1)
        word_offsets.append(len(words[-1]))
        words[-1] += chars[number]
    shapes = [_shape(word) for word in words]
    size = len(chars)
    padded = f"\x02\x02\x02{chars}\x03\x03\x03"
    rows = []
    for i in range(size):
        center = i + 3
        c = padded
        word_number, offset = word_numbers[i], word_offsets[i]
        word = words[word_number]
        left = len(word) - offset
        before = words[word_number - 1] if word_number else "\x02"
        after = words[word_number + 1] if word_number + 1 < len(words) else "\x03"
        kind = "".join(kinds[max(0, i - 2) : i + 3])
        row = [
            "1",
            f"c{c[center]}",
            f"p1{c[center - 1]}",
            f"p2{c[center - 2]}",
            f"p3{c[center - 3]}",
            f"n1{c[center + 1]}",
            f"n2{c[center + 2]}",
            f"n3{c[center + 3]}",
            f"P{c[center - 1 : center + 1]}",
            f"N{c[center : center + 2]}",
            f"PP{c[center - 2 : center]}",
            f"NN{c[center + 1 : center + 3]}",
            f"PN{c[center - 1 : center + 2]}",
            f"3P{c[center - 2 : center + 1]}",
            f"3N{c[center : center + 3]}",
            f"t{kinds[i]}",
            f"T{i - max(0, i - 2)}{kind}",
            f"i{min(offset, 5)}",
            f"j{min(left, 5)}",
            f"ij{min(offset, 3)}{min(left, 3)}",
            f"ic{min(offset, 3)}{c[center]}",
            f"jc{min(left, 3)}{c[center]}",
            f"w{word}",
            f"s{shapes[word_number]}",
            f"b{before}",
            f"a{after}",
            f"bs{before[-1:]}",
            f"bt{before[-2:]}",
            f"as{after[:1]}",
            f"at{after[:2]}",
        ]
        if offset < _LONGEST_AFFIX:
            row.append(f"x{word[: offset + 1]}")
            row.append(f"y{word[:offset]}")
        if left <= _LONGEST_AFFIX:
            row.append(f"z{word[offset:]}")
            row.append(f"q{word[offset + 1 :]}")
        row.append(f"h{word[:2]}")
        row.append(f"e{word[-2:]}")
        row.append(f"f{word[-1:]}")
        if offset == 0:
            row.append("B")
        if left == 1:
            row.append("E")
        rows.append(row)
    return rows


def _shape(word: str) -> str:
    """The kinds of a word's characters, with each run of one kind reduced to one."""
    shape = ""
    for char in word:
        kind = character_kind(char)
        if not shape.endswith(kind):
            shape += kind
    return shape[:8]
