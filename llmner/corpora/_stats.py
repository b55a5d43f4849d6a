"""Figures of one corpus: lengths, entities, labels, and what makes its entities hard to locate.

``_compare`` compares the figures of two corpora.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from llmner.errors import CorpusError
from llmner.spans import Sentence

__all__ = ["CorpusStats", "LabelStats", "Lengths", "Place", "corpus_stats"]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of texts in characters (code points).

    Attributes:
        min: The shortest length.
        median: The middle one, or the mean of the middle two.
        mean: The mean length.
        p95: The smallest length that at least 95 % of the texts do not exceed.
        max: The longest length.
    """

    min: int
    median: float
    mean: float
    p95: int
    max: int

    @classmethod
    def of(cls, lengths: Mapping[int, int]) -> Lengths:
        """The figures of lengths, given how often each occurs; there must be at least one.

        >>> Lengths.of({3: 2, 10: 1})
        Lengths(min=3, median=3.0, mean=5.333333333333333, p95=10, max=10)
        """
        count = sum(lengths.values())
        total = sum(length * times for length, times in lengths.items())
        median = (_ranked(lengths, (count + 1) // 2) + _ranked(lengths, count // 2 + 1)) / 2
        p95 = _ranked(lengths, -(-95 * count // 100))
        return cls(min(lengths), median, total / count, p95, max(lengths))


def _ranked(lengths: Mapping[int, int], rank: int) -> int:
    """The length at a rank, which counts from 1, shortest first."""
    count = 0
    for length in sorted(lengths):
        count += lengths[length]
        if count >= rank:
            return length
    raise IndexError(rank)


@dataclass(frozen=True, slots=True)
class LabelStats:
    """Figures of one label.

    Attributes:
        label: The label.
        entities: Number of entities with this label.
        share: Their share of all entities, from 0 to 1.
        mean_length: Their mean length in characters.
        surfaces: Number of distinct surfaces among them.
    """

    label: str
    entities: int
    share: float
    mean_length: float
    surfaces: int


@dataclass(frozen=True, slots=True)
class Place:
    """The first place of a text in its corpus.

    Attributes:
        number: The number of the sentence, counted from 1.
        id: The sentence's id.
        text: The text.
    """

    number: int
    id: str | None
    text: str


@dataclass(frozen=True, slots=True)
class CorpusStats:
    """Figures of one corpus.

    Attributes:
        sentences: Number of sentences.
        without_entity: Number of sentences without an entity.
        duplicates: Number of sentences whose text occurs earlier in the corpus.
        lengths: Lengths of the texts in characters.
        entities: Number of entities.
        labels: Figures of each label, the most frequent first.
        repeats: Number of sentences in which one (label, surface) occurs more than once.
        misplaced: Number of entities that ``text.find(surface)`` would put in a wrong place.
        adjacent: Number of pairs of entities of one label with nothing between them.
        edge_spaces: Number of entities that begin or end with white space.
        leading_spaces: Number of entities that begin with white space.
        not_nfkc: Number of sentences whose text is not in NFKC (all of KLUE v1.1 is, v1 is not).
        places: The first place of every distinct text.
        texts: How often every distinct text occurs.
        surfaces: How often every distinct (label, surface) occurs.
        bags: How many sentences have each bag of labels (a sorted tuple, one label per entity).
    """

    sentences: int
    without_entity: int
    duplicates: int
    lengths: Lengths
    entities: int
    labels: tuple[LabelStats, ...]
    repeats: int
    misplaced: int
    adjacent: int
    edge_spaces: int
    leading_spaces: int
    not_nfkc: int
    places: Mapping[str, Place] = field(repr=False)
    texts: Mapping[str, int] = field(repr=False)
    surfaces: Mapping[tuple[str, str], int] = field(repr=False)
    bags: Mapping[tuple[str, ...], int] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The figures as ``stats --json`` prints them; shares are from 0 to 1."""
        return {
            "sentences": self.sentences,
            "without_entity": self.without_entity,
            "duplicates": self.duplicates,
            "lengths": asdict(self.lengths),
            "entities": self.entities,
            "entities_per_sentence": self.entities / self.sentences,
            "per_label": {
                row.label: {
                    "entities": row.entities,
                    "share": row.share,
                    "mean_length": row.mean_length,
                    "surfaces": row.surfaces,
                }
                for row in self.labels
            },
            "repeats": self.repeats,
            "misplaced": self.misplaced,
            "adjacent": self.adjacent,
            "edge_spaces": self.edge_spaces,
            "leading_spaces": self.leading_spaces,
            "nfkc": self.not_nfkc == 0,
            "not_nfkc": self.not_nfkc,
        }


def corpus_stats(sentences: Iterable[Sentence]) -> CorpusStats:
    """Compute the figures of a corpus; the sentences are iterated over once.

    Takes time linear in the characters. Memory grows with the number of distinct texts, surfaces
    and bags of labels, which :func:`compare_corpora` needs.

    Raises:
        CorpusError: There is no sentence.

    >>> from llmner.spans import Span
    >>> sentence = Sentence("Anna met Bob", (Span(0, 4, "PER"), Span(9, 12, "PER")))
    >>> stats = corpus_stats([sentence, Sentence("Nobody came")])
    >>> stats.sentences, stats.entities, stats.without_entity, stats.lengths.max
    (2, 2, 1, 12)
    """
    count = without_entity = repeats = misplaced = adjacent = edge_spaces = leading_spaces = (
        not_nfkc
    ) = 0
    lengths: Counter[int] = Counter()
    places: dict[str, Place] = {}
    texts: Counter[str] = Counter()
    surfaces: Counter[tuple[str, str]] = Counter()
    bags: Counter[tuple[str, ...]] = Counter()
    for count, sentence in enumerate(sentences, 1):
        text, spans = sentence.text, sentence.spans
        lengths[len(text)] += 1
        if text not in places:
            places[text] = Place(count, sentence.id, text)
        texts[text] += 1
        not_nfkc += not unicodedata.is_normalized("NFKC", text)
        without_entity += not spans
        entities = [(span.label, sentence.surface(span)) for span in spans]
        surfaces.update(entities)
        bags[tuple(sorted(span.label for span in spans))] += 1
        repeats += len(set(entities)) < len(entities)
        for span, (_, surface) in zip(spans, entities, strict=True):
            misplaced += text.find(surface) != span.start
            leading_spaces += surface[0].isspace()
            edge_spaces += surface[0].isspace() or surface[-1].isspace()
        adjacent += sum(
            left.end == right.start and left.label == right.label for left, right in pairwise(spans)
        )
    if not count:
        raise CorpusError("holds no sentence")
    return CorpusStats(
        sentences=count,
        without_entity=without_entity,
        duplicates=count - len(texts),
        lengths=Lengths.of(lengths),
        entities=surfaces.total(),
        labels=_labels(surfaces),
        repeats=repeats,
        misplaced=misplaced,
        adjacent=adjacent,
        edge_spaces=edge_spaces,
        leading_spaces=leading_spaces,
        not_nfkc=not_nfkc,
        places=places,
        texts=texts,
        surfaces=surfaces,
        bags=bags,
    )


def _labels(surfaces: Counter[tuple[str, str]]) -> tuple[LabelStats, ...]:
    entities: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for (label, surface), times in surfaces.items():
        entities[label] += times
        characters[label] += times * len(surface)
    distinct = Counter(label for label, _ in surfaces)
    return tuple(
        LabelStats(
            label, times, times / entities.total(), characters[label] / times, distinct[label]
        )
        for label, times in sorted(entities.items(), key=lambda item: (-item[1], item[0]))
    )
