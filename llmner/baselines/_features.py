"""What a CRF is told of each character: itself, its neighbours, its word, and the words beside
it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["character_kind", "features", "folded"]

_LONGEST_AFFIX = 6
# Words are longer in addresses and encoded data only, and features would grow with the square of
# them.
_LONGEST_WORD = 40


def folded(text: str) -> str:
    """The text as features are made of it: NFKC where that is one character, lower case, digits as
    0.

    Lengths stay, so places do.
    """
    return "".join(map(_fold, text))


@lru_cache(maxsize=65536)
def _fold(char: str) -> str:
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"  # Half a pair cannot be handed to CRFsuite.
    normal = unicodedata.normalize("NFKC", char)
    if len(normal) != 1:
        return char
    if unicodedata.category(normal) == "Nd":
        return "0"
    lower = normal.lower()
    return lower if len(lower) == 1 else normal


@lru_cache(maxsize=65536)
def character_kind(char: str) -> str:
    """A letter for the kind of a character: 가 (Hangul), 漢, か, a, A, 0, space, punctuation,
    other.
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
    """Features of each of ``places``, as strings; about fifty a character.

    Args:
        text: The text.
        places: Offsets of its characters that are no white space (``places_of``).
    """
    flat = folded(text)
    chars = "".join(flat[place] for place in places)
    kinds = [character_kind(text[place]) for place in places]
    # Which word each character is in, and where in it.
    words: list[str] = []
    word_at: list[int] = []
    inside: list[int] = []
    for number, place in enumerate(places):
        if number == 0 or place != places[number - 1] + 1 or len(words[-1]) == _LONGEST_WORD:
            words.append("")
        word_at.append(len(words) - 1)
        inside.append(len(words[-1]))
        words[-1] += chars[number]
    shapes = [_shape(word) for word in words]
    size = len(chars)
    padded = f"\x02\x02\x02{chars}\x03\x03\x03"
    found = []
    for i in range(size):
        at = i + 3
        c = padded
        word_number, offset = word_at[i], inside[i]
        word = words[word_number]
        left = len(word) - offset
        before = words[word_number - 1] if word_number else "\x02"
        after = words[word_number + 1] if word_number + 1 < len(words) else "\x03"
        kind = "".join(kinds[max(0, i - 2) : i + 3])
        row = [
            "1",
            f"c{c[at]}",
            f"p1{c[at - 1]}",
            f"p2{c[at - 2]}",
            f"p3{c[at - 3]}",
            f"n1{c[at + 1]}",
            f"n2{c[at + 2]}",
            f"n3{c[at + 3]}",
            f"P{c[at - 1 : at + 1]}",
            f"N{c[at : at + 2]}",
            f"PP{c[at - 2 : at]}",
            f"NN{c[at + 1 : at + 3]}",
            f"PN{c[at - 1 : at + 2]}",
            f"3P{c[at - 2 : at + 1]}",
            f"3N{c[at : at + 3]}",
            f"t{kinds[i]}",
            f"T{i - max(0, i - 2)}{kind}",
            f"i{min(offset, 5)}",
            f"j{min(left, 5)}",
            f"ij{min(offset, 3)}{min(left, 3)}",
            f"ic{min(offset, 3)}{c[at]}",
            f"jc{min(left, 3)}{c[at]}",
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
        found.append(row)
    return found


def _shape(word: str) -> str:
    """Kinds of a word's characters, runs of one kind once."""
    shape = ""
    for char in word:
        kind = character_kind(char)
        if not shape.endswith(kind):
            shape += kind
    return shape[:8]
