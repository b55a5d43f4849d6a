"""What every figure is made of, counted sentence by sentence, and the figures of any sum of sentences.

Figures are ratios of sums over sentences. Kept a row a sentence, the counts give the figures of every
resample by one matrix product. The quoted figures come from seqeval and scikit-learn (``_scores``); tests
hold the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from llmner.projection import canonical_surface
from llmner.scoring._partial import MODES, mode_counts
from llmner.spans import Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Claims", "Counts", "KlueTags", "count", "surfaces"]

Claims: TypeAlias = frozenset[tuple[str, str]]
"""(label, canonical surface) of a sentence, each once."""


@dataclass(frozen=True, slots=True)
class KlueTags:
    """Tags as KLUE compares them: without spaces, an ``O`` before and after each sentence.

    Attributes:
        gold: Gold tags of each sentence.
        predicted: Predicted tags.
        tags: The tags that character F1 averages over.
        columns: Number of each label's column, by the label's name in the tags.
    """

    gold: Sequence[Sequence[str]]
    predicted: Sequence[Sequence[str]]
    tags: Sequence[str]
    columns: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of each sentence, in blocks of columns.

    Attributes:
        labels: The labels that are counted.
        tags: Number of tags that character F1 averages over; 0 where there is none.
        table: (sentences, columns). The columns: right, gold and predicted entities of each label; the same
            with the predictions that strict IOB2 counts; the same of KLUE's entities, which drop spaces;
            right, gold and predicted characters of each tag; right, gold and predicted (label, surface)
            pairs; five counts for each of SemEval's modes.
    """

    labels: tuple[str, ...]
    tags: int
    table: NDArray[Any]

    def figures(self, sums: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Figures of summed counts, by name (``micro.f1``, ``per_label.PS.f1``, ``klue.char_f1``).

        Args:
            sums: (n, columns), each row the sum over some sentences, as often as they were drawn.

        Returns:
            Arrays of n fractions. As in seqeval, a label that is neither in gold nor predicted is left out
            of an average, and a figure without anything to count is 0; the label's own figure is NaN then.
            A tag without a character has character F1 1, as KLUE-baseline has it.
        """
        import numpy as np

        n, label_count = len(sums), len(self.labels)
        at = 0

        def block(columns: int) -> Any:
            nonlocal at
            part = sums[:, at : at + 3 * columns].reshape(n, 3, columns)
            at += 3 * columns
            return part[:, 0], part[:, 1], part[:, 2]

        found: dict[str, NDArray[Any]] = {}

        def add(name: str, values: Iterable[Any]) -> None:
            found.update({f"{name}.{part}": value for part, value in zip(_PARTS, values, strict=True)})

        right, gold, predicted = block(label_count)
        micro = _prf(right.sum(1), gold.sum(1), predicted.sum(1))
        add("micro", micro)
        add("spans", micro)
        per_label = _prf(right, gold, predicted)
        occurs = (gold + predicted) > 0
        add("macro", _means(per_label, occurs))
        add("weighted", _means(per_label, gold))
        for number, label in enumerate(self.labels):
            one = occurs[:, number]
            add(f"per_label.{label}", [np.where(one, values[:, number], np.nan) for values in per_label])
        add("strict", _prf(*(side.sum(1) for side in block(label_count))))
        right, gold, predicted = block(label_count)
        if self.tags:
            entities = _prf(right, gold, predicted)
            found["klue.entity_f1"] = _means(entities, (gold + predicted) > 0)[2]
        right, gold, predicted = block(self.tags)
        if self.tags:
            f1 = np.where(gold + predicted > 0, _prf(right, gold, predicted)[2], 1.0)
            found["klue.char_f1"] = f1.mean(1)
        add("text", [value[:, 0] for value in _prf(*block(1))])
        for mode in MODES:
            correct, incorrect, partial, missed, spurious = sums[:, at : at + 5].T
            at += 5
            common = correct + incorrect + partial
            add(f"partial.{mode}", _prf(correct + partial / 2, common + missed, common + spurious))
        return found


_PARTS = ("precision", "recall", "f1")


def _means(values: tuple[Any, Any, Any], weights: Any) -> tuple[Any, Any, Any]:
    """Means over labels, weighted; 0 where no label has any weight."""
    import numpy as np

    total = np.maximum(weights.sum(1), 1)
    precision, recall, f1 = ((value * weights).sum(1) / total for value in values)
    return precision, recall, f1


def _prf(right: Any, gold: Any, predicted: Any) -> tuple[Any, Any, Any]:
    import numpy as np

    return (
        right / np.maximum(predicted, 1),
        right / np.maximum(gold, 1),
        2 * right / np.maximum(gold + predicted, 1),
    )


def surfaces(text: str, spans: Sequence[Span]) -> Claims:
    """What spans say once their places are forgotten, in the canonical form that projection compares."""
    return frozenset((span.label, canonical_surface(text[span.start : span.end])) for span in spans)


def count(
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[Span]],
    strict: Sequence[Sequence[Span]],
    labels: Sequence[str],
    *,
    klue: KlueTags | None = None,
    text: tuple[Sequence[Claims], Sequence[Claims]] | None = None,
) -> Counts:
    """Count every sentence once.

    Args:
        gold: Gold spans, sorted and lying apart.
        predicted: Predicted spans, likewise.
        strict: Those of them that strict IOB2 counts.
        labels: All labels that occur, and any others to have columns for.
        klue: Tags as KLUE compares them.
        text: Gold and predicted (label, surface) pairs of each sentence.
    """
    import numpy as np

    column = {label: at for at, label in enumerate(labels)}
    size = len(gold)
    entities, strict_entities, klue_entities = np.zeros((3, size, 3, len(labels)))
    tag_set = () if klue is None else klue.tags
    characters = np.zeros((size, 3, len(tag_set)))
    texts = np.zeros((size, 3, 1))
    modes = np.zeros((size, len(MODES), 5))
    for row, (right, found, strictly) in enumerate(zip(gold, predicted, strict, strict=True)):
        _add(entities[row], column, set(right), set(found))
        _add(strict_entities[row], column, set(right), set(strictly))
        modes[row] = mode_counts(right, found)
    if klue is not None:
        number = {tag: at for at, tag in enumerate(tag_set)}
        other = len(tag_set)
        for row, (right_tags, found_tags) in enumerate(zip(klue.gold, klue.predicted, strict=True)):
            _add(klue_entities[row], klue.columns, _strict_entities(right_tags), _strict_entities(found_tags))
            a = np.array([number.get(tag, other) for tag in right_tags])
            b = np.array([number.get(tag, other) for tag in found_tags])
            for at, given in enumerate((a[a == b], a, b)):
                characters[row, at] = np.bincount(given, minlength=other + 1)[:other]
    if text is not None:
        for row, (right_pairs, found_pairs) in enumerate(zip(*text, strict=True)):
            texts[row, :, 0] = len(right_pairs & found_pairs), len(right_pairs), len(found_pairs)
    blocks = (entities, strict_entities, klue_entities, characters, texts, modes)
    return Counts(
        tuple(labels), len(tag_set), np.concatenate([block.reshape(size, -1) for block in blocks], axis=1)
    )


def _add(row: Any, column: Mapping[str, int], gold: set[Span], predicted: set[Span]) -> None:
    for at, spans in enumerate((gold & predicted, gold, predicted)):
        for span in spans:
            row[at, column[span.label]] += 1


def _strict_entities(tags: Sequence[str]) -> set[Span]:
    """Entities as strict IOB2 has them: an ``I-`` that continues nothing is nothing."""
    found: set[Span] = set()
    start, label = -1, ""
    for at, tag in enumerate((*tags, "O")):
        if start >= 0 and tag != f"I-{label}":
            found.add(Span(start, at, label))
            start = -1
        if tag.startswith("B-"):
            start, label = at, tag[2:]
    return found
