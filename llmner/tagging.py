"""Tags and spans, back and forth. The only place that knows IOB2, IOB1 and BIOES.

Nobody else takes a tag apart or puts one together: that is what the small functions here are
for. It does not know characters from words: positions are tokens, whatever a caller's tokens are.
Nor does it know spans of a text: it gives a start, an end and a label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from llmner.errors import TagError

__all__ = [
    "OUTSIDE",
    "Labelled",
    "Scheme",
    "TagSpan",
    "begin_tag",
    "follows",
    "goes_on",
    "guess_scheme",
    "inside_tag",
    "is_tag",
    "label_tags",
    "labels_of",
    "looks_like_tag",
    "renamed_tags",
    "spans_to_tags",
    "split_tag",
    "tags_to_spans",
]

Scheme = Literal["iob2", "iob1", "bioes"]

OUTSIDE = "O"
"""The tag of a position that no entity has."""

# BILOU and BMEWO spell BIOES' end and single in other letters.
_PREFIXES = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S", "M": "I", "W": "S"}
# The prefixes that each scheme is written in, in the order that trained models number their tags.
_WRITTEN = {"iob2": "BI", "iob1": "BI", "bioes": "BIES"}
_LOOKS = re.compile(r"O|[A-Z]-\S+")


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


def split_tag(tag: str) -> tuple[str, str]:
    """The prefix and the label of a tag; ``O`` is a prefix without a label.

    >>> split_tag("B-PS"), split_tag("O")
    (('B', 'PS'), ('O', ''))
    """
    prefix, _, label = tag.partition("-")
    return prefix, label


def begin_tag(tag: str) -> str:
    """The tag with which an entity of this tag's label begins; ``O`` stays ``O``.

    >>> begin_tag("I-PS")
    'B-PS'
    """
    return tag if tag == OUTSIDE else f"B-{split_tag(tag)[1]}"


def inside_tag(tag: str) -> str:
    """The tag with which an entity of this tag's label goes on; ``O`` stays ``O``.

    >>> inside_tag("B-PS")
    'I-PS'
    """
    return tag if tag == OUTSIDE else f"I-{split_tag(tag)[1]}"


def goes_on(before: str, tag: str) -> bool:
    """Whether an IOB2 tag continues the entity of the tag before it.

    >>> goes_on("B-PS", "I-PS"), goes_on("B-PS", "B-PS"), goes_on("O", "I-PS")
    (True, False, False)
    """
    return tag.startswith("I-") and split_tag(before)[1] == split_tag(tag)[1]


def follows(before: str | None, after: str | None) -> bool:
    """Whether BIOES allows one tag after another; ``None`` stands for the edge of the text.

    >>> follows("B-PS", "E-PS"), follows("B-PS", "O"), follows(None, "I-PS")
    (True, False, False)
    """
    prefix, label = split_tag(before or OUTSIDE)
    open_label = label if prefix in "BI" else None
    prefix, label = split_tag(after or OUTSIDE)
    continued = label if prefix in "IE" else None
    return open_label == continued


def label_tags(labels: Iterable[str], scheme: Scheme = "iob2") -> list[str]:
    """Every tag that a scheme has for these labels, label by label; ``O`` is not among them.

    >>> label_tags(["PS"], "bioes")
    ['B-PS', 'I-PS', 'E-PS', 'S-PS']
    """
    return [f"{prefix}-{label}" for label in labels for prefix in _WRITTEN[scheme]]


def labels_of(tags: Iterable[str]) -> tuple[str, ...]:
    """The labels that tags name, sorted.

    >>> labels_of(["O", "B-PS", "I-PS", "B-LC"])
    ('LC', 'PS')
    """
    return tuple(sorted({split_tag(tag)[1] for tag in tags if tag != OUTSIDE}))


def renamed_tags(tags: Iterable[str], names: Mapping[str, str]) -> dict[str, str]:
    """Each different tag, and what it becomes where labels go by their names in ``names``.

    Raises:
        KeyError: A label has no name.

    >>> renamed_tags(["B-PS", "B-PS"], {"PS": "PER"})
    {'B-PS': 'B-PER'}
    """
    renamed = {}
    for tag in set(tags):
        prefix, label = split_tag(tag)
        renamed[tag] = tag if tag == OUTSIDE else f"{prefix}-{names[label]}"
    return renamed


def is_tag(text: str, scheme: Scheme) -> bool:
    """Whether a text is a tag as a scheme is written here: ``O``, or one of its prefixes and any
    label.

    >>> is_tag("E-PS", "bioes"), is_tag("E-PS", "iob2"), is_tag("B-", "iob2")
    (True, False, False)
    """
    prefix, label = split_tag(text)
    return text == OUTSIDE or (len(prefix) == 1 and prefix in _WRITTEN[scheme] and label != "")


def looks_like_tag(text: str) -> bool:
    """Whether a text may be a tag of any scheme, other spellings included; for telling file
    formats.

    >>> looks_like_tag("U-PS"), looks_like_tag("Seoul")
    (True, False)
    """
    return _LOOKS.fullmatch(text) is not None


def spans_to_tags(
    spans: Iterable[Labelled], length: int, *, scheme: Literal["iob2", "bioes"] = "iob2"
) -> list[str]:
    """Tags of non-overlapping spans over ``length`` positions. O(length + spans).

    >>> spans_to_tags([TagSpan(0, 2, "PS")], 3)
    ['B-PS', 'I-PS', 'O']
    """
    tags = [OUTSIDE] * length
    for span in spans:
        tags[span.start] = f"B-{span.label}"
        if span.end - span.start > 1:
            tags[span.start + 1 : span.end] = [f"I-{span.label}"] * (span.end - span.start - 1)
        if scheme == "bioes":
            single = span.end - span.start == 1
            tags[span.end - 1] = f"{'S' if single else 'E'}-{span.label}"
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
        drop: Leave out of IOB2 what an ``I-X`` without its ``B-X`` would open, as seqeval's strict
            mode does.

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
                problem,
                line=position + 1,
                hint="mend the tags, or read without strict to have it repaired",
            )
        repairs.append(f"position {position}: {problem}")

    for position, tag in enumerate(tags):
        if tag == OUTSIDE:
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
                f"{tag!r} is not a tag",
                line=position + 1,
                hint="expected O or a tag like B-PS or I-PS",
            )
        if prefix in "ES" and scheme != "bioes":
            raise TagError(
                f"{tag!r} is not a tag of {scheme}",
                line=position + 1,
                hint="read it with scheme='bioes'",
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
    previous = OUTSIDE
    for tag in tags:
        head, _, name = tag.partition("-")
        if _PREFIXES.get(head) in ("E", "S"):
            return "bioes"
        touching = previous != OUTSIDE and previous.partition("-")[2] == name
        if head == "I" and not touching:
            opening_inside = True
        if head == "B" and not touching:
            needless_begin = True
        previous = tag
    return "iob1" if opening_inside and not needless_begin else "iob2"
