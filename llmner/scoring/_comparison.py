"""Comparing two evaluations of the same sentences."""

from __future__ import annotations

from dataclasses import dataclass

from llmner.errors import MismatchError
from llmner.scoring._bootstrap import LEVEL, Difference, compare_counts
from llmner.scoring._evaluate import Evaluation

__all__ = ["Change", "Comparison", "compare"]


@dataclass(frozen=True, slots=True)
class Change:
    """A sentence on which two runs differ.

    Attributes:
        number: The number of the sentence, counted from 0.
        errors: The number of errors of the first run and of the second run.
    """

    number: int
    errors: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs on the same sentences.

    Attributes:
        differences: The difference of each figure, with its interval and p-value, by the figure's
            name. Text-level F1 is left out if only one run has replies.
        changes: The sentences for which the runs predict different spans.
        better: Number of sentences on which the second run has fewer errors.
        worse: Number of sentences on which the second run has more errors.
        test: How intervals and p-values were computed, for the signature.
    """

    differences: dict[str, Difference]
    changes: tuple[Change, ...]
    better: int
    worse: int
    test: str


def compare(
    a: Evaluation, b: Evaluation, *, resamples: int = 1000, shuffles: int = 10_000, seed: int = 42
) -> Comparison:
    """Compare two runs that :func:`evaluate_all` scored together.

    Args:
        a: The first run.
        b: The second run.
        resamples: Bootstrap resamples for the intervals of the differences; 0 for no intervals.
        shuffles: Shuffles of the approximate randomisation that gives p-values.
        seed: Seed of both.

    Raises:
        MismatchError: The runs are of different sentences, or were counted over different labels.
        InputError: ``resamples`` is negative, or ``shuffles`` is less than 1.

    >>> from llmner.scoring import Prediction, evaluate_all
    >>> from llmner.spans import Sentence, Span
    >>> gold = [Sentence("Anna sings", (Span(0, 4, "PER"),))]
    >>> runs = [[Prediction("Anna sings", ())], [Prediction("Anna sings", gold[0].spans)]]
    >>> comparison = compare(*evaluate_all(gold, runs, resamples=0), shuffles=10)
    >>> comparison.differences["micro.f1"].difference, comparison.better, comparison.worse
    (1.0, 1, 0)
    """
    if [row.sentence for row in a.rows] != [row.sentence for row in b.rows]:
        raise MismatchError(
            "the two runs are of different sentences", hint="score both on one corpus and sample"
        )
    changes = tuple(
        Change(number, (len(first.faults), len(second.faults)))
        for number, (first, second) in enumerate(zip(a.rows, b.rows, strict=True))
        if first.prediction.spans != second.prediction.spans
    )
    differences = compare_counts(
        a.counts, b.counts, resamples=resamples, shuffles=shuffles, seed=seed
    )
    if bool(a.replies) != bool(b.replies):
        # Text-level F1 counts what a reply says; for a run without replies it counts what the spans
        # cover. These cannot be compared.
        differences = {
            name: difference
            for name, difference in differences.items()
            if not name.startswith("text.")
        }
    return Comparison(
        differences,
        changes,
        sum(change.errors[1] < change.errors[0] for change in changes),
        sum(change.errors[1] > change.errors[0] for change in changes),
        f"paired bootstrap {LEVEL:.0%}, n={resamples}; approximate randomisation, n={shuffles}; "
        f"seed={seed}",
    )
