"""Merging the answers about the windows of a long text into one.

``windows`` splits the texts, and ``questions`` asks about them.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from llmner._unicode import is_invisible
from llmner.engines import Reply
from llmner.extraction._votes import voted_attributes
from llmner.extraction.windows import Window
from llmner.projection import LabelOutcome, Outcome, Projection
from llmner.replies import ReadReply, Status
from llmner.spans import Mention, Span

__all__ = ["WindowReply", "merge_labels", "merge_windows"]


@dataclass(frozen=True, slots=True)
class WindowReply:
    """The answer about one window of a long text.

    Attributes:
        window: The window, in code points of the whole text.
        reply: What the engine answered.
        projection: Spans and outcomes in the window's own text, whose offsets count from ``start``.
        samples: All replies, ``reply`` first, if there was a vote among several.

    >>> part = WindowReply(Window(5, 14, 9, 14), Reply("-"), Projection("손흥민은 춘천에서"))
    >>> part.start, part.end, part.window.core_start
    (5, 14, 9)
    """

    window: Window
    reply: Reply
    projection: Projection
    samples: tuple[Reply, ...] = ()

    @property
    def start(self) -> int:
        """Where the window begins in the whole text."""
        return self.window.start

    @property
    def end(self) -> int:
        """One past the window's last character."""
        return self.window.end


def merge_windows(text: str, parts: Sequence[WindowReply]) -> tuple[Reply, Projection]:
    """The reply and the projection of a whole text, from the answers about its windows.

    A span counts if it overlaps its window's core, or if the engine failed on the window in whose
    core it begins. A span that two windows name counts once, with one outcome. Of overlapping spans
    the one farther from its window's cut edges wins, then the longer one, then the first. A mention
    that loses all its spans is ``overlapped``. O(n log n) in the number of mentions.

    Args:
        text: The whole text.
        parts: The answers about its windows, in the order of the text.
    """
    parts = [_prefer_core(part) for part in parts]
    chosen = _choose(len(text), parts)
    owners = dict(chosen)
    starts = [span.start for span, _ in chosen]
    outcomes: list[Outcome] = []
    for part_number, part in enumerate(parts):
        for outcome_number, outcome in enumerate(part.projection.outcomes):
            moved = _moved(outcome, part.start)
            owner = (part_number, outcome_number)
            merged = _merge_outcome(moved, owner, owners, starts, chosen)
            if merged is not None:
                outcomes.append(merged)
    # What shows nothing was not asked about, and says nothing about how the rest could be read.
    asked = [part for part in parts if not is_invisible(part.projection.text)] or parts
    read = _merge_read([part.projection.reply or ReadReply() for part in asked], outcomes)
    spans = tuple(span for span, _ in chosen)
    labels = merge_labels(parts)
    return _merge_replies([part.reply for part in parts]), Projection(
        text, spans, tuple(outcomes), read, labels
    )


def merge_labels(parts: Sequence[WindowReply]) -> tuple[LabelOutcome, ...]:
    """The labels of a whole text: those of all its windows, with the attributes that most have.

    Where as many windows say one thing as another, the first says it. Evidence is united.
    """
    outcomes: list[LabelOutcome] = []
    given: dict[str, list[LabelOutcome]] = {}
    for part in parts:
        for outcome in part.projection.label_outcomes:
            if outcome.label is None:
                outcomes.append(outcome)
                continue
            evidence = tuple(_shift(span, part.start) for span in outcome.label.evidence)
            moved = replace(outcome, label=replace(outcome.label, evidence=evidence))
            if outcome.label.label not in given:
                outcomes.append(moved)
            given.setdefault(outcome.label.label, []).append(moved)
    return tuple(
        outcome if outcome.label is None else _merge_label(given[outcome.label.label])
        for outcome in outcomes
    )


def _merge_label(outcomes: Sequence[LabelOutcome]) -> LabelOutcome:
    """One label, from the outcomes of windows that have it."""
    labels = [outcome.label for outcome in outcomes if outcome.label is not None]
    scores = [label.score for label in labels if label.score is not None]
    first = labels[0]
    merged = replace(
        first,
        attributes=voted_attributes([label.attributes for label in labels]),
        score=max(scores, default=None),
        evidence=tuple(dict.fromkeys(span for label in labels for span in label.evidence)),
    )
    return replace(outcomes[0], label=merged)


def _prefer_core(part: WindowReply) -> WindowReply:
    """The answer about a window, with names moved from its context into its core.

    A reply may list a name once although it stands in the context and in the core. It is taken to
    mean the core, because the neighbouring window answers for the context.
    """
    text, window = part.projection.text, part.window
    core_start, core_end = window.core_start - window.start, window.core_end - window.start
    occupied = [span for outcome in part.projection.outcomes for span in outcome.places]
    outcomes = []
    for outcome in part.projection.outcomes:
        span = outcome.span
        if span is not None and (span.end <= core_start or span.start >= core_end):
            surface = text[span.start : span.end]
            start = _free_place(text, surface, core_start, core_end, occupied)
            if start is not None:
                moved = replace(span, start=start, end=start + span.end - span.start)
                occupied.append(moved)
                outcome = replace(
                    outcome, span=moved, reason=outcome.reason or "its place in the window's core"
                )
        outcomes.append(outcome)
    return replace(part, projection=replace(part.projection, outcomes=tuple(outcomes)))


def _free_place(
    text: str, surface: str, low: int, high: int, occupied: Sequence[Span]
) -> int | None:
    """The first place in [low, high) where a surface begins a word and overlaps no other span."""
    start = text.find(surface, low)
    while 0 <= start < high:
        end = start + len(surface)
        begins_word = start == 0 or not text[start - 1].isalnum()
        if begins_word and not any(span.start < end and start < span.end for span in occupied):
            return start
        start = text.find(surface, start + 1)
    return None


# The mention that a span comes from: the number of its window, and of its outcome in the window.
_Owner = tuple[int, int]
_Chosen = list[tuple[Span, _Owner]]


def _choose(length: int, parts: Sequence[WindowReply]) -> _Chosen:
    """The spans that count, sorted and without overlaps, each with the mention it comes from."""
    core_starts = [part.window.core_start for part in parts]
    candidates: list[tuple[float, int, int, _Owner, Span]] = []
    for part_number, part in enumerate(parts):
        window = part.window
        for outcome_number, outcome in enumerate(part.projection.outcomes):
            owner = (part_number, outcome_number)
            for span in _moved(outcome, part.start).places:
                in_core = window.core_start < span.end and span.start < window.core_end
                home = parts[max(0, bisect_right(core_starts, span.start) - 1)]
                if not in_core and home.reply.finish_reason != "error":
                    continue
                distance = min(
                    span.start - window.start if window.start else math.inf,
                    window.end - span.end if window.end < length else math.inf,
                )
                candidates.append((-distance, span.start - span.end, span.start, owner, span))
    chosen: _Chosen = []
    for *_, owner, span in sorted(candidates):
        index = bisect_left(chosen, span.start, key=_start_of)
        previous_end = chosen[index - 1][0].end if index else 0
        if previous_end <= span.start and (
            index == len(chosen) or span.end <= chosen[index][0].start
        ):
            insort(chosen, (span, owner))
    return chosen


def _start_of(item: tuple[Span, _Owner]) -> int:
    return item[0].start


def _merge_outcome(
    outcome: Outcome,
    owner: _Owner,
    owners: dict[Span, _Owner],
    starts: Sequence[int],
    chosen: _Chosen,
) -> Outcome | None:
    """A mention's outcome in the whole text; ``None`` if another window's outcome has its span.

    Args:
        outcome: Its outcome in its window, with offsets in the whole text.
        owner: The mention.
        owners: The mention that each chosen span comes from.
        starts: The starts of the chosen spans.
        chosen: The spans that count.
    """
    if outcome.span is None:
        return outcome
    own = [span for span in outcome.places if owners.get(span) == owner]
    if own:
        return replace(outcome, span=own[0], repeats=tuple(own[1:]))
    if outcome.span in owners:
        return None
    span = outcome.span
    index = bisect_left(starts, span.end)
    is_overlapped = index > 0 and chosen[index - 1][0].end > span.start
    reason = (
        "another window reads it otherwise"
        if is_overlapped
        else "the window that it belongs to does not name it"
    )
    return Outcome(outcome.mention, "overlapped", reason=reason)


def _moved(outcome: Outcome, by: int) -> Outcome:
    """An outcome with its offsets moved from a window to the whole text."""
    if not by:
        return outcome
    mention, span = outcome.mention, outcome.span
    if mention.start is not None:
        mention = Mention(mention.label, mention.text, mention.attributes, mention.start + by)
    return replace(
        outcome,
        mention=mention,
        span=None if span is None else _shift(span, by),
        repeats=tuple(_shift(repeat, by) for repeat in outcome.repeats),
    )


def _shift(span: Span, by: int) -> Span:
    return replace(span, start=span.start + by, end=span.end + by)


def _merge_read(reads: Sequence[ReadReply], outcomes: Sequence[Outcome]) -> ReadReply:
    """How the windows' replies were read, as one reading.

    Its status is the worst of theirs, but at worst ``truncated`` if any window has an answer.
    """
    order: tuple[Status, ...] = get_args(Status)
    worst = max((read.status for read in reads), key=order.index)
    unanswered: tuple[Status, ...] = ("empty", "unreadable")
    if worst in unanswered and not all(read.status in unanswered for read in reads):
        worst = "truncated"
    formats = {read.format for read in reads if read.format is not None}
    orders = {read.order for read in reads if read.format is not None}
    return ReadReply(
        tuple(outcome.mention for outcome in outcomes),
        worst,
        tuple(dict.fromkeys(repair for read in reads for repair in read.repairs)),
        formats.pop() if len(formats) == 1 else None,
        orders.pop() if len(orders) == 1 else "none",
    )


def _merge_replies(replies: Sequence[Reply]) -> Reply:
    reasons: tuple[Literal["stop", "length", "error"], ...] = ("stop", "length", "error")
    failed = [reply for reply in replies if reply.error is not None]
    return Reply(
        "\n".join(reply.text for reply in replies),
        max((reply.finish_reason for reply in replies), key=reasons.index),
        _total([reply.prompt_tokens for reply in replies]),
        _total([reply.completion_tokens for reply in replies]),
        failed[0].error if failed else None,
        retryable=bool(failed) and all(reply.retryable for reply in failed),
    )


def _total(counts: Sequence[int | None]) -> int | None:
    """The sum of the counts; ``None`` if one of them is unknown."""
    numbers = [count for count in counts if count is not None]
    return sum(numbers) if len(numbers) == len(counts) else None
