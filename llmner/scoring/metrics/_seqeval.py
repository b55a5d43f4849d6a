"""seqeval's own reports, which are what papers quote.

seqeval is slow on long sequences, so it gets shortened sequences with the same entities. It splits
tags at hyphens, and its averages could have the same names as labels, so labels are renamed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from llmner.scoring._sides import Labels, Whole
from llmner.scoring.metrics._metric import PRF
from llmner.tagging import OUTSIDE, renamed_tags, split_tag

__all__ = ["lenient_label_rows", "lenient_prf", "report", "row_prf", "squeezed", "strict_prf"]

Tags: TypeAlias = list[list[str]]
Report: TypeAlias = dict[str, Any]


def lenient_prf(whole: Whole, average: str) -> PRF:
    """An average in seqeval's default mode, such as ``"micro avg"``."""
    return row_prf(_lenient(whole).get(average))


def strict_prf(whole: Whole, average: str) -> PRF:
    """An average in seqeval's strict mode with scheme IOB2, on the tags as they were read."""

    def make() -> Report:
        gold = [sides.gold_tags for sides in whole.sides]
        read = [sides.read_tags for sides in whole.sides]
        return report(whole.labels, gold, read, strict=True)

    return row_prf(_once(whole, "strict", make).get(average))


def lenient_label_rows(whole: Whole) -> dict[str, dict[str, float]]:
    """The row of the report for each label that occurs."""
    lenient = _lenient(whole)
    names = _neutral(whole.labels)
    return {label: lenient[name] for label, name in names.items() if name in lenient}


def _lenient(whole: Whole) -> Report:
    def make() -> Report:
        gold = [sides.gold_tags for sides in whole.sides]
        predicted = [sides.predicted_tags for sides in whole.sides]
        return report(whole.labels, gold, predicted)

    return _once(whole, "lenient", make)


def _once(whole: Whole, name: str, make: Callable[[], Report]) -> Report:
    if name not in whole.reports:
        whole.reports[name] = make()
    result: Report = whole.reports[name]
    return result


def _neutral(labels: Labels) -> dict[str, str]:
    return {label: f"L{number:06}" for label, number in labels.numbers.items()}


def report(
    labels: Labels,
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    *,
    strict: bool = False,
) -> Report:
    """seqeval's classification report, in default mode or strict IOB2.

    Labels are called ``L000000`` and so on.
    """
    from seqeval.metrics import classification_report
    from seqeval.scheme import IOB2

    sides = squeezed(gold, predicted)
    rows = [row for side in sides for row in side]
    renamed = renamed_tags(set().union(*rows), _neutral(labels))
    for row in rows:
        row[:] = map(renamed.__getitem__, row)
    mode = {"mode": "strict", "scheme": IOB2} if strict else {}
    with warnings.catch_warnings():
        # Without any entity, seqeval's averages are NaN; row_prf turns these into 0.
        warnings.simplefilter("ignore", RuntimeWarning)
        result: Report = classification_report(*sides, output_dict=True, zero_division=0, **mode)
    return result


def row_prf(row: Mapping[str, float] | None) -> PRF:
    """The figures of a row of a report; 0 if there is no row, or nothing to average."""
    if row is None or math.isnan(row["f1-score"]):
        return PRF(0.0, 0.0, 0.0)
    return PRF(float(row["precision"]), float(row["recall"]), float(row["f1-score"]))


def squeezed(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], long: int = 100
) -> tuple[Tags, Tags]:
    """The same entities in shorter sequences, because seqeval's time is quadratic in their length.

    A position is left out if both tags are the same as at the position before and neither begins an
    entity. A sequence of ``long`` tags or more is cut at the next position that is outside entities
    on both sides.

    >>> squeezed([["B-L", "I-L", "I-L", "O", "O"]], [["O", "O", "O", "O", "O"]])
    ([['B-L', 'I-L', 'O']], [['O', 'O', 'O']])
    """
    begins = cache(lambda tag: split_tag(tag)[0] == "B")
    shorter: tuple[Tags, Tags] = [], []
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        short_gold: list[str] = []
        short_predicted: list[str] = []
        last: tuple[str, str] | None = None
        for pair in zip(gold_tags, predicted_tags, strict=True):
            if pair == last:
                continue
            short_gold.append(pair[0])
            short_predicted.append(pair[1])
            last = None if begins(pair[0]) or begins(pair[1]) else pair
            if pair == (OUTSIDE, OUTSIDE) and len(short_gold) >= long:
                shorter[0].append(short_gold)
                shorter[1].append(short_predicted)
                short_gold, short_predicted = [], []
        if short_gold or not shorter[0]:
            shorter[0].append(short_gold)
            shorter[1].append(short_predicted)
    return shorter
