"""The causes of errors, and how much F1 each cause costs.

Every missed gold entity and every wrong prediction has exactly one cause. With G gold entities, P
predictions and R right ones, F1 = 2R / (G + P), so 1 - F1 = ((G - R) + (P - R)) / (G + P). Each
missed entity and each wrong prediction costs exactly 1 / (G + P), so the costs of all causes add up
to 1 - F1.
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
"""A title and an explanation of each cause, by the cause's name.

Causes that concern the whole reply come first, then those of mentions, then those of spans. The
first one that applies is the cause of an error.
"""

# A reply may invent thousands of mentions. At most this many are compared with missed entities.
_MOST_ABSENT: Final = 200
BOUNDARY: Final = ("boundary-wide", "boundary-narrow", "boundary-particle", "boundary-crossing")


@dataclass(frozen=True, slots=True)
class Fault:
    """One error.

    Attributes:
        kind: ``"missed"`` for a gold entity that was not found, ``"wrong"`` for a wrong prediction.
        span: The gold span, or the predicted span.
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
        missed: Number of gold entities missed because of it.
        wrong: Number of wrong predictions because of it.
        f1_lost: Its part of 1 - F1.
        f1_mended: F1 without this cause: its missed entities found, its wrong predictions gone.
    """

    cause: str
    missed: int
    wrong: int
    f1_lost: float
    f1_mended: float


@dataclass(frozen=True, slots=True)
class Ceilings:
    """F1 if one thing were perfect and everything else stayed the same.

    Attributes:
        projection: F1 if every mention that names an entity were placed on it.
        labels: F1 if every prediction at the right place had the right label.
        boundaries: F1 if every prediction that overlaps an entity of its label had the entity's
            boundaries.
    """

    projection: float
    labels: float
    boundaries: float


@dataclass(frozen=True, slots=True)
class Breakdown:
    """How much F1 each cause of errors costs.

    Attributes:
        f1: Micro F1.
        losses: The causes that occur, in the order of :data:`CAUSES`. Their ``f1_lost`` add up to
            ``1 - f1`` (to 0 if there is neither a gold span nor a prediction).
        ceilings: F1 if one thing were perfect.
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
    """Find every error of one sentence and its cause.

    Args:
        text: The sentence's text.
        gold: Gold spans, sorted and without overlaps.
        predicted: Predicted spans, sorted and without overlaps.
        outcomes: The outcome of each mention, if there was a reply.
        status: The status of the reply, if there was one.

    Returns:
        Missed gold entities, then wrong predictions, both in the text's order.

    >>> gold, predicted = [Span(0, 4, "PER")], [Span(0, 9, "PER")]
    >>> [(fault.kind, fault.cause) for fault in find_faults("Anna Berg", gold, predicted)]
    [('missed', 'boundary-wide'), ('wrong', 'boundary-wide')]
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
    missed_partners, wrong_partners = _partners(missed, wrong)
    unknown_labels = Counter(
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
        elif unknown_labels[surface]:
            unknown_labels[surface] -= 1
            causes[span] = "label"
        elif span in missed_partners:
            causes[span] = _overlap_cause(text, span, missed_partners[span])
    for span in wrong:
        if span not in causes and span in wrong_partners:
            causes[span] = _overlap_cause(text, wrong_partners[span], span)
    unexplained = [[span for span in side if span not in causes] for side in (missed, wrong)]
    causes |= dict.fromkeys(_misplaced(text, *unexplained), "misplaced")
    absent = [outcome for outcome in outcomes if outcome.kind == "not_found"][:_MOST_ABSENT]
    unexplained_missed = [span for span in missed if span not in causes]
    causes |= dict.fromkeys(_not_in_text(text, unexplained_missed, absent), "not-in-text")
    cut_off = _cut_off(missed, outcomes) if status == "truncated" else set()
    right_keys = {_key(text, span) for span in right}
    gold_keys = {_key(text, span) for span in gold}
    for span in missed:
        if span not in causes:
            repeats = _key(text, span) in right_keys
            causes[span] = "cut-off" if span in cut_off else "repeat" if repeats else "missed"
    for span in wrong:
        if span not in causes:
            causes[span] = "surplus" if _key(text, span) in gold_keys else "spurious"
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
    """Missed entities that a mention of their label names, and the wrong spans of these mentions.

    A mention names an entity if their surfaces are the same. The mention's surface is the one in
    the reply, or the one of its span (without a trimmed particle, for example). Each mention stands
    for one entity. Mentions at a wrong place are used before mentions without a place.
    """
    wrong_spans = set(wrong)
    mentions: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, outcome in sorted(enumerate(outcomes), key=lambda item: item[1].span is None):
        surface = canonical_surface(outcome.mention.text)
        if outcome.span is None:
            if outcome.kind not in ("unknown_label", "unsure"):
                mentions[outcome.mention.label, surface].append(number)
        elif outcome.span in wrong_spans:
            mentions[outcome.span.label, surface].append(number)
            if (key := _key(text, outcome.span))[1] != surface:
                mentions[key].append(number)
    lost: set[Span] = set()
    used: set[int] = set()
    for span in missed:
        for number in mentions.get(_key(text, span), ()):
            if number not in used:
                used.add(number)
                wrong_span = outcomes[number].span
                lost |= {span} if wrong_span is None else {span, wrong_span}
                break
    return lost


def _misplaced(text: str, missed: Sequence[Span], wrong: Sequence[Span]) -> set[Span]:
    """Missed entities that were predicted at another occurrence, and these predictions."""
    predictions: defaultdict[tuple[str, str], list[Span]] = defaultdict(list)
    for span in reversed(wrong):
        predictions[_key(text, span)].append(span)
    misplaced: set[Span] = set()
    for span in missed:
        if others := predictions.get(_key(text, span)):
            misplaced |= {span, others.pop()}
    return misplaced


def _cut_off(missed: Sequence[Span], outcomes: Sequence[Outcome]) -> set[Span]:
    """Missed entities that a reply might have named if it had not been cut off.

    A reply that returns to an earlier label follows the text's order, so these are the entities
    after its last span. Any other reply may go label by label. Then these are the entities of the
    last label after its last span, the entities of labels that the reply has not named, and the
    entities after all spans.
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
    """The best overlapping span of the other side, for each missed and for each wrong span.

    A span of the same label is better than one of another label, then a longer overlap is better.
    """
    missed_partners: dict[Span, Span] = {}
    wrong_partners: dict[Span, Span] = {}

    def rank(span: Span, other: Span) -> tuple[bool, int]:
        return span.label == other.label, min(span.end, other.end) - max(span.start, other.start)

    for wrong_number, missed_numbers in overlapping(missed, wrong):
        for missed_number in missed_numbers:
            gold, predicted = missed[missed_number], wrong[wrong_number]
            for partners, span, other in (
                (missed_partners, gold, predicted),
                (wrong_partners, predicted, gold),
            ):
                if span not in partners or rank(span, other) > rank(span, partners[span]):
                    partners[span] = other
    return missed_partners, wrong_partners


def _overlap_cause(text: str, gold: Span, predicted: Span) -> str:
    """The cause of an error if a gold span and a predicted span overlap."""
    if (gold.start, gold.end) == (predicted.start, predicted.end):
        return "label"
    if gold.label != predicted.label:
        return "label-and-boundary"
    if gold.start == predicted.start:
        shorter, longer = sorted((gold.end, predicted.end))
        if is_particle(text[shorter:longer]):
            return "boundary-particle"
    if predicted.start <= gold.start and gold.end <= predicted.end:
        return "boundary-wide"
    if gold.start <= predicted.start and predicted.end <= gold.end:
        return "boundary-narrow"
    return "boundary-crossing"


def _not_in_text(text: str, missed: Sequence[Span], absent: Sequence[Outcome]) -> set[Span]:
    """Missed entities that are paired with a mention of their label that is not in the text.

    The pairs with the most similar surfaces are made first.
    """
    # Numbers are negative, so that the first spans and mentions win if similarities are equal.
    candidates = sorted(
        (
            (
                fuzz.ratio(canonical_surface(outcome.mention.text), _key(text, span)[1]),
                -span_number,
                -mention_number,
            )
            for span_number, span in enumerate(missed)
            for mention_number, outcome in enumerate(absent)
            if outcome.mention.label == span.label
        ),
        reverse=True,
    )
    paired: set[Span] = set()
    used: set[int] = set()
    for _, span_number, mention_number in candidates:
        if missed[-span_number] not in paired and mention_number not in used:
            paired.add(missed[-span_number])
            used.add(mention_number)
    return paired


def break_down(faults: Iterable[Fault], gold_spans: int, predicted_spans: int) -> Breakdown:
    """Add up the faults of all sentences.

    Args:
        faults: All faults of all sentences.
        gold_spans: Number of gold spans.
        predicted_spans: Number of predicted spans.
    """
    counts = Counter((fault.cause, fault.kind) for fault in faults)
    total = gold_spans + predicted_spans
    right = gold_spans - sum(n for (_, kind), n in counts.items() if kind == "missed")

    def f1_without(*causes: str) -> float:
        recovered = sum(counts[cause, "missed"] for cause in causes)
        removed = sum(counts[cause, "wrong"] for cause in causes)
        return 2 * (right + recovered) / max(1, total + recovered - removed)

    losses = tuple(
        Loss(cause, missed, wrong, (missed + wrong) / total, f1_without(cause))
        for cause in CAUSES
        if (missed := counts[cause, "missed"]) + (wrong := counts[cause, "wrong"])
    )
    ceilings = Ceilings(f1_without("projection"), f1_without("label"), f1_without(*BOUNDARY))
    return Breakdown(f1_without(), losses, ceilings)
