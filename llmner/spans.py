"""The basic data of the package: spans, mentions, labels of texts, and sentences.

``corpora`` knows how spans are written in files, ``tagging`` how they are written as tags, and
``replies`` how models write them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmner.errors import SpanError
from llmner.tagging import spans_to_tags

__all__ = ["Mention", "Sentence", "Span", "TextLabel", "check_evidence", "check_spans"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A range of a text with a label.

    Attributes:
        start: The first code point of the span, counted from 0.
        end: One past its last code point (half-open), so ``text[start:end]`` is its surface.
        label: The label, for example ``"PS"``.
        score: The confidence in [0, 1]; ``None`` if it was not measured. Not compared.
        attributes: Other properties of the entity (``{"sentiment": "positive"}``). Not compared.
        text: The surface, where the text is at hand; those of an extraction have it. Not compared.

    Raises:
        SpanError: ``start`` is negative, ``end`` is not after ``start``, or the label is empty.

    >>> span = Span(0, 3, "PS", score=0.9)
    >>> "손흥민은"[span.start : span.end]
    '손흥민'
    >>> span == Span(0, 3, "PS")
    True
    """

    start: int
    end: int
    label: str
    score: float | None = field(default=None, compare=False)
    attributes: Mapping[str, Any] = field(default_factory=dict, compare=False)
    text: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.start < 0 or self.end <= self.start:
            raise SpanError(
                f"span [{self.start}, {self.end}) is not a valid range",
                hint="expected 0 <= start < end in code points",
            )
        if not self.label:
            raise SpanError(f"span [{self.start}, {self.end}) has an empty label")

    def __repr__(self) -> str:
        if self.text is None:
            return _repr(self, ("start", "end", "label", "score"), "attributes")
        score = "" if self.score is None else f", score={self.score:.3f}"
        attributes = f", attributes={dict(self.attributes)!r}" if self.attributes else ""
        place = f"start={self.start}, end={self.end}"
        return f"Span({self.text!r}, {self.label!r}, {place}{score}{attributes})"

    def of(self, text: str) -> Span:
        """The same span with its surface in a text.

        >>> Span(0, 3, "PS").of("손흥민은")
        Span('손흥민', 'PS', start=0, end=3)
        """
        surface = text[self.start : self.end]
        return Span(self.start, self.end, self.label, self.score, self.attributes, surface)


def _repr(instance: object, names: tuple[str, ...], optional: str) -> str:
    """The ``repr`` of a dataclass, with an optional field only if it is not empty."""
    shown = [*names, *([optional] if getattr(instance, optional) else [])]
    fields = ", ".join(f"{name}={getattr(instance, name)!r}" for name in shown)
    return f"{type(instance).__name__}({fields})"


@dataclass(frozen=True, slots=True)
class Mention:
    """An entity as a reply names it: a label and a surface, without a place in the text.

    Attributes:
        label: The label's code if a schema could resolve it, else the label as the reply gave it.
        text: The surface as the reply wrote it.
        attributes: Other properties that the reply gave (``{"confidence": "0.9"}``).
        start: Where the surface begins in the text that the reply repeats, in code points. Only
            formats that repeat the sentence (``tagged``) know it. Not compared.

    >>> mention = Mention("PS", "손흥민", {"confidence": "90%"})
    >>> mention.confidence
    0.9
    """

    label: str
    text: str
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    start: int | None = field(default=None, compare=False)

    @property
    def confidence(self) -> float | None:
        """The confidence that the reply gave, in [0, 1]; ``None`` if it gave none.

        It is the attribute ``confidence``, ``score`` or ``probability``, as a number from 0 to 1 or
        as a percentage (``"85%"``).
        """
        for name in ("confidence", "score", "probability", "신뢰도", "확신도"):
            if name in self.attributes:
                return _fraction(self.attributes[name])
        return None


def _fraction(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return None
    return number if 0 <= number <= 1 else None


def check_spans(spans: Iterable[Span], length: int) -> tuple[Span, ...]:
    """Sort spans, and check that they lie in a text of ``length`` code points without overlaps.

    Raises:
        SpanError: A span ends after the text, or two spans overlap.

    >>> check_spans([Span(5, 7, "LC"), Span(0, 3, "PS")], 9)[0].label
    'PS'
    """
    ordered = tuple(sorted(spans))
    previous: Span | None = None
    for span in ordered:
        if span.end > length:
            raise SpanError(
                f"span [{span.start}, {span.end}) {span.label} ends after the text ({length} "
                f"characters)",
                hint="offsets are half-open code points",
            )
        if previous is not None and span.start < previous.end:
            raise SpanError(
                f"spans [{previous.start}, {previous.end}) {previous.label} and "
                f"[{span.start}, {span.end}) {span.label} overlap",
                hint="spans must not overlap; keep one of them",
            )
        previous = span
    return ordered


@dataclass(frozen=True, slots=True)
class TextLabel:
    """A label of a whole text.

    Attributes:
        label: The label.
        attributes: Other properties (``{"sentiment": "negative"}``).
        score: The confidence in [0, 1]; ``None`` if it was not measured. Not compared.
        evidence: The parts of the text that it rests on. Not compared.

    >>> TextLabel("price", {"sentiment": "negative"}).label
    'price'
    """

    label: str
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    score: float | None = field(default=None, compare=False)
    evidence: tuple[Span, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return _repr(self, ("label", "attributes", "score"), "evidence")


def check_evidence(labels: Iterable[TextLabel], length: int) -> None:
    """Check that what labels rest on lies in a text of ``length`` code points.

    Raises:
        SpanError: A part ends after the text.

    >>> check_evidence([TextLabel("price", evidence=(Span(0, 3, "price"),))], 3)
    """
    for label in labels:
        for part in label.evidence:
            if part.end > length:
                raise SpanError(
                    f"evidence [{part.start}, {part.end}) of {label.label} ends after the text "
                    f"({length} characters)",
                    hint="offsets are half-open code points",
                )


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text with its gold spans.

    Attributes:
        text: The text. Offsets count its code points.
        spans: The gold spans. They are sorted, and must not overlap.
        id: The sentence's id in its corpus.
        labels: The gold labels of the whole text.

    Raises:
        SpanError: A span is out of range or overlaps another, or a label's evidence is out of
            range.

    >>> sentence = Sentence("손흥민은 춘천에서", (Span(0, 3, "PS"), Span(5, 7, "LC")))
    >>> [sentence.surface(span) for span in sentence.spans]
    ['손흥민', '춘천']
    """

    text: str
    spans: tuple[Span, ...] = ()
    id: str | None = None
    labels: tuple[TextLabel, ...] = ()

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "spans", check_spans(self.spans, len(self.text)))
            check_evidence(self.labels, len(self.text))
        except SpanError as error:
            raise error.located(id=self.id) from None

    def __repr__(self) -> str:
        return _repr(self, ("text", "spans", "id"), "labels")

    def tags(self) -> list[str]:
        """The IOB2 tags, one for each code point of the text.

        >>> Sentence("손흥민은", (Span(0, 3, "PS"),)).tags()
        ['B-PS', 'I-PS', 'I-PS', 'O']
        """
        return spans_to_tags(self.spans, len(self.text))

    def surface(self, span: Span) -> str:
        """The text under ``span``."""
        return self.text[span.start : span.end]
