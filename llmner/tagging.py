"""Converting between tags and spans, in the schemes IOB2, IOB1 and BIOES.

No other module splits a tag or builds one: the small functions here do that. A position is a token,
which may be a character or a word. Spans here are only a start, an end and a label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from llmner.errors import TagError

__all__ = [
    "OUTSIDE",
    "Labelled",
    "Scheme",
    "TagSpan",
    "begin_tag",
    "continued_tag",
    "follows",
    "goes_on",
    "guess_scheme",
    "inside_tag",
    "is_tag",
    "label_tags",
    "labels_of",
    "looks_like_tag",
    "spans_to_tags",
    "split_tag",
    "tags_to_spans",
    "usual_tags",
]

Scheme = Literal["iob2", "iob1", "bioes"]

OUTSIDE = "O"
"""The tag of a position outside of all entities."""

# BILOU and BMEWO use other letters for the prefixes E and S of BIOES.
_PREFIXES = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S", "M": "I", "W": "S"}
# The prefixes of each scheme, in the order in which trained models number their tags.
_SCHEME_PREFIXES = {"iob2": "BI", "iob1": "BI", "bioes": "BIES"}
_LOOKS_LIKE_TAG = re.compile(r"O|[A-Z]-\S+")


class Labelled(Protocol):
    """Anything with a start, an end and a label, such as a :class:`TagSpan` or a ``Span``."""

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
    """A half-open range of positions with one label.

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
    """The tag that begins an entity with this tag's label; ``O`` stays ``O``.

    >>> begin_tag("I-PS")
    'B-PS'
    """
    return tag if tag == OUTSIDE else f"B-{split_tag(tag)[1]}"


def inside_tag(tag: str) -> str:
    """The tag that continues an entity with this tag's label; ``O`` stays ``O``.

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
    """Whether BIOES allows one tag after another; ``None`` is the edge of the text.

    >>> follows("B-PS", "E-PS"), follows("B-PS", "O"), follows(None, "I-PS")
    (True, False, False)
    """
    prefix, label = split_tag(before or OUTSIDE)
    open_label = label if prefix in "BI" else None
    prefix, label = split_tag(after or OUTSIDE)
    continued = label if prefix in "IE" else None
    return open_label == continued


def label_tags(labels: Iterable[str], scheme: Scheme = "iob2") -> list[str]:
    """All tags of a scheme for these labels, label by label, without ``O``.

    >>> label_tags(["PS"], "bioes")
    ['B-PS', 'I-PS', 'E-PS', 'S-PS']
    """
    return [f"{prefix}-{label}" for label in labels for prefix in _SCHEME_PREFIXES[scheme]]


def labels_of(tags: Iterable[str]) -> tuple[str, ...]:
    """The labels of tags, sorted and without duplicates.

    >>> labels_of(["O", "B-PS", "I-PS", "B-LC"])
    ('LC', 'PS')
    """
    return tuple(sorted({split_tag(tag)[1] for tag in tags if tag != OUTSIDE}))


def is_tag(text: str, scheme: Scheme) -> bool:
    """Whether a text is a tag of a scheme: ``O``, or one of its prefixes with any label.

    >>> is_tag("E-PS", "bioes"), is_tag("E-PS", "iob2"), is_tag("B-", "iob2")
    (True, False, False)
    """
    prefix, label = split_tag(text)
    return text == OUTSIDE or (
        len(prefix) == 1 and prefix in _SCHEME_PREFIXES[scheme] and label != ""
    )


def looks_like_tag(text: str) -> bool:
    """Whether a text may be a tag of any scheme, BILOU and the like included.

    Used to recognise file formats.

    >>> looks_like_tag("U-PS"), looks_like_tag("Seoul")
    (True, False)
    """
    return _LOOKS_LIKE_TAG.fullmatch(text) is not None


def spans_to_tags(
    spans: Iterable[Labelled], length: int, *, scheme: Literal["iob2", "bioes"] = "iob2"
) -> list[str]:
    """Tag ``length`` positions with spans that do not overlap. O(length + spans).

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
    """The spans of a tag sequence, and the repairs that were needed to read them.

    In IOB2 an ``I-X`` that does not continue an ``X`` is a fault. By default it begins a span, as
    in CoNLL's own script, and the repair is reported. IOB1 allows it. In BIOES, a span that ends
    without its ``E-`` or ``S-`` tag is a fault: it is closed and reported.

    Args:
        tags: One tag for each position, ``O`` or ``PREFIX-LABEL``.
        scheme: The scheme of ``tags``.
        strict: Raise at the first fault instead of repairing it.
        drop: In IOB2, drop the span that an ``I-X`` without ``B-X`` would begin, as seqeval's
            strict mode does.

    Returns:
        The spans in order, with offsets in positions, and one sentence for each repair
        (``"position 3: I-PS without B-PS"``).

    Raises:
        TagError: A tag is not a tag of any scheme or, under ``strict``, there is a fault. ``line``
            is the position counted from 1, for callers whose positions are lines.

    >>> tags_to_spans(["B-PS", "I-PS", "O", "I-LC"])
    ([TagSpan(start=0, end=2, label='PS'), TagSpan(start=3, end=4, label='LC')],
     ['position 3: I-LC without B-LC'])
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
                hint="correct the tags, or read them without strict",
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
        letter, dash, name = tag.partition("-")
        prefix = _PREFIXES.get(letter)
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


def guess_scheme(tags: Iterable[str], *, predicted: bool = False) -> Scheme:
    """Guess the scheme of a tag sequence from all of its tags.

    An ``E-`` or ``S-`` tag, or another spelling of one, means BIOES. IOB1 uses ``B-`` only between
    two adjacent spans with the same label. So the tags are IOB1 if some ``I-X`` begins a span and
    no ``B-X`` is used elsewhere. Anything else is IOB2.

    Args:
        tags: All tags, in order.
        predicted: Whether a tagger gave them. Then they are IOB1 only if a ``B-X`` shows it: tags
            without any ``B-`` are those of a tagger that never begins an entity.

    >>> guess_scheme(["B-PS", "I-PS", "O"]), guess_scheme(["I-PS", "O"]), guess_scheme(["S-PS"])
    ('iob2', 'iob1', 'bioes')
    >>> guess_scheme(["I-PS", "O"], predicted=True)
    'iob2'
    """
    begins_with_inside = False
    has_adjacent_begin = False
    has_needless_begin = False
    previous = OUTSIDE
    for tag in tags:
        letter, _, name = tag.partition("-")
        if _PREFIXES.get(letter) in ("E", "S"):
            return "bioes"
        is_adjacent = previous != OUTSIDE and previous.partition("-")[2] == name
        if letter == "I" and not is_adjacent:
            begins_with_inside = True
        if letter == "B":
            has_adjacent_begin |= is_adjacent
            has_needless_begin |= not is_adjacent
        previous = tag
    is_iob1 = begins_with_inside and not has_needless_begin
    return "iob1" if is_iob1 and (has_adjacent_begin or not predicted) else "iob2"


def continued_tag(tag: str, before: str | None) -> str:
    """A tag with the label of the tag before it, if it has none of its own.

    A bracket's ``*`` goes on with an entity that is open, and is ``O`` elsewhere.

    >>> continued_tag("I-", "B-PS"), continued_tag("B-LC", "B-PS"), continued_tag("*", "E-PS")
    ('I-PS', 'B-LC', 'O')
    """
    if tag == _STAR:
        return inside_tag(before) if before is not None and before[0] in "BI" else OUTSIDE
    prefix, label = split_tag(tag)
    if label or not tag.endswith("-"):
        return tag
    return f"{prefix}-{split_tag(before or OUTSIDE)[1]}"


_STAR = "*"
_BRACKET = re.compile(r"\((?P<label>[A-Za-z_][\w-]*)(?P<open>\*)?(?P<close>\))?")
_SPELLINGS = (
    re.compile(r"(?P<prefix>[BIESLUMW])-(?P<label>\S+)", re.IGNORECASE),
    re.compile(r"(?P<prefix>[BIESLUMW])[_:/](?P<label>\S+)", re.IGNORECASE),
    re.compile(r"(?P<label>\S+)[-_:/](?P<prefix>[BIESLUMW])", re.IGNORECASE),
)
_LABEL = re.compile(r"[^\W\d_][\w.&/+-]*")
_OUTSIDES = frozenset({"O", "o", "-", "_"})
# Corpora have fewer labels than this; columns of other things have more values.
_MOST_LABELS = 100


def usual_tags(tags: Iterable[str], *, bare: bool = False) -> dict[str, str] | None:
    """The usual spelling of each different tag, if all of them are tags of one foreign spelling.

    Foreign tags have an underscore (``B_PS``), the prefix behind (``PS-B``), small prefixes, ``-``
    for ``O``, or only a label. Those without a prefix become ``I-``; adjacent ones are one entity.
    A prefix without a label goes on with the label before it: it becomes ``I-`` and nothing more,
    for :func:`continued_tag` to fill in. Brackets (``(PS*``, ``*``, ``*)``) become BIOES likewise.

    Args:
        tags: All tags of a column.
        bare: Whether labels alone are tags.

    Returns:
        Tag -> ``O`` or ``PREFIX-LABEL``; ``None`` if these are no tags.

    >>> usual_tags(["PS-B", "O"]), usual_tags(["person", "O"], bare=True), usual_tags(["NNP"])
    ({'O': 'O', 'PS-B': 'B-PS'}, {'O': 'O', 'person': 'I-person'}, None)
    """
    values = sorted(set(tags))
    labelled = [value for value in values if value not in _OUTSIDES]
    named = [value for value in labelled if len(value) > 1]
    continuing = [value for value in labelled if value in ("I", "E", "M", "L")] if named else []
    labelled = [value for value in labelled if value not in continuing]
    if not labelled:
        return dict.fromkeys(values, OUTSIDE) if {"O", "o"} & set(values) else None
    if _STAR in values:
        return _bracket_tags(values)
    names = {value: OUTSIDE for value in values if value in _OUTSIDES}
    names |= {value: f"{value}-" for value in continuing}
    for spelling in _SPELLINGS:
        matches = [spelling.fullmatch(value) for value in labelled]
        if all(matches):
            usual = (match and f"{match['prefix'].upper()}-{match['label']}" for match in matches)
            return names | dict(zip(labelled, map(str, usual), strict=True))
    if (
        bare
        and not continuing
        and not any(map(_SPELLINGS[0].fullmatch, labelled))
        and {"O", "o"} & set(values)
        and len(labelled) <= _MOST_LABELS
        and all(map(_LABEL.fullmatch, labelled))
    ):
        return names | {value: f"I-{value}" for value in labelled}
    return None


def _bracket_tags(values: Iterable[str]) -> dict[str, str] | None:
    """The tags that brackets of CoNLL-2005 and OntoNotes stand for."""
    names = {}
    for value in values:
        match = _BRACKET.fullmatch(value)
        if value == _STAR:
            names[value] = _STAR
        elif value == "*)":
            names[value] = "E-"
        elif match is not None and (match["open"] or match["close"]):
            names[value] = f"{'S' if match['close'] else 'B'}-{match['label']}"
        else:
            return None
    return names if len(names) > 1 else None
