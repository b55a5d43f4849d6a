"""The canonical form both sides are compared in, with a map back to the source.

Folded away: Unicode compatibility (NFKC: ㎞ → km, １ → 1, ㈜ → (주)), composition (NFD), white
space, zero-width and control characters, case, the many quotes, dashes and dots, and the three
encodings of a lone jamo. What is similar but not the same (typing errors, particles) is for
``_candidates``.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Final

from llmner._unicode import FILLERS, INVISIBLE, normalized

__all__ = ["Canonical", "canonicalize"]

_ALIKE: Final = {
    **dict.fromkeys("“”„‟«»″〝〞＂「」『』《》〈〉", '"'),
    **dict.fromkeys("‘’‚‛′＇`´", "'"),
    **dict.fromkeys("‐‑‒–—―−﹘﹣－ㅡ─", "-"),
    **dict.fromkeys("·・ㆍ‧•∙⋅･", "·"),
    **dict.fromkeys("～〜∼˜", "~"),
    "。": ".",
    "、": ",",
    "⁄": "/",
    "∕": "/",
    "\u0640": "",
    # Fillers are letters to Unicode and nothing to a reader.
    **dict.fromkeys(FILLERS, ""),
}


class _Fold(dict[str, str | None]):
    """Character → canonical string; ``None`` for one that must be seen beside its neighbours.

    Such a one may join the character before it, or makes a digit of what is none (², ①).
    """

    def __missing__(self, char: str) -> str | None:
        folded = None if _joins(char) else _fold(char)
        if folded and not char.isdecimal() and any(c.isdigit() for c in folded):
            folded = None
        # Texts use few characters; a hostile one cannot make this grow without end.
        if len(self) < 100_000:
            self[char] = folded
        return folded


def _joins(char: str) -> bool:
    point = ord(char)
    return (
        0x1161 <= point <= 0x11FF
        or 0xD7B0 <= point <= 0xD7FB
        or point in (0xFF9E, 0xFF9F)
        or unicodedata.category(char)[0] == "M"
    )


def _letter_of_jamo(char: str) -> str:
    """A conjoining jamo as the letter people type: ᄏ → ㅋ, ᅮ → ㅜ, ᆨ → ㄱ."""
    words = unicodedata.name(char, "").split(" ", 2)
    if (
        len(words) == 3
        and words[0] == "HANGUL"
        and words[1] in ("CHOSEONG", "JUNGSEONG", "JONGSEONG")
    ):
        try:
            return unicodedata.lookup(f"HANGUL LETTER {words[2]}")
        except KeyError:
            return char
    return char


def _fold(cluster: str) -> str:
    """The canonical form of one user-perceived character."""
    if cluster in _ALIKE:
        return _ALIKE[cluster]
    if len(cluster) == 1 and (cluster.isspace() or unicodedata.category(cluster) in INVISIBLE):
        return ""
    if len(cluster) == 1 and "\u3131" <= cluster <= "\u318e":
        return cluster
    if len(cluster) == 1 and unicodedata.category(cluster)[0] == "M":
        # A mark on nothing, or on a space that is folded away, would join whatever comes before it.
        return ""
    if unicodedata.normalize("NFKC", cluster)[0] == " ":
        # A lone accent (¨): taken apart, it would join whatever stands before it.
        return cluster
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", cluster).casefold())
    out: list[str] = []
    for char in folded:
        if char in _ALIKE:
            out.append(_ALIKE[char])
        elif (
            "\u1100" <= char <= "\u11ff"
            or "\ua960" <= char <= "\ua97c"
            or "\ud7b0" <= char <= "\ud7fb"
        ):
            out.append(_letter_of_jamo(char))
        elif (
            char.isspace()
            or unicodedata.category(char) in INVISIBLE
            or "\ufe00" <= char <= "\ufe0f"
        ):
            continue
        elif char == "\u0307" and out and out[-1] == "i":
            # İ is i with a dot above once lowered; people write i.
            continue
        elif char in _READING_MARKS or (not out and unicodedata.category(char)[0] == "M"):
            # The second is a mark on something invisible.
            continue
        else:
            out.append(char)
    return unicodedata.normalize("NFC", "".join(out))


_FOLD: Final = _Fold()
# Bound once: this is looked up for every character of every text.
_folded: Final = _FOLD.__getitem__
# Anything but printable ASCII (less the backtick, a quote, and what begins an entity) and Hangul
# syllables.
_UNUSUAL: Final = re.compile(r"[^ -%'-_a-~가-힣]")
_unusual: Final = _UNUSUAL.search
# Up to so many different characters, a text is quicker to change one by one than to fold.
_FEW: Final = 8
# Entities that are left in texts from web pages.
_ENTITY: Final = re.compile(r"&(?:[A-Za-z]{2,8}|#[0-9]{2,5}|#x[0-9a-fA-F]{2,4});")
# Marks on letters that say how they are read, and are mostly left out: vowels, tatweel.
_READING_MARKS: Final = frozenset(
    chr(point)
    for first, last in (
        (0x64B, 0x652),
        (0x670, 0x670),
        (0x591, 0x5BD),
        (0x5BF, 0x5BF),
        (0x5C1, 0x5C2),
    )
    for point in range(first, last + 1)
)
# Vietnamese has two places for the tone of a vowel pair: hoà and hòa.
_TONES: Final = {
    "".join(new): "".join(old)
    for first, second, marked in (("o", "a", "àáảãạ"), ("o", "e", "èéẻẽẹ"), ("u", "y", "ỳýỷỹỵ"))
    for new, old in (
        ((first, tone), (unicodedata.normalize("NFC", first + mark), second))
        for tone, mark in zip(marked, "\u0300\u0301\u0309\u0303\u0323", strict=True)
    )
}
_TONED_LETTERS: Final = "àáảãạèéẻẽẹỳýỷỹỵ"
_TONED: Final = re.compile(f"[ou][{_TONED_LETTERS}]")


class _Change(dict[str, str]):
    """Character → the one that stands for it whatever is beside it; empty if there is none."""

    def __missing__(self, char: str) -> str:
        folded = _folded(char) or ""
        # What begins an entity, or may be a tone, is no matter of one character alone.
        alone = len(folded) == 1 and char != "&" and folded not in _TONED_LETTERS
        changed = folded if alone and folded == _folded(folded) == folded.lower() else ""
        # As in ``_Fold``.
        if len(self) < 100_000:
            self[char] = changed
        return changed


_CHANGE: Final = _Change()
# A separator nobody can type: keeps 10² from becoming 102 and ½ after 3 from becoming 31/2.
_SEPARATOR: Final = "\x1f"


class Canonical:
    """A text in canonical form.

    Attributes:
        text: The canonical text; it may be longer (㎞) or shorter (spaces) than the source.
        simple: Whether every canonical character stands for one source character of its own.
        even: Whether only spaces were left out, and every other character of the source stands for
            one of the text. So it is where neither ``starts`` nor ``pieces`` are given.
        plain: Whether only spaces and capitals were folded; ``changed`` says that other characters
            were, too.
    """

    __slots__ = ("_ends", "_pieces", "_source", "_starts", "even", "plain", "simple", "text")

    def __init__(
        self,
        text: str,
        starts: list[int] | None = None,
        ends: list[int] | None = None,
        *,
        source: str = "",
        pieces: Sequence[str | None] | None = None,
        changed: bool = False,
    ) -> None:
        # The way back is worked out when it is asked for: most mentions need no more than the text.
        self.text = text
        self.even = starts is None and pieces is None
        self.plain = self.even and not changed
        self.simple = self.even or (
            pieces is not None and len(pieces) - pieces.count("") == len(text)
        )
        self._starts = starts
        self._ends = ends
        self._source = source
        self._pieces = pieces

    @property
    def starts(self) -> list[int]:
        """For each canonical character, the source offset its character begins at."""
        if self._starts is None:
            if self._pieces is None:
                self._starts = [at for at, char in enumerate(self._source) if char != " "]
            elif self.simple:
                self._starts = list(compress(range(len(self._pieces)), self._pieces))
            else:
                self._starts = [at for at, piece in enumerate(self._pieces) for _ in piece or ""]
        return self._starts

    @property
    def ends(self) -> list[int]:
        """For each canonical character, the source offset its character ends at."""
        if self._ends is None:
            self._ends = [at + 1 for at in self.starts]
        return self._ends

    def whole(self, start: int, end: int) -> bool:
        """Whether canonical ``[start, end)`` covers source characters whole, splitting none."""
        return self.simple or (
            (start == 0 or self.starts[start - 1] != self.starts[start])
            and (end == len(self.starts) or self.starts[end] != self.starts[end - 1])
        )

    def parts(self, offset: int) -> bool:
        """Whether no character of several code points goes across a source offset."""
        if self.simple:
            return True
        at = bisect_left(self.starts, offset)
        return at == 0 or self.source(at - 1, at)[1] <= offset

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Source offsets of canonical ``[start, end)``, which must not be empty."""
        return self.starts[start], (
            self.starts[end - 1] + 1 if self._ends is None else self._ends[end - 1]
        )


def _cluster(text: str, pieces: list[str | None]) -> tuple[list[str], dict[int, int], bool]:
    """Join what belongs to one character (e + ◌́, ᄒ + ᅡ + ᆫ), folded as a whole at its first one.

    Returns the pieces, the end of every cluster by its start, and whether a digit was made of what
    is none. Only characters that must be seen beside their neighbours are looked at again.
    """
    ends: dict[int, int] = {}
    made_digits = False
    start = 0
    for at, piece in enumerate(pieces):
        if piece is not None:
            continue
        if ends.get(start) != at:
            start = at - 1
        if at and at - start < 32 and _composes(text[start:at], text[at]):
            ends[start] = at + 1
            pieces[start], pieces[at] = _fold(text[start : at + 1]), ""
        else:
            start = at
            pieces[at] = _fold(text[at])
        made_digits = made_digits or any(map(str.isdigit, pieces[start] or ""))
    return [piece or "" for piece in pieces], ends, made_digits


def _composes(cluster: str, char: str) -> bool:
    if unicodedata.category(char)[0] == "M" or char in "\uff9e\uff9f":
        return not cluster.isspace()
    # Conjoining jamo: only what really makes a syllable; ᅮᅮ stays two letters.
    return len(unicodedata.normalize("NFC", cluster + char)) == 1


def canonicalize(text: str) -> Canonical:
    """Fold ``text``, keeping for every canonical character where it comes from. O(length)."""
    first = _unusual(text)
    if first is None:
        # Most texts: nothing but spaces and capitals to fold.
        return Canonical(text.replace(" ", "").lower(), source=text)
    even = _changed(text, first[0])
    if even is not None:
        return Canonical(even.replace(" ", "").lower(), source=text, changed=True)
    entities = _entities(text) if "&" in text else []
    folded = list(map(_folded, text))
    if not entities and (joined := _joined(folded)) is not None:
        return Canonical(_one_tone(joined), pieces=folded)
    pieces, clusters, made_digits = _cluster(text, folded)
    for start, end, char in entities:
        pieces[start:end] = [canonical_surface(char), *[""] * (end - start - 1)]
        clusters[start], made_digits = end, True
    canonical = _one_tone("".join(pieces))
    if not clusters and not made_digits:
        return Canonical(canonical, pieces=pieces)
    starts = [at for at, piece in enumerate(pieces) for _ in piece]
    return _keep_numbers_apart(text, canonical, starts, [clusters.get(at, at + 1) for at in starts])


def _changed(text: str, first: str) -> str | None:
    """A text in which each of a few unusual characters, ``first`` the first of them, is changed for
    the one that stands for it; ``None`` if they are many, or if one has to be folded in another
    way.
    """
    if first.isalpha() and not "ㄱ" <= first <= "ㆎ":
        # Of a letter's script, the text has many more.
        return None
    unusual = set(_UNUSUAL.findall(text))
    if len(unusual) > _FEW:
        return None
    for char in unusual:
        changed = _CHANGE[char]
        if not changed:
            return None
        text = text.replace(char, changed)
    return text


def _joined(pieces: Iterable[str | None]) -> str | None:
    """The pieces as one string; ``None`` if one of them must be seen beside its neighbours."""
    try:
        # Faster than to look for the one first.
        return "".join(pieces)  # type: ignore[arg-type]
    except TypeError:
        return None


def _entities(text: str) -> list[tuple[int, int, str]]:
    """Start, end and character of each HTML entity."""
    entities = []
    for match in _ENTITY.finditer(text):
        char = html.unescape(match[0])
        if char != match[0] and "&" not in char[1:] and ";" not in char:
            entities.append((*match.span(), char))
    return entities


def _one_tone(text: str) -> str:
    """Vietnamese tones in one of their two places; no letter more or less."""
    return _TONED.sub(lambda pair: _TONES.get(pair[0], pair[0]), text)


def _keep_numbers_apart(text: str, canonical: str, starts: list[int], ends: list[int]) -> Canonical:
    """Part digits that only folding brought together, so that no number is made up."""
    inserts = [
        at
        for at, char in enumerate(canonical)
        if char.isdigit()
        and at
        and canonical[at - 1].isdigit()
        and starts[at] != starts[at - 1]
        and not (text[starts[at]].isdecimal() and text[starts[at - 1]].isdecimal())
    ]
    if not inserts:
        return Canonical(canonical, starts, ends)
    out: list[str] = []
    new_starts: list[int] = []
    new_ends: list[int] = []
    last = 0
    for at in inserts:
        out += [canonical[last:at], _SEPARATOR]
        # The separator belongs to the character after it, so a match cannot end between the two.
        new_starts += [*starts[last:at], starts[at]]
        new_ends += [*ends[last:at], ends[at]]
        last = at
    out.append(canonical[last:])
    return Canonical("".join(out), new_starts + starts[last:], new_ends + ends[last:])


def canonical_surface(surface: str) -> str:
    """The canonical form of a mention; the map back is not needed."""
    if _unusual(surface) is None:
        return surface.replace(" ", "").lower()
    composed = normalized("NFC", surface)
    if _unusual(composed) is None:
        return composed.replace(" ", "").lower()
    joined = None if "&" in surface else _joined(map(_folded, surface))
    return canonicalize(surface).text if joined is None else _one_tone(joined)
