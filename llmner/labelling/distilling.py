"""Silver sentences: what a teacher is certain of, for a student to learn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmner.labelling.evidence import NO_ANSWER
from llmner.spans import Sentence, Span

__all__ = ["Silver", "certain"]


@dataclass(frozen=True, slots=True)
class Silver:
    """What a teacher said that is kept, and why the rest is not.

    Attributes:
        sentences: The sentences that are kept, with their spans.
        dropped: How many are not, by reason.
    """

    sentences: tuple[Sentence, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)


_LOST = ("unsure", "not_found", "overlapped")


def certain(rows: Iterable[Mapping[str, Any]], min_score: float) -> Silver:
    """The sentences of which a teacher is certain throughout.

    A sentence is kept or dropped as a whole: without its unsure span, it would teach that there is
    nothing.

    Args:
        rows: Rows that ``extract`` wrote, with scores.
        min_score: The lowest score of a span.

    >>> row = {"id": "1", "text": "손흥민은", "spans": [{"start": 0, "end": 3, "label": "PS"}]}
    >>> row["spans"][0]["score"] = 0.95
    >>> len(certain([row], 0.9).sentences), certain([row], 0.99).dropped
    (1, {'unsure': 1})
    """
    kept, dropped = [], dict[str, int]()
    seen: set[str] = set()
    for row in rows:
        reason = _reason(row, min_score)
        if reason is None and row["text"] in seen:
            reason = "repeated"
        if reason is not None:
            dropped[reason] = dropped.get(reason, 0) + 1
            continue
        seen.add(row["text"])
        spans = tuple(Span(own["start"], own["end"], own["label"]) for own in row["spans"])
        kept.append(Sentence(row["text"], spans, row.get("id")))
    return Silver(tuple(kept), dropped)


def _reason(row: Mapping[str, Any], min_score: float) -> str | None:
    if row.get("error") is not None:
        return "unanswered"
    # A reply that was cut off or unreadable says nothing of the rest of the text.
    if row.get("status") in NO_ANSWER or row.get("review"):
        return "unsure"
    # What was named and has no place is an entity all the same.
    if any(own.get("kind") in _LOST for own in row.get("outcomes") or ()):
        return "unsure"
    scores = [own.get("score") for own in row["spans"]]
    if any(score is None for score in scores):
        return "without a score"
    return "unsure" if any(score < min_score for score in scores) else None
