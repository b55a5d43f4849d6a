"""Who gets which place: one assignment for all mentions of a reply at once.

Places are taken at most once, never overlap, and equal mentions take theirs from left to right.
What makes a place a good one for a mention alone is ``_candidates``' to say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from llmner._budget import UNBOUNDED, Budget
from llmner._intervals import Intervals, lie_apart
from llmner.projection._candidates import Candidate

__all__ = ["Group", "assign"]

_BEAM: Final = 256
_NARROW_BEAM: Final = 8
_LARGE: Final = 400
_ORDER_BONUS: Final = 0.25
_CUE_BONUS: Final = 0.1
_TIE: Final = 1e-3
_MAX_WORK: Final = 20_000
_KIND_FACTOR: Final = {"canonical": 1.0, "trimmed": 0.95, "fuzzy": 0.7}


@dataclass(slots=True)
class Group:
    """Equal mentions (label and canonical text), which compete for the same places.

    Attributes:
        label: Their label.
        chain: The order they belong to; mentions of one chain are expected in text order.
        members: Their numbers in the reply, ascending.
        candidates: Their places, in text order.
        anchors: For each member, the canonical offset the reply itself gives it, or ``None``.
        taken: For each member, the candidate it got, or ``None``. Filled in by :func:`assign`.
    """

    label: str
    chain: str
    members: list[int]
    candidates: list[Candidate]
    anchors: list[int | None]
    taken: list[Candidate | None] = field(default_factory=list)


def _weight(candidate: Candidate) -> float:
    """Longer places are worth more, so 서울대학교 is not eaten by 서울; half a point a mention
    placed.
    """
    worth = (0.5 + candidate.size) * candidate.similarity * _KIND_FACTOR[
        candidate.kind
    ] - candidate.cost
    # Placing a mention badly is better than not placing it.
    return max(worth, 0.1)


def _cue(length: int) -> float:
    """A longer cue says more: 에 따르면 speaks louder than 에. Never as loud as order or word
    edges.
    """
    return _CUE_BONUS + 0.01 * min(length, 5) if length else 0.0


def _settle(groups: Sequence[Group]) -> bool:
    """Give every place to the only group that wants it, if nobody competes for any; say whether
    so.
    """
    places: list[Candidate] = []
    alone = True
    for group in groups:
        candidates, count = group.candidates, len(group.members)
        if len(candidates) > count or (
            len(candidates) < count and any(a is not None for a in group.anchors)
        ):
            alone = False
        if alone:
            # No more places than mentions, so far.
            places += candidates
    if alone and len(places) > 1:
        places.sort()
        alone = lie_apart(places)
    for group in groups:
        group.taken = [None] * len(group.members)
        if alone:
            group.taken[: len(group.candidates)] = group.candidates
    return alone


def assign(
    groups: Sequence[Group], fits: Callable[[int, Candidate], int], budget: Budget = UNBOUNDED
) -> None:
    """Give every member of every group a candidate or nothing, maximising the sum of weights.

    A mention with one place that nobody else wants gets it. The others are solved component by
    component (mentions connected through overlapping places), by dynamic programming over the text
    from left to right. That is exact until more than 256 states are open at once (8 in components
    of more than 400 places), where only the best are kept; so the cost is linear in the number of
    places. Many labels for one name share their places, which are looked at once. Ties go to the
    earlier place, then to the mention that comes first in the reply.

    Args:
        groups: The groups, in the order of their first members.
        fits: How many characters of what follows a place speak for the group's label (에서 after a
            place name: 2); asked only where there is a choice.
        budget: What it may cost.

    Raises:
        WorkLimitError: The budget is used up or was ended.
    """
    if _settle(groups):
        return
    # Groups of one name hold the very same list of places.
    sharing: dict[int, list[int]] = {}
    for number, group in enumerate(groups):
        if group.candidates:
            sharing.setdefault(id(group.candidates), []).append(number)
    names = list(sharing.values())
    claims = sorted(
        (candidate.start, candidate.end, name)
        for name, numbers in enumerate(names)
        for candidate in groups[numbers[0]].candidates
    )
    budget.spend(len(claims))
    components = _components(len(names), claims)
    if len(names) < len(groups):
        components = [
            sorted(number for name in joined for number in names[name]) for joined in components
        ]
    placed: dict[str, list[tuple[int, int]]] = {}
    open_components = []
    for component in components:
        group = groups[component[0]]
        if (
            len(component) == 1
            and len(group.candidates) <= len(group.members)
            and not any(anchor is not None for anchor in group.anchors)
            and lie_apart(group.candidates)
        ):
            for slot, candidate in enumerate(group.candidates):
                group.taken[slot] = candidate
                placed.setdefault(group.chain, []).append((group.members[slot], candidate.start))
        else:
            open_components.append(component)
    if not open_components:
        return
    order = {chain: _Order(fixed) for chain, fixed in placed.items()}
    for component in open_components:
        if len(component) * sum(len(groups[number].candidates) for number in component) > _MAX_WORK:
            _fill(_first_served([groups[number] for number in component]), budget)
        else:
            _solve(component, groups, order, fits, budget)


def _first_served(groups: list[Group]) -> list[Group]:
    """The groups that :func:`_fill` can give a place: of equal places the earlier group takes its
    fill first.

    So of ten thousand labels for a name with four hundred places, those behind the first four
    hundred get none.
    """
    copies: dict[int, int] = {}
    served = []
    for group in groups:
        name = id(group.candidates)
        if copies.setdefault(name, 0) < len(group.candidates):
            copies[name] += len(group.members)
            served.append(group)
    return served


def _fill(groups: list[Group], budget: Budget) -> None:
    """The heaviest place first, whoever it belongs to."""
    budget.spend(sum(len(group.candidates) for group in groups))
    places = sorted(
        (-_weight(candidate), candidate.start, number)
        for number, group in enumerate(groups)
        for candidate in group.candidates
    )
    by_start = [{candidate.start: candidate for candidate in group.candidates} for group in groups]
    taken = Intervals()
    chosen: list[list[Candidate]] = [[] for _ in groups]
    for _, start, number in places:
        candidate = by_start[number][start]
        if taken.overlap(start, candidate.end):
            continue
        if len(chosen[number]) < len(groups[number].members):
            taken.add(start, candidate.end)
            chosen[number].append(candidate)
    for group, candidates in zip(groups, chosen, strict=True):
        for slot, candidate in enumerate(sorted(candidates, key=lambda c: c.start)):
            group.taken[slot] = candidate


def _components(count: int, claims: list[tuple[int, int, int]]) -> list[list[int]]:
    """Groups connected through overlapping places, each component ascending. O(places log
    places).
    """
    parent = list(range(count))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    reach, owner = -1, -1
    for start, end, number in claims:
        if start < reach:
            a, b = root(owner), root(number)
            parent[max(a, b)] = min(a, b)
        if end > reach:
            reach, owner = end, number
    components: dict[int, list[int]] = {}
    for _, _, number in claims:
        components.setdefault(root(number), [])
    for number in range(count):
        if (top := root(number)) in components:
            components[top].append(number)
    return list(components.values())


class _Order:
    """Where mentions that are certain of their place stand, to judge the places of the others."""

    def __init__(self, placed: list[tuple[int, int]]) -> None:
        placed.sort()
        self.members = [member for member, _ in placed]
        self.starts = [start for _, start in placed]
        pairs = list(pairwise(self.starts))
        inversions = sum(a > b for a, b in pairs)
        # A reply whose certain mentions are shuffled says nothing through its order.
        self.trusted = inversions * 4 <= len(pairs)

    def bonus(self, member: int, start: int) -> float:
        if not self.trusted:
            return 0.0
        at = bisect_left(self.members, member)
        bonus = 0.0
        if at > 0 and self.starts[at - 1] < start:
            bonus += _ORDER_BONUS
        if at < len(self.starts) and self.starts[at] > start:
            bonus += _ORDER_BONUS
        return bonus


_State = tuple[int, tuple[int, ...], tuple[int, ...]]
_Trail = tuple[int, Candidate, "_Trail | None"]


def _solve(
    component: Sequence[int],
    all_groups: Sequence[Group],
    order: dict[str, _Order],
    fits: Callable[[int, Candidate], int],
    budget: Budget,
) -> None:
    """Dynamic programming over one component's places, left to right.

    A state is (end of the last place taken, copies used of each group, last member placed in each
    chain); groups whose places have all been passed are forgotten, which lets states meet.
    """
    groups = [all_groups[number] for number in component]
    chains = sorted({group.chain for group in groups})
    chain_of = [chains.index(group.chain) for group in groups]
    places = sorted(
        (
            (candidate.start, candidate.end, number, candidate)
            for number, group in enumerate(groups)
            for candidate in group.candidates
        ),
        key=lambda place: place[:3],
    )
    last_place = {number: at for at, (_, _, number, _) in enumerate(places)}
    reach = max(end for _, end, _, _ in places)
    beam = _BEAM if len(places) <= _LARGE else _NARROW_BEAM
    nothing = (0, (0,) * len(groups), (-1,) * len(chains))
    states: dict[_State, tuple[float, _Trail | None]] = {nothing: (0.0, None)}
    for at, (start, end, number, candidate) in enumerate(places):
        budget.spend(len(states))
        group = groups[number]
        certain = order.get(group.chain)
        weight = _weight(candidate) + _cue(fits(component[number], candidate))
        # Of equal places the earlier, and of equal groups the one named first takes it.
        weight -= _TIE * (2 - number / len(groups)) * start / reach
        following: dict[_State, tuple[float, _Trail | None]] = {}
        done = last_place[number] == at

        for (busy, used, last), (score, trail) in states.items():
            busy = busy if busy > start else 0
            copy = used[number]
            if not busy and copy < len(group.members):
                member = group.members[copy]
                gain = weight
                if certain is not None:
                    gain += certain.bonus(member, start)
                chain = chain_of[number]
                if last[chain] < member:
                    gain += _ORDER_BONUS
                anchor = group.anchors[copy]
                if anchor is not None:
                    gain -= min(1.0, abs(anchor - start) / 100)
                taken = (
                    end,
                    _set(used, number, 0 if done else copy + 1),
                    _set(last, chain, max(last[chain], member)),
                )
                _keep(following, taken, score + gain, (number, candidate, trail))
            # Skipping comes second: of equal states the one that took the earlier place stays.
            _keep(following, (busy, _set(used, number, 0) if done else used, last), score, trail)
        if len(following) > beam:
            ranked = sorted(following.items(), key=lambda item: -item[1][0])
            following = dict(ranked[:beam])
        states = following
    trail = max(states.values(), key=lambda value: value[0])[1]
    chosen: list[tuple[int, Candidate]] = []
    while trail is not None:
        number, candidate, trail = trail
        chosen.append((number, candidate))
    used_slots = [0] * len(groups)
    for number, candidate in reversed(chosen):
        groups[number].taken[used_slots[number]] = candidate
        used_slots[number] += 1


def _set(values: tuple[int, ...], at: int, value: int) -> tuple[int, ...]:
    return values if values[at] == value else (*values[:at], value, *values[at + 1 :])


def _keep(
    states: dict[_State, tuple[float, _Trail | None]],
    state: _State,
    score: float,
    trail: _Trail | None,
) -> None:
    known = states.get(state)
    if known is None or score > known[0] + 1e-9:
        states[state] = (score, trail)
