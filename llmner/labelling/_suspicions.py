"""Labels that models doubt: candidates, what is known of each, and how likely it is wrong.

What a model says of a span is one piece of evidence. How often the same words are labelled
elsewhere is another. How much each is worth differs from corpus to corpus, so it is learnt from
errors that are planted: a label is damaged, and what it looks like beside the same predictions is
an example of an error. No model is trained again for that, since a sentence's judge never saw it.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llmner.labelling.evidence import Evidence
from llmner.spans import Sentence, Span

__all__ = ["Candidate", "Surfaces", "candidates", "probabilities", "raw_score"]

SpanKind = Literal["missing", "spurious", "boundary", "label"]
KINDS: tuple[SpanKind, ...] = ("missing", "spurious", "boundary", "label")
# Planted errors of each kind, at most.
_PLANTED = 2000
# Fewer examples than these teach nothing.
_FEWEST = 50
_CERTAIN = 1e-5
# The inverse strength of regularisation, and the weight of what a model says alone: chosen on
# errors planted into KLUE's train part, where neither matters much.
_LOOSENESS, _SURENESS = 0.2, 0.3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A label that a model doubts, or a span that it misses.

    Attributes:
        number: The sentence's number, from 0.
        kind: What is wrong with it, if something is.
        given: The span that is labelled; ``None`` where one is missing.
        found: The span that the model finds in its place; ``None`` where it finds none.
        against: The probability of what the model says instead.
        for_it: The probability of the given span.
    """

    number: int
    kind: SpanKind
    given: Span | None
    found: Span | None
    against: float
    for_it: float

    @property
    def start(self) -> int:
        """The first character that it is about."""
        return min(span.start for span in (self.given, self.found) if span is not None)

    @property
    def end(self) -> int:
        """One past the last character that it is about."""
        return max(span.end for span in (self.given, self.found) if span is not None)


class Surfaces:
    """How often the words of a corpus are labelled, and as what.

    Args:
        sentences: The corpus.
    """

    def __init__(self, sentences: Iterable[Sentence]) -> None:
        self.labelled: dict[str, Counter[str]] = defaultdict(Counter)
        texts = []
        for sentence in sentences:
            texts.append(sentence.text)
            for span in sentence.spans:
                self.labelled[sentence.text[span.start : span.end]][span.label] += 1
        self._text = "\n".join(texts)
        self._occurrences: dict[str, int] = {}

    def counts(self, surface: str, label: str) -> tuple[int, int, int]:
        """How often a surface has this label, has others, and has none.

        >>> found = Surfaces([Sentence("서울 서울", (Span(0, 2, "LC"),))])
        >>> found.counts("서울", "LC")
        (1, 0, 1)
        """
        own = self.labelled.get(surface, Counter())
        total = sum(own.values())
        if surface not in self._occurrences:
            self._occurrences[surface] = self._text.count(surface) if surface else 0
        bare = max(0, self._occurrences[surface] - total)
        return own[label], total - own[label], bare


def candidates(number: int, sentence: Sentence, evidence: Evidence) -> list[Candidate]:
    """The labels of a sentence that a model doubts, and the spans that it misses."""
    found: list[Candidate] = []
    if evidence.silent:
        return found
    for given in sentence.spans:
        if given in evidence.spans:
            continue
        over = [own for own in evidence.spans if own.start < given.end and given.start < own.end]
        for_it = evidence.probability(given)
        if not over:
            against = evidence.outside(given.start, given.end)
            found.append(Candidate(number, "spurious", given, None, against, for_it))
            continue
        best = max(over, key=lambda own: min(own.end, given.end) - max(own.start, given.start))
        same_place = (best.start, best.end) == (given.start, given.end)
        kind: SpanKind = "label" if same_place else "boundary"
        found.append(Candidate(number, kind, given, best, _score(best), for_it))
    for own in evidence.spans:
        if not any(own.start < given.end and given.start < own.end for given in sentence.spans):
            found.append(Candidate(number, "missing", None, own, _score(own), 0.0))
    return found


def _score(span: Span) -> float:
    return 0.5 if span.score is None else span.score


def raw_score(candidate: Candidate) -> float:
    """How likely a label is wrong by what the model says alone, in [0, 1]."""
    return max(0.0, candidate.against - candidate.for_it)


def probabilities(
    sentences: Sequence[Sentence],
    evidence: Sequence[Evidence],
    doubts: Sequence[Candidate],
    surfaces: Surfaces,
    seed: int,
) -> list[float]:
    """How likely each label is wrong, in [0, 1], as planted errors teach it.

    Where too few can be planted, it is what the model says alone.

    Args:
        sentences: The corpus.
        evidence: What a model says of each sentence.
        doubts: The candidates.
        surfaces: How words are labelled.
        seed: Seed of the planted errors.
    """
    planted = _planted(sentences, evidence, random.Random(seed))
    if len(planted) < _FEWEST or len(doubts) < _FEWEST:
        return [raw_score(candidate) for candidate in doubts]
    from sklearn.linear_model import LogisticRegression

    from llmner.baselines._text_labels import sigmoid

    rows = _features(sentences, [*doubts, *planted], surfaces, planted_from=len(doubts))
    wrong = np.arange(len(rows)) >= len(doubts)
    model = LogisticRegression(C=_LOOSENESS, max_iter=2000).fit(rows, wrong)
    learnt = model.decision_function(rows[: len(doubts)])
    # The labels of the corpus count as right there, errors among them. So what a model is sure of
    # is worth more than it has learnt.
    sure = [_log_odds(raw_score(candidate)) for candidate in doubts]
    found: list[float] = sigmoid(learnt + _SURENESS * np.array(sure)).tolist()
    return found


def _features(
    sentences: Sequence[Sentence],
    items: Sequence[Candidate],
    surfaces: Surfaces,
    planted_from: int,
) -> NDArray[np.float64]:
    """(items, features): for each kind its own constant, log-odds and logarithms of counts."""
    rows = []
    for place, own in enumerate(items):
        text = sentences[own.number].text
        values = [1.0, _log_odds(own.against), _log_odds(own.for_it)]
        for span, is_given in ((own.given, True), (own.found, False)):
            if span is None:
                values += [0.0, 0.0, 0.0]
                continue
            same, other, bare = surfaces.counts(text[span.start : span.end], span.label)
            if place < planted_from:
                # It does not speak for itself.
                same -= is_given
            elif is_given:
                # The corpus has not been damaged: what is planted stands in another's place.
                other -= own.kind == "label"
                bare -= own.kind in ("spurious", "boundary")
            elif span in sentences[own.number].spans:
                # What the damage took away is still in the corpus.
                same -= 1
                other += own.kind == "label"
                bare += own.kind in ("missing", "boundary")
            values += [math.log1p(max(0, count)) for count in (same, other, bare)]
        values.append((own.end - own.start) / 5)
        row = np.zeros((len(KINDS), len(values)))
        row[KINDS.index(own.kind)] = values
        rows.append(row.ravel())
    return np.array(rows)


def _log_odds(share: float) -> float:
    share = min(max(share, _CERTAIN), 1 - _CERTAIN)
    return math.log(share / (1 - share))


def _planted(
    sentences: Sequence[Sentence], evidence: Sequence[Evidence], rng: random.Random
) -> list[Candidate]:
    """What planted errors look like, where the model's own answer differs from them."""
    labels = [span.label for sentence in sentences for span in sentence.spans]
    if not labels:
        return []
    order = list(range(len(sentences)))
    found: list[Candidate] = []
    for kind in KINDS:
        rng.shuffle(order)
        for number in order[:_PLANTED]:
            damaged = damage(sentences[number], kind, labels, rng)
            if damaged is None:
                continue
            spans, (start, end) = damaged
            changed = replace(sentences[number], spans=spans)
            found += [
                own
                for own in candidates(number, changed, evidence[number])
                if _about(own, start, end)
            ]
    return found


def _about(candidate: Candidate, start: int, end: int) -> bool:
    """Whether a candidate and a range overlap by half of each."""
    shared = min(candidate.end, end) - max(candidate.start, start)
    return 2 * shared >= max(end - start, candidate.end - candidate.start)


def damage(
    sentence: Sentence, kind: SpanKind, labels: Sequence[str], rng: random.Random
) -> tuple[tuple[Span, ...], tuple[int, int]] | None:
    """A sentence's spans with an error of a kind, and where it is; ``None`` where none fits."""
    spans = list(sentence.spans)
    if kind == "spurious":
        return _with_another(sentence, labels, rng)
    if not spans:
        return None
    own = spans.pop(rng.randrange(len(spans)))
    if kind == "missing":
        return tuple(spans), (own.start, own.end)
    if kind == "label":
        others = [label for label in labels if label != own.label]
        if not others:
            return None
        changed = replace(own, label=rng.choice(others))
    else:
        start, end = own.start, own.end
        step = rng.choice((-3, -2, -1, 1, 2, 3))
        start, end = (start + step, end) if rng.random() < 0.5 else (start, end + step)
        surface = sentence.text[max(0, start) : end]
        free = all(end <= other.start or other.end <= start for other in spans)
        if not (0 <= start < end <= len(sentence.text) and surface.strip() == surface and free):
            return None
        changed = replace(own, start=start, end=end)
    place = min(own.start, changed.start), max(own.end, changed.end)
    return tuple(sorted([*spans, changed])), place


def _with_another(
    sentence: Sentence, labels: Sequence[str], rng: random.Random
) -> tuple[tuple[Span, ...], tuple[int, int]] | None:
    """Some characters from a word's beginning, as an entity."""
    text = sentence.text
    begins = [
        place
        for place, char in enumerate(text)
        if not char.isspace() and (place == 0 or text[place - 1].isspace())
    ]
    if not begins:
        return None
    start = rng.choice(begins)
    end = min(len(text), start + rng.randint(1, 8))
    surface = text[start:end].rstrip()
    end = start + len(surface)
    if not surface or any(own.start < end and start < own.end for own in sentence.spans):
        return None
    another = Span(start, end, rng.choice(labels))
    return tuple(sorted([*sentence.spans, another])), (start, end)
