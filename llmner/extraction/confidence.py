"""How sure a model is of each span: from the probabilities of its tokens, or from a vote among
several replies.

The score of a span is the probability that the model gave to writing this surface, ending it there,
and giving it this label, with everything before as it stands in the reply: the product of the
probabilities of the tokens that reach into the surface, the character after it, or the label. They
are the model's own, over all tokens, also where a grammar forbade some. ``Calibration`` makes such
scores mean what they say.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, pairwise
from os import PathLike
from pathlib import Path

from llmner._numbers import is_number
from llmner.engines import Reply, Token
from llmner.errors import InputError
from llmner.files import dump_json, kind_of, read_json, whole_file
from llmner.projection import Outcome, Projection
from llmner.replies import find_places
from llmner.spans import Span

__all__ = ["Calibrator", "drop_unsure", "score_spans", "vote"]


def score_spans(projection: Projection, reply: Reply) -> Projection:
    """The projection with a score on each span, from its tokens' probabilities.

    Spans keep what score they have where the engine knows no probabilities or a mention cannot be
    found in the reply. O(mentions · tokens).

    Args:
        projection: Of the reply.
        reply: With or without tokens.
    """
    read = projection.reply
    if not reply.tokens or read is None:
        return projection
    places = find_places(
        reply.text, [outcome.mention for outcome in projection.outcomes], read.format
    )
    outcomes = []
    for outcome, place in zip(projection.outcomes, places, strict=True):
        if place is not None:
            score = _probability(reply.tokens, [part for part in place if part is not None])
            outcome = _scored(outcome, partial(_the_same, score))
        outcomes.append(outcome)
    return projection.with_outcomes(outcomes)


def _probability(tokens: Sequence[Token], ranges: Sequence[tuple[int, int]]) -> float | None:
    held = [
        min(token.logprob, 0.0)
        for token in tokens
        if any(_reaches(token, start, end) for start, end in ranges)
    ]
    # Of a model with broken weights they may be no numbers; then nothing is known.
    if not held or any(map(math.isnan, held)):
        return None
    return math.exp(math.fsum(held))


def _reaches(token: Token, start: int, end: int) -> bool:
    """Whether a token has a part in a stretch; what ended a reply has one in a stretch that goes
    beyond it.
    """
    if token.start == token.end:
        return token.start > 0 and start < token.start < end
    return token.start < end and start < token.end


def _the_same(score: float | None, span: Span) -> float | None:
    return score


def _scored(outcome: Outcome, score: Callable[[Span], float | None]) -> Outcome:
    """An outcome whose spans have other scores."""
    if outcome.span is None:
        return outcome
    span, *repeats = (replace(place, score=score(place)) for place in outcome.places)
    return replace(outcome, span=span, repeats=tuple(repeats))


def check_min_score(min_score: float | None) -> None:
    """Make sure that a lowest score is one.

    Raises:
        InputError: It is not in [0, 1].
    """
    if min_score is not None and not 0 <= min_score <= 1:
        raise InputError(f"a lowest score of {min_score:g} is none", hint="expected 0 to 1")


def drop_unsure(projection: Projection, min_score: float) -> Projection:
    """The projection without spans whose score is below ``min_score``; their outcomes say so.

    Spans without a score stay.
    """

    def unsure(span: Span) -> bool:
        return span.score is not None and span.score < min_score

    sure = replace(projection, spans=tuple(span for span in projection.spans if not unsure(span)))
    return sure.with_outcomes(
        _unsure(outcome, f"score {outcome.span.score:.3f} is below {min_score:g}")
        if outcome.span is not None and unsure(outcome.span)
        else outcome
        for outcome in projection.outcomes
    )


def _unsure(outcome: Outcome, reason: str) -> Outcome:
    """An outcome that has lost its place."""
    return Outcome(outcome.mention, "unsure", reason=reason)


def vote(projections: Sequence[Projection], asked: int | None = None) -> Projection:
    """One projection of several replies to the same question: what more than half of them have.

    A span's score is the share of replies that have it, with the same label; spans of more than
    half never overlap. Outcomes are those of the first reply that has the span, and of the first
    reply for mentions that have none. Text and reading are the first one's.

    Args:
        projections: Of one text, at least one.
        asked: How many replies were asked for, where some have failed: they voted for nothing.
    """
    first, *_ = projections
    voters = len(projections) if asked is None else asked
    votes = Counter(span for projection in projections for span in projection.spans)
    elected = {
        span: replace(span, score=count / voters)
        for span, count in votes.items()
        if count > voters / 2
    }
    outcomes: list[Outcome] = []
    taken: set[Span] = set()
    for number, projection in enumerate(projections):
        for outcome in projection.outcomes:
            span = outcome.span
            if span is None:
                if number == 0:
                    outcomes.append(outcome)
            elif span in elected and span not in taken:
                taken |= {span, *(repeat for repeat in outcome.repeats if repeat in elected)}
                repeats = tuple(elected[repeat] for repeat in outcome.repeats if repeat in elected)
                outcomes.append(replace(outcome, span=elected[span], repeats=repeats))
            elif number == 0 and span not in elected:
                share = f"{votes[span]} of {voters} replies have it"
                outcomes.append(_unsure(outcome, share))
    return replace(first, spans=tuple(sorted(elected.values())), outcomes=tuple(outcomes))


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Scores made to mean what they say: isotonic regression, fitted on sentences the model was not
    trained on.

    Attributes:
        scores: Raw scores, rising.
        precisions: The share of spans with such a score that are right, rising; between two scores
            it is interpolated.

    Raises:
        InputError: The two do not match, or do not rise, or leave [0, 1].
    """

    scores: tuple[float, ...]
    precisions: tuple[float, ...]

    def __post_init__(self) -> None:
        for values in (self.scores, self.precisions):
            rising = all(one <= other for one, other in pairwise(values))
            if not values or not rising or not all(0 <= value <= 1 for value in values):
                raise InputError("a calibration needs rising numbers from 0 to 1")
        if len(self.scores) != len(self.precisions):
            raise InputError("a calibration needs a precision for each score")

    @classmethod
    def fit(cls, predictions: Iterable[tuple[float, bool]]) -> Calibrator:
        """Fit to (score, right) pairs by scikit-learn's isotonic regression.

        Raises:
            InputError: There are none.
        """
        from sklearn.isotonic import IsotonicRegression

        pairs = list(predictions)
        if not pairs:
            raise InputError("no prediction has a score to calibrate")
        # Scores that differ by next to nothing would be divided by it.
        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(
            [round(score, 6) for score, _ in pairs], [float(right) for _, right in pairs]
        )
        return cls(
            tuple(map(float, fitted.X_thresholds_)),
            # Rounding may leave one a hair below the one before.
            tuple(
                accumulate(
                    (min(max(float(value), 0.0), 1.0) for value in fitted.y_thresholds_), max
                )
            ),
        )

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that tell it from others."""
        return hashlib.sha256(dump_json([self.scores, self.precisions])).hexdigest()[:12]

    def __call__(self, score: float) -> float:
        """The precision of spans with this raw score."""
        at = bisect_right(self.scores, score)
        if at == 0:
            return self.precisions[0]
        if at == len(self.scores):
            return self.precisions[-1]
        left, right = self.scores[at - 1 : at + 1]
        low, high = self.precisions[at - 1 : at + 1]
        return low + (high - low) * (score - left) / (right - left)

    def calibrate(self, projection: Projection) -> Projection:
        """The projection with calibrated scores; spans without one stay without."""
        return projection.with_outcomes(
            _scored(outcome, lambda span: None if span.score is None else self(span.score))
            for outcome in projection.outcomes
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write it as JSON."""
        with whole_file(Path(path)) as stream:
            held = {"scores": list(self.scores), "precisions": list(self.precisions)}
            stream.write(dump_json(held, indent=2) + b"\n")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Calibrator:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: The file is missing or is no calibration.
        """
        hint = "expected what llmner calibrate wrote"
        place = Path(path)
        if kind_of(place) == "missing" and not place.is_symlink():
            raise InputError("no such file", path=path)
        try:
            if kind_of(place) == "special":
                # Nobody waits for a pipe that nothing is written to.
                raise InputError("not a regular file")
            held = read_json(place, hint=hint)
            return cls(*(_numbers(held, key) for key in ("scores", "precisions")))
        except InputError as error:
            raise InputError(f"is no calibration: {error.problem}", path=path, hint=hint) from None


def _numbers(held: object, key: str) -> tuple[float, ...]:
    values = held.get(key) if isinstance(held, dict) else None
    if not isinstance(values, list) or not all(map(is_number, values)):
        raise InputError(f"{key!r} is no list of numbers")
    return tuple(map(float, values))
