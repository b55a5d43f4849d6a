"""Two corpora side by side: sentences and surfaces they share, and whether their labels are
distributed alike.

Works on the figures of ``_stats`` alone; reads no corpus.
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
_CELLS = 5_000_000


@dataclass(frozen=True, slots=True)
class SharedSentence:
    """A sentence that stands in both corpora.

    Attributes:
        exact: The texts are equal; otherwise only after NFKC and without white space.
        earlier: Where it stands first in the earlier corpus.
        later: Where it stands first in the later corpus.
    """

    exact: bool
    earlier: Place
    later: Place


@dataclass(frozen=True, slots=True)
class Overlap:
    """Sentences of the later corpus that stand in the earlier one.

    Attributes:
        exact: Those whose text is equal.
        folded: Those whose text is equal after NFKC and without white space; the exact ones are
            among them.
        examples: The first five of the exact ones, then the first five of the others.
    """

    exact: int
    folded: int
    examples: tuple[SharedSentence, ...]


@dataclass(frozen=True, slots=True)
class LabelShift:
    """How often one label stands in both corpora.

    Attributes:
        label: The label.
        earlier: Its entities in the earlier corpus.
        later: Its entities in the later corpus.
        earlier_share: Their share of the earlier corpus's entities, from 0 to 1; ``None`` where it
            has none.
        later_share: The same of the later corpus.
        unseen: Its entities in the later corpus whose surface never carries it in the earlier one.
    """

    label: str
    earlier: int
    later: int
    earlier_share: float | None
    later_share: float | None
    unseen: int

    @property
    def points(self) -> float | None:
        """Later share less earlier share, in percentage points."""
        if self.earlier_share is None or self.later_share is None:
            return None
        return 100 * (self.later_share - self.earlier_share)


@dataclass(frozen=True, slots=True)
class ShiftTest:
    """Whether two corpora's label frequencies differ by more than chance.

    Entities of one sentence are not independent of each other (dates come in pairs, a list of names
    is all PS), so the chi-squared distribution would give too small a p-value. Whole sentences are
    dealt anew to the two corpora instead. Sentences of one document are still taken as independent.

    Attributes:
        statistic: Chi-squared of the 2 x labels table of entity counts, without correction.
        cramers_v: The size of the difference, from 0 to 1: ``sqrt(statistic / entities)``.
        p: (1 + deals with a statistic no smaller) / (1 + deals).
        permutations: Deals.
        seed: Their seed.
    """

    statistic: float
    cramers_v: float
    p: float
    permutations: int
    seed: int


@dataclass(frozen=True, slots=True)
class CorpusComparison:
    """What two corpora have in common and in what they differ.

    Attributes:
        overlap: Sentences of the later corpus that stand in the earlier one.
        entities: Entities of the later corpus.
        unseen: Those of them whose (label, surface) never occurs in the earlier one.
        labels: Frequencies of each label, the most frequent of both together first.
        test: Whether these differ; ``None`` where a corpus has no entity, or both have one label
            alone.
    """

    overlap: Overlap
    entities: int
    unseen: int
    labels: tuple[LabelShift, ...]
    test: ShiftTest | None

    @property
    def unseen_share(self) -> float | None:
        """Share of the later corpus's entities that are unseen, from 0 to 1; ``None`` if it has
        none.
        """
        return _share(self.unseen, self.entities)

    def to_dict(self) -> dict[str, Any]:
        """What ``stats --json`` prints of a pair; shares from 0 to 1."""
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
    """Hold a later corpus (a test set, say) against an earlier one (what was trained on).

    Args:
        earlier: Figures of the one.
        later: Figures of the other.
        seed: Seed of the test, 0 or more.
        permutations: Deals of the test, 1 or more; the smallest p-value is 1 / (1 + permutations).
    """
    counts = [
        Counter({row.label: row.entities for row in stats.labels}) for stats in (earlier, later)
    ]
    unseen: Counter[str] = Counter()
    for (label, surface), times in later.surfaces.items():
        if (label, surface) not in earlier.surfaces:
            unseen[label] += times
    both = counts[0] + counts[1]
    labels = sorted(both, key=lambda label: (-both[label], label))
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

    Sentences with the same bag of labels are interchangeable, so how many of each bag a deal gives
    to the earlier corpus is drawn from the multivariate hypergeometric distribution. That is the
    distribution shuffling every sentence gives, in time and memory that grow with the distinct
    bags.
    """
    if not earlier.entities or not later.entities or len(labels) < 2:
        return None
    import numpy as np

    # Sorted, so that the order of the sentences in a file does not matter.
    bags = sorted({*earlier.bags, *later.bags})
    held = np.array([[bag.count(label) for label in labels] for bag in bags])
    mine, yours = (np.array([stats.bags.get(bag, 0) for bag in bags]) for stats in (earlier, later))
    totals = (mine + yours) @ held
    observed = float(_chi_squared(mine[None] @ held, totals)[0])
    random = np.random.default_rng(seed)
    reached = 0
    chunk = max(1, _CELLS // len(bags))
    for start in range(0, permutations, chunk):
        deals = random.multivariate_hypergeometric(
            mine + yours, earlier.sentences, min(chunk, permutations - start), method="marginals"
        )
        # Tables equal to the observed one count, though rounding may tell them apart.
        reached += int((_chi_squared(deals @ held, totals) >= observed * (1 - 1e-9)).sum())
    return ShiftTest(
        observed,
        math.sqrt(observed / (earlier.entities + later.entities)),
        (1 + reached) / (1 + permutations),
        permutations,
        seed,
    )


def _chi_squared(counts: NDArray[np.int64], totals: NDArray[np.int64]) -> NDArray[np.float64]:
    """Chi-squared of each 2 x labels table, given its first row and the sums of both.

    Args:
        counts: (tables, labels) entity counts of the first row.
        totals: (labels,) entity counts of both rows, none of them 0.

    Returns:
        (tables,) statistics; 0 where a row of the table is empty.
    """
    import numpy as np

    # Floats: squares of products of counts outgrow 64-bit integers.
    one = counts.astype(np.float64)
    two = totals - one
    sums = one.sum(axis=1, keepdims=True), two.sum(axis=1, keepdims=True)
    apart = ((one * sums[1] - two * sums[0]) ** 2 / totals).sum(axis=1)
    rows = (sums[0] * sums[1])[:, 0]
    statistics = np.zeros(len(counts))
    np.divide(apart, rows, out=statistics, where=rows > 0)
    return statistics
