"""Who gets which place where mentions compete, and what is said of each: claims in, outcomes out.

Where a mention may stand is for ``_candidates`` to find, the best assignment for ``_assign``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from llmner._intervals import Intervals, lie_apart
from llmner.languages import Reason
from llmner.projection._assign import Group, assign
from llmner.projection._candidates import Candidate
from llmner.projection._explain import in_words
from llmner.projection._outcome import Outcome, OutcomeKind
from llmner.projection._positions import MAX_OCCURRENCES
from llmner.projection._task import Task
from llmner.replies import Order
from llmner.schema import LabelSchema, cues_of, means_person
from llmner.spans import Mention, Span

__all__ = [
    "Claim",
    "decide",
    "label_of",
    "outcome_at",
    "outcome_not_found",
    "outcome_unknown",
    "undisputed",
]

_NOT_IN_THE_TEXT: Final = in_words((Reason("not in the text"),))
_WHITE_SPACE: Final = in_words((Reason("white space"),))
# How far before a name its title begins at most.
_TITLE_BEFORE: Final = 10
# A title speaks for a person as loud as a cue of so many letters.
_TITLE_CUE: Final = 3


class Claim(NamedTuple):
    """A mention with a label that is known, and where it may stand.

    Attributes:
        number: Its number in the reply.
        label: Its label.
        surface: Its canonical surface.
        candidates: Its places.
        near: The canonical offset that the reply gives it, if it does.
    """

    number: int
    label: str
    surface: str
    candidates: list[Candidate]
    near: int | None


def undisputed(claims: Sequence[Claim]) -> bool:
    """Whether every mention has one place at most, and no two want the same."""
    places: list[Candidate] = []
    for _, _, _, candidates, _ in claims:
        if len(candidates) > 1:
            return False
        places += candidates
    if len(places) < 2:
        return True
    places.sort()
    return lie_apart(places)


def decide(
    task: Task, claims: Sequence[Claim], taken: Intervals, outcomes: list[Outcome | None]
) -> None:
    """Decide jointly where mentions compete for places or have several, and enter the outcomes."""
    groups: dict[tuple[str, str, int], Group] = {}
    # Mentions of one spelling hold the same list of places: what is made of a list is made once.
    lists: dict[int, tuple[int, list[Candidate]]] = {}
    starts: dict[tuple[int, ...], int] = {}
    order = _infer_order(claims) if task.policy.order == "auto" else task.policy.order
    any_taken = bool(taken)
    for number, label, surface, candidates, near in claims:
        # Copies of a name compete for the same places; another spelling may have others.
        listed = lists.get(id(candidates))
        if listed is None:
            task.budget.spend(len(candidates))
            places = tuple([candidate.start for candidate in candidates])
            free = (
                [c for c in candidates if not taken.overlap(c.start, c.end)]
                if any_taken
                else candidates
            )
            listed = lists[id(candidates)] = starts.setdefault(places, len(starts)), free
        place, free = listed
        key = label, surface, place
        group = groups.get(key)
        if group is None:
            chain = "" if order == "text" else label if order == "label" else str(number)
            groups[key] = Group(label, chain, [number], free, [near])
        else:
            group.members.append(number)
            group.anchors.append(near)
    assign(list(groups.values()), _Cues(task, list(groups)), task.budget)
    for (label, surface, _), group in groups.items():
        placed = len(group.taken) - group.taken.count(None)
        for member, candidate in zip(group.members, group.taken, strict=True):
            mention = task.mentions[member]
            if candidate is None:
                outcomes[member] = _unplaced(mention, surface, group, placed)
            else:
                outcomes[member] = outcome_at(mention, candidate, label, task.text)


def label_of(word: str, schema: LabelSchema | None) -> tuple[str, bool]:
    """The label a reply means, empty for none, and whether its entities are people."""
    if schema is None:
        return word, means_person(word)
    label = schema.resolve(word) or ""
    return label, label in schema.persons


def _infer_order(claims: Sequence[Claim]) -> Order:
    """What the order of the mentions tells, going by those that have one place.

    Replies list names as they come, or label by label, or in no order. Where the certain ones
    ascend, the labels tell the first two apart; where too few are certain, less is assumed.
    """
    runs = 1 + sum(a.label != b.label for a, b in pairwise(claims))
    by_label = runs == len({claim.label for claim in claims})
    certain = [
        (claim.label, claim.candidates[0].start) for claim in claims if len(claim.candidates) == 1
    ]
    steps = [(a[0] == b[0], a[1] <= b[1]) for a, b in pairwise(certain)]
    ascending = sum(up for _, up in steps)
    if ascending == len(steps) and (not by_label or not all(within for within, _ in steps)):
        return "text"
    within = [up for same, up in steps if same]
    if by_label and 4 * sum(within) >= 3 * len(within):
        return "label"
    return "text" if 4 * ascending >= 3 * len(steps) else "none"


class _Cues:
    """How much of what stands around a place speaks for a group's label, where labels compete for
    it.

    Most assignments never ask, so that nothing is looked up before.
    """

    __slots__ = ("_follows", "_groups", "_persons", "_task")

    def __init__(self, task: Task, groups: Sequence[tuple[str, str, int]]) -> None:
        self._task = task
        self._groups = groups
        self._follows: Sequence[tuple[str, ...]] | None = None
        self._persons: set[str] = set()

    def __call__(self, number: int, candidate: Candidate) -> int:
        text, titles = self._task.text, self._task.language.titles_before
        if self._follows is None:
            self._follows = _cues_where_claimed(self._groups, self._task.schema)
            labels = {label for label, *_ in self._groups} if titles else set()
            self._persons = {label for label in labels if label_of(label, self._task.schema)[1]}
        start, end = candidate.start, candidate.end
        length = 0
        if cues := self._follows[number]:
            length = max([len(cue) for cue in cues if text.startswith(cue, end)], default=0)
        if self._persons and self._groups[number][0] in self._persons:
            before = text[max(0, start - _TITLE_BEFORE) : start]
            length = max(length, _TITLE_CUE) if before.endswith(titles) else length
        return length


def _cues_where_claimed(
    groups: Sequence[tuple[str, str, int]], schema: LabelSchema | None
) -> Sequence[tuple[str, ...]]:
    """For each group, what often follows its label's entities, if other labels claim its surface
    too.
    """
    if len({surface for _, surface, _ in groups}) == len(groups):
        # Most texts: nothing to count.
        return [()] * len(groups)
    cues = {label: cues_of(label) for label, *_ in groups} if schema is None else schema.cues
    claimed = Counter(surface for _, surface in {(label, surface) for label, surface, _ in groups})
    return [cues.get(label, ()) if claimed[surface] > 1 else () for label, surface, _ in groups]


def outcome_at(mention: Mention, candidate: Candidate, label: str, text: str) -> Outcome:
    start, end, _, kind, similarity, _, reasons = candidate
    span = Span(start, end, label, mention.confidence if mention.attributes else None)
    if kind == "fuzzy":
        reasons = (Reason("near", text[start:end]), *reasons)
    why = in_words(reasons) if reasons else ""
    if kind == "canonical" and text[start:end] == mention.text:
        return Outcome(mention, "exact", span, similarity, why)
    return Outcome(mention, kind, span, similarity, why)


def outcome_unknown(mention: Mention) -> Outcome:
    return _without(mention, "unknown_label", Reason("no label", mention.label))


def outcome_not_found(mention: Mention, surface: str) -> Outcome:
    return Outcome(mention, "not_found", reason=_NOT_IN_THE_TEXT if surface else _WHITE_SPACE)


def _unplaced(mention: Mention, surface: str, group: Group, placed: int) -> Outcome:
    """Why a mention has no place; ``placed`` copies of it have one."""
    if not group.candidates:
        return outcome_not_found(mention, surface)
    if not placed:
        return _without(mention, "overlapped", Reason("places held"))
    if placed >= MAX_OCCURRENCES:
        reason = Reason("first places", str(MAX_OCCURRENCES))
    elif placed >= len(group.candidates):
        reason = Reason("the text has it", "once" if placed == 1 else f"{placed} times")
    else:
        reason = Reason("some placed", str(placed))
    return _without(mention, "surplus", reason)


def _without(mention: Mention, kind: OutcomeKind, reason: Reason) -> Outcome:
    """The outcome of a mention that has no place."""
    return Outcome(mention, kind, reason=in_words((reason,)))
