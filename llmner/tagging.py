"""Tags and spans, back and forth. The only place that knows IOB2, IOB1 and BIOES.

It does not know characters from words: positions are tokens, whatever a caller's tokens are. Nor does it know
spans of a text: it gives a start, an end and a label.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from llmner.errors import TagError

__all__ = ["Labelled", "Scheme", "TagSpan", "guess_scheme", "spans_to_tags", "tags_to_spans"]

Scheme = Literal["iob2", "iob1", "bioes"]

_OUTSIDE = "O"
# BILOU and BMEWO spell BIOES' end and single in other letters.
_PREFIXES = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S", "M": "I", "W": "S"}


class Labelled(Protocol):
    """Anything with a start, an end and a label."""

    @property
    def start(self) -> int:
        """Its first position."""
        ...

    @property
    def end(self) -> int:
        """One past its last position."""
        ...

    @property
    def label(self) -> str:
        """Its label."""
        ...


class TagSpan(NamedTuple):
    """A stretch of positions that tags give one label, half-open.

    >>> TagSpan(0, 3, "PS").label
    'PS'
    """

    start: int
    end: int
    label: str


def spans_to_tags(spans: Iterable[Labelled], length: int) -> list[str]:
    """IOB2 tags of non-overlapping spans over ``length`` positions. O(length + spans)."""
    tags = [_OUTSIDE] * length
    for span in spans:
        tags[span.start] = f"B-{span.label}"
        if span.end - span.start > 1:
            tags[span.start + 1 : span.end] = [f"I-{span.label}"] * (span.end - span.start - 1)
    return tags


def tags_to_spans(
    tags: Sequence[str], *, scheme: Scheme = "iob2", strict: bool = False, drop: bool = False
) -> tuple[list[TagSpan], list[str]]:
    """Spans of a tag sequence, and what had to be repaired to get them.

    In IOB2 an ``I-X`` that does not continue an ``X`` is a fault: by default it opens a span, as
    CoNLL's own script reads it, and the repair is reported. IOB1 allows it. In BIOES an open span
    that meets ``O`` or another label without its ``E-`` is closed and reported.

    Args:
        tags: One tag a position: ``O`` or ``PREFIX-LABEL``.
        scheme: How ``tags`` are written.
        strict: Raise at the first fault instead of repairing it.
        drop: Leave out of IOB2 what an ``I-X`` without its ``B-X`` would open, as seqeval's strict mode does.

    Returns:
        The spans in order, with offsets counted in positions, and one sentence a repair
        (``"position 3: I-PS without B-PS"``).

    Raises:
        TagError: A tag that is no tag of any scheme; under ``strict`` any fault. ``line`` is the
            position counted from 1, for callers whose positions are lines.
    """
    spans: list[TagSpan] = []
    repairs: list[str] = []
    start: int | None = None
    label = ""

    def fault(position: int, problem: str) -> None:
        if strict:
            raise TagError(
                problem, line=position + 1, hint="mend the tags, or read without strict to have it repaired"
            )
        repairs.append(f"position {position}: {problem}")

    for position, tag in enumerate(tags):
        if tag == _OUTSIDE:
            if start is not None:
                if scheme == "bioes":
                    fault(position, f"{label} span not closed by E-{label}")
                spans.append(TagSpan(start, position, label))
                start = None
            continue
        head, dash, name = tag.partition("-")
        prefix = _PREFIXES.get(head)
        if prefix is None or not dash or not name:
            raise TagError(
                f"{tag!r} is not a tag", line=position + 1, hint="expected O or a tag like B-PS or I-PS"
            )
        if prefix in "ES" and scheme != "bioes":
            raise TagError(
                f"{tag!r} is not a tag of {scheme}", line=position + 1, hint="read it with scheme='bioes'"
            )
        continues = start is not None and name == label
        if prefix in "BS" or not continues:
            if start is not None:
                if scheme == "bioes":
                    fault(position, f"{label} span not closed by E-{label}")
                spans.append(TagSpan(start, position, label))
            if prefix in "IE" and scheme != "iob1":
                fault(position, f"{tag} without B-{name}")
                if drop and scheme == "iob2":
                    start = None
                    continue
            start, label = position, name
        if prefix in "ES":
            assert start is not None
            spans.append(TagSpan(start, position + 1, label))
            start = None
    if start is not None:
        if scheme == "bioes":
            fault(len(tags) - 1, f"{label} span not closed by E-{label}")
        spans.append(TagSpan(start, len(tags), label))
    return spans, repairs


def guess_scheme(tags: Iterable[str]) -> Scheme:
    """The scheme a tag sequence is written in, judged by the whole of it.

    Any end or single tag means BIOES (or its other spellings). Otherwise, a file in which some
    ``I-X`` opens a span and no ``B-X`` does so needlessly (IOB1 writes ``B-`` only between two
    adjacent spans of one label) is IOB1; everything else is IOB2.
    """
    opening_inside = False
    needless_begin = False
    previous = _OUTSIDE
    for tag in tags:
        head, _, name = tag.partition("-")
        if _PREFIXES.get(head) in ("E", "S"):
            return "bioes"
        touching = previous != _OUTSIDE and previous.partition("-")[2] == name
        if head == "I" and not touching:
            opening_inside = True
        if head == "B" and not touching:
            needless_begin = True
        previous = tag
    return "iob1" if opening_inside and not needless_begin else "iob2"
