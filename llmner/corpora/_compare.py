"""Comparing two corpora: what they share, and whether their labels are distributed alike.

Works on the figures that :func:`corpus_stats` returns. No file is read here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from llmner._unicode import normalized
from llmner.corpora._stats import CorpusStats, Place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "CorpusComparison",
    "LabelShift",
    "Overlap",
    "SharedSentence",
    "ShiftTest",
    "compare_corpora",
]

_EXAMPLES = 5
# Counts drawn at a time by the permutation test: 40 MB.
_CELLS = 5_000_000


@dataclass(frozen=True, slots=True)
class SharedSentence:
    """A sentence that is in both corpora.

    Attributes:
        exact: Whether the texts are equal. If not, they are equal after NFKC and without white
            space.
        earlier: Its first place in the earlier corpus.
        later: Its first place in the later corpus.
    """

    exact: bool
    earlier: Place
    later: Place


@dataclass(frozen=True, slots=True)
class Overlap:
    """Sentences of the later corpus that are also in the earlier one.

    Attributes:
        exact: Number of sentences whose text is equal.
        folded: Number of sentences whose text is equal after NFKC and without white space. Includes
            the exact ones.
        examples: The first five exact ones, then the first five of the others.
    """

    exact: int
    folded: int
    examples: tuple[SharedSentence, ...]


@dataclass(frozen=True, slots=True)
class LabelShift:
    """How often one label occurs in each corpus.

    Attributes:
        label: The label.
        earlier: Number of its entities in the earlier corpus.
        later: Number of its entities in the later corpus.
        earlier_share: Their share of all entities of the earlier corpus, from 0 to 1. ``None`` if
            that corpus has no entity.
        later_share: The same for the later corpus.
        unseen: Number of its entities in the later corpus whose surface never has this label in the
            earlier one.
    """

    label: str
    earlier: int
    later: int
    earlier_share: float | None
    later_share: float | None
    unseen: int

    @property
    def points(self) -> float | None:
        """The later share minus the earlier share, in percentage points."""
        if self.earlier_share is None or self.later_share is None:
            return None
        return 100 * (self.later_share - self.earlier_share)


@dataclass(frozen=True, slots=True)
class ShiftTest:
    """A permutation test: do the label frequencies of two corpora differ by more than chance?

    The entities of one sentence are not independent of each other (dates come in pairs, a list of
    names is all PS), so the chi-squared distribution would give a p-value that is too small.
    Instead, whole sentences are shuffled between the two corpora. Sentences of one document are
    still treated as independent.

    Attributes:
        statistic: Chi-squared of the 2 x labels table of entity counts, without correction.
        cramers_v: The size of the difference, from 0 to 1: ``sqrt(statistic / entities)``.
        p: (1 + permutations whose statistic is at least as large) / (1 + permutations).
        permutations: Number of permutations.
        seed: Seed of the permutations.
    """

    statistic: float
    cramers_v: float
    p: float
    permutations: int
    seed: int


@dataclass(frozen=True, slots=True)
class CorpusComparison:
    """What two corpora have in common, and how they differ.

    Attributes:
        overlap: Sentences of the later corpus that are also in the earlier one.
        entities: Number of entities in the later corpus.
        unseen: Number of those whose (label, surface) never occurs in the earlier corpus.
        labels: Frequencies of each label, the most frequent in both corpora together first.
        test: Whether the frequencies differ. ``None`` if a corpus has no entity, or if there is
            only one label.
    """

    overlap: Overlap
    entities: int
    unseen: int
    labels: tuple[LabelShift, ...]
    test: ShiftTest | None

    @property
    def unseen_share(self) -> float | None:
        """Share of the later corpus's entities that are unseen, from 0 to 1.

        ``None`` if it has no entity.
        """
        return _share(self.unseen, self.entities)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as ``stats --json`` prints it; shares are from 0 to 1."""
        return {
            "overlap": {
                "exact": self.overlap.exact,
                "folded": self.overlap.folded,
                "examples": [asdict(example) for example in self.overlap.examples],
            },
            "unseen": {"entities": self.unseen, "share": self.unseen_share},
            "per_label": {
                row.label: {
                    "earlier": row.earlier,
                    "later": row.later,
                    "earlier_share": row.earlier_share,
                    "later_share": row.later_share,
                    "points": row.points,
                    "unseen": row.unseen,
                }
                for row in self.labels
            },
            "test": None if self.test is None else asdict(self.test),
        }


def compare_corpora(
    earlier: CorpusStats, later: CorpusStats, *, seed: int = 42, permutations: int = 2000
) -> CorpusComparison:
    """Compare a later corpus (a test set, say) with an earlier one (the training set).

    Args:
        earlier: Figures of the earlier corpus.
        later: Figures of the later corpus.
        seed: Seed of the permutation test, 0 or more.
        permutations: Permutations of the test, 1 or more. The smallest possible p-value is
            1 / (1 + permutations).

    >>> from llmner.corpora import corpus_stats
    >>> from llmner.spans import Sentence, Span
    >>> anna = Sentence("Anna sings", (Span(0, 4, "PER"),))
    >>> bob = Sentence("Bob hums", (Span(0, 3, "PER"),))
    >>> comparison = compare_corpora(corpus_stats([anna]), corpus_stats([anna, bob]))
    >>> comparison.overlap.exact, comparison.unseen, comparison.unseen_share
    (1, 1, 0.5)
    """
    counts = [
        Counter({row.label: row.entities for row in stats.labels}) for stats in (earlier, later)
    ]
    unseen: Counter[str] = Counter()
    for (label, surface), times in later.surfaces.items():
        if (label, surface) not in earlier.surfaces:
            unseen[label] += times
    totals = counts[0] + counts[1]
    labels = sorted(totals, key=lambda label: (-totals[label], label))
    return CorpusComparison(
        overlap=_overlap(earlier, later),
        entities=later.entities,
        unseen=unseen.total(),
        labels=tuple(
            LabelShift(
                label,
                counts[0][label],
                counts[1][label],
                _share(counts[0][label], earlier.entities),
                _share(counts[1][label], later.entities),
                unseen[label],
            )
            for label in labels
        ),
        test=_test(earlier, later, labels, seed, permutations),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _folded(text: str) -> str:
    return "".join(normalized("NFKC", text).split())


def _overlap(earlier: CorpusStats, later: CorpusStats) -> Overlap:
    folded: dict[str, Place] = {}
    for text, place in earlier.places.items():
        folded.setdefault(_folded(text), place)
    counts = {True: 0, False: 0}
    examples: dict[bool, list[SharedSentence]] = {True: [], False: []}
    for text, times in later.texts.items():
        exact = text in earlier.places
        first = earlier.places[text] if exact else folded.get(_folded(text))
        if first is None:
            continue
        counts[exact] += times
        if len(examples[exact]) < _EXAMPLES:
            examples[exact].append(SharedSentence(exact, first, later.places[text]))
    return Overlap(counts[True], counts[True] + counts[False], (*examples[True], *examples[False]))


def _test(
    earlier: CorpusStats, later: CorpusStats, labels: Sequence[str], seed: int, permutations: int
) -> ShiftTest | None:
    """The permutation test.

    Sentences with the same bag of labels are interchangeable. So the number of sentences of each
    bag that a permutation gives to the earlier corpus is drawn from the multivariate hypergeometric
    distribution. This is what shuffling every sentence would give, but time and memory grow with
    the number of distinct bags only.
    """
    if not earlier.entities or not later.entities or len(labels) < 2:
        return None
    import numpy as np

    # Sorted, so that the order of the sentences in a file does not matter.
    bags = sorted({*earlier.bags, *later.bags})
    # (bags, labels)
    label_counts = np.array([[bag.count(label) for label in labels] for bag in bags])
    # (bags,) sentences with each bag.
    earlier_bags, later_bags = (
        np.array([stats.bags.get(bag, 0) for bag in bags]) for stats in (earlier, later)
    )
    all_bags = earlier_bags + later_bags
    totals = all_bags @ label_counts
    observed = float(_chi_squared(earlier_bags[None] @ label_counts, totals)[0])
    random = np.random.default_rng(seed)
    extreme = 0
    chunk = max(1, _CELLS // len(bags))
    for start in range(0, permutations, chunk):
        draws = random.multivariate_hypergeometric(
            all_bags, earlier.sentences, min(chunk, permutations - start), method="marginals"
        )
        statistics = _chi_squared(draws @ label_counts, totals)
        # A table equal to the observed one counts, even if rounding makes it slightly smaller.
        extreme += int((statistics >= observed * (1 - 1e-9)).sum())
    return ShiftTest(
        observed,
        math.sqrt(observed / (earlier.entities + later.entities)),
        (1 + extreme) / (1 + permutations),
        permutations,
        seed,
    )


def _chi_squared(counts: NDArray[np.int64], totals: NDArray[np.int64]) -> NDArray[np.float64]:
    """Chi-squared of each 2 x labels table, given its first row and the sum of both rows.

    Args:
        counts: (tables, labels) entity counts of the first row.
        totals: (labels,) entity counts of both rows, none of them 0.

    Returns:
        (tables,) statistics; 0 if a row of the table is empty.
    """
    import numpy as np

    # Floats, because squares of products of counts do not fit into 64-bit integers.
    first = counts.astype(np.float64)
    second = totals - first
    first_sum, second_sum = first.sum(axis=1, keepdims=True), second.sum(axis=1, keepdims=True)
    numerators = ((first * second_sum - second * first_sum) ** 2 / totals).sum(axis=1)
    denominators = (first_sum * second_sum)[:, 0]
    statistics = np.zeros(len(counts))
    np.divide(numerators, denominators, out=statistics, where=denominators > 0)
    return statistics
