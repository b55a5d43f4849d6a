"""The confidence of spans: from the probabilities of tokens, or from a vote among samples.

The score of a span is the probability that the model writes this surface, ends it there and gives
it this label, after everything before it in the reply. It is the product of the probabilities of
the tokens that overlap the surface, the character after it, or the label. The score of a label of
the whole text is that of its name and of its values. These are the probabilities over all tokens,
even if a grammar forbade some. :class:`Calibrator` turns scores into
the share of spans that are right.
"""

from __future__ import annotations

import hashlib
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

from llmner._numbers import is_number
from llmner.engines import Reply, Token
from llmner.errors import InputError
from llmner.extraction._votes import voted_attributes
from llmner.extraction.guarantee import Guarantee, guarantee
from llmner.files import dump_json, kind_of, read_json, whole_file
from llmner.projection import LabelOutcome, Outcome, Projection
from llmner.replies import find_places
from llmner.spans import Span, TextLabel

__all__ = ["Calibrator", "check_min_score", "drop_unsure", "score_spans", "vote"]

# How much of the raw score is in a calibrated one that has a guarantee.
_TRIFLE = 1e-3


def score_spans(projection: Projection, reply: Reply) -> Projection:
    """The projection with a score on each span and label, from the probabilities of the tokens.

    What has a score keeps it if the reply has no tokens or the mention is not found in it.
    O(mentions · tokens).

    Args:
        projection: The projection of the reply.
        reply: The reply, with or without tokens.

    >>> from llmner.engines import Token
    >>> from llmner.projection import project_reply
    >>> text = "손흥민\\tPS"
    >>> reply = Reply(text, tokens=(Token(0, 4, -0.1), Token(4, 6, -0.2), Token(6, 6, 0.0)))
    >>> (span,) = score_spans(project_reply("손흥민은", text, format="pairs"), reply).spans
    >>> round(span.score, 3)
    0.741
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
            outcome = _with_scores(outcome, partial(_constant, score))
        outcomes.append(outcome)
    labels = _scored_labels(projection.label_outcomes, reply.text, reply.tokens)
    return replace(projection, label_outcomes=labels).with_outcomes(outcomes)


def _scored_labels(
    outcomes: Sequence[LabelOutcome], reply: str, tokens: Sequence[Token]
) -> tuple[LabelOutcome, ...]:
    """The labels of a whole text with the probabilities of their names and values."""
    places: list[tuple[int, int] | None] = []
    end = 0
    for outcome in outcomes:
        name = re.compile(rf"(?<!\w){re.escape(outcome.mention.label)}")
        found = name.search(reply, end) or name.search(reply)
        places.append(None if found is None else found.span())
        end = end if found is None else found.end()
    starts = sorted(place[0] for place in places if place is not None)
    scored = []
    for outcome, place in zip(outcomes, places, strict=True):
        if place is not None and outcome.label is not None:
            last = next((start for start in starts if start > place[0]), len(reply))
            ranges = [place]
            for attribute in outcome.attributes:
                said = str(attribute.said)
                at = -1 if attribute.said is None else reply.find(said, place[1], last)
                if at >= 0:
                    ranges.append((at, at + len(said)))
            score = _probability(tokens, ranges)
            if score is not None:
                outcome = replace(outcome, label=replace(outcome.label, score=score))
        scored.append(outcome)
    return tuple(scored)


def _probability(tokens: Sequence[Token], ranges: Sequence[tuple[int, int]]) -> float | None:
    """The probability of the tokens that overlap the ranges; ``None`` if it is not known."""
    logprobs = [
        min(token.logprob, 0.0)
        for token in tokens
        if any(_overlaps(token, start, end) for start, end in ranges)
    ]
    # A model with broken weights may give NaN.
    if not logprobs or any(map(math.isnan, logprobs)):
        return None
    return math.exp(math.fsum(logprobs))


def _overlaps(token: Token, start: int, end: int) -> bool:
    """Whether a token overlaps a range; the end-of-turn token does if the range goes beyond it."""
    if token.start == token.end:
        return token.start > 0 and start < token.start < end
    return token.start < end and start < token.end


def _constant(score: float | None, span: Span) -> float | None:
    return score


def _with_scores(outcome: Outcome, score: Callable[[Span], float | None]) -> Outcome:
    """The outcome with new scores on its spans."""
    if outcome.span is None:
        return outcome
    span, *repeats = (replace(place, score=score(place)) for place in outcome.places)
    return replace(outcome, span=span, repeats=tuple(repeats))


def check_min_score(min_score: float | None) -> None:
    """Check a minimum score.

    Raises:
        InputError: It is not in [0, 1].
    """
    if min_score is not None and not 0 <= min_score <= 1:
        raise InputError(f"the minimum score must be from 0 to 1, got {min_score:g}")


def drop_unsure(projection: Projection, min_score: float, *, unscored: bool = False) -> Projection:
    """The projection without the spans whose score is below ``min_score``.

    Their outcomes become ``unsure``. Spans without a score stay, unless ``unscored`` says that they
    are unsure, too.

    >>> projection = Projection("손흥민은", (Span(0, 3, "PS", 0.4),))
    >>> drop_unsure(projection, 0.5).spans
    ()
    """

    def is_unsure(item: Span | TextLabel) -> bool:
        return unscored if item.score is None else item.score < min_score

    def reason(score: float | None) -> str:
        return "no score" if score is None else f"score {score:.3f} is below {min_score:.4g}"

    spans = tuple(span for span in projection.spans if not is_unsure(span))
    labels = tuple(
        replace(outcome, kind="unsure", label=None)
        if outcome.label is not None and is_unsure(outcome.label)
        else outcome
        for outcome in projection.label_outcomes
    )
    return replace(projection, spans=spans, label_outcomes=labels).with_outcomes(
        _unsure_outcome(outcome, reason(outcome.span.score))
        if outcome.span is not None and is_unsure(outcome.span)
        else outcome
        for outcome in projection.outcomes
    )


def _unsure_outcome(outcome: Outcome, reason: str) -> Outcome:
    return Outcome(outcome.mention, "unsure", reason=reason)


def vote(projections: Sequence[Projection], asked: int | None = None) -> Projection:
    """Join the projections of several replies to one question: spans that more than half have stay.

    The score of a span is the share of replies that have it with the same label. Such spans never
    overlap. A span's outcome is that of the first reply that has it. Outcomes without a span, the
    text and the reading are those of the first reply.

    Args:
        projections: The projections of one text, at least one.
        asked: How many replies were asked for, if some of them failed and have no projection. A
            failed reply counts as a vote for no span.

    >>> name, other = Span(0, 3, "PS"), Span(5, 7, "LC")
    >>> text = "손흥민은 춘천에서"
    >>> vote([Projection(text, spans) for spans in ((name, other), (name,), (name,))]).spans
    (Span(start=0, end=3, label='PS', score=1.0),)
    """
    first, *_ = projections
    voters = len(projections) if asked is None else asked
    # The attributes of each span in every reply that has it.
    holders: dict[Span, list[Mapping[str, Any]]] = {}
    for projection in projections:
        for span in projection.spans:
            holders.setdefault(span, []).append(span.attributes)
    elected = {
        span: replace(span, score=len(own) / voters, attributes=voted_attributes(own))
        for span, own in holders.items()
        if len(own) > voters / 2
    }
    outcomes: list[Outcome] = []
    done: set[Span] = set()
    for number, projection in enumerate(projections):
        for outcome in projection.outcomes:
            place = outcome.span
            if place is None:
                if number == 0:
                    outcomes.append(outcome)
            elif place in elected and place not in done:
                done |= {place, *(repeat for repeat in outcome.repeats if repeat in elected)}
                repeats = tuple(elected[repeat] for repeat in outcome.repeats if repeat in elected)
                outcomes.append(replace(outcome, span=elected[place], repeats=repeats))
            elif number == 0 and place not in elected:
                share = f"{len(holders.get(place, ()))} of {voters} replies have it"
                outcomes.append(_unsure_outcome(outcome, share))
    return replace(
        first,
        spans=tuple(sorted(elected.values())),
        outcomes=tuple(outcomes),
        label_outcomes=_vote_labels(projections, voters),
    )


def _vote_labels(projections: Sequence[Projection], voters: int) -> tuple[LabelOutcome, ...]:
    """The labels of a whole text that more than half of the replies have.

    Outcomes without a label are those of the first reply.
    """
    holders: dict[str, list[LabelOutcome]] = {}
    for projection in projections:
        for outcome in projection.label_outcomes:
            if outcome.label is not None:
                holders.setdefault(outcome.label.label, []).append(outcome)
    outcomes = [o for o in projections[0].label_outcomes if o.label is None]
    for own in holders.values():
        labels = [outcome.label for outcome in own if outcome.label is not None]
        if len(own) <= voters / 2:
            outcomes.append(replace(own[0], kind="unsure", label=None))
            continue
        attributes = voted_attributes([label.attributes for label in labels])
        elected = replace(labels[0], attributes=attributes, score=len(own) / voters)
        outcomes.append(replace(own[0], label=elected))
    return tuple(outcomes)


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Turns raw scores into the share of spans that are right, by isotonic regression.

    Fit it on sentences that the model was not trained on.

    Attributes:
        scores: Raw scores, in rising order.
        precisions: For each score, the share of spans with this score that are right, in rising
            order. Between two scores it is interpolated.
        guarantee: A calibrated score from which on a share of spans is right with a known
            confidence; ``None`` if none was asked for. Spans below it are for review.

    Raises:
        InputError: The two have different lengths, do not rise, or leave [0, 1].

    >>> calibrator = Calibrator(scores=(0.5, 1.0), precisions=(0.2, 0.8))
    >>> calibrator(0.75)
    0.5
    """

    scores: tuple[float, ...]
    precisions: tuple[float, ...]
    guarantee: Guarantee | None = None

    def __post_init__(self) -> None:
        for values in (self.scores, self.precisions):
            rising = all(one <= other for one, other in pairwise(values))
            if not values or not rising or not all(0 <= value <= 1 for value in values):
                raise InputError("scores and precisions must rise and be from 0 to 1")
        if len(self.scores) != len(self.precisions):
            raise InputError("there must be one precision for each score")

    @classmethod
    def fit(cls, predictions: Iterable[tuple[float, bool]]) -> Calibrator:
        """Fit to (score, is right) pairs by isotonic regression (pooling adjacent violators).

        Of scores with the same share only the lowest and the highest are kept.

        Raises:
            InputError: There are no pairs.

        >>> Calibrator.fit([(0.2, False), (0.4, False), (0.8, True), (0.9, True)])(0.9)
        1.0
        """
        pairs = list(predictions)
        if not pairs:
            raise InputError("no prediction has a score to calibrate")
        # Rounding keeps scores from being so close that interpolating between them divides by a
        # number near 0.
        rights: dict[float, list[bool]] = {}
        for score, right in pairs:
            rights.setdefault(round(score, 6), []).append(right)
        # Blocks of neighbouring scores: the lowest and the highest, how many are right, how many
        # there are.
        blocks: list[tuple[float, float, int, int]] = []
        for score, own in sorted(rights.items()):
            low, hits, count = score, sum(own), len(own)
            while blocks and blocks[-1][2] * count >= hits * blocks[-1][3]:
                low, _, others, more = blocks.pop()
                hits, count = hits + others, count + more
            blocks.append((low, score, hits, count))
        points = [
            (score, hits / count)
            for low, high, hits, count in blocks
            for score in dict.fromkeys((low, high))
        ]
        return cls(tuple(score for score, _ in points), tuple(share for _, share in points))

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that identify it."""
        fields: list[Any] = [self.scores, self.precisions]
        if self.guarantee is not None:
            fields.append(self.guarantee.to_dict())
        return hashlib.sha256(dump_json(fields)).hexdigest()[:12]

    def with_guarantee(
        self, pairs: Iterable[tuple[float, bool]], precision: float, confidence: float = 0.95
    ) -> Calibrator | None:
        """The calibrator with a guarantee for the spans it is applied to.

        A trifle of the raw score is added to each share, so that no two scores share one: the
        guarantee is about the order of raw scores.

        Args:
            pairs: (raw score, is right), as of :func:`~llmner.extraction.guarantee.guarantee`.
            precision: The share of spans that is right.
            confidence: The probability that it is.

        Returns:
            ``None`` if nothing can be guaranteed.

        Raises:
            InputError: A share is not between 0 and 1.

        >>> pairs = [(0.9, True)] * 400 + [(0.2, False)] * 100
        >>> calibrator = Calibrator.fit(pairs).with_guarantee(pairs, 0.95)
        >>> calibrator(0.9) >= calibrator.guarantee.min_score > calibrator(0.89)
        True
        """
        found = guarantee(pairs, precision, confidence)
        if found is None:
            return None
        # Below the lowest score that was seen, nothing is promised.
        points = [(0.0, 0.0), *zip(self.scores, self.precisions, strict=True)]
        points = points[self.scores[0] <= 0 :]
        rising = tuple((1 - _TRIFLE) * share + _TRIFLE * score for score, share in points)
        strict = replace(self, scores=tuple(score for score, _ in points), precisions=rising)
        return replace(
            strict, guarantee=replace(found, min_score=min(1.0, strict(found.min_score)))
        )

    def for_review(self, projection: Projection) -> tuple[Projection, tuple[Span, ...]]:
        """A projection with calibrated scores without the spans that nothing is guaranteed of.

        Returns:
            The projection, in which their outcomes are ``unsure``, and these spans.
        """
        if self.guarantee is None:
            return projection, ()
        kept = drop_unsure(projection, self.guarantee.min_score, unscored=True)
        # It is about spans; labels of the whole text stay as they are.
        kept = replace(kept, label_outcomes=projection.label_outcomes)
        left = set(kept.spans)
        return kept, tuple(span for span in projection.spans if span not in left)

    def __call__(self, score: float) -> float:
        """The share of spans with this raw score that are right."""
        index = bisect_right(self.scores, score)
        if index == 0:
            return self.precisions[0]
        if index == len(self.scores):
            return self.precisions[-1]
        left, right = self.scores[index - 1 : index + 1]
        low, high = self.precisions[index - 1 : index + 1]
        return low + (high - low) * (score - left) / (right - left)

    def calibrate(self, projection: Projection) -> Projection:
        """The projection with calibrated scores; spans without a score stay as they are."""
        return projection.with_outcomes(
            _with_scores(outcome, lambda span: None if span.score is None else self(span.score))
            for outcome in projection.outcomes
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a JSON file.

        >>> import tempfile
        >>> calibrator = Calibrator((0.5, 1.0), (0.2, 0.8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     calibrator.save(f"{folder}/calibration.json")
        ...     Calibrator.load(f"{folder}/calibration.json") == calibrator
        True
        """
        with whole_file(Path(path)) as stream:
            fields: dict[str, Any] = {
                "scores": list(self.scores),
                "precisions": list(self.precisions),
            }
            if self.guarantee is not None:
                fields["guarantee"] = self.guarantee.to_dict()
            stream.write(dump_json(fields, indent=2) + b"\n")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Calibrator:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: The file is missing or is not a calibration.
        """
        hint = "expected a file that llmner calibrate wrote"
        file = Path(path)
        if kind_of(file) == "missing" and not file.is_symlink():
            raise InputError("no such file", path=path)
        try:
            if kind_of(file) == "special":
                # Reading a pipe that nothing writes to would wait forever.
                raise InputError("not a regular file")
            fields = read_json(file, hint=hint)
            scores, precisions = (_numbers(fields, key) for key in ("scores", "precisions"))
            kept = fields.get("guarantee")
            return cls(scores, precisions, None if kept is None else Guarantee.of_dict(kept))
        except InputError as error:
            raise InputError(
                f"is not a calibration: {error.problem}", path=path, hint=hint
            ) from None


def _numbers(fields: object, key: str) -> tuple[float, ...]:
    values = fields.get(key) if isinstance(fields, dict) else None
    if not isinstance(values, list) or not all(map(is_number, values)):
        raise InputError(f"{key!r} is not a list of numbers")
    return tuple(map(float, values))
