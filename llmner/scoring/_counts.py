"""What every figure is made of, counted sentence by sentence, and the figures of any sum of sentences.

Figures are ratios of sums over sentences. Kept a row a sentence, the counts give the figures of every
resample by one matrix product. The quoted figures come from seqeval and scikit-learn (``_scores``); tests
hold the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from llmner.projection import canonical_surface
from llmner.scoring._partial import MODES, mode_counts
from llmner.spans import Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Claims", "Counts", "count", "surfaces"]

Claims: TypeAlias = frozenset[tuple[str, str]]
"""(label, canonical surface) of a sentence, each once."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of each sentence, in blocks of columns.

    Attributes:
        labels: The labels that occur, sorted.
        tags: Number of tags that character F1 averages over.
        table: (sentences, columns). The columns: right, gold and predicted entities of each label; the same
            for KLUE's entities, which drop spaces; right, gold and predicted characters of each tag; right,
            gold and predicted (label, surface) pairs; five counts for each of SemEval's modes.
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
            of an average, and a figure without anything to count is 0; a tag without a character has
            character F1 1, as KLUE-baseline has it.
        """
        import numpy as np

        n, label_count = len(sums), len(self.labels)
        at = 0

        def block(columns: int) -> Any:
            nonlocal at
            part = sums[:, at : at + 3 * columns].reshape(n, 3, columns)
            at += 3 * columns
            return part[:, 0], part[:, 1], part[:, 2]

        right, gold, predicted = block(label_count)
        found: dict[str, NDArray[Any]] = {}
        for name, value in zip(
            ("precision", "recall", "f1"), _prf(*(x.sum(1) for x in (right, gold, predicted))), strict=True
        ):
            # Spans make valid tags: strict and lenient entities are the spans themselves.
            found |= {f"{average}.{name}": value for average in ("micro", "strict", "spans")}
        per_label = _prf(right, gold, predicted)
        occurs = (gold + predicted) > 0
        present = np.maximum(occurs.sum(1), 1)
        support = np.maximum(gold.sum(1), 1)
        for name, values in zip(("precision", "recall", "f1"), per_label, strict=True):
            found[f"macro.{name}"] = (values * occurs).sum(1) / present
            found[f"weighted.{name}"] = (values * gold).sum(1) / support
            for number, label in enumerate(self.labels):
                found[f"per_label.{label}.{name}"] = values[:, number]
        right, gold, predicted = block(label_count)
        occurs = (gold + predicted) > 0
        if self.tags:
            found["klue.entity_f1"] = (_prf(right, gold, predicted)[2] * occurs).sum(1) / np.maximum(
                occurs.sum(1), 1
            )
        right, gold, predicted = block(self.tags)
        if self.tags:
            f1 = np.where(gold + predicted > 0, _prf(right, gold, predicted)[2], 1.0)
            found["klue.char_f1"] = f1.mean(1)
        right, gold, predicted = block(1)
        for name, value in zip(("precision", "recall", "f1"), _prf(right, gold, predicted), strict=True):
            found[f"text.{name}"] = value[:, 0]
        for mode in MODES:
            correct, incorrect, partial, missed, spurious = sums[:, at : at + 5].T
            at += 5
            common = correct + incorrect + partial
            values = _prf(correct + partial / 2, common + missed, common + spurious)
            for name, value in zip(("precision", "recall", "f1"), values, strict=True):
                found[f"partial.{mode}.{name}"] = value
        return found


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
    *,
    klue: tuple[Sequence[Sequence[str]], Sequence[Sequence[str]], Sequence[str]] | None = None,
    text: tuple[Sequence[Claims], Sequence[Claims]] | None = None,
    labels: Sequence[str] | None = None,
) -> Counts:
    """Count every sentence once.

    Args:
        gold: Gold spans, sorted and lying apart.
        predicted: Predicted spans, likewise.
        klue: Gold and predicted tags of each sentence as KLUE compares them (no spaces, ``O`` around), and
            the tag set.
        text: Gold and predicted (label, surface) pairs of each sentence.
        labels: Labels to have columns for; all that occur, where it is ``None``.
    """
    import numpy as np

    if labels is None:
        labels = sorted({span.label for spans in (*gold, *predicted) for span in spans})
    column = {label: at for at, label in enumerate(labels)}
    size = len(gold)
    entities = np.zeros((size, 3, len(labels)))
    klue_entities = np.zeros((size, 3, len(labels)))
    tag_set = () if klue is None else klue[2]
    characters = np.zeros((size, 3, len(tag_set)))
    texts = np.zeros((size, 3, 1))
    modes = np.zeros((size, len(MODES), 5))
    for row, (right, found) in enumerate(zip(gold, predicted, strict=True)):
        _add(entities[row], column, set(right), set(found))
        modes[row] = mode_counts(right, found)
    if klue is not None:
        number = {tag: at for at, tag in enumerate(tag_set)}
        other = len(tag_set)
        for row, (right_tags, found_tags) in enumerate(zip(klue[0], klue[1], strict=True)):
            _add(klue_entities[row], column, _strict_entities(right_tags), _strict_entities(found_tags))
            a = np.array([number.get(tag, other) for tag in right_tags])
            b = np.array([number.get(tag, other) for tag in found_tags])
            for at, given in enumerate((a[a == b], a, b)):
                characters[row, at] = np.bincount(given, minlength=other + 1)[:other]
    if text is not None:
        for row, (right_pairs, found_pairs) in enumerate(zip(*text, strict=True)):
            texts[row, :, 0] = len(right_pairs & found_pairs), len(right_pairs), len(found_pairs)
    blocks = (entities, klue_entities, characters, texts, modes)
    return Counts(
        tuple(labels), len(tag_set), np.concatenate([block.reshape(size, -1) for block in blocks], axis=1)
    )


def _add(row: Any, column: dict[str, int], gold: set[Span], predicted: set[Span]) -> None:
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
