"""seqeval's own reports, which are what papers quote.

It is given shorter sequences than there are, since it takes time with every tag, and labels under
names of our own, since it takes them apart at hyphens and calls its averages like labels.
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
    """An average of seqeval's default mode, such as ``"micro avg"``."""
    return row_prf(_lenient(whole).get(average))


def strict_prf(whole: Whole, average: str) -> PRF:
    """An average of seqeval's strict mode on IOB2, of the tags as they were read."""

    def make() -> Report:
        gold, read = [one.gold_tags for one in whole.sides], [one.read_tags for one in whole.sides]
        return report(whole.labels, gold, read, strict=True)

    return row_prf(_once(whole, "strict", make).get(average))


def lenient_label_rows(whole: Whole) -> dict[str, dict[str, float]]:
    """The row of each label that occurs, by the label."""
    lenient = _lenient(whole)
    names = _neutral(whole.labels)
    return {label: lenient[name] for label, name in names.items() if name in lenient}


def _lenient(whole: Whole) -> Report:
    def make() -> Report:
        sides = whole.sides
        gold, predicted = [one.gold_tags for one in sides], [one.predicted_tags for one in sides]
        return report(whole.labels, gold, predicted)

    return _once(whole, "lenient", make)


def _once(whole: Whole, name: str, make: Callable[[], Report]) -> Report:
    if name not in whole.reports:
        whole.reports[name] = make()
    held: Report = whole.reports[name]
    return held


def _neutral(labels: Labels) -> dict[str, str]:
    return {label: f"L{number:06}" for label, number in labels.numbers.items()}


def report(
    labels: Labels,
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    *,
    strict: bool = False,
) -> Report:
    """seqeval's classification report, in its default mode or as strict IOB2; labels as
    ``L000000``.
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
        # Its averages over no entity at all are the mean of nothing; row_prf makes that 0.
        warnings.simplefilter("ignore", RuntimeWarning)
        found: Report = classification_report(*sides, output_dict=True, zero_division=0, **mode)
    return found


def row_prf(row: Mapping[str, float] | None) -> PRF:
    """The figures of a row of a report; 0 where there is none, or nothing to average."""
    if row is None or math.isnan(row["f1-score"]):
        return PRF(0.0, 0.0, 0.0)
    return PRF(float(row["precision"]), float(row["recall"]), float(row["f1-score"]))


def squeezed(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], long: int = 100
) -> tuple[Tags, Tags]:
    """The same entities in shorter sequences, since seqeval is quadratic in a sequence's length.

    Positions that repeat the one before them on both sides, without beginning anything, are left
    out; a ``long`` sequence is cut where neither side has an entity.
    """
    begins = cache(lambda tag: split_tag(tag)[0] == "B")
    shorter: tuple[Tags, Tags] = [], []
    for right, found in zip(gold, predicted, strict=True):
        rights: list[str] = []
        founds: list[str] = []
        last: tuple[str, str] | None = None
        for pair in zip(right, found, strict=True):
            if pair == last:
                continue
            rights.append(pair[0])
            founds.append(pair[1])
            last = None if begins(pair[0]) or begins(pair[1]) else pair
            if pair == (OUTSIDE, OUTSIDE) and len(rights) >= long:
                shorter[0].append(rights)
                shorter[1].append(founds)
                rights, founds = [], []
        if rights or not shorter[0]:
            shorter[0].append(rights)
            shorter[1].append(founds)
    return shorter
