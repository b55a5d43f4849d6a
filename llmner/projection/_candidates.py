"""Where a mention may stand in the text, best first: as it is, with its edges trimmed, or nearly so.

Works on canonical text only. Which of several mentions gets which place is for ``_assign``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from rapidfuzz.distance import Levenshtein

from llmner.projection._canonical import Canonical
from llmner.projection._similar import same_numbers, similarity

__all__ = ["MAX_OCCURRENCES", "Candidate", "Particles", "find_candidates"]

Particles = Literal["auto", "keep", "trim"]

# Longest first. Names and dates may end in a one-syllable particle's letter (정은, 제주도, 봄을 → 가을),
# so those are trimmed only where the untrimmed form is not in the text.
_PARTICLES: Final = tuple(
    sorted(
        (
            "으로부터 에게서는 에서부터 이라고는 으로서는 에게서 으로써 으로서 으로는 으로도 에서는 "
            "에서도 에서의 에게는 에게도 에게로 까지는 까지도 까지의 부터는 부터의 로부터 이라고 이라는 "
            "이라며 이라도 이란 이라 라고 라는 라며 한테서 한테 께서는 께서 보다는 보다 처럼 같은 만큼 "
            "마다 조차 마저 밖에 이나마 이나 이며 이랑 이지만 이었다 이다 에서 에게 에는 에도 에만 에선 "
            "으로 까지 부터 과의 와의 과는 와는 로는 로서 로써 만의 만이 만은 만을 도의 은 는 이 가 을 를 "
            "의 에 로 와 과 도 만 나 랑 께 야 아 여"
        ).split(),
        key=lambda particle: (-len(particle), particle),
    )
)
_PARTICLE_SET: Final = frozenset(_PARTICLES)
# Of 12,197 gold entities in the KLUE training sample none ends in one of these (benchmarks/particles.py).
_NEVER_IN_A_NAME: Final = frozenset(
    (
        "는 를 에서 에게 으로 까지 부터 께서 한테 처럼 보다 이라고 라고 에는 에도 에서는 에서도 "
        "에서의 으로는 으로부터 에게서 까지는 부터는 과의 와의 이라는 라는"
    ).split()
)
_UNITS: Final = frozenset("만 도 나 인 야 아 여 만의 만이 만은 만을 도의".split())
_TITLES: Final = ("씨", "님", "군", "양")
# What follows one syllable that is a surname: 이씨, 이 씨, 김모(26), 전 전 대통령, 박 감독.
_NAMED: Final = re.compile(
    r"모?\s?(?:씨|군|양|옹|\(\d)|모\b|\s(?:전\s)?(?:대통령|총리|장관|차관|의원|위원장|위원|총재|회장|부회장|사장|부사장|대표|"
    r"이사|교수|박사|감독|코치|선수|기자|판사|검사|변호사|청장|차장|국장|실장|수석|후보|시장|지사|경위|경사|순경|대위|대령|중위|"
    r"병장|상병|일병|원장|소장|팀장|과장|부장|작가|배우|할머니|할아버지)"
)
_COUNTRIES: Final = frozenset("한일중미북남영러불독")
_THOUSAND: Final = re.compile(r"\d{3}(?!\d)")
_CHAINED: Final = re.compile(r"\d\.\d+\.")
_EDGES: Final = "\"'()[]{}<>*_~.,;:!?·-"
_SPACED_DIGITS: Final = re.compile(r"\d\s+\d")
MAX_OCCURRENCES: Final = 512
_MAX_SEED_HITS: Final = 128
_MAX_FUZZY_LENGTH: Final = 200


@dataclass(frozen=True, slots=True)
class Candidate:
    """One place a mention may stand.

    Attributes:
        start: Canonical offset.
        end: Canonical offset, exclusive.
        kind: ``canonical`` (which may turn out exact), ``trimmed`` or ``fuzzy``.
        similarity: 1 for all but fuzzy ones.
        cost: How badly it sits among its neighbours (inside a longer word), from 0.
        reason: What was trimmed, for the outcome.
    """

    start: int
    end: int
    kind: Literal["canonical", "trimmed", "fuzzy"]
    similarity: float
    cost: float
    reason: str = ""


def find_candidates(
    source: str,
    text: Canonical,
    mention: str,
    *,
    spaced: str = "",
    particles: Particles,
    cutoff: float | None,
) -> list[Candidate]:
    """Every place for a canonical mention, in text order, all of the best kind there is.

    At most 512 places are returned. O(length of the text), with a constant number of passes.

    Args:
        source: The text itself, for what stands around a place.
        text: Its canonical form.
        mention: The canonical mention, not empty.
        spaced: The mention as the reply wrote it, for the spaces between its digits.
        particles: Whether particles at the end are trimmed.
        cutoff: Lowest similarity of a fuzzy match; ``None`` for none.
    """
    verbatim = [
        Candidate(start, end, "canonical", 1.0, cost)
        for start, end, cost in _occurrences(source, text, mention, spaced)
    ]
    if verbatim and particles == "keep":
        return verbatim
    if verbatim:
        if particles == "auto":
            return [_without_particle(source, text, candidate) for candidate in verbatim]
        trimmed = _trimmed(source, text, mention, spaced, particles)
        return trimmed or verbatim
    return _trimmed(source, text, mention, spaced, particles) or _fuzzy(source, text, mention, spaced, cutoff)


def _occurrences(
    source: str, text: Canonical, needle: str, spaced: str = ""
) -> Iterator[tuple[int, int, float]]:
    """(start, end, cost) of each occurrence that splits no character and makes up no number."""
    size = len(needle)
    at = text.text.find(needle)
    tried = 0
    while at >= 0 and tried < MAX_OCCURRENCES:
        tried += 1
        end = at + size
        if text.whole(at, end) and not _fused(source, text, at, end, spaced):
            cost = _cost(source, *text.source(at, end))
            if cost is not None:
                yield at, end, cost
        at = text.text.find(needle, at + 1)


def _fused(source: str, text: Canonical, at: int, end: int, spaced: str) -> bool:
    """Whether folding brought digits together that are two numbers in the text, or parted one number.

    12번 is not in "1 2번" unless the mention itself has the space; 000원 is not in 1<zero width>000원.
    """
    if source.isalpha():
        return False
    edges = [(at, False), (end, False)]
    if _SPACED_DIGITS.search(source):
        edges += [(inner, True) for inner in range(at + 1, end)]
    for edge, inside in edges:
        if not 0 < edge < len(text.text) or not (text.text[edge - 1].isdigit() and text.text[edge].isdigit()):
            continue
        gap = source[text.ends[edge - 1] : text.starts[edge]]
        visible = any(char.isspace() for char in gap)
        if inside and visible and not _SPACED_DIGITS.search(spaced):
            return True
        if not inside and not visible:
            return True
    return False


def _kind(char: str) -> str:
    if "가" <= char <= "힣" or "ㄱ" <= char <= "ㆎ":
        return "h"
    if char.isdigit():
        return "d"
    if char.isalpha():
        return "a"
    return ""


def _cost(source: str, start: int, end: int) -> float | None:
    """What sitting between its neighbours costs a place; ``None`` if it would split a number.

    On the left: nothing after a space or a sign, 0.3 after the same kind of letter (inside a word; 1
    for Latin letters), 0.1 after another kind. On the right: nothing before a space, a sign or a
    particle that ends the word, 0.2 before other letters of its kind (1 for Latin letters, whose words
    do not run on), 0.05 before another kind. One syllable alone is more often a word of its own (이, 전, 한)
    than a name: 0.35 unless a title or an age follows, or it stands in a pair of countries (한일).
    """
    cost = 0.0
    if start:
        before, first = _kind(source[start - 1]), _kind(source[start])
        if first == "d" and (before == "d" or _continues(source, start)):
            return None
        if before:
            cost = (1.0 if first == "a" else 0.3) if before == first else 0.1
    if end < len(source):
        last, after = _kind(source[end - 1]), _kind(source[end])
        if last == "d" and (after == "d" or _continues(source, end + 1)):
            return None
        if after:
            if after != last:
                cost += 0.05
            elif after != "h":
                cost += 1.0
            else:
                cost += _tail_cost(_tail(source, end))
    if end - start == 1 and "가" <= source[start] <= "힣":
        if _NAMED.match(source, end):
            return 0.0
        if source[start] in _COUNTRIES:
            around = source[max(0, start - 1) : start] + source[end : end + 1]
            if any(char in _COUNTRIES for char in around):
                return 0.05
        cost += 0.35
    return cost


def _continues(source: str, at: int) -> bool:
    """Whether the digit at ``at`` belongs to the number before it: 7.2, 3,000, but not 시즌1,2."""
    if at < 2 or at >= len(source) or not (source[at].isdigit() and source[at - 2].isdigit()):
        return False
    if source[at - 1] == ".":
        # 2014.3.5 and 4.4.4 are lists of numbers, 7.2 is one.
        return not _CHAINED.search(source[max(0, at - 12) : at + 12])
    return source[at - 1] == "," and _THOUSAND.match(source, at) is not None


def _tail_cost(tail: str) -> float:
    """0 for what may end a Korean word after a name, 0.2 for anything else; 0.3 for people of a place."""
    if tail in _PARTICLE_SET or tail.startswith(_TITLES):
        return 0.0
    return 0.3 if tail.startswith("인") else 0.2


def _tail(source: str, at: int) -> str:
    """The Hangul run from ``at``, up to five syllables; longer ones are no particle."""
    end = at
    while end < len(source) and end - at < 6 and "가" <= source[end] <= "힣":
        end += 1
    return source[at:end]


def _split_particle(mention: str) -> tuple[str, str] | None:
    for particle in _PARTICLES:
        if mention.endswith(particle):
            stem = mention[: -len(particle)]
            if stem[-1:].isdigit() and particle in _UNITS:
                # 100만 and 5도 are other quantities than 100 and 5.
                continue
            if stem and (len(stem) > 1 or not "가" <= stem <= "힣" or len(particle) > 1):
                return stem, particle
    return None


def _without_particle(source: str, text: Canonical, candidate: Candidate) -> Candidate:
    """A verbatim place less a particle that no name ends in; any other is left as it is."""
    mention = text.text[candidate.start : candidate.end]
    split = _split_particle(mention)
    if split is None or split[1] not in _NEVER_IN_A_NAME or len(split[0]) < 2:
        return candidate
    end = candidate.start + len(split[0])
    after = text.ends[candidate.end - 1]
    if (after < len(source) and _kind(source[after])) or not text.whole(candidate.start, end):
        return candidate
    return Candidate(candidate.start, end, "trimmed", 1.0, candidate.cost, f"particle {split[1]}")


def _bare(surface: str) -> str:
    """A surface without signs at its edges, but for those that belong to a number: -5도, .5"""
    bare = surface.rstrip(_EDGES)
    stripped = bare.lstrip(_EDGES)
    signs = bare[: len(bare) - len(stripped)]
    if stripped[:1].isdigit() and signs[-1:] in ("-", "."):
        return signs[-1] + stripped
    return stripped


def _trimmed(source: str, text: Canonical, mention: str, spaced: str, particles: Particles) -> list[Candidate]:
    """Places of the mention with its edges off, the least trimmed form that is in the text."""
    forms: list[tuple[str, str]] = []
    bare = _bare(mention)
    if bare and bare != mention:
        forms.append((bare, "edges"))
    stem = bare or mention
    if particles != "keep":
        split = _split_particle(stem)
        if split is not None:
            forms.append((_bare(split[0]) or split[0], f"particle {split[1]}"))
            stem = split[0]
        for title in _TITLES:
            if stem.endswith(title) and len(stem) > len(title):
                forms.append((stem[: -len(title)], f"title {title}"))
    for form, reason in forms:
        found = [
            Candidate(start, end, "trimmed", 1.0, cost, reason)
            for start, end, cost in _occurrences(source, text, form, spaced)
        ]
        if found:
            return found
    return []


def _fuzzy(source: str, text: Canonical, mention: str, spaced: str, cutoff: float | None) -> list[Candidate]:
    """Nearly equal places, the most similar ones only.

    Some stretch of a mention with at most k edits is free of edits if it is cut into k + 1 pieces
    (the pigeonhole principle), so only places where a piece stands verbatim are compared.
    """
    size = len(mention)
    if cutoff is None or not 3 <= size <= _MAX_FUZZY_LENGTH:
        return []
    edits = 1 if size <= 4 else 2 if size <= 8 else min(size // 4, 12)
    pieces = edits + 1
    best: dict[tuple[int, int], float] = {}
    seen: set[int] = set()
    hits = 0
    for piece in range(pieces):
        left, right = size * piece // pieces, size * (piece + 1) // pieces
        at = text.text.find(mention[left:right])
        while at >= 0 and hits < _MAX_SEED_HITS:
            place = at - left
            if place not in seen:
                seen.add(place)
                hits += 1
                found = _compare(text, mention, place, edits, cutoff)
                if found is not None:
                    best[found[:2]] = found[2]
            at = text.text.find(mention[left:right], at + 1)
    if not best:
        return []
    top = max(best.values())
    candidates = []
    for (start, end), alike in sorted(best.items()):
        if alike < top:
            continue
        cost = _cost(source, *text.source(start, end))
        if cost is not None and not _fused(source, text, start, end, spaced):
            candidates.append(Candidate(start, end, "fuzzy", alike, cost))
    return candidates


def _compare(
    text: Canonical, mention: str, place: int, edits: int, cutoff: float
) -> tuple[int, int, float] | None:
    """The stretch around ``place`` that the mention aligns with, and how alike they are."""
    low = max(0, place - edits)
    window = text.text[low : max(0, place) + len(mention) + edits]
    start, end = low, low + len(window)
    for op in Levenshtein.opcodes(mention, window):
        # What stands in the window before the mention begins or after it ends is not part of the match.
        if op.tag == "insert" and op.src_start == 0:
            start = low + op.dest_end
        elif op.tag == "insert" and op.src_end == len(mention):
            end = low + op.dest_start
    # Edit scripts of equal length may put the edges a character off: take the best nearby.
    best: tuple[int, int, float] | None = None
    for first in range(max(low, start - 1), start + 2):
        for last in range(end - 1, min(low + len(window), end + 1) + 1):
            if first >= last or not text.whole(first, last):
                continue
            alike = similarity(mention, text.text[first:last], cutoff)
            if alike >= cutoff and (best is None or alike > best[2]):
                best = first, last, alike
    if best is None or not same_numbers(mention, text.text[best[0] : best[1]]):
        return None
    return best
