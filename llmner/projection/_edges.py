"""The edges of a mention: quotes and signs around it, and its forms without them, without particles
and titles.

Pure functions on strings; where the forms stand is for ``_candidates`` to find.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from llmner.languages import KINDS, Language, Reason, scripts_of
from llmner.projection._canonical import canonical_surface

__all__ = [
    "EDGES",
    "PAIRED",
    "Reasons",
    "bare_forms",
    "begins_alike",
    "first_particle_fits",
    "light_ends",
    "lighter_forms",
    "loose_end",
    "may_be_lighter",
    "stands_alone",
    "without_remark",
]

PAIRED: Final = dict(zip("'\"`<「『《〈“‘(", "'\"`>」』》〉”’)", strict=True))
_QUOTES: Final = "\"'[]{}<>*_`"
_EDGES: Final = "\"'()[]{}<>*_~.,;:!?·-【】〔〕|#@/※→\\…`"
_CLOSED_BY: Final = dict(zip("([{<【〔", ")]}>】〕", strict=True))
_OPENED_BY: Final = {closing: opening for opening, closing in _CLOSED_BY.items()}
_OPENS: Final = {
    **_OPENED_BY,
    "'": "'",
    '"': '"',
    "’": "‘",
    "”": "“",
    "」": "「",
    "』": "『",
    "》": "《",
    "〉": "〈",
}
_AFTER_LETTERS: Final = frozenset(".!?'+~-/&*")
# What a possessive may end in, in any language.
_POSSESSIVE: Final = frozenset("s'’")
_LOOSE: Final = frozenset(_OPENS) | frozenset("([{<「『《〈“‘,;:·…、。，") | _AFTER_LETTERS
_LONGEST_REMARK: Final = 200
_may_have_a_remark: Final = re.compile(r"[(（\[【〔:：=→⇒,，、;|/\d]|\s[-–—]").search
_BRACKETED: Final = re.compile(
    r"(?P<name>[^(（\[【〔]+?)\s*[(（\[【〔](?P<gloss>[^()（）]+)[)）\]】〕]", re.DOTALL
)
# What replies add behind names.
_REMARKS: Final = (
    _BRACKETED,
    re.compile(r"(?P<name>[^:：]+?)\s*(?:[:：]\s+|：).+", re.DOTALL),
    re.compile(r"(?P<name>.+?)(?:\s+[-–—]+\s+|\s*(?:=>?|->|→|⇒)\s*).+", re.DOTALL),
    re.compile(r"(?P<name>[^,，、;|/]+?)\s*(?:[,;|/]\s+|[，、]).+", re.DOTALL),
)
# Replies count people: 민준 1, 민준 2. Of other things the number is a part: 시즌 3.
_NUMBERED: Final = re.compile(r"(?P<name>.*[^\W\d_])\s*[#(]?\d{1,2}[.)]?", re.DOTALL)
_BULLET: Final = re.compile(r"\W*[-–—]\s")
# What one syllable costs that stands alone (``place_cost``).
_LONE_SYLLABLE: Final = 0.35
# What a place costs beside another kind of letter, at most.
_JOINED: Final = 0.15
EDGES: Final = Reason("edges")
"""Why a form is shorter that has lost signs only."""

Reasons = tuple[Reason, ...]


def bare_forms(mention: str, spaced: str) -> Iterator[tuple[str, Reasons]]:
    """What a canonical mention is without the signs at its edges, the least trimmed first."""
    quoted = mention.strip(_QUOTES)
    if quoted and quoted != mention:
        yield quoted, (EDGES,)
    bare = _bare(mention, spaced)
    if bare and bare not in (mention, quoted):
        yield bare, (EDGES,)


def lighter_forms(
    mention: str, spaced: str, person: bool, language: Language
) -> Iterator[tuple[str, Reasons]]:
    """What it is without all that its language says is no part of a name, the least trimmed
    first.
    """
    stem = _bare(mention, spaced) or mention
    stems: list[tuple[str, Reasons]] = [(stem, ())]
    for left, particle in language.split_particles(stem):
        left = _bare(left, spaced)
        if left:
            trimmed: Reasons = (Reason("particle", particle),)
            yield left, trimmed
            stems.append((left, trimmed))
    if person:
        if language.titles_before:
            bare, titles = _without_titles(stem, spaced, language)
            if titles:
                yield bare, (Reason("title", titles),)
        for left, reasons in stems:
            for name, title in language.names_before_title(left):
                yield name, (*reasons, title)
    for form, reason in language.other_forms(stem, spaced):
        if form:
            # Of an article and signs, "a (", nothing is left.
            yield form, (reason,)


def without_remark(spaced: str, person: bool) -> Iterator[tuple[str, Reasons]]:
    """(form, reasons) of a mention without what a reply added behind it, the longest form first.

    민준(民俊), Anna Weber (CEO), 한빛: 기업, Anna Weber - CEO, 민준 1.
    """
    if len(spaced) > _LONGEST_REMARK or _may_have_a_remark(spaced) is None:
        return
    spaced = spaced.strip()
    forms: dict[str, str] = {}
    for pattern in (*_REMARKS, _NUMBERED) if person else _REMARKS:
        match = pattern.fullmatch(spaced)
        if match is not None:
            name = match["name"].strip()
            if any(map(str.isalpha, name)):
                forms.setdefault(canonical_surface(name), spaced[len(match["name"]) :].strip())
    bracket = _BRACKETED.fullmatch(spaced)
    if bracket is not None and scripts_of(bracket["name"]) != scripts_of(bracket["gloss"]) != ():
        # The gloss may be what the text has: 민준(民俊), 유럽연합(EU).
        gloss = canonical_surface(bracket["gloss"])
        if len(gloss) > 1 and not gloss.isascii():
            forms.setdefault(gloss, bracket["name"].strip())
    for form, remark in forms.items():
        if form:
            yield form, (Reason("remark", remark),)


def _without_titles(stem: str, spaced: str, language: Language) -> tuple[str, str]:
    """(name, titles) of a mention with titles before the name: Prof. Dr. Weber; no titles if
    none.
    """
    begin = offset = len(spaced) - len(spaced.lstrip("\"'([{<*_` "))
    if not spaced.startswith(language.titles_before, offset):
        return stem, ""
    while title := next((t for t in language.titles_before if spaced.startswith(t, offset)), ""):
        offset += len(title)
        while spaced[offset : offset + 1].isspace():
            offset += 1
    titles = spaced[begin:offset].split()
    size = len("".join(titles))
    return (stem[size:], " ".join(titles)) if len(stem) > size else (stem, "")


def _bare(surface: str, spaced: str) -> str:
    """A surface without signs at its edges, from the outside in.

    Signs that belong stay: -5도, .5, 5%, and brackets whose partner is inside: 유럽연합(EU).
    """
    if surface[-1:] not in _EDGES and surface[:1] not in _EDGES:
        return surface
    # Where the signs at the beginning end; the first and last of each bracket are looked for once.
    inside = len(surface) - len(surface.lstrip(_EDGES))
    right = len(surface)
    first = (
        {opening: surface.find(opening, inside) for opening in _CLOSED_BY} if right > inside else {}
    )
    while right and (char := surface[right - 1]) in _EDGES:
        if char in _OPENED_BY and 0 <= first.get(_OPENED_BY[char], -1) < right - 1:
            break
        right -= 1
    left = 0
    last = {
        closing: surface.rfind(closing, 0, len(surface[:right].rstrip(_QUOTES)))
        for closing in _OPENED_BY
    }
    while left < right and (char := surface[left]) in _EDGES:
        if char in _CLOSED_BY and last[_CLOSED_BY[char]] > left:
            break
        signed = (
            char in "-."
            and surface[left + 1 : left + 2].isdigit()
            and surface[left - 1 : left] != char
        )
        if signed and not _BULLET.match(spaced):
            # A sign or a point; a bullet and the end of an ellipsis are none.
            break
        left += 1
    return surface[left:right]


def stands_alone(syllable: str, cost: float, person: bool, language: Language) -> bool:
    """Whether one syllable left of a mention and its particle may be a name: 김 before a title, 괌
    alone.
    """
    if KINDS[syllable] == "c":
        # 北さん is not 北 in 北九州.
        return cost < _JOINED
    if person:
        return cost == 0 or (cost <= _LONE_SYLLABLE and syllable not in language.lone_words)
    return 0 < cost <= _LONE_SYLLABLE and syllable not in language.lone_words


def first_particle_fits(mention: str, language: Language) -> bool:
    """Whether the longest particle a mention may end in has the form that follows its stem."""
    split = next(iter(language.split_particles(mention)), None)
    return split is None or language.particle_fits(*split)


@lru_cache(maxsize=256)
def light_ends(language: Language) -> tuple[frozenset[str], frozenset[str]]:
    """The last letters of places that :func:`may_be_lighter` has to look at: of any name, and of a
    person's.
    """
    ends = language.particle_ends | _POSSESSIVE | _LOOSE
    return ends, ends | language.title_ends


def may_be_lighter(source: str, start: int, end: int, person: bool, language: Language) -> bool:
    """A quick look: whether something at the edges of a place may be no part of the name."""
    last = source[end - 1]
    return (
        last in language.particle_ends
        or (last in _POSSESSIVE and source[end - 2 : end] in language.possessives)
        or (person and last in language.title_ends)
        or last in _LOOSE
        or source[start] in PAIRED
    )


def loose_end(surface: str) -> int:
    """How many signs to take off the end of a stretch: 평택, and 18세( but not (주), U.S., 5' or
    Yahoo!
    """
    if surface[-1:] not in _LOOSE:
        return 0
    right = len(surface)
    first: dict[str, int] = {}
    while right > 1 and (char := surface[right - 1]) in _LOOSE:
        opening = _OPENS.get(char)
        if (
            opening is not None
            and 0 <= first.setdefault(opening, surface.find(opening)) < right - 1
        ):
            break
        if char in _AFTER_LETTERS and KINDS[surface[right - 2]] in ("a", "d", ""):
            break
        right -= 1
    return len(surface) - right if any(map(str.isalnum, surface[:right])) else 0


def begins_alike(mention: str, stretch: str) -> bool:
    """Whether a fuzzy stretch begins with a letter, or with the sign that the mention begins with.

    Asked of both reversed, whether it ends so. Hiragana beside other letters is a word of its own.
    """
    first, begins = stretch[0], mention[0]
    if "ぁ" <= first <= "ゖ" and not "ぁ" <= begins <= "ゖ":
        return False
    return first.isalnum() or first == begins
