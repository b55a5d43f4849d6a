"""The canonical form both sides are compared in, with a map back to the source.

Folded away: Unicode compatibility (NFKC: ㎞ → km, １ → 1, ㈜ → (주)), composition (NFD), white space,
zero-width and control characters, case, the many quotes, dashes and dots, and the three encodings of a
lone jamo. What is similar but not the same (typing errors, particles) is for ``_candidates``.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

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
    # Fillers are letters to Unicode and nothing to a reader.
    **dict.fromkeys("\u115f\u1160\u3164\uffa0", ""),
}
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


class _Fold(dict[str, str | None]):
    """Character → canonical string; ``None`` for one that may join the character before it."""

    def __missing__(self, char: str) -> str | None:
        folded = None if _joins(char) else _fold(char)
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
    if len(words) == 3 and words[0] == "HANGUL" and words[1] in ("CHOSEONG", "JUNGSEONG", "JONGSEONG"):
        try:
            return unicodedata.lookup(f"HANGUL LETTER {words[2]}")
        except KeyError:
            return char
    return char


def _fold(cluster: str) -> str:
    """The canonical form of one user-perceived character."""
    if cluster in _ALIKE:
        return _ALIKE[cluster]
    if len(cluster) == 1 and (cluster.isspace() or unicodedata.category(cluster) in _INVISIBLE):
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
        elif "\u1100" <= char <= "\u11ff" or "\ua960" <= char <= "\ua97c" or "\ud7b0" <= char <= "\ud7fb":
            out.append(_letter_of_jamo(char))
        elif char.isspace() or unicodedata.category(char) in _INVISIBLE or "\ufe00" <= char <= "\ufe0f":
            continue
        elif char == "\u0307" and out and out[-1] == "i":
            # İ is i with a dot above once lowered; people write i.
            continue
        elif not out and unicodedata.category(char)[0] == "M":
            # A mark on something invisible.
            continue
        else:
            out.append(char)
    return unicodedata.normalize("NFC", "".join(out))


_FOLD: Final = _Fold()
# A separator nobody can type: keeps 10² from becoming 102 and ½ after 3 from becoming 31/2.
_SEPARATOR: Final = "\x1f"


@dataclass(frozen=True, slots=True)
class Canonical:
    """A text in canonical form.

    Attributes:
        text: The canonical text; it may be longer (㎞) or shorter (spaces) than the source.
        starts: For each canonical character, the source offset its character begins at.
        ends: For each canonical character, the source offset its character ends at.
    """

    text: str
    starts: list[int]
    ends: list[int]

    def whole(self, start: int, end: int) -> bool:
        """Whether canonical ``[start, end)`` covers source characters whole, splitting none."""
        return (start == 0 or self.starts[start - 1] != self.starts[start]) and (
            end == len(self.starts) or self.starts[end] != self.starts[end - 1]
        )

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Source offsets of canonical ``[start, end)``, which must not be empty."""
        return self.starts[start], self.ends[end - 1]


def _clusters(text: str) -> list[tuple[int, int]]:
    """Source intervals of characters with what joins them: e + ◌́, ᄒ + ᅡ + ᆫ."""
    clusters: list[tuple[int, int]] = []
    start = 0
    for at in range(1, len(text) + 1):
        if (
            at < len(text)
            and _FOLD[text[at]] is None
            and at - start < 32
            and _composes(text[start:at], text[at])
        ):
            continue
        clusters.append((start, at))
        start = at
    return clusters


def _composes(cluster: str, char: str) -> bool:
    if unicodedata.category(char)[0] == "M" or char in "\uff9e\uff9f":
        return not cluster.isspace()
    # Conjoining jamo: only what really makes a syllable; ᅮᅮ stays two letters.
    return len(unicodedata.normalize("NFC", cluster + char)) == 1


def canonicalize(text: str) -> Canonical:
    """Fold ``text``, keeping for every canonical character where it comes from. O(length)."""
    folded = [_FOLD[char] for char in text]
    if None in folded:
        clusters = _clusters(text)
        pieces = [_fold(text[start:end]) for start, end in clusters]
        starts = [s for (s, _), piece in zip(clusters, pieces, strict=True) for _ in piece]
        ends = [e for (_, e), piece in zip(clusters, pieces, strict=True) for _ in piece]
    else:
        pieces = folded  # type: ignore[assignment]
        starts = [at for at, piece in enumerate(pieces) for _ in piece]
        ends = [at + 1 for at in starts]
    canonical = "".join(pieces)
    if not canonical.isascii() or not text.isascii():
        return _keep_numbers_apart(text, canonical, starts, ends)
    return Canonical(canonical, starts, ends)


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


@lru_cache(maxsize=65_536)
def canonical_surface(surface: str) -> str:
    """The canonical form of a mention; the map back is not needed."""
    return canonicalize(surface).text
