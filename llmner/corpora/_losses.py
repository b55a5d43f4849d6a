"""What a conversion cannot keep: counted by kind, with an example of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmner.errors import CorpusError
from llmner.spans import Sentence, Span, TextLabel

__all__ = [
    "ATTRIBUTES",
    "DISCONTINUOUS",
    "EDGES",
    "ENTITIES",
    "IDS",
    "NESTED",
    "OTHERS",
    "REFUSED",
    "RELATIONS",
    "SCORES",
    "SENTENCES",
    "SPACING",
    "TEXTS",
    "TEXT_LABELS",
    "UNPLACED",
    "Losses",
    "differences",
    "shown_span",
]

ATTRIBUTES = "attributes"
EVIDENCE = "evidence of labels of whole texts"
DISCONTINUOUS = "entities in several pieces"
EDGES = "entities with other edges"
ENTITIES = "entities"
IDS = "ids"
NESTED = "nested or overlapping entities"
OTHERS = "annotations that are no entities"
RELATIONS = "relations"
REFUSED = "texts that annotators did not accept"
SCORES = "scores"
SENTENCES = "ends of sentences"
SPACING = "texts with other white space"
TEXTS = "texts"
TEXT_LABELS = "labels of whole texts"
UNPLACED = "entities without a place"

_EXAMPLE_CHARS = 60


class Losses:
    """Counts what cannot be kept.

    Attributes:
        strict: Whether the first loss is an error.
        counts: Number of losses by kind.
        examples: The first loss of each kind, with its file and line or its sentence.

    >>> losses = Losses()
    >>> losses.add("scores", "0.9 of 'Anna'", id="s1")
    >>> losses.counts, losses.examples
    ({'scores': 1}, {'scores': "id 's1': 0.9 of 'Anna'"})
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.counts: dict[str, int] = {}
        self.examples: dict[str, str] = {}

    def add(
        self,
        kind: str,
        example: str,
        *,
        path: Path | None = None,
        line: int | None = None,
        id: str | None = None,
    ) -> None:
        """Count one loss.

        Raises:
            CorpusError: ``strict`` is set.
        """
        if self.strict:
            raise CorpusError(
                f"{kind} would be lost: {example}",
                path=path,
                line=line,
                id=id,
                hint="without strict they are left out",
            )
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind not in self.examples:
            place = "" if path is None else path.name if line is None else f"{path.name}:{line}"
            name = "" if id is None else f"id {id!r}"
            where = ", ".join(part for part in (place, name) if part)
            self.examples[kind] = f"{where}: {example}" if where else example

    def compare(self, sentence: Sentence, kept: Sentence) -> None:
        """Count what differs between a sentence and what a format keeps of it."""
        for kind, example in differences(sentence, kept):
            self.add(kind, example, id=sentence.id)


def shown_span(text: str, span: Span) -> str:
    """A span for a message.

    >>> shown_span("Anna sings", Span(0, 4, "PER"))
    "[0, 4) PER 'Anna'"
    """
    surface = text[span.start : span.end]
    return f"[{span.start}, {span.end}) {span.label} {surface[:_EXAMPLE_CHARS]!r}"


def differences(sentence: Sentence, kept: Sentence) -> Iterator[tuple[str, str]]:
    """What ``kept`` lacks of a sentence: kinds of losses, each with an example.

    >>> list(differences(Sentence("a b", id="1"), Sentence("a b")))
    [('ids', '1')]
    """
    if kept is sentence:
        return
    if sentence.id is not None and kept.id != sentence.id:
        yield IDS, sentence.id
    if kept.text != sentence.text:
        same = "".join(kept.text.split()) == "".join(sentence.text.split())
        yield SPACING if same else TEXTS, repr(sentence.text[:_EXAMPLE_CHARS])
    yield from _span_differences(sentence, kept)
    scores = [span for span in sentence.spans if span.score is not None]
    for span in scores[sum(span.score is not None for span in kept.spans) :]:
        yield SCORES, f"{span.score} of {sentence.surface(span)[:_EXAMPLE_CHARS]!r}"
    # Formats that move spans keep their order.
    for number, span in enumerate(sentence.spans):
        other = kept.spans[number] if number < len(kept.spans) else None
        lost = _lost_attributes(span, other)
        if lost:
            yield ATTRIBUTES, f"{lost} of {sentence.surface(span)[:_EXAMPLE_CHARS]!r}"
    for number, label in enumerate(sentence.labels):
        if number >= len(kept.labels):
            yield TEXT_LABELS, label.label
            continue
        lost = _lost_attributes(label, kept.labels[number])
        if lost:
            yield ATTRIBUTES, f"{lost} of {label.label!r}"
        if label.score is not None and kept.labels[number].score is None:
            yield SCORES, f"{label.score} of {label.label!r}"
        if len(kept.labels[number].evidence) < len(label.evidence):
            yield EVIDENCE, f"of {label.label!r}"


def _lost_attributes(item: Span | TextLabel, other: Span | TextLabel | None) -> dict[str, Any]:
    """The attributes that the other one has not."""
    held = {} if other is None else other.attributes
    return {
        name: value
        for name, value in item.attributes.items()
        if name not in held or held[name] != value
    }


def _span_differences(sentence: Sentence, kept: Sentence) -> Iterator[tuple[str, str]]:
    if kept.text == sentence.text:
        places = set(kept.spans)
        for span in sentence.spans:
            if span not in places:
                near = any(
                    other.label == span.label and other.start < span.end and span.start < other.end
                    for other in kept.spans
                )
                yield EDGES if near else ENTITIES, shown_span(sentence.text, span)
        return
    # Offsets differ, so the entities are compared by what they say.
    names = [(span.label, "".join(kept.surface(span).split())) for span in kept.spans]
    for span in sentence.spans:
        name = (span.label, "".join(sentence.surface(span).split()))
        if name in names:
            names.remove(name)
        else:
            near = any(label == span.label for label, _ in names)
            yield EDGES if near else ENTITIES, shown_span(sentence.text, span)
