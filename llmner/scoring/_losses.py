"""Where the F1 went: every wrong prediction and every gold entity not found is put down to one
cause.

With G gold entities, P predictions and R right ones, F1 = 2R / (G + P), so 1 - F1 = ((G - R) + (P -
R)) / (G + P): each entity not found and each wrong prediction costs exactly one (G + P)th. Causes
therefore sum to the loss, whatever their number.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from rapidfuzz import fuzz

from llmner.projection import Outcome, canonical_surface, is_particle
from llmner.scoring._pairing import overlapping
from llmner.spans import Span

__all__ = [
    "BOUNDARY",
    "CAUSES",
    "Breakdown",
    "Ceilings",
    "Fault",
    "Loss",
    "break_down",
    "find_faults",
]

CAUSES: Final = {
    "unanswered": ("no answer", "the engine failed on the sentence"),
    "unreadable": ("unreadable reply", "no answer could be found in the reply"),
    "empty": ("empty reply", "the reply is nothing but white space"),
    "cut-off": ("reply cut off", "the reply ended before it named the entity"),
    "not-in-text": (
        "mention not in the text",
        "an entity of this label was named in words the text lacks",
    ),
    "unsure": ("below the lowest score", "it was found, and dropped because its score was too low"),
    "projection": (
        "lost in projection",
        "the reply names it, and it was placed elsewhere, nowhere or cut",
    ),
    "misplaced": (
        "wrong occurrence",
        "the right name with the right label, at another of its places",
    ),
    "label": ("wrong label", "the right place with another label"),
    "boundary-wide": ("boundary too wide", "the right label on more than the entity"),
    "boundary-narrow": ("boundary too narrow", "the right label on part of the entity"),
    "boundary-particle": ("boundary: particle", "the two differ by a Korean particle"),
    "boundary-crossing": (
        "boundary crosses",
        "the right label, each has a part that the other lacks",
    ),
    "label-and-boundary": (
        "label and boundary",
        "they overlap, and neither label nor place is right",
    ),
    "surplus": (
        "surplus",
        "a name that is an entity elsewhere in the sentence, taken once too often",
    ),
    "repeat": (
        "repeat not listed",
        "a name that was found elsewhere in the sentence, listed too rarely",
    ),
    "spurious": ("spurious", "nothing of it is an entity"),
    "missed": ("missed", "nothing of it was named"),
}
"""Causes by name: a title, and what it means. A sentence's reply comes first, then its mentions,
then its
spans: the first that fits is the cause.
"""

# A reply may invent thousands of mentions; this many are compared with what was missed.
_MOST_ABSENT: Final = 200
BOUNDARY: Final = ("boundary-wide", "boundary-narrow", "boundary-particle", "boundary-crossing")


@dataclass(frozen=True, slots=True)
class Fault:
    """One error.

    Attributes:
        kind: ``"missed"``: a gold entity that was not found; ``"wrong"``: a prediction that is
            wrong.
        span: The gold span, or the predicted one.
        cause: One of :data:`CAUSES`.
    """

    kind: Literal["missed", "wrong"]
    span: Span
    cause: str


@dataclass(frozen=True, slots=True)
class Loss:
    """What one cause costs.

    Attributes:
        cause: One of :data:`CAUSES`.
        missed: Gold entities not found because of it.
        wrong: Wrong predictions because of it.
        f1_lost: Its share of 1 - F1.
        f1_mended: F1 if it alone were mended: those entities found, and those predictions gone.
    """

    cause: str
    missed: int
    wrong: int
    f1_lost: float
    f1_mended: float


@dataclass(frozen=True, slots=True)
class Ceilings:
    """F1 if one thing were perfect and all else as it is.

    Attributes:
        projection: Every mention that names an entity were placed on it.
        labels: Every prediction at the right place had the right label.
        boundaries: Every prediction with the right label that overlaps an entity had its
            boundaries.
    """

    projection: float
    labels: float
    boundaries: float


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Where the F1 went.

    Attributes:
        f1: Micro F1.
        losses: Causes that cost something, in the order of :data:`CAUSES`; ``f1_lost`` sums to ``1
            - f1`` (to nothing where there is neither gold nor prediction).
        ceilings: What there is to gain.
    """

    f1: float
    losses: tuple[Loss, ...]
    ceilings: Ceilings


def find_faults(
    text: str,
    gold: Sequence[Span],
    predicted: Sequence[Span],
    outcomes: Sequence[Outcome] = (),
    status: str | None = None,
) -> tuple[Fault, ...]:
    """Every error of one sentence with its cause, gold entities first, each in the text's order.

    Args:
        text: The sentence.
        gold: Gold spans, sorted and lying apart.
        predicted: Predicted spans, likewise.
        outcomes: What became of each mention, where there was a reply.
        status: How the reply was read, where there was one.
    """
    right = set(gold) & set(predicted)
    missed = [span for span in gold if span not in right]
    wrong = [span for span in predicted if span not in right]
    if not missed and not wrong:
        return ()
    if status in ("unanswered", "unreadable", "empty"):
        return (
            *(Fault("missed", span, status) for span in missed),
            *(Fault("wrong", span, "spurious") for span in wrong),
        )
    causes = dict.fromkeys(_lost_in_projection(text, missed, wrong, outcomes), "projection")
    over_missed, over_wrong = _partners(missed, wrong)
    unknown = Counter(
        canonical_surface(o.mention.text) for o in outcomes if o.kind == "unknown_label"
    )
    unsure = Counter(_mention_key(o) for o in outcomes if o.kind == "unsure")
    for span in missed:
        surface = _key(text, span)[1]
        if span in causes:
            continue
        if unsure[_key(text, span)]:
            unsure[_key(text, span)] -= 1
            causes[span] = "unsure"
        elif unknown[surface]:
            unknown[surface] -= 1
            causes[span] = "label"
        elif span in over_missed:
            causes[span] = _against(text, span, over_missed[span])
    for span in wrong:
        if span not in causes and span in over_wrong:
            causes[span] = _against(text, over_wrong[span], span)
    left = [[span for span in side if span not in causes] for side in (missed, wrong)]
    causes |= dict.fromkeys(_elsewhere(text, *left), "misplaced")
    absent = [outcome for outcome in outcomes if outcome.kind == "not_found"][:_MOST_ABSENT]
    unexplained = [span for span in missed if span not in causes]
    causes |= dict.fromkeys(_not_in_text(text, unexplained, absent), "not-in-text")
    cut_off = _cut_off(missed, outcomes) if status == "truncated" else set()
    found = {_key(text, span) for span in right}
    named = {_key(text, span) for span in gold}
    for span in missed:
        if span not in causes:
            again = _key(text, span) in found
            causes[span] = "cut-off" if span in cut_off else "repeat" if again else "missed"
    for span in wrong:
        if span not in causes:
            causes[span] = "surplus" if _key(text, span) in named else "spurious"
    return (
        *(Fault("missed", span, causes[span]) for span in missed),
        *(Fault("wrong", span, causes[span]) for span in wrong),
    )


def _key(text: str, span: Span) -> tuple[str, str]:
    return span.label, canonical_surface(text[span.start : span.end])


def _mention_key(outcome: Outcome) -> tuple[str, str]:
    return outcome.mention.label, canonical_surface(outcome.mention.text)


def _lost_in_projection(
    text: str, missed: Sequence[Span], wrong: Sequence[Span], outcomes: Sequence[Outcome]
) -> set[Span]:
    """Gold entities that a mention of the same label names, and where that mention was put.

    A mention names an entity if it has its surface as written, or as it was placed (without the
    particle that was trimmed, say). One mention answers for one entity; one that was placed wrongly
    before one that was not placed.
    """
    wrongly = set(wrong)
    named: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, outcome in sorted(enumerate(outcomes), key=lambda item: item[1].span is None):
        surface = canonical_surface(outcome.mention.text)
        if outcome.span is None:
            if outcome.kind not in ("unknown_label", "unsure"):
                named[outcome.mention.label, surface].append(number)
        elif outcome.span in wrongly:
            named[outcome.span.label, surface].append(number)
            if (key := _key(text, outcome.span))[1] != surface:
                named[key].append(number)
    lost: set[Span] = set()
    used: set[int] = set()
    for span in missed:
        for number in named.get(_key(text, span), ()):
            if number not in used:
                used.add(number)
                place = outcomes[number].span
                lost |= {span} if place is None else {span, place}
                break
    return lost


def _elsewhere(text: str, missed: Sequence[Span], wrong: Sequence[Span]) -> set[Span]:
    """Entities that were found at another place of the same name, and those places, one to one."""
    twins: defaultdict[tuple[str, str], list[Span]] = defaultdict(list)
    for span in reversed(wrong):
        twins[_key(text, span)].append(span)
    found: set[Span] = set()
    for span in missed:
        if places := twins.get(_key(text, span)):
            found |= {span, places.pop()}
    return found


def _cut_off(missed: Sequence[Span], outcomes: Sequence[Outcome]) -> set[Span]:
    """Entities that a reply which was cut off had not come to yet.

    A reply that comes back to a label after another goes in the text's order: what stands after the
    last one it placed. Any other may go label by label: of the last label what stands after it, of
    labels that were not listed everything, and whatever stands after all that was placed.
    """
    placed = [outcome.span for outcome in outcomes if outcome.span is not None]
    if not placed:
        return set(missed)
    last, furthest = placed[-1], max(placed)
    labels = [label for label, _ in groupby(placed, key=lambda span: span.label)]
    if len(labels) > len(set(labels)):
        return {span for span in missed if span > last}
    return {
        span
        for span in missed
        if span > furthest or span.label not in labels or (span.label == last.label and span > last)
    }


def _partners(
    missed: Sequence[Span], wrong: Sequence[Span]
) -> tuple[dict[Span, Span], dict[Span, Span]]:
    """For each span the one on the other side it is judged by: of its label first, then the longest
    overlap.
    """
    of_missed: dict[Span, Span] = {}
    of_wrong: dict[Span, Span] = {}

    def rank(one: Span, other: Span) -> tuple[bool, int]:
        return one.label == other.label, min(one.end, other.end) - max(one.start, other.start)

    for number, touched in overlapping(missed, wrong):
        for at in touched:
            one, other = missed[at], wrong[number]
            for best, key, value in ((of_missed, one, other), (of_wrong, other, one)):
                if key not in best or rank(key, value) > rank(key, best[key]):
                    best[key] = value
    return of_missed, of_wrong


def _against(text: str, gold: Span, predicted: Span) -> str:
    """The cause of an error that lies between two overlapping spans."""
    if (gold.start, gold.end) == (predicted.start, predicted.end):
        return "label"
    if gold.label != predicted.label:
        return "label-and-boundary"
    if gold.start == predicted.start:
        first, last = sorted((gold.end, predicted.end))
        if is_particle(text[first:last]):
            return "boundary-particle"
    if predicted.start <= gold.start and gold.end <= predicted.end:
        return "boundary-wide"
    if gold.start <= predicted.start and predicted.end <= gold.end:
        return "boundary-narrow"
    return "boundary-crossing"


def _not_in_text(text: str, missed: Sequence[Span], absent: Sequence[Outcome]) -> set[Span]:
    """Entities that a mention which is not in the text may have stood for: of its label, most alike
    first.
    """
    alike = sorted(
        (
            (fuzz.ratio(canonical_surface(outcome.mention.text), _key(text, span)[1]), -at, -number)
            for at, span in enumerate(missed)
            for number, outcome in enumerate(absent)
            if outcome.mention.label == span.label
        ),
        reverse=True,
    )
    taken: set[Span] = set()
    used: set[int] = set()
    for _, at, number in alike:
        if missed[-at] not in taken and number not in used:
            taken.add(missed[-at])
            used.add(number)
    return taken


def break_down(faults: Iterable[Fault], gold_spans: int, predicted_spans: int) -> Breakdown:
    """Sum the faults of all sentences.

    Args:
        faults: Every fault of every sentence.
        gold_spans: Number of gold spans.
        predicted_spans: Number of predicted spans.
    """
    counts = Counter((fault.cause, fault.kind) for fault in faults)
    total = gold_spans + predicted_spans
    right = gold_spans - sum(n for (_, kind), n in counts.items() if kind == "missed")

    def mended(*causes: str) -> float:
        found = sum(counts[cause, "missed"] for cause in causes)
        gone = sum(counts[cause, "wrong"] for cause in causes)
        return 2 * (right + found) / max(1, total + found - gone)

    losses = tuple(
        Loss(cause, missed, wrong, (missed + wrong) / total, mended(cause))
        for cause in CAUSES
        if (missed := counts[cause, "missed"]) + (wrong := counts[cause, "wrong"])
    )
    ceilings = Ceilings(mended("projection"), mended("label"), mended(*BOUNDARY))
    return Breakdown(mended(), losses, ceilings)
