"""Units and numbers that are written in more than one way: 7.2킬로미터 and 7.2km, 5퍼센트 and 5%,
$5 and 5달러.

Both sides are rewritten alike, on top of the canonical form, and only where a number stands before
the unit (or behind a currency sign). The tables of the languages are small on purpose; recipes add
to them with ``units``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from llmner._kept import kept
from llmner.languages import EVERY_LANGUAGE
from llmner.projection._canonical import Canonical, canonical_surface
from llmner.projection._positions import occurrences

__all__ = ["UNITS", "Quantities", "may_be_written_otherwise", "units_in"]

UNITS: Final = EVERY_LANGUAGE.units
"""Unit → other ways to write it, in every language: a number says enough of what follows it."""


def _any_of(words: Sequence[str], group: str) -> str:
    """A pattern for any of some words, each in a group of a kind; letters are looked up at once."""
    letters = "".join(re.escape(word) for word in words if len(word) == 1)
    longer = [re.escape(word) for word in words if len(word) > 1]
    return "|".join(f"(?{group}{pattern})" for pattern in (f"[{letters}]", *longer))


_BEFORE: Final = _any_of(("0", *"123456789", *EVERY_LANGUAGE.number_ends), "<=")
_AMOUNT: Final = rf"(?:[0-9](?:[0-9,.]*[0-9])?(?:{_any_of(EVERY_LANGUAGE.magnitudes, ':')})*)+"
_FOUR_DIGITS: Final = re.compile(r"[0-9]{4}").search
_SEPARATED: Final = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])")


class _Rules:
    """One compiled table of units."""

    def __init__(self, units: Mapping[str, Sequence[str]]) -> None:
        self.unit_of: dict[str, str] = {}
        for unit, words in units.items():
            for word in (unit, *words):
                key = canonical_surface(word)
                if key:
                    self.unit_of.setdefault(key, canonical_surface(unit))
        self.unit_of_scale = {
            canonical_surface(word): unit
            for unit, words in EVERY_LANGUAGE.scales.items()
            for word in words
        }
        # What such a number is counted in, without the scale: 도 in 섭씨 30도.
        counted = [word for word, unit in self.unit_of.items() if unit in EVERY_LANGUAGE.scales]
        counted.sort(key=lambda word: (-len(word), word))
        scales = "|".join(map(re.escape, self.unit_of_scale)) or "(?!)"
        words = sorted(self.unit_of, key=lambda word: (-len(word), word))
        signs = [word for word in words if all(unicodedata.category(c) == "Sc" for c in word)]
        after = "|".join(map(re.escape, words)) or "(?!)"
        before = "|".join(map(re.escape, signs)) or "(?!)"
        self.pattern = re.compile(
            rf"(?P<separated>{_SEPARATED.pattern})"
            rf"|(?P<scale>{scales})(?P<degrees>{_AMOUNT})(?:{'|'.join(map(re.escape, counted))})"
            rf"|(?:{_BEFORE})(?P<unit>{after})"
            rf"|(?P<sign>{before})(?P<amount>{_AMOUNT})"
        )

    def rewrite(self, found: re.Match[str], adjoins: Callable[[int], bool]) -> str:
        """What one found quantity or unit becomes.

        ``adjoins`` says whether two canonical letters, before and from an offset, stand side by
        side in the source: a Latin unit that runs on is none (5m in 5mbps), while the next word may
        follow.
        """
        if found["separated"]:
            return found["separated"].replace(",", "")
        if found["scale"]:
            return found["degrees"] + self.unit_of_scale[found["scale"]]
        if found["unit"]:
            end = found.end()
            runs_on = (
                found.string[end - 1 : end + 1].isalpha()
                and found.string[end - 1 : end + 1].isascii()
            )
            if runs_on and end < len(found.string) and adjoins(end):
                return found[0]
            return self.unit_of[found["unit"]]
        end = found.end()
        if end < len(found.string) and "a" <= found.string[end] <= "z" and adjoins(end):
            # $5m and $5bn are other amounts.
            return found[0]
        amount = _SEPARATED.sub(lambda number: number[0].replace(",", ""), found["amount"])
        return amount + self.unit_of[found["sign"]]


@lru_cache(maxsize=64)
def _rules(units: tuple[tuple[str, tuple[str, ...]], ...]) -> _Rules:
    merged = {unit: list(words) for unit, words in UNITS.items()}
    for unit, words in units:
        # A recipe's own words win over the table's.
        merged = {
            u: [
                w
                for w in others
                if canonical_surface(w) not in {canonical_surface(x) for x in words}
            ]
            for u, others in merged.items()
        }
        merged[unit] = [*words, *merged.get(unit, ())]
    return _Rules(merged)


def may_be_written_otherwise(
    mention: str, units: tuple[tuple[str, tuple[str, ...]], ...] = ()
) -> bool:
    """Whether a canonical mention has a unit, a currency sign or a number that could be
    separated.
    """
    return _FOUR_DIGITS(mention) is not None or _rules(units).pattern.search(mention) is not None


@kept(65_536)
def units_in(mention: str) -> tuple[str, ...]:
    """The units behind numbers in a canonical mention, each by its first name: 100mg과 5퍼센트 →
    mg, %.
    """
    rules = _rules(())
    return tuple(
        rules.unit_of[found["unit"]] if found["unit"] else rules.unit_of_scale[found["scale"]]
        for found in rules.pattern.finditer(mention)
        if found["unit"] or found["scale"]
    )


class Quantities:
    """A canonical text with its quantities rewritten, and the way back to canonical offsets.

    Attributes:
        text: The rewritten text.
        starts: For each of its characters, the canonical offset it begins at.
        ends: For each of its characters, the canonical offset it ends at.
    """

    __slots__ = ("_canonical", "_rules", "ends", "starts", "text")

    def __init__(
        self, canonical: Canonical, units: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ) -> None:
        self._canonical = canonical
        self._rules = _rules(units)
        self.text, self.starts, self.ends = self._rewrite(canonical.text)

    def mention(self, surface: str) -> str:
        """A canonical mention rewritten in the same way."""
        return self._rules.pattern.sub(
            lambda found: self._rules.rewrite(found, lambda at: True), surface
        )

    def _rewrite(self, text: str) -> tuple[str, list[int], list[int]]:
        pieces: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        last = 0
        for found in self._rules.pattern.finditer(text):
            new = self._rules.rewrite(found, self._adjoins)
            if new == found[0]:
                continue
            start, end = found.span()
            pieces += [text[last:start], new]
            # What was rewritten is one piece: a match covers it whole or not at all.
            starts += [*range(last, start), *([start] * len(new))]
            ends += [*range(last + 1, start + 1), *([end] * len(new))]
            last = end
        pieces.append(text[last:])
        starts += range(last, len(text))
        ends += range(last + 1, len(text) + 1)
        return "".join(pieces), starts, ends

    def _adjoins(self, at: int) -> bool:
        return self._canonical.source(at - 1, at)[1] == self._canonical.starts[at]

    def occurrences(self, surface: str) -> list[tuple[int, int]]:
        """Canonical ``(start, end)`` of each place of a rewritten mention that splits no
        quantity.
        """
        places: list[tuple[int, int]] = []
        for at in occurrences(self.text, surface):
            end = at + len(surface)
            whole_left = (
                at == 0
                or self.starts[at - 1] != self.starts[at]
                or self.ends[at - 1] != self.ends[at]
            )
            whole_right = (
                end == len(self.text)
                or self.starts[end] != self.starts[end - 1]
                or self.ends[end] != self.ends[end - 1]
            )
            if whole_left and whole_right:
                places.append((self.starts[at], self.ends[end - 1]))
        return places
