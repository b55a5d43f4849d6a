"""From what rows claim of entities to spans: what offsets count, and where surfaces stand.

Ends may be inclusive, and offsets may count UTF-16 code units or bytes: where rows repeat the
surfaces, these decide. A surface without a place takes the next occurrence in the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from llmner._intervals import Intervals
from llmner.corpora._claims import SpanClaim
from llmner.spans import Span

__all__ = ["claimed_spans", "sought_spans"]

_Units = Callable[[str, int], int | None]


def _utf16(text: str, offset: int) -> int | None:
    """The code point at an offset in UTF-16 code units."""
    return _places_of(text, 2).get(offset)


def _utf8(text: str, offset: int) -> int | None:
    """The code point at an offset in bytes of UTF-8."""
    return _places_of(text, 1).get(offset)


@lru_cache(maxsize=4)
def _places_of(text: str, size: int) -> dict[int, int]:
    """Offsets in units of one byte (UTF-8) or two (UTF-16) to code points."""
    places, units = {0: 0}, 0
    for place, char in enumerate(text, 1):
        point = ord(char)
        if size == 2:
            units += 1 + (point > 0xFFFF)
        else:
            units += 1 + (point > 0x7F) + (point > 0x7FF) + (point > 0xFFFF)
        places[units] = place
    return places


def _points(text: str, offset: int) -> int | None:
    return offset


_UNITS: tuple[tuple[str | None, _Units], ...] = (
    (None, _points),
    ("UTF-16 code units", _utf16),
    ("bytes", _utf8),
)


def claimed_spans(
    text: str, claims: Sequence[SpanClaim], *, inclusive: bool, utf16: bool
) -> tuple[list[Span], str | None]:
    """The spans of a row, and the units of its offsets if they are not code points.

    Raises:
        ValueError: No reading of the offsets gives the surfaces that the row repeats.
        SpanError: A span is none.
    """
    placed = [claim for claim in claims if claim.start is not None]
    checked = [claim for claim in placed if claim.surface]
    if not checked and utf16:
        found = [_placed(text, claim, _utf16, inclusive) for claim in placed]
        if None not in found:
            return [span for span in found if span is not None], _UNITS[1][0]
    if not checked and _seem_utf16(text, placed, inclusive):
        found = [_placed(text, claim, _utf16, inclusive) for claim in placed]
        return [span for span in found if span is not None], _UNITS[1][0]
    for units, convert in sorted(_UNITS, key=lambda unit: unit[0] is None) if utf16 else _UNITS:
        for closed in (inclusive, not inclusive):
            if (units is not None or closed != inclusive) and not checked:
                continue
            if units == "bytes" and text.isascii():
                continue
            found = [_placed(text, claim, convert, closed) for claim in placed]
            if all(
                span is not None and _says(text, span, claim)
                for span, claim in zip(found, placed, strict=True)
                if claim.surface
            ) and all(span is not None for span in found):
                spans = [span for span in found if span is not None]
                return spans + sought_spans(text, claims, spans), units
    if not checked:
        spans = [_made(claim, claim.start or 0, claim.end or 0) for claim in placed]
        return spans, None
    for claim in checked:
        span = _placed(text, claim, _points, inclusive)
        if span is None or not _says(text, span, claim):
            there = "" if span is None else text[span.start : span.end]
            raise ValueError(
                f"span [{claim.start}, {claim.end}] {claim.label} should be "
                f"{(claim.surface or '')[:40]!r}, but {there[:40]!r} stands there"
            )
    raise ValueError("the offsets fit no text")


def _seem_utf16(text: str, claims: Sequence[SpanClaim], closed: bool) -> bool:
    """Whether offsets cut English words as code points, and give whole words as UTF-16 units.

    One cut may be meant; a span that is cut at both ends is somewhere else.
    """
    if max(text, default="") <= "\uffff":
        return False
    plain = [_placed(text, claim, _points, closed) for claim in claims]
    units = [_placed(text, claim, _utf16, closed) for claim in claims]

    def cut(place: int) -> bool:
        around = text[max(place - 1, 0) : place + 1]
        return len(around) == 2 and around.isascii() and around.isalnum()

    return any(span is not None and cut(span.start) and cut(span.end) for span in plain) and all(
        span is not None
        and not cut(span.start)
        and not cut(span.end)
        and text[span.start].isalpha()
        for span in units
    )


def _says(text: str, span: Span, claim: SpanClaim) -> bool:
    return text[span.start : span.end].split() == (claim.surface or "").split()


def _made(claim: SpanClaim, start: int, end: int) -> Span:
    return Span(start, end, claim.label, claim.score, claim.attributes)


def _placed(text: str, claim: SpanClaim, convert: _Units, closed: bool) -> Span | None:
    """The span of a claim, its offsets in these units; ``None`` if they are no place."""
    assert claim.start is not None
    assert claim.end is not None
    ends_inside = closed if claim.inclusive is None or claim.surface else claim.inclusive
    start, end = convert(text, claim.start), convert(text, claim.end + ends_inside)
    if start is None or end is None or start < 0 or end <= start:
        return None
    if claim.surface and end > len(text):
        return None
    return _made(claim, start, end)


def sought_spans(text: str, claims: Sequence[SpanClaim], spans: Sequence[Span] = ()) -> list[Span]:
    """Spans of the claims without a place: each takes the next free occurrence of its surface.

    >>> sought_spans("Anna sings", [SpanClaim(None, None, "PER", "Anna")])
    [Span(start=0, end=4, label='PER', score=None)]
    """
    taken = Intervals((span.start, span.end) for span in spans)
    made: list[Span] = []
    sought = [claim for claim in claims if claim.start is None and claim.surface]
    places: dict[str, Iterator[int]] = {}
    # The longest first: a shorter one may stand inside it.
    for claim in sorted(sought, key=lambda claim: -len(claim.surface or "")):
        surface = claim.surface or ""
        if surface not in places:
            places[surface] = _occurrences(text, surface)
        # A place that is taken stays taken, so each surface looks at each of its places once.
        for start in places[surface]:
            end = start + len(surface)
            if not taken.overlap(start, end):
                taken.add(start, end)
                made.append(_made(claim, start, end))
                break
    return made


def _occurrences(text: str, surface: str) -> Iterator[int]:
    """Where a surface stands: first where it is a whole word, then elsewhere."""
    places, start = [], text.find(surface)
    while start >= 0:
        places.append(start)
        start = text.find(surface, start + 1)

    def inside(place: int) -> bool:
        end = place + len(surface)
        before, after = text[max(place - 1, 0) : place], text[end : end + 1]
        latin = surface[-1:].isascii() and after.isascii()
        return (before.isalnum() and surface[0].isascii() and before.isascii()) or (
            latin and after.isalnum()
        )

    return iter(sorted(places, key=inside))
