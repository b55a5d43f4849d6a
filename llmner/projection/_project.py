"""The whole way from mentions to spans, with an outcome for each mention."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import Any

from rapidfuzz.distance import Levenshtein

from llmner._budget import UNBOUNDED, Budget
from llmner.markup import unescape
from llmner.projection._assign import Group, assign
from llmner.projection._candidates import Candidate, Finder
from llmner.projection._canonical import Canonical, canonical_surface, canonicalize
from llmner.projection._outcome import Outcome, Policy
from llmner.projection._positions import INDEX_ABOVE, MAX_OCCURRENCES
from llmner.projection._projection import Projection
from llmner.projection._surroundings import place_cost
from llmner.replies import REPLY_FORMATS, Order, ReadReply, read_reply
from llmner.schema import LabelSchema, cues_of, means_person
from llmner.spans import Mention, Span

__all__ = ["project", "project_read", "project_reply"]

# What a place may cost and still be a word of its own, with a particle or a unit behind it at most.
_OWN_WORD = 0.1
_TITLES_BEFORE = ("Mr ", "Mr. ", "Mrs ", "Mrs. ", "Ms ", "Ms. ", "Dr ", "Dr. ", "Sir ", "President ")
# Candidates of a mention that are not worth comparing with those of others.
_FEW = 8
_start = attrgetter("start")


# Policies are few and sentences many.
@lru_cache(maxsize=64)
def _kept_policy(**policy: Any) -> Policy:
    return Policy(**policy)


def _policy(policy: dict[str, Any]) -> Policy:
    try:
        return _kept_policy(**policy)
    except TypeError:
        # A value that cannot be a key, or a field that does not exist: Policy says which.
        return Policy(**policy)


def project(
    text: str,
    mentions: Iterable[Mention],
    schema: LabelSchema | None = None,
    *,
    budget: Budget | None = None,
    **policy: Any,
) -> Projection:
    """Find the spans that mentions stand for.

    Both sides are folded to one canonical form; each mention's places are found (verbatim, trimmed, as
    the same quantity, fuzzy, in this order); one assignment places all mentions at once, without
    overlaps, each occurrence used once, longer mentions before shorter ones they would cover, order
    respected where it tells something, whole words before parts of words, earlier places before later
    ones. No digit is ever changed, and no number split.

    Linear in the length of the text times the number of different mentions, and deterministic. Never
    raises on any text and any mentions.

    Args:
        text: The text the mentions were made about.
        mentions: What a reply claims.
        schema: Resolves label names; mentions with a label it does not know become ``unknown_label``.
            ``None`` takes every label as it is.
        budget: Steps of work it may take; of a long text and many mentions that are not in it, it takes
            minutes. Another thread can end it.
        **policy: Fields of :class:`Policy`.

    Raises:
        TypeError: A policy field that does not exist.
        InputError: A policy field with a value that does not exist.
        WorkLimitError: The budget is used up or was ended.
    """
    return _project(text, tuple(mentions), schema, _policy(policy), budget=budget)


def project_reply(
    text: str,
    reply: str,
    schema: LabelSchema | None = None,
    format: str = "auto",
    *,
    budget: Budget | None = None,
    **policy: Any,
) -> Projection:
    """Read a reply and project what it says: :func:`read_reply` and :func:`project` in one.

    The order of mentions counts as far as the reply's format keeps it, unless ``order`` is given. A
    ``tagged`` reply that repeats the text gives every span back exactly; one that changed the text
    gives each mention a place near its own.

    Args:
        text: The text the model was asked about.
        reply: Its raw reply; any string.
        schema: The labels.
        format: The format asked for, or ``"auto"``.
        budget: As of :func:`project`.
        **policy: Fields of :class:`Policy`.

    Raises:
        TypeError: A policy field that does not exist.
        InputError: A policy field with a value that does not exist.
        WorkLimitError: The budget is used up or was ended.
    """
    read = read_reply(reply, schema, format, budget=budget)
    asked = REPLY_FORMATS.get(format)
    if asked is not None and asked.repeats_text and read.format != format and _repeats(reply, text):
        # The text again, with no mention marked: whatever it looks like, it says that there is none.
        read = ReadReply((), "ok", (), format, asked.order, text)
    return project_read(text, read, schema, budget=budget, **policy)


def _repeats(reply: str, text: str) -> bool:
    wanted = canonicalize(text).text
    return wanted in (canonicalize(reply).text, canonicalize(unescape(reply)).text)


def project_read(
    text: str,
    read: ReadReply,
    schema: LabelSchema | None = None,
    *,
    budget: Budget | None = None,
    **policy: Any,
) -> Projection:
    """Project a reply that has been read already. Arguments as for :func:`project_reply`."""
    chosen = _policy({"order": read.order, **policy})
    echoed = read.text is not None and text.startswith(read.text) and not text[len(read.text) :].strip()
    if echoed and chosen.repeats == "listed":
        whole = _verbatim(text, read, schema)
        if whole is not None:
            return whole
    projection = _project(text, read.mentions, schema, chosen, read.text, budget)
    return Projection(text, projection.spans, projection.outcomes, read)


def _verbatim(text: str, read: ReadReply, schema: LabelSchema | None) -> Projection | None:
    """A reply that repeats the text to the letter says where everything is."""
    outcomes: list[Outcome] = []
    canonical = canonicalize(text)
    at = 0
    for mention in read.mentions:
        start = mention.start
        end = -1 if start is None else start + len(mention.text)
        if start is None or start < at or end <= start or text[start:end] != mention.text:
            return None
        if not (canonical.parts(start) and canonical.parts(end)):
            return None
        label = mention.label if schema is None else schema.resolve(mention.label)
        if label is None:
            outcomes.append(Outcome(mention, "unknown_label", reason=f"no label {mention.label!r}"))
            continue
        outcomes.append(Outcome(mention, "exact", Span(start, end, label, mention.confidence), 1.0))
        at = end
    return Projection(text, tuple(o.span for o in outcomes if o.span is not None), tuple(outcomes), read)


# A mention with a label that is known, and where it may stand: its number, label, canonical surface,
# candidates, and the offset the reply gives it.
_Claim = tuple[int, str, str, list[Candidate], int | None]


def _project(
    text: str,
    mentions: Sequence[Mention],
    schema: LabelSchema | None,
    policy: Policy,
    reply_text: str | None = None,
    budget: Budget | None = None,
) -> Projection:
    work = budget or UNBOUNDED
    canonical = canonicalize(text)
    anchor = _anchors(canonical, reply_text) if reply_text is not None else None
    outcomes: list[Outcome | None] = [None] * len(mentions)
    held: list[tuple[int, int]] = []
    known = {} if schema is None else schema.known
    units = () if schema is None else schema.unit_table
    many = len(text) * len(mentions) > INDEX_ABOVE
    wanted = [canonical_surface(mention.text) for mention in mentions] if many else ()
    finder = Finder(text, canonical, policy.particles, policy.fuzzy, units, wanted, work)
    claims: list[_Claim] = []
    found: dict[tuple[str, bool], list[Candidate]] = {}
    alike: dict[tuple[Candidate, ...], list[Candidate]] = {}
    work.spend(1 + 4 * len(mentions) + len(text) // 16)
    for number, mention in enumerate(mentions):
        label, person = known.get(mention.label) or _label(mention.label, schema)
        if not label:
            outcomes[number] = Outcome(mention, "unknown_label", reason=f"no label {mention.label!r}")
            continue
        surface = canonical_surface(mention.text)
        near = None
        if anchor is not None and mention.start is not None:
            at = anchor(mention.start)
            place = None if at is None else _stands_at(text, canonical, surface, at, held)
            if place is not None:
                # The reply repeats the sentence and says itself where the mention is.
                insort(held, place)
                there = Candidate(*place, len(surface), "canonical", 1.0, 0.0)
                outcomes[number] = _placed(mention, there, label, text)
                continue
            if at is not None and at < len(canonical.starts):
                near = canonical.starts[at]
        # By the spelling, not its canonical form: 12번 is not in "1 2번", but "1 2번" is.
        candidates = found.get((mention.text, person))
        if candidates is None:
            candidates = finder.find(surface, mention.text, person) if surface else []
            if len(candidates) > _FEW:
                # Many spellings of a name have the same places; they are kept once.
                candidates = alike.setdefault(tuple(candidates), candidates)
            found[mention.text, person] = candidates
        claims.append((number, label, surface, candidates, near))
    if held or not _undisputed(claims):
        _decide(text, mentions, claims, held, schema, policy, outcomes, work)
    else:
        for number, label, surface, candidates, _ in claims:
            mention = mentions[number]
            outcomes[number] = (
                _placed(mention, candidates[0], label, text) if candidates else _not_found(mention, surface)
            )
    if policy.repeats == "all":
        _repeat(text, finder, outcomes, work)
    settled = tuple([outcome for outcome in outcomes if outcome is not None])
    spans = [outcome.span for outcome in settled if outcome.span is not None]
    if policy.repeats == "all":
        spans += [span for outcome in settled for span in outcome.repeats]
    spans.sort(key=_start)
    return Projection(text, tuple(spans), settled)


def _undisputed(claims: Sequence[_Claim]) -> bool:
    """Whether every mention has one place at most, and no two want the same."""
    places: list[Candidate] = []
    for claim in claims:
        candidates = claim[3]
        if len(candidates) > 1:
            return False
        places += candidates
    places.sort()
    reach = 0
    for place in places:
        if place[0] < reach:
            return False
        reach = place[1]
    return True


def _decide(
    text: str,
    mentions: Sequence[Mention],
    claims: Sequence[_Claim],
    held: list[tuple[int, int]],
    schema: LabelSchema | None,
    policy: Policy,
    outcomes: list[Outcome | None],
    budget: Budget,
) -> None:
    """Decide jointly where mentions compete for places or have several, and enter the outcomes."""
    groups: dict[tuple[str, str, int], Group] = {}
    # Mentions of one spelling hold the same list of places: what is made of a list is made once.
    lists: dict[int, tuple[int, list[Candidate]]] = {}
    starts: dict[tuple[int, ...], int] = {}
    order = _infer_order(claims) if policy.order == "auto" else policy.order
    for number, label, surface, candidates, near in claims:
        # Copies of a name compete for the same places; another spelling may have others.
        if id(candidates) not in lists:
            budget.spend(len(candidates))
            places = starts.setdefault(tuple([candidate.start for candidate in candidates]), len(starts))
            apart = [c for c in candidates if not _overlaps(held, c.start, c.end)] if held else candidates
            lists[id(candidates)] = places, apart
        places, free = lists[id(candidates)]
        key = label, surface, places
        group = groups.get(key)
        if group is None:
            chain = "" if order == "text" else label if order == "label" else str(number)
            groups[key] = Group(label, chain, [number], free, [near])
        else:
            group.members.append(number)
            group.anchors.append(near)
    ordered = list(groups.values())
    assign(ordered, _cues(text, list(groups), schema), budget)
    for (label, surface, _), group in groups.items():
        placed = sum(candidate is not None for candidate in group.taken)
        for member, candidate in zip(group.members, group.taken, strict=True):
            mention = mentions[member]
            if candidate is None:
                outcomes[member] = _unplaced(mention, surface, group, placed)
            else:
                outcomes[member] = _placed(mention, candidate, label, text)


def _label(word: str, schema: LabelSchema | None) -> tuple[str, bool]:
    """The label a reply means, empty for none, and whether its entities are people."""
    if schema is None:
        return word, means_person(word)
    label = schema.resolve(word) or ""
    return label, label in schema.persons


def _infer_order(claims: Sequence[_Claim]) -> Order:
    """What the order of the mentions tells, going by those that have one place.

    Replies list names as they come, or label by label, or in no order. Where the certain ones ascend,
    the labels tell the first two apart; where too few are certain, less is assumed.
    """
    runs = 1 + sum(a[1] != b[1] for a, b in pairwise(claims))
    by_label = runs == len({claim[1] for claim in claims})
    certain = [(claim[1], claim[3][0].start) for claim in claims if len(claim[3]) == 1]
    steps = [(a[0] == b[0], a[1] <= b[1]) for a, b in pairwise(certain)]
    ascending = sum(up for _, up in steps)
    if ascending == len(steps) and (not by_label or not all(within for within, _ in steps)):
        return "text"
    within = [up for same, up in steps if same]
    if by_label and 4 * sum(within) >= 3 * len(within):
        return "label"
    return "text" if 4 * ascending >= 3 * len(steps) else "none"


def _cues(
    text: str, groups: Sequence[tuple[str, str, int]], schema: LabelSchema | None
) -> Callable[[int, Candidate], int]:
    """How much of what follows a place speaks for a group's label, where labels compete for a surface."""
    cues = {label: cues_of(label) for label, *_ in groups} if schema is None else schema.cues
    persons = {label for label, *_ in groups if _label(label, schema)[1]}
    named = [label for label, *_ in groups]
    claimed = Counter(surface for _, surface in {(label, surface) for label, surface, _ in groups})
    follows = [cues.get(label, ()) if claimed[surface] > 1 else () for label, surface, _ in groups]

    def fits(number: int, candidate: Candidate) -> int:
        length = max((len(cue) for cue in follows[number] if text.startswith(cue, candidate.end)), default=0)
        if named[number] in persons and text[max(0, candidate.start - 10) : candidate.start].endswith(
            _TITLES_BEFORE
        ):
            length = max(length, 3)
        return length

    return fits


def _repeat(text: str, finder: Finder, outcomes: list[Outcome | None], budget: Budget) -> None:
    """Give every free place of a name to the last mention placed on that name; longer names choose first."""
    last: dict[tuple[str, str], tuple[int, Outcome]] = {}
    taken: list[tuple[int, int]] = []
    for number, outcome in enumerate(outcomes):
        if outcome is not None and (span := outcome.span) is not None:
            last[span.label, canonical_surface(text[span.start : span.end])] = number, outcome
            taken.append((span.start, span.end))
    taken.sort()
    for (label, surface), (number, outcome) in sorted(last.items(), key=lambda item: -len(item[0][1])):
        more: list[Span] = []
        places = finder.again(surface)
        budget.spend(len(places))
        for candidate in places:
            if candidate.cost <= _OWN_WORD and not _overlaps(taken, candidate.start, candidate.end):
                insort(taken, (candidate.start, candidate.end))
                more.append(Span(candidate.start, candidate.end, label, outcome.mention.confidence))
        if more:
            outcomes[number] = replace(outcome, repeats=tuple(more))


def _stands_at(
    source: str, text: Canonical, surface: str, at: int, held: list[tuple[int, int]]
) -> tuple[int, int] | None:
    """Source offsets of a surface at a canonical offset, if it stands there whole and free."""
    end = at + len(surface)
    if not surface or not text.text.startswith(surface, at) or not text.whole(at, end):
        return None
    place = text.source(at, end)
    if _overlaps(held, *place) or place_cost(source, *place) is None:
        return None
    return place


def _overlaps(held: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether a stretch overlaps one of those held, which are sorted and lie apart."""
    at = bisect_left(held, (start,))
    return any(
        start < other_end and other_start < end for other_start, other_end in held[max(0, at - 1) : at + 1]
    )


def _placed(mention: Mention, candidate: Candidate, label: str, text: str) -> Outcome:
    start, end, _, kind, similarity, _, reason = candidate
    span = Span(start, end, label, mention.confidence if mention.attributes else None)
    if kind == "canonical":
        copied = text[start:end] == mention.text
        return Outcome(mention, "exact" if copied else kind, span, similarity, reason)
    if kind == "fuzzy":
        near = f"near {text[start:end]!r}"
        reason = f"{near}, {reason}" if reason else near
    return Outcome(mention, kind, span, similarity, reason)


def _not_found(mention: Mention, surface: str) -> Outcome:
    return Outcome(mention, "not_found", reason="not in the text" if surface else "nothing but white space")


def _unplaced(mention: Mention, surface: str, group: Group, held: int) -> Outcome:
    """Why a mention has no place; ``held`` copies of it have one."""
    if not group.candidates:
        return _not_found(mention, surface)
    if held >= MAX_OCCURRENCES:
        return Outcome(mention, "surplus", reason=f"only the first {MAX_OCCURRENCES} places are looked at")
    if held and held >= len(group.candidates):
        return Outcome(mention, "surplus", reason=f"the text has it {'once' if held == 1 else f'{held} times'}")
    if held:
        return Outcome(mention, "surplus", reason=f"{held} placed, other places are held by other mentions")
    return Outcome(mention, "overlapped", reason="its places are held by other mentions")


def _anchors(text: Canonical, reply_text: str) -> Callable[[int], int | None]:
    """From offsets in the reply's own sentence to canonical offsets of the text.

    The two sentences are aligned once, by edit distance; texts too long for that are not.
    """
    repeated = canonicalize(reply_text)
    if len(repeated.text) * len(text.text) > 25_000_000:
        return lambda start: None
    blocks = list(Levenshtein.opcodes(repeated.text, text.text))
    begins = [block.src_start for block in blocks]

    def anchor(start: int) -> int | None:
        at = bisect_left(repeated.starts, start)
        # Blocks that begin where another does have no length in the reply's text.
        for block in blocks[max(0, bisect_left(begins, at) - 1) : bisect_right(begins, at)]:
            if block.src_start <= at < block.src_end:
                return min(block.dest_start + at - block.src_start, max(block.dest_end - 1, block.dest_start))
        return None

    return anchor
