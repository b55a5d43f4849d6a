"""The three things everything else passes around: spans, mentions and sentences.

It does not know how spans are written in files (``corpora``), as tags (``tagging``) or by models
(``replies``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmner.errors import SpanError
from llmner.tagging import spans_to_tags

__all__ = ["Mention", "Sentence", "Span", "TextLabel", "check_spans"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A labelled stretch of a text.

    Attributes:
        start: First code point of the span, counted from 0.
        end: One past its last code point (half-open), so ``text[start:end]`` is its surface.
        label: The label, for example ``"PS"``.
        score: Confidence in [0, 1], or ``None`` where nothing measured it. Not compared.
        attributes: What else is said of it (``{"sentiment": "positive"}``). Not compared.

    Raises:
        SpanError: ``start`` is negative, or ``end`` is not after ``start``, or the label is empty.
    """

    start: int
    end: int
    label: str
    score: float | None = field(default=None, compare=False)
    attributes: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.start < 0 or self.end <= self.start:
            raise SpanError(
                f"span [{self.start}, {self.end}) is not a stretch of text",
                hint="expected 0 <= start < end in code points",
            )
        if not self.label:
            raise SpanError(f"span [{self.start}, {self.end}) has an empty label")

    def __repr__(self) -> str:
        return _shown(self, ("start", "end", "label", "score"), "attributes")


def _shown(thing: object, names: tuple[str, ...], other: str) -> str:
    """A dataclass as it shows itself, a field that most have nothing in left out where it is
    empty.
    """
    shown = [*names, *([other] if getattr(thing, other) else [])]
    fields = ", ".join(f"{name}={getattr(thing, name)!r}" for name in shown)
    return f"{type(thing).__name__}({fields})"


@dataclass(frozen=True, slots=True)
class Mention:
    """What a reply claims: a label and a surface, not yet a place in the text.

    Attributes:
        label: The label as the reply gave it, or its code where a schema could resolve it.
        text: The surface as the reply wrote it.
        attributes: Whatever else the reply said of it (``{"confidence": "0.9"}``).
        start: Where the reply itself puts the surface, in code points of the text that the reply
            repeats. Only formats that repeat the sentence (``tagged``) know it. Not compared.
    """

    label: str
    text: str
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    start: int | None = field(default=None, compare=False)

    @property
    def confidence(self) -> float | None:
        """How sure the reply says it is, in [0, 1]: its ``confidence``, ``score`` or
        ``probability``.

        A number from 0 to 1, or a percentage (``"85%"``); ``None`` where it says none of these.
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
    """Sort spans and make sure they lie inside a text of ``length`` code points, apart from each
    other.

    Raises:
        SpanError: A span ends after the text, or two spans overlap.
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
                hint="entities must lie apart; keep one of them",
            )
        previous = span
    return ordered


@dataclass(frozen=True, slots=True)
class TextLabel:
    """A label of a text as a whole.

    >>> TextLabel("price", {"sentiment": "negative"}).label
    'price'

    Attributes:
        label: The label.
        attributes: What else is said of it.
        score: Confidence in [0, 1], or ``None`` where nothing measured it. Not compared.
    """

    label: str
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    score: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text with its gold spans.

    Attributes:
        text: The text. Offsets count its code points.
        spans: Gold spans, sorted by start and lying apart; sorted and checked on creation.
        id: The sentence's id in its corpus.
        labels: Gold labels of the whole text.

    Raises:
        SpanError: A span is out of range or overlaps another.
    """

    text: str
    spans: tuple[Span, ...] = ()
    id: str | None = None
    labels: tuple[TextLabel, ...] = ()

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "spans", check_spans(self.spans, len(self.text)))
        except SpanError as error:
            raise error.located(id=self.id) from None

    def __repr__(self) -> str:
        return _shown(self, ("text", "spans", "id"), "labels")

    def tags(self) -> list[str]:
        """IOB2 tags, one a code point: ``len(tags) == len(text)``."""
        return spans_to_tags(self.spans, len(self.text))

    def surface(self, span: Span) -> str:
        """The text under ``span``."""
        return self.text[span.start : span.end]
