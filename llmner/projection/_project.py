"""The whole way from mentions to spans, with an outcome for each mention."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any, Final, Unpack, cast

from rapidfuzz.distance import Levenshtein

from llmner._budget import UNBOUNDED, Budget
from llmner._intervals import Intervals
from llmner.errors import InputError
from llmner.markup import unescape
from llmner.projection._attributes import attributed
from llmner.projection._candidates import Candidate, Finder
from llmner.projection._canonical import Canonical, canonical_surface, canonicalize
from llmner.projection._decide import (
    Claim,
    decide,
    label_of,
    outcome_at,
    outcome_not_found,
    outcome_unknown,
    undisputed,
)
from llmner.projection._labels import label_outcomes
from llmner.projection._outcome import Outcome, Policy, PolicyFields
from llmner.projection._projection import Projection
from llmner.projection._surroundings import place_cost
from llmner.projection._task import Task, task_of
from llmner.replies import REPLY_FORMATS, ReadReply, read_reply
from llmner.schema import LabelSchema, SchemaLike, as_schema
from llmner.spans import Mention, Span

__all__ = ["project", "project_read", "project_reply"]

# What a place may cost and still be a word of its own, with a particle or a unit behind it at most.
_OWN_WORD = 0.1
# Candidates of a mention that are not worth comparing with those of others.
_FEW = 8
_start = attrgetter("start")
# As ``Claim(...)``, in half the time.
_new_claim = partial(tuple.__new__, Claim)


# Policies are few and sentences many.
@lru_cache(maxsize=64)
def _kept_policy(**policy: Any) -> Policy:
    return Policy(**policy)


_DEFAULT_POLICY: Final = Policy()


def _policy(policy: dict[str, Any]) -> Policy:
    if not policy:
        return _DEFAULT_POLICY
    try:
        return _kept_policy(**policy)
    except TypeError:
        # A value that cannot be a key, or a field that does not exist: Policy says which.
        return Policy(**policy)


def project(
    text: str,
    mentions: Iterable[Mention | tuple[str, str]],
    schema: SchemaLike | None = None,
    *,
    budget: Budget | None = None,
    **policy: Unpack[PolicyFields],
) -> Projection:
    """Find the spans that mentions stand for.

    Both sides are folded to one canonical form; each mention's places are found (verbatim, trimmed,
    as the same quantity, fuzzy, in this order); one assignment places all mentions at once, without
    overlaps, each occurrence used once, longer mentions before shorter ones they would cover, order
    respected where it tells something, whole words before parts of words, earlier places before
    later ones. No digit is ever changed, and no number split; a number that a reply adds
    behind a name is left out with it (민준 1).

    Linear in the length of the text times the number of different mentions, and deterministic.
    Never raises on any text and any mentions.

    Args:
        text: The text the mentions were made about.
        mentions: What a reply claims: mentions, or pairs of a label and a surface.
        schema: Resolves label names; mentions with a label it does not know become
            ``unknown_label``. ``None`` takes every label as it is. A recipe and a list of labels
            will do.
        budget: Steps of work it may take; of a long text and many mentions that are not in it, it
            takes minutes. Another thread can end it.
        **policy: Fields of :class:`Policy`.

    Raises:
        TypeError: A policy field that does not exist.
        InputError: A policy field with a value that does not exist, or labels or mentions that are
            none.
        WorkLimitError: The budget is used up or was ended.

    >>> project("손흥민은 춘천에서", [("PS", "손흥민")], ["PS", "LC"]).spans
    (Span('손흥민', 'PS', start=0, end=3),)
    """
    given = tuple(map(_mention, _listed(mentions)))
    task = task_of(text, given, as_schema(schema), _policy(dict(policy)), budget)
    return _project(task).with_surfaces()


def _listed(mentions: object) -> Iterable[Any]:
    if isinstance(mentions, str | bytes | Mapping) or not isinstance(mentions, Iterable):
        raise InputError(
            f"mentions: {mentions!r:.60} is no list of them",
            hint='expected [("PS", "손흥민")]; project_reply takes a reply as it is',
        )
    return mentions


def _mention(own: object) -> Mention:
    if isinstance(own, Mention):
        return own
    pair = tuple(own) if isinstance(own, tuple | list) else ()
    if len(pair) != 2 or not all(isinstance(part, str) for part in pair):
        raise InputError(
            f"mentions: {own!r:.60} is none",
            hint='expected a label and a surface: ("PS", "손흥민")',
        )
    return Mention(*pair)


def project_reply(
    text: str,
    reply: str,
    schema: SchemaLike | None = None,
    format: str = "auto",
    *,
    budget: Budget | None = None,
    **policy: Unpack[PolicyFields],
) -> Projection:
    """Read a reply and project what it says: :func:`read_reply` and :func:`project` in one.

    The order of mentions counts as far as the reply's format keeps it, unless ``order`` is given. A
    ``tagged`` reply that repeats the text gives every span back exactly; one that changed the text
    gives each mention a place near its own.

    Args:
        text: The text the model was asked about.
        reply: Its raw reply; any string.
        schema: The labels: a schema, a recipe or a list.
        format: The format asked for, or ``"auto"``.
        budget: As of :func:`project`.
        **policy: Fields of :class:`Policy`.

    Raises:
        TypeError: A policy field that does not exist.
        InputError: A policy field with a value that does not exist.
        WorkLimitError: The budget is used up or was ended.
    """
    schema = as_schema(schema)
    read = read_reply(reply, schema, format, text=text, budget=budget)
    asked = REPLY_FORMATS.get(format)
    if asked is not None and asked.repeats_text and read.format != format and _repeats(reply, text):
        # The text again, with no mention marked: whatever it looks like, it says that there is
        # none.
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
    **policy: Unpack[PolicyFields],
) -> Projection:
    """Project a reply that has been read already. Arguments as for :func:`project_reply`."""
    chosen = _policy({"order": read.order, **policy})
    return _read_projected(text, read, schema, chosen, budget).with_surfaces()


def _read_projected(
    text: str, read: ReadReply, schema: LabelSchema | None, chosen: Policy, budget: Budget | None
) -> Projection:
    if read.labels:
        return _labelled(text, read, schema, chosen, budget)
    echoed = (
        read.text is not None and text.startswith(read.text) and not text[len(read.text) :].strip()
    )
    if echoed and chosen.repeats == "listed":
        whole = _verbatim(text, read, schema)
        if whole is not None:
            return whole
    return _project(task_of(text, read.mentions, schema, chosen, budget), read)


def _labelled(
    text: str, read: ReadReply, schema: LabelSchema | None, policy: Policy, budget: Budget | None
) -> Projection:
    """The projection of a reply about the whole text."""

    def place(mentions: list[Mention]) -> tuple[Span, ...]:
        return _project(task_of(text, tuple(mentions), None, policy, budget)).spans

    return Projection(text, (), (), read, label_outcomes(read.labels, schema, place))


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
            outcomes.append(outcome_unknown(mention))
            continue
        outcomes.append(Outcome(mention, "exact", Span(start, end, label, mention.confidence), 1.0))
        at = end
    settled = attributed(outcomes, schema)
    return Projection(text, tuple(o.span for o in settled if o.span is not None), settled, read)


def _project(task: Task, read: ReadReply | None = None) -> Projection:
    text, mentions = task.text, task.mentions
    finder = Finder(task)
    outcomes: list[Outcome | None] = [None] * len(mentions)
    if task.budget is not UNBOUNDED:
        said = sum([len(mention.text) for mention in mentions])
        task.budget.spend(1 + 4 * len(mentions) + (len(text) + said) // 16)
    anchor = None if read is None or read.text is None else _anchors(task.canonical, read.text)
    claims, taken = _claim(task, finder, anchor, outcomes)
    if taken or not undisputed(claims):
        decide(task, claims, taken, outcomes)
    else:
        for number, label, surface, candidates, _ in claims:
            mention = mentions[number]
            if candidates:
                outcomes[number] = outcome_at(mention, candidates[0], label, text)
            else:
                outcomes[number] = outcome_not_found(mention, surface)
    everywhere = task.policy.repeats == "all"
    if everywhere:
        _repeat(task, finder, outcomes)
    # By now every mention has one.
    settled = attributed(cast("list[Outcome]", outcomes), task.schema)
    spans = [outcome.span for outcome in settled if outcome.span is not None]
    if everywhere:
        spans += [span for outcome in settled for span in outcome.repeats]
    spans.sort(key=_start)
    return Projection(text, tuple(spans), settled, read)


def _claim(
    task: Task,
    finder: Finder,
    anchor: Callable[[int], int | None] | None,
    outcomes: list[Outcome | None],
) -> tuple[list[Claim], Intervals]:
    """Find the places of all mentions; also, where mentions stand whose place the reply itself
    gives.

    Enters the outcomes of those, and of mentions whose label is unknown.
    """
    schema, canonical = task.schema, task.canonical
    known = {} if schema is None else schema.known
    taken = Intervals()
    claims: list[Claim] = []
    found: dict[tuple[str, bool], list[Candidate]] = {}
    alike: dict[tuple[Candidate, ...], list[Candidate]] = {}
    find, surfaces = finder.find, task.surfaces
    for number, mention in enumerate(task.mentions):
        surface = surfaces[number]
        label, person = known.get(mention.label) or label_of(mention.label, schema)
        if not label:
            outcomes[number] = outcome_unknown(mention)
            continue
        near = None
        if anchor is not None and mention.start is not None:
            offset = anchor(mention.start)
            place = None if offset is None else _stands_at(task, surface, offset, taken)
            if place is not None:
                # The reply repeats the sentence and says itself where the mention is.
                taken.add(*place)
                there = Candidate(*place, len(surface), "canonical", 1.0, 0.0)
                outcomes[number] = outcome_at(mention, there, label, task.text)
                continue
            if offset is not None and offset < len(canonical.starts):
                near = canonical.starts[offset]
        # By the spelling, not its canonical form: 12번 is not in "1 2번", but "1 2번" is.
        spelling = mention.text, person
        candidates = found.get(spelling)
        if candidates is None:
            candidates = find(surface, mention.text, person) if surface else []
            if len(candidates) > _FEW:
                # Many spellings of a name have the same places; they are kept once.
                candidates = alike.setdefault(tuple(candidates), candidates)
            found[spelling] = candidates
        claims.append(_new_claim((number, label, surface, candidates, near)))
    return claims, taken


def _repeat(task: Task, finder: Finder, outcomes: list[Outcome | None]) -> None:
    """Give every free place of a name to the last mention placed on that name; longer names choose
    first.
    """
    last: dict[tuple[str, str], tuple[int, Outcome]] = {}
    text = task.text
    places: list[tuple[int, int]] = []
    for number, outcome in enumerate(outcomes):
        if outcome is not None and (span := outcome.span) is not None:
            last[span.label, canonical_surface(text[span.start : span.end])] = number, outcome
            places.append((span.start, span.end))
    taken = Intervals(places)
    for (label, surface), (number, outcome) in sorted(
        last.items(), key=lambda item: -len(item[0][1])
    ):
        more: list[Span] = []
        candidates = finder.again(surface)
        task.budget.spend(len(candidates))
        for candidate in candidates:
            free = not taken.overlap(candidate.start, candidate.end)
            if candidate.cost <= _OWN_WORD and free:
                taken.add(candidate.start, candidate.end)
                more.append(Span(candidate.start, candidate.end, label, outcome.mention.confidence))
        if more:
            outcomes[number] = replace(outcome, repeats=tuple(more))


def _stands_at(task: Task, surface: str, offset: int, taken: Intervals) -> tuple[int, int] | None:
    """Source offsets of a surface at a canonical offset, if it stands there whole and free."""
    canonical = task.canonical
    end = offset + len(surface)
    if not surface or not canonical.text.startswith(surface, offset):
        return None
    if not canonical.whole(offset, end):
        return None
    place = canonical.source(offset, end)
    if taken.overlap(*place) or place_cost(task.text, *place, task.language) is None:
        return None
    return place


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
                return min(
                    block.dest_start + at - block.src_start,
                    max(block.dest_end - 1, block.dest_start),
                )
        return None

    return anchor
