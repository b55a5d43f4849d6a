"""What projection takes, and what it gives for every mention: a policy in, outcomes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from llmner._numbers import is_number
from llmner.errors import InputError
from llmner.replies import Order
from llmner.spans import Mention, Span, TextLabel

__all__ = [
    "AttributeKind",
    "AttributeOutcome",
    "LabelOutcome",
    "LabelOutcomeKind",
    "Outcome",
    "OutcomeKind",
    "Policy",
    "PolicyFields",
]

Particles = Literal["auto", "keep", "trim"]
Repeats = Literal["listed", "all"]
OutcomeKind = Literal[
    "exact",
    "canonical",
    "trimmed",
    "fuzzy",
    "surplus",
    "overlapped",
    "not_found",
    "unknown_label",
    "unsure",
]


AttributeKind = Literal["exact", "normalized", "unknown_value", "unknown_attribute", "missing"]
"""What became of one attribute of a mention.

``exact``: its value is one of the schema's. ``normalized``: it is another word for one (긍정 for
``positive``). ``unknown_value``: the schema has no such value. ``unknown_attribute``: the label has
no such attribute, or the mention has it already. ``missing``: the label requires it.
"""


@dataclass(frozen=True, slots=True)
class AttributeOutcome:
    """What became of one attribute of a mention.

    Attributes:
        name: Its name in the schema, or in the reply if the schema does not know it.
        kind: See :data:`AttributeKind`.
        said: The value as the reply has it.
        value: The value that the span has; ``None`` if it has none.
    """

    name: str
    kind: AttributeKind
    said: Any = None
    value: Any = None


LabelOutcomeKind = Literal["given", "repeated", "unknown_label", "unsure"]
"""What became of a label that a reply gives a whole text.

``given``: the text has it. ``repeated``: the reply has it twice. ``unknown_label``: the schema has
no such label. ``unsure``: its score was too low.
"""


@dataclass(frozen=True, slots=True)
class LabelOutcome:
    """What became of one label of a whole text.

    Attributes:
        mention: The label as the reply has it, with its attributes.
        kind: See :data:`LabelOutcomeKind`.
        label: The label that the text has now, if it has one.
        attributes: What became of each of its attributes.
    """

    mention: Mention
    kind: LabelOutcomeKind
    label: TextLabel | None = None
    attributes: tuple[AttributeOutcome, ...] = field(default=(), hash=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """How to project.

    Attributes:
        particles: ``"auto"`` trims Korean particles (은, 에서) and, of people, titles (씨, 님,
            회장) where the untrimmed form is not in the text, or is but reads better without;
            ``"keep"`` takes a mention as it stands; ``"trim"`` takes them off wherever something is
            left.
        fuzzy: Lowest similarity, in [0, 1], of a fuzzy match; mentions of three and four letters
            need 0.8 at least. ``None`` switches fuzzy matches off.
        order: What the order of the mentions tells: ``"text"``, ``"label"`` (within each label) or
            ``"none"``; ``"auto"`` finds out from the mentions that have one place only. Replies
            that are read say it by their format.
        repeats: ``"listed"`` places what is listed, once for each time; ``"all"`` also takes every
            further place of a surface that stands there as a word of its own, for models that list
            a name once.
    """

    particles: Particles = "auto"
    fuzzy: float | None = 0.75
    order: Order | Literal["auto"] = "auto"
    repeats: Repeats = "listed"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("particles", self.particles, ("auto", "keep", "trim")),
            ("order", self.order, ("auto", "text", "label", "none")),
            ("repeats", self.repeats, ("listed", "all")),
        ):
            if value not in known:
                raise InputError(
                    f"policy {name}={value!r} is unknown", hint=f"expected {', '.join(known)}"
                )
        if self.fuzzy is not None and not (is_number(self.fuzzy) and 0 <= self.fuzzy <= 1):
            raise InputError(
                f"policy fuzzy={self.fuzzy!r} is no similarity", hint="expected 0 to 1, or None"
            )


class PolicyFields(TypedDict, total=False):
    """The fields of :class:`Policy` as named arguments."""

    particles: Particles
    fuzzy: float | None
    order: Order | Literal["auto"]
    repeats: Repeats


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one mention.

    Attributes:
        mention: The mention.
        kind: ``exact``, ``canonical``, ``trimmed`` or ``fuzzy`` with a span; ``surplus`` (every
            occurrence is taken by copies of it), ``overlapped`` (others hold its place),
            ``not_found`` or ``unknown_label`` without; ``unsure`` for one that had a span whose
            score was too low.
        span: The span it became.
        similarity: 1 for a verbatim match, less for a fuzzy one, 0 without a span.
        reason: A few words for people: what was trimmed, what it is near to, why it has no place.
        repeats: Further spans of the same surface, with ``repeats="all"``.
        attributes: One for each attribute that the mention gives or lacks, if the schema says which
            attributes its label has. Spans have the values.
    """

    mention: Mention
    kind: OutcomeKind
    span: Span | None = None
    similarity: float = 0.0
    reason: str = ""
    repeats: tuple[Span, ...] = ()
    attributes: tuple[AttributeOutcome, ...] = field(default=(), hash=False)

    @property
    def places(self) -> tuple[Span, ...]:
        """All spans that it became: its own first, then those of its repeats."""
        return self.repeats if self.span is None else (self.span, *self.repeats)
