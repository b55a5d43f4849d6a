"""Where a mention may stand in the text, best first: as it is, with its edges trimmed, or nearly
so.

Works on canonical text; what stands around a place is read from the source. Which of several
mentions gets which place is for ``_assign``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice, pairwise
from typing import Final, Literal, NamedTuple

from llmner._budget import UNBOUNDED
from llmner._intervals import Intervals
from llmner.languages import KINDS, Reason
from llmner.projection._canonical import canonical_surface
from llmner.projection._edges import (
    EDGES,
    PAIRED,
    Reasons,
    bare_forms,
    begins_alike,
    first_particle_fits,
    light_ends,
    lighter_forms,
    loose_end,
    may_be_lighter,
    stands_alone,
    without_remark,
)
from llmner.projection._near import Letters, compare, cuts
from llmner.projection._positions import INDEX_ABOVE, MAX_OCCURRENCES, Positions, occurrences
from llmner.projection._quantities import Quantities, may_be_written_otherwise
from llmner.projection._respelled import Accents, separated_otherwise
from llmner.projection._similar import same_numbers, same_words
from llmner.projection._surroundings import joins_pieces, place_cost
from llmner.projection._task import Task

__all__ = ["Candidate", "Finder"]

_SPACED_DIGITS: Final = re.compile(r"\d\s+\d")
_MAX_SEEDS: Final = 256
_NO_COPY: Final = 0.15
_WORD_EDGE: Final = 0.2
_IN_A_LATIN_WORD: Final = 1.0
_SHORT_CUTOFF: Final = 0.8
_IN_A_WORD: Final = 0.2
_RESPELLED: Final = (Reason("other spelling"),)
_SAME_QUANTITY: Final = (Reason("same quantity"),)
# How far behind a place a language looks for what belongs to it: its particles, its titles.
_AHEAD: Final = 6
_AHEAD_OF_A_NAME: Final = 4
_LENGTH: Final = 0.03
_MAX_FUZZY_LENGTH: Final = 200
# How much of a text is searched in the time of one step.
_CHARACTERS_A_STEP: Final = 2048
# Digits, letters of most scripts with spaces between words, and kana come before ideographs and
# Hangul.
_UNBOUNDED: Final = "\u3100"
# Letters of a mention up to which all its seeds are looked at.
_ORDINARY: Final = 48


class Candidate(NamedTuple):
    """One place a mention may stand.

    Attributes:
        start: Offset in the source.
        end: Offset in the source, exclusive.
        size: Length in canonical characters: spaces weigh nothing.
        kind: ``canonical`` (which may turn out exact), ``trimmed`` or ``fuzzy``.
        similarity: 1 for all but fuzzy ones.
        cost: How badly it sits among its neighbours (inside a longer word), from 0.
        reasons: What was trimmed, from the outside in, and what else differs.
    """

    start: int
    end: int
    size: int
    kind: Literal["canonical", "trimmed", "fuzzy"]
    similarity: float
    cost: float
    reasons: Reasons = ()


# As ``Candidate(...)``, in half the time.
_new_candidate: Final = partial(tuple.__new__, Candidate)


class Finder:
    """Finds the places of mentions in one text.

    Args:
        task: The text, its mentions and its rules. If mentions are so many and the text so long
            that it is worth its while, an index is made of the letters that they need; see
            :class:`Positions`.
    """

    # Made when they are first needed.
    _quantities: Quantities | None = None
    _joints: list[int] | None = None
    _accents: Accents | None = None

    def __init__(self, task: Task) -> None:
        source, text, mentions, surfaces, self._schema, language, policy, budget = task
        self.source = source
        self.text = text
        self.language = language
        self.particles = policy.particles
        self.cutoff = policy.fuzzy
        self._budget = budget
        self._light_ends = light_ends(language)
        self._pass = 1 + len(text.text) // _CHARACTERS_A_STEP
        self._index: Positions | None = None
        if len(source) * len(mentions) > INDEX_ABOVE:
            budget.spend(20 * self._pass)
            self._index = Positions(text.text, surfaces)

    def find(self, mention: str, spaced: str, person: bool) -> list[Candidate]:
        """Every place for a canonical mention, in text order, all of the best kind there is.

        At most 512 places are returned. O(length of the text), with a constant number of passes.

        Args:
            mention: The canonical mention, not empty.
            spaced: The mention as the reply wrote it, for its spaces.
            person: Whether it is said to be a person, who may be called by a title.
        """
        if self._budget is not UNBOUNDED:
            self._budget.spend(self._pass)
        copies = self.text.text.count(mention) if self._index is None else -1
        if copies == 1 and spaced[0] != " " != spaced[-1]:
            only = self._only_copy(mention, spaced, person)
            if only is not None:
                return [only]
        return self._all(mention, spaced, person, copies)

    def again(self, surface: str) -> list[Candidate]:
        """Every verbatim place of a canonical surface that has been placed already."""
        return self._places(surface, "", form=True)

    def _all(self, mention: str, spaced: str, person: bool, copies: int) -> list[Candidate]:
        """Every place of a mention that has ``copies`` in the canonical text, -1 if they were not
        counted.
        """
        source = self.source
        found = self._verbatim(mention, spaced, copies) if copies else []
        if found and mention in self.language.common_words and spaced.isupper():
            # US is not the word us, unless the whole text is in small letters.
            capitals = [c for c in found if not source[c.start : c.end].islower()]
            found = found if source.islower() else capitals
        if not found:
            found = (
                self._trimmed(mention, spaced, person)
                or self._rewritten(mention, spaced, person)
                or self._respelled(mention, spaced)
                or self._unremarked(spaced, person)
            )
            if not found and self.cutoff is not None:
                found = self._fuzzy(mention, spaced, person)
        if self.particles == "keep" or not found:
            return found
        if self.particles == "trim" and found[0].kind == "canonical":
            return self._trimmed(mention, spaced, person) or found
        return [
            self._lighter(candidate, spaced, person)
            if may_be_lighter(source, candidate.start, candidate.end, person, self.language)
            else candidate
            for candidate in found
        ]

    # Places as they are.

    def _verbatim(self, mention: str, spaced: str, copies: int) -> list[Candidate]:
        """Places of the mention as it is; ``copies`` in the canonical text, -1 if they were not
        counted.
        """
        clean = spaced[0] != " " != spaced[-1]
        if self.text.plain and clean and copies == self.source.count(spaced) < MAX_OCCURRENCES:
            # Every place is a copy to the letter: no need for the way back.
            return self._copies(spaced, len(mention))
        return self._places(mention, spaced)

    def _only_copy(self, mention: str, spaced: str, person: bool) -> Candidate | None:
        """What :meth:`_all` finds of most mentions: the only place, and a copy to the letter.

        ``None`` where the place has to be looked at more closely.
        """
        text, source, language = self.text, self.source, self.language
        # In a plain text such a place costs nothing, unless something comes off it.
        plain, size = text.plain, len(mention)
        if plain:
            begin = source.find(spaced)
        elif text.even and self.particles != "trim":
            begin = self._begin_of_copy(mention, spaced)
        else:
            return None
        if begin < 0:
            return None
        end = begin + len(spaced)
        light = (
            (spaced[-1] in self._light_ends[person] or spaced[0] in PAIRED)
            and self.particles != "keep"
            and may_be_lighter(source, begin, end, person, language)
        )
        if light and (self.particles == "trim" or source.find(spaced, begin + 1) >= 0):
            return None
        first, last = mention[0] < _UNBOUNDED, mention[-1] < _UNBOUNDED
        if plain and not light:
            # Only what stands beside a digit or a letter at its ends can make it no place.
            before = first and begin and source[begin - 1] != " "
            behind = last and end < len(source) and source[end] != " "
            if (before or behind) and place_cost(source, begin, end, language) is None:
                return None
            return _new_candidate((begin, end, size, "canonical", 1.0, 0.0, ()))
        cost = place_cost(source, begin, end, language) if plain or first or last else 0.0
        if cost is None:
            return None
        only = _new_candidate((begin, end, size, "canonical", 1.0, cost, ()))
        return self._lighter(only, spaced, person) if light else only

    def _begin_of_copy(self, mention: str, spaced: str) -> int:
        """Where the only copy begins in a text with characters that were changed; -1 if it is not
        to the letter.
        """
        letters, size = self.text.text, len(mention)
        at, begin = letters.find(mention), self.source.find(spaced)
        # Only spaces were left out, so that those before a copy say where its letters are.
        if begin - self.source.count(" ", 0, begin) != at or letters.find(mention, at + 1) >= 0:
            return -1
        digits = mention[0].isdigit() or mention[-1].isdigit()
        if (digits or len(spaced) != size) and self._fused(at, at + size, spaced):
            return -1
        return begin

    def _places(
        self, mention: str, spaced: str, form: bool = False, reasons: Reasons = ()
    ) -> list[Candidate]:
        """Places through the way back. ``form``: of some form of what was said, trimmed for
        reasons.
        """
        text, source = self.text, self.source
        starts, simple = text.starts, text.simple
        size = len(mention)
        found: list[Candidate] = []
        bounded = mention[0] < _UNBOUNDED or mention[-1] < _UNBOUNDED
        digits = bounded and (mention[0].isdigit() or mention[-1].isdigit())
        positions = self._occurrences(mention)
        if len(positions) > 1:
            self._budget.spend(len(positions))
        alone = len(positions) == 1 and not form and not bounded
        kind: Literal["trimmed", "canonical"] = "trimmed" if form else "canonical"
        for at in positions:
            end = at + size
            if simple:
                begin, stop = starts[at], starts[end - 1] + 1
            elif text.whole(at, end):
                begin, stop = text.source(at, end)
            else:
                continue
            if (digits or stop - begin != size) and self._fused(at, end, spaced):
                continue
            if stop - begin > size and joins_pieces(source, begin, stop, spaced, self.language):
                continue
            cost = 0.0 if alone else place_cost(source, begin, stop, self.language)
            if cost is not None:
                if not alone and not form and source[begin:stop] != spaced:
                    # Of a name and a word that differ in capitals or spaces, the copy is meant.
                    cost += _NO_COPY
                found.append(Candidate(begin, stop, size, kind, 1.0, cost, reasons))
        return found

    def _occurrences(self, letters: str) -> list[int]:
        """Where letters stand in the canonical text, ascending; the first 512."""
        if self._index is None:
            return occurrences(self.text.text, letters)
        return self._index.of(letters)

    def _copies(self, surface: str, size: int) -> list[Candidate]:
        """Places that repeat the mention to the letter, in a plain text."""
        source = self.source
        length = len(surface)
        found: list[Candidate] = []
        places = occurrences(source, surface)
        if len(places) > 1:
            self._budget.spend(len(places))
        for at in places:
            cost = place_cost(source, at, at + length, self.language)
            if cost is not None:
                found.append(Candidate(at, at + length, size, "canonical", 1.0, cost))
        return found

    def _fused(self, at: int, end: int, spaced: str) -> bool:
        """Whether folding brought digits together that are two numbers in the text, or parted one
        number.

        12번 is not in "1 2번" unless the mention itself has the space; 000원 is not in 1<zero
        width>000원.
        """
        if not any(map(str.isdigit, self.text.text[at:end])):
            # Most names: nothing in them that could be brought together.
            return False
        for edge in (at, end):
            between = self._between_digits(edge)
            if between is not None and not any(map(str.isspace, between)):
                return True
        begin, stop = self.text.source(at, end)
        if stop - begin <= end - at or _SPACED_DIGITS.search(spaced):
            return False
        joints = self._joints
        if joints is None:
            joints = self._joints = self._spaced_joints()
        first = bisect_right(joints, at)
        return first < len(joints) and joints[first] < end

    def _spaced_joints(self) -> list[int]:
        """Canonical offsets between two digits that white space parts in the source, ascending.
        O(text).
        """
        digits = [at for at, char in enumerate(self.text.text) if char.isdigit()]
        edges = (right for left, right in pairwise(digits) if right == left + 1)
        return [edge for edge in edges if any(map(str.isspace, self._between_digits(edge) or ""))]

    def _between_digits(self, edge: int) -> str | None:
        """What parts two digits at an edge; ``None`` where it does not stand between digits."""
        canonical = self.text.text
        if not (
            0 < edge < len(canonical)
            and canonical[edge - 1].isdigit()
            and canonical[edge].isdigit()
        ):
            return None
        return self.source[self.text.source(edge - 1, edge)[1] : self.text.starts[edge]]

    # The same quantity, written in another way.

    def _rewritten(self, mention: str, spaced: str, person: bool) -> list[Candidate]:
        """Places of the same quantities, written with other units or thousands separators."""
        units = () if self._schema is None else self._schema.unit_table
        if not may_be_written_otherwise(mention, units):
            return []
        if self._quantities is None:
            self._budget.spend(40 * self._pass)
            self._quantities = Quantities(self.text, units)
        found: list[Candidate] = []
        for form, reasons in self._mention_and_forms(mention, spaced, person):
            for start, end in self._quantities.occurrences(self._quantities.mention(form)):
                if not self.text.whole(start, end) or self._fused(start, end, ""):
                    continue
                begin, stop = self.text.source(start, end)
                cost = place_cost(self.source, begin, stop, self.language)
                if cost is not None:
                    kind: Literal["canonical", "trimmed"] = "trimmed" if reasons else "canonical"
                    why = _SAME_QUANTITY + reasons
                    found.append(Candidate(begin, stop, end - start, kind, 1.0, cost, why))
            if found:
                break
        return found

    # In another spelling.

    def _respelled(self, mention: str, spaced: str) -> list[Candidate]:
        """Places that differ in separators, dots of acronyms or marks on Latin letters only."""
        self._budget.spend(self._pass)
        text = self.text
        otherwise = separated_otherwise(self.source, text.text, spaced)
        places = set(islice(otherwise, MAX_OCCURRENCES))
        if self._accents is None:
            self._accents = Accents(text)
        for start, end in self._accents.occurrences(mention):
            if text.whole(start, end):
                places.add(text.source(start, end))
        self._budget.spend(len(places))
        if not places:
            return []
        found: list[Candidate] = []
        for begin, stop in sorted(places):
            cost = place_cost(self.source, begin, stop, self.language)
            if cost is None or not (text.parts(begin) and text.parts(stop)):
                continue
            if joins_pieces(self.source, begin, stop, spaced, self.language):
                continue
            if not found or begin >= found[-1].end:
                kind: Literal["canonical"] = "canonical"
                found.append(Candidate(begin, stop, len(mention), kind, 1.0, cost, _RESPELLED))
        return found

    # Without what the mention carries at its edges.

    def _forms(self, mention: str, spaced: str, person: bool) -> Iterator[tuple[str, Reasons]]:
        yield from bare_forms(mention, spaced)
        if self.particles != "keep":
            yield from lighter_forms(mention, spaced, person, self.language)

    def _mention_and_forms(
        self, mention: str, spaced: str, person: bool
    ) -> Iterator[tuple[str, Reasons]]:
        yield mention, ()
        yield from self._forms(mention, spaced, person)

    def _trimmed(self, mention: str, spaced: str, person: bool) -> list[Candidate]:
        """Places of the mention with its edges off: of the least trimmed form that stands in the
        text as a word, or else of the form that is least inside one.
        """
        text = self.text.text
        inside: list[Candidate] = []
        for form, reasons in self._forms(mention, spaced, person):
            self._budget.spend(self._pass)
            if form not in text:
                continue
            found = self._places(form, spaced, form=True, reasons=reasons)
            kind, title = reasons[-1]
            if kind != "edges":
                # One syllable that is left must be a word, a short name before a title no part of
                # one.
                if len(form) == 1:
                    found = [c for c in found if stands_alone(form, c.cost, person, self.language)]
                elif kind == "long title" or (
                    kind == "title"
                    and len(form) == 2
                    and title not in self.language.common_addresses
                ):
                    found = [c for c in found if c.cost < _IN_A_WORD]
            if person and kind in ("particle", "title"):
                # 한서은 is not 한서 in 한서진: 은 may be the name's own.
                found = [
                    c
                    for c in found
                    if (c.cost < _IN_A_WORD or kind == "title" or not self._may_end_a_name(title))
                    and not self.language.name_goes_on(self.source, c.start, c.end)
                ]
            if not found:
                continue
            best = min(candidate.cost for candidate in found)
            if best < _IN_A_WORD:
                return found
            if best >= _IN_A_LATIN_WORD:
                # Not the word that was said less its edges, but most of a longer one.
                continue
            if not inside or best < min(candidate.cost for candidate in inside):
                inside = found
        if (
            inside
            and inside[0].reasons[0].kind == "particle"
            and not first_particle_fits(mention, self.language)
        ):
            # 디즈이: 이 does not go with 디즈, and the whole is nearer to the word 디즈니.
            near = [
                c
                for c in self._near(mention, (), spaced)
                if c.cost < _IN_A_WORD and c.size <= len(mention)
            ]
            return near or inside
        return inside

    def _may_end_a_name(self, particle: str) -> bool:
        """Whether a particle is also the last syllable of many people's names: 은."""
        return particle in self.language.name_endings

    def _unremarked(self, spaced: str, person: bool) -> list[Candidate]:
        """Places of the mention without what a reply added behind it: 민준(선수)."""
        for form, reasons in without_remark(spaced, person):
            self._budget.spend(self._pass)
            runs_on = KINDS[form[-1]] in ("c", "k")
            found = [
                candidate
                for candidate in self._places(form, spaced, form=True, reasons=reasons)
                if candidate.cost < _IN_A_WORD or (runs_on and candidate.cost < _IN_A_LATIN_WORD)
            ]
            if found:
                return found
        return []

    def _lighter(self, candidate: Candidate, spaced: str, person: bool) -> Candidate:
        """A place less the particle or the title at its end, where that reads better."""
        source, begin, end = self.source, candidate.start, candidate.end
        if source.startswith(self.language.kept_before, end):
            return candidate
        reasons = list(candidate.reasons)
        close = PAIRED.get(source[begin])
        if (
            end - begin > 2
            and close == source[end - 1]
            and source.find(close, begin + 1) == end - 1
        ):
            # In quotes on both sides, in the text as in the mention.
            begin, end = begin + 1, end - 1
            reasons.append(EDGES)
        loose = loose_end(source[begin:end])
        if loose and self.text.parts(end - loose):
            end -= loose
            reasons.append(EDGES)
        surface = source[begin:end]
        length = len(surface)
        if not (candidate.reasons and candidate.reasons[0].kind == "particle"):
            after = source[end : end + _AHEAD]
            size = self.language.particle_at_end(surface, after, spaced, person)
            if size:
                length -= size
                reasons.append(Reason("particle", surface[length:]))
                length = len(surface[:length].rstrip())
        if person:
            after = surface[length:] + source[end : end + _AHEAD_OF_A_NAME]
            name = self.language.name_length(surface[:length], after)
            if name < length:
                reasons.append(Reason("title", surface[name:length].strip()))
                length = len(surface[:name].rstrip())
        stop = begin + length
        if stop == begin or (begin, stop) == candidate[:2] or not self.text.parts(stop):
            return candidate
        cost = place_cost(source, begin, stop, self.language)
        if cost is None:
            return candidate
        taken_off = source[candidate.start : begin] + source[stop : candidate.end]
        size = candidate.size - len("".join(taken_off.split()))
        if size < 1:
            # Brackets around nothing: they are all there is.
            return candidate
        kind: Literal["fuzzy", "trimmed"] = "fuzzy" if candidate.kind == "fuzzy" else "trimmed"
        return Candidate(begin, stop, size, kind, candidate.similarity, cost, tuple(reasons))

    # Nearly so.

    def _fuzzy(self, mention: str, spaced: str, person: bool) -> list[Candidate]:
        """Nearly equal places, the most similar ones only; without its edges if not with them."""
        for form, reasons in self._mention_and_forms(mention, spaced, person):
            found = self._near(form, reasons, spaced)
            if found:
                return found
        return []

    def _near(self, mention: str, reasons: Reasons, spaced: str) -> list[Candidate]:
        """Places at most a few edits away.

        Cut a mention with at most k edits into k + 1 pieces, and one of them is free of edits (the
        pigeonhole principle); so only places where a piece stands verbatim are compared. At most
        256 are, those of rare pieces first; of mentions of more than 48 letters fewer, those where
        most pieces stand first, so that no mention costs more than another.
        """
        size = len(mention)
        if self.cutoff is None or not 3 <= size <= _MAX_FUZZY_LENGTH:
            return []
        cutoff = self.cutoff if size > 4 else max(self.cutoff, _SHORT_CUTOFF)
        edits = 1 if size <= 4 else 2 if size <= 8 else min(size // 4, 12)
        best: dict[tuple[int, int], float] = {}
        self._budget.spend((edits + 1) * self._pass)
        seeds = sorted(
            (
                (self._occurrences(mention[left:right]), left, right)
                for left, right in cuts(size, edits)
            ),
            key=lambda seed: len(seed[0]),
        )
        places: dict[int, tuple[int, int, int]] = {}
        for positions, left, right in seeds:
            for at in positions:
                places.setdefault(at - left, (at, left, right))
        most = _MAX_SEEDS * _ORDINARY // max(size, _ORDINARY)
        chosen = list(places)
        if len(chosen) > most and size > _ORDINARY:
            # Pieces of one place lie on one line through text and mention, give or take the edits.
            pieces = Counter((at - left) // (edits + 1) for found, left, _ in seeds for at in found)
            chosen.sort(key=lambda line: -pieces[line // (edits + 1)])
        text = self.text.text
        said = Letters(mention)
        for line in chosen[:most]:
            # Up to fifty distances of the length of the mention.
            self._budget.spend(20 + 2 * size)
            compare(text, said, *places[line], edits, cutoff, best)
        if size == 3:
            # The letter in the middle is wrong: no two letters in a row are right.
            first, last = mention[0], mention[2]
            for at in self._occurrences(first):
                if text[at + 2 : at + 3] == last:
                    compare(text, said, at, 0, 1, 1, cutoff, best)
        return self._nearest(mention, best, reasons, spaced) if best else []

    def _same_words(self, mention: str, stretch: str, begin: int, stop: int) -> bool:
        """Whether the words of a stretch may be the mention's, one by one."""
        words = [len(canonical_surface(word)) for word in self.source[begin:stop].split()]
        if len(words) == 1 and min(stretch) >= "가":
            # How alike one word of Hangul must be, the cutoff says.
            return True
        return same_words(mention, stretch, words)

    def _nearest(
        self, mention: str, best: dict[tuple[int, int], float], reasons: Reasons, spaced: str
    ) -> list[Candidate]:
        """The most similar places; of stretches that overlap, the one that ends where words end."""
        ranked: list[tuple[float, Candidate]] = []
        for (start, end), alike in best.items():
            self._budget.spend(1 + len(mention) // 8)
            if not self.text.whole(start, end) or self._fused(start, end, spaced):
                continue
            stretch = self.text.text[start:end]
            if stretch == mention:
                # It was looked at as it is, and refused.
                continue
            if not (begins_alike(mention, stretch) and begins_alike(mention[::-1], stretch[::-1])):
                continue
            if not same_numbers(mention, stretch, self.language):
                continue
            begin, stop = self.text.source(start, end)
            if alike < 1 and not self._same_words(mention, stretch, begin, stop):
                continue
            if stop - begin > end - start and joins_pieces(
                self.source, begin, stop, spaced, self.language
            ):
                continue
            cost = place_cost(self.source, begin, stop, self.language)
            if KINDS[self.source[stop : stop + 1] or " "] == "a" == KINDS[self.source[stop - 1]]:
                # Massachusett is not all of Massachusetts.
                continue
            if cost is not None and cost < _IN_A_LATIN_WORD:
                score = alike - _WORD_EDGE * cost - _LENGTH * abs(end - start - len(mention))
                ranked.append(
                    (score, Candidate(begin, stop, end - start, "fuzzy", alike, cost, reasons))
                )
        ranked.sort(key=lambda item: (-item[0], item[1].start, item[1].end))
        found: list[Candidate] = []
        taken = Intervals()
        for _, candidate in ranked:
            if found and candidate.similarity < found[0].similarity:
                continue
            if not taken.overlap(candidate.start, candidate.end):
                taken.add(candidate.start, candidate.end)
                found.append(candidate)
        return sorted(found)
