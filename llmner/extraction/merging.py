"""One answer about a long text from the answers about its windows.

How texts are split is ``windows``'; who is asked is ``extraction``'s.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from llmner.engines import Reply
from llmner.extraction.windows import Window
from llmner.projection import Outcome, Projection
from llmner.replies import ReadReply, Status
from llmner.spans import Mention, Span

__all__ = ["WindowReply", "merge_windows"]


@dataclass(frozen=True, slots=True)
class WindowReply:
    """What was answered about one window of a long text.

    Attributes:
        window: The window, in code points of the whole text.
        reply: What the engine answered.
        projection: Spans and outcomes in the window's own text: offsets count from ``start``.
        samples: All replies, ``reply`` the first, where there was a vote among several.
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
    """The reply and the projection of a text whose windows were answered one by one.

    A span counts if its window's core has any of it, or if the window whose core it begins in got
    no answer. The same span from two windows is one, with one outcome. Of spans that overlap the
    one farther from its window's cut edges stays, then the longer one, then the first. A mention
    without any span of its own left is ``overlapped``. O(n log n) in the number of mentions.

    Args:
        text: The whole text.
        parts: Its windows' answers, in the text's order.
    """
    parts = [_at_home(part) for part in parts]
    taken = _choose(len(text), parts)
    claims = dict(taken)
    starts = [span.start for span, _ in taken]
    outcomes: list[Outcome] = []
    for number, part in enumerate(parts):
        for at, outcome in enumerate(part.projection.outcomes):
            moved = _moved(outcome, part.start)
            kept = _settle(moved, (number, at), claims, starts, taken)
            if kept is not None:
                outcomes.append(kept)
    read = _merge_read([part.projection.reply or ReadReply() for part in parts], outcomes)
    spans = tuple(span for span, _ in taken)
    return _merge_replies([part.reply for part in parts]), Projection(
        text, spans, tuple(outcomes), read
    )


def _at_home(part: WindowReply) -> WindowReply:
    """The window's answer, with names that were placed in its context in its core where they stand
    there too.

    A reply that lists a name once, of a window that has it in context and core, is taken to mean
    the core's: the neighbour answers for the context.
    """
    text, window = part.projection.text, part.window
    low, high = window.core_start - window.start, window.core_end - window.start
    taken = [span for outcome in part.projection.outcomes for span in outcome.places]
    outcomes = []
    for outcome in part.projection.outcomes:
        span = outcome.span
        if span is not None and (span.end <= low or span.start >= high):
            place = _free_place(text, text[span.start : span.end], low, high, taken)
            if place is not None:
                moved = replace(span, start=place, end=place + span.end - span.start)
                taken.append(moved)
                outcome = replace(
                    outcome, span=moved, reason=outcome.reason or "its place in the window's core"
                )
        outcomes.append(outcome)
    return replace(part, projection=replace(part.projection, outcomes=tuple(outcomes)))


def _free_place(text: str, surface: str, low: int, high: int, taken: Sequence[Span]) -> int | None:
    """The first place from ``low`` to ``high`` where a surface begins a word and nothing else is
    placed.
    """
    at = text.find(surface, low)
    while 0 <= at < high:
        begins = at == 0 or not text[at - 1].isalnum()
        if begins and not any(span.start < at + len(surface) and at < span.end for span in taken):
            return at
        at = text.find(surface, at + 1)
    return None


# Who a span is from: the window's number, and the outcome's number in it.
_Owner = tuple[int, int]
_Taken = list[tuple[Span, _Owner]]


def _choose(length: int, parts: Sequence[WindowReply]) -> _Taken:
    """The spans that stay, sorted and apart, each with the mention it is from."""
    cores = [part.window.core_start for part in parts]
    claims: list[tuple[float, int, int, _Owner, Span]] = []
    for number, part in enumerate(parts):
        window = part.window
        for at, outcome in enumerate(part.projection.outcomes):
            for span in _moved(outcome, part.start).places:
                asked = window.core_start < span.end and span.start < window.core_end
                home = parts[max(0, bisect_right(cores, span.start) - 1)]
                if not asked and home.reply.finish_reason != "error":
                    continue
                distance = min(
                    span.start - window.start if window.start else math.inf,
                    window.end - span.end if window.end < length else math.inf,
                )
                claims.append((-distance, span.start - span.end, span.start, (number, at), span))
    taken: _Taken = []
    for *_, owner, span in sorted(claims):
        at = bisect_left(taken, span.start, key=_begins)
        before = taken[at - 1][0].end if at else 0
        if before <= span.start and (at == len(taken) or span.end <= taken[at][0].start):
            insort(taken, (span, owner))
    return taken


def _begins(taken: tuple[Span, _Owner]) -> int:
    return taken[0].start


def _settle(
    outcome: Outcome,
    owner: _Owner,
    claims: dict[Span, _Owner],
    starts: Sequence[int],
    taken: _Taken,
) -> Outcome | None:
    """What becomes of a mention's outcome; ``None`` where another window tells of all it is
    about.
    """
    if outcome.span is None:
        return outcome
    own = [span for span in outcome.places if claims.get(span) == owner]
    if own:
        return replace(outcome, span=own[0], repeats=tuple(own[1:]))
    if outcome.span in claims:
        return None
    span = outcome.span
    at = bisect_left(starts, span.end)
    held = at > 0 and taken[at - 1][0].end > span.start
    reason = (
        "another window reads it otherwise"
        if held
        else "the window that it belongs to does not name it"
    )
    return Outcome(outcome.mention, "overlapped", reason=reason)


def _moved(outcome: Outcome, by: int) -> Outcome:
    """An outcome in a window, told of the whole text."""
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
    """How the windows' replies were read, taken together.

    A text part of which got an answer is no unreadable one: the worst it can be is ``truncated``.
    """
    order: tuple[Status, ...] = get_args(Status)
    worst = max((read.status for read in reads), key=order.index)
    none: tuple[Status, ...] = ("empty", "unreadable")
    if worst in none and not all(read.status in none for read in reads):
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
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
