"""The whole way from mentions to spans, with an outcome for each mention."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rapidfuzz.distance import Levenshtein

from llmner.markup import unescape
from llmner.projection._assign import Group, assign
from llmner.projection._candidates import MAX_OCCURRENCES, Candidate, Particles, find_candidates
from llmner.projection._canonical import Canonical, canonical_surface, canonicalize
from llmner.replies import Order, ReadReply, read_reply
from llmner.schema import LabelSchema
from llmner.spans import Mention, Span
from llmner.tagging import spans_to_tags

__all__ = ["Outcome", "OutcomeKind", "Policy", "Projection", "project", "project_reply"]

OutcomeKind = Literal[
    "exact", "canonical", "trimmed", "fuzzy", "surplus", "overlapped", "not_found", "unknown_label"
]


@dataclass(frozen=True, slots=True)
class Policy:
    """How to project.

    Attributes:
        particles: ``"auto"`` trims Korean particles where the untrimmed form is not in the text or ends
            in a particle that names do not end in; ``"keep"`` never; ``"trim"`` wherever it can.
        fuzzy: Lowest similarity, in [0, 1], of a fuzzy match; ``None`` switches fuzzy matches off.
        order: What the order of the mentions tells: ``"text"``, ``"label"`` (within each label) or
            ``"none"``.
    """

    particles: Particles = "auto"
    fuzzy: float | None = 0.8
    order: Order = "text"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one mention.

    Attributes:
        mention: The mention.
        kind: ``exact``, ``canonical``, ``trimmed`` or ``fuzzy`` with a span; ``surplus`` (every
            occurrence is taken by copies of it), ``overlapped`` (others hold its place),
            ``not_found`` or ``unknown_label`` without.
        span: The span it became.
        similarity: 1 for a verbatim match, less for a fuzzy one, 0 without a span.
        reason: A few words for people.
    """

    mention: Mention
    kind: OutcomeKind
    span: Span | None = None
    similarity: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Projection:
    """Spans of a text, and what became of every mention.

    Attributes:
        text: The text.
        spans: Sorted by start, lying apart, each covering whole characters.
        outcomes: One for each mention, in the reply's order.
        reply: How the reply was read, where one was given.
    """

    text: str
    spans: tuple[Span, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    reply: ReadReply | None = None

    def tags(self) -> list[str]:
        """IOB2 tags, one a code point of the text."""
        return spans_to_tags(self.spans, len(self.text))


def project(
    text: str, mentions: Iterable[Mention], schema: LabelSchema | None = None, **policy: Any
) -> Projection:
    """Find the spans that mentions stand for.

    Both sides are folded to one canonical form; each mention's places are found (verbatim, trimmed,
    fuzzy, in this order); one assignment places all mentions at once, without overlaps, each occurrence
    used once, longer mentions before shorter ones they would cover, order respected where it tells
    something, whole words before parts of words, earlier places before later ones. A number is never
    split, and a fuzzy match never changes one.

    Linear in the length of the text times the number of different mentions, and deterministic. Never
    raises on any text and any mentions.

    Args:
        text: The text the mentions were made about.
        mentions: What a reply claims.
        schema: Resolves label names; mentions with a label it does not know become ``unknown_label``.
            ``None`` takes every label as it is.
        **policy: Fields of :class:`Policy`.

    Raises:
        TypeError: A policy field that does not exist.
    """
    return _project(text, tuple(mentions), schema, Policy(**policy))


def project_reply(
    text: str, reply: str, schema: LabelSchema | None = None, format: str = "auto", **policy: Any
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
        **policy: Fields of :class:`Policy`.

    Raises:
        TypeError: A policy field that does not exist.
    """
    read = read_reply(reply, schema, format)
    if format == "tagged" and read.format != "tagged" and _repeats(reply, text):
        # The text again, with no mention marked: whatever it looks like, it says that there is none.
        read = ReadReply((), "ok", (), "tagged", "text", text)
    return project_read(text, read, schema, **policy)


def _repeats(reply: str, text: str) -> bool:
    wanted = canonicalize(text).text
    return wanted in (canonicalize(reply).text, canonicalize(unescape(reply)).text)


def project_read(text: str, read: ReadReply, schema: LabelSchema | None = None, **policy: Any) -> Projection:
    """Project a reply that has been read already. Arguments as for :func:`project_reply`."""
    chosen = Policy(**{"order": read.order, **policy})
    if read.text is not None and text.startswith(read.text) and not text[len(read.text) :].strip():
        whole = _verbatim(text, read, schema)
        if whole is not None:
            return whole
    projection = _project(text, read.mentions, schema, chosen, read.text)
    return Projection(text, projection.spans, projection.outcomes, read)


def _verbatim(text: str, read: ReadReply, schema: LabelSchema | None) -> Projection | None:
    """A reply that repeats the text to the letter says where everything is."""
    outcomes: list[Outcome] = []
    at = 0
    for mention in read.mentions:
        start = mention.start
        end = -1 if start is None else start + len(mention.text)
        if start is None or start < at or end <= start or text[start:end] != mention.text:
            return None
        label = mention.label if schema is None else schema.resolve(mention.label)
        if label is None:
            outcomes.append(Outcome(mention, "unknown_label", reason=f"no label {mention.label!r}"))
            continue
        outcomes.append(Outcome(mention, "exact", Span(start, end, label), 1.0))
        at = end
    return Projection(text, tuple(o.span for o in outcomes if o.span is not None), tuple(outcomes), read)


def _project(
    text: str,
    mentions: Sequence[Mention],
    schema: LabelSchema | None,
    policy: Policy,
    reply_text: str | None = None,
) -> Projection:
    canonical = canonicalize(text)
    anchor = _anchors(canonical, reply_text) if reply_text is not None else None
    outcomes: list[Outcome | None] = [None] * len(mentions)
    spans: list[Span] = []
    held: list[tuple[int, int]] = []
    groups: dict[tuple[str, str], Group] = {}
    found: dict[str, list[Candidate]] = {}
    for number, mention in enumerate(mentions):
        label = mention.label if schema is None else schema.resolve(mention.label)
        if not label:
            outcomes[number] = Outcome(mention, "unknown_label", reason=f"no label {mention.label!r}")
            continue
        surface = canonical_surface(mention.text)
        near = None if anchor is None or mention.start is None else anchor(mention.start)
        if near is not None and _stands_at(canonical, surface, near, held):
            # The reply repeats the sentence and says itself where the mention is.
            place = near, near + len(surface)
            insort(held, place)
            span = Span(*canonical.source(*place), label)
            spans.append(span)
            outcomes[number] = _placed(mention, Candidate(*place, "canonical", 1.0, 0.0), span, text)
            continue
        group = groups.get((label, surface))
        if group is None:
            candidates = found.get(surface)
            if candidates is None:
                candidates = found[surface] = (
                    find_candidates(
                        text,
                        canonical,
                        surface,
                        spaced=mention.text,
                        particles=policy.particles,
                        cutoff=policy.fuzzy,
                    )
                    if surface
                    else []
                )
            chain = {"text": "", "label": label, "none": f"{number}"}[policy.order]
            group = groups[label, surface] = Group(label, chain, [], candidates)
        group.members.append(number)
        group.anchors.append(near)
    ordered = list(groups.values())
    if held:
        for group in ordered:
            group.candidates = [c for c in group.candidates if not _overlaps(held, c.start, c.end)]
    cues = {label.code: label.followed_by for label in schema.labels} if schema is not None else {}

    def fits(number: int, candidate: Candidate) -> int:
        after = canonical.ends[candidate.end - 1]
        follows = cues.get(ordered[number].label, ())
        return max((len(cue) for cue in follows if text.startswith(cue, after)), default=0)

    assign(ordered, fits)
    for (label, surface), group in groups.items():
        for member, candidate in zip(group.members, group.taken, strict=True):
            mention = mentions[member]
            if candidate is None:
                outcomes[member] = _unplaced(mention, surface, group)
                continue
            start, end = canonical.source(candidate.start, candidate.end)
            span = Span(start, end, label)
            spans.append(span)
            outcomes[member] = _placed(mention, candidate, span, text)
    spans.sort()
    return Projection(text, tuple(spans), tuple(outcome for outcome in outcomes if outcome is not None))


def _stands_at(text: Canonical, surface: str, at: int, held: list[tuple[int, int]]) -> bool:
    end = at + len(surface)
    return (
        bool(surface)
        and text.text.startswith(surface, at)
        and text.whole(at, end)
        and not _overlaps(held, at, end)
    )


def _overlaps(held: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether a stretch overlaps one of those held, which are sorted and lie apart."""
    at = bisect_left(held, (start,))
    return any(
        start < other_end and other_start < end for other_start, other_end in held[max(0, at - 1) : at + 1]
    )


def _placed(mention: Mention, candidate: Candidate, span: Span, text: str) -> Outcome:
    kind: OutcomeKind = candidate.kind
    if kind == "canonical" and text[span.start : span.end] == mention.text:
        kind = "exact"
    reason = candidate.reason
    if kind == "fuzzy":
        reason = f"near {text[span.start : span.end]!r}"
    return Outcome(mention, kind, span, candidate.similarity, reason)


def _unplaced(mention: Mention, surface: str, group: Group) -> Outcome:
    if not surface:
        return Outcome(mention, "not_found", reason="nothing but white space")
    if not group.candidates:
        return Outcome(mention, "not_found", reason="not in the text")
    held = sum(candidate is not None for candidate in group.taken)
    if held >= MAX_OCCURRENCES:
        return Outcome(mention, "surplus", reason=f"only the first {MAX_OCCURRENCES} places are looked at")
    if held and held >= len(group.candidates):
        return Outcome(mention, "surplus", reason=f"the text has it {held} times")
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
    blocks = Levenshtein.opcodes(repeated.text, text.text)

    def anchor(start: int) -> int | None:
        at = bisect_left(repeated.starts, start)
        for block in blocks:
            if block.src_start <= at < block.src_end:
                return min(block.dest_start + at - block.src_start, max(block.dest_end - 1, block.dest_start))
        return None

    return anchor
