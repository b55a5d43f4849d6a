"""What models say of sentences whose labels are in question: predictions they were not taught.

A tagger that learns from a label repeats it. So a corpus is cut into folds, and each fold is judged
by a tagger that learnt from the others. A model that is there already is asked as it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from llmner._mishaps import Mishap, attempt
from llmner.errors import InputError
from llmner.extraction import SpanExtractor
from llmner.spans import Sentence, Span

if TYPE_CHECKING:
    from llmner.baselines._marginals import TagMarginals
    from llmner.extraction import Extraction

__all__ = [
    "FOLD_MODELS",
    "NO_ANSWER",
    "UNSCORED",
    "Classifier",
    "Evidence",
    "asked_evidence",
    "fold_evidence",
    "fold_numbers",
    "learnt_evidence",
    "told_evidence",
]

FOLD_MODELS = ("crf", "bilstm-crf")
"""Taggers that are trained on the folds."""
UNSCORED = 0.7
"""Of a model that gives no probabilities: what its spans and its silence are worth."""
_AT_ONCE = 64
NO_ANSWER = ("truncated", "unreadable", "empty")
"""Readings of a reply that say nothing of what is not in it."""


@runtime_checkable
class Classifier(Protocol):
    """What gives the probability of every label."""

    labels: tuple[str, ...]

    def probabilities(self, texts: Sequence[str]) -> Any:
        """(texts, labels)."""
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a model says of one sentence.

    Attributes:
        spans: The spans it finds, with scores.
        marginals: The probability of every tag, if the model knows them.
        labels: The probability of each label of the whole text, by label.
        given: The labels of these that the model gives; ``None`` for those from one half on.
        values: The probability of each value of an attribute, by label and name of the attribute.
        silent: Whether the model has not answered, or its answer was cut off or unreadable: then it
            says nothing, not even that there is nothing.
    """

    spans: tuple[Span, ...] = ()
    marginals: TagMarginals | None = None
    labels: Mapping[str, float] = field(default_factory=dict)
    given: frozenset[str] | None = None
    values: Mapping[tuple[str, str], Mapping[Any, float]] = field(default_factory=dict)
    silent: bool = False

    def probability(self, span: Span) -> float:
        """How probable a span is, in [0, 1].

        >>> Evidence((Span(0, 3, "PS", 0.9),)).probability(Span(0, 3, "PS"))
        0.9
        """
        if self.marginals is not None:
            return self.marginals.of_span(span.start, span.end, span.label)
        found = next((own for own in self.spans if own == span), None)
        if found is None:
            return 0.0
        return UNSCORED if found.score is None else found.score

    def outside(self, start: int, end: int) -> float:
        """How probable it is that nothing in a range is in a span, in [0, 1].

        >>> Evidence((Span(0, 3, "PS", 0.9),)).outside(0, 3) < 0.2
        True
        """
        if self.marginals is not None:
            return self.marginals.outside(start, end)
        over = [own for own in self.spans if own.start < end and start < own.end]
        if not over:
            return UNSCORED
        return 1 - max(UNSCORED if own.score is None else own.score for own in over)


def fold_numbers(texts: Sequence[str], folds: int, seed: int) -> list[int]:
    """The fold of each text, from 0. Equal texts share a fold: one would give the other away.

    Args:
        texts: The texts.
        folds: Their number, at least 2.
        seed: Seed of the choice.

    Raises:
        InputError: There are fewer different texts than folds, or fewer than two folds.

    >>> fold_numbers(["a", "b", "a", "c"], 2, 1).count(0) in (1, 2, 3)
    True
    """
    different = sorted(set(texts))
    if folds < 2:
        raise InputError(f"there must be at least 2 folds, got {folds}")
    if len(different) < folds:
        raise InputError(
            f"{len(different)} different texts cannot make {folds} folds", hint="give more"
        )
    random.Random(seed).shuffle(different)
    fold_of = {text: number % folds for number, text in enumerate(different)}
    return [fold_of[text] for text in texts]


def fold_evidence(
    sentences: Sequence[Sentence],
    model: str,
    folder: Path,
    *,
    folds: int = 5,
    seed: int = 42,
    report: Callable[[str], None] | None = None,
    on_sentence: Callable[[], None] | None = None,
) -> list[Evidence]:
    """What taggers say of the sentences that they did not learn from.

    Labels of whole texts, if there are any, are judged by a linear classifier in the same way.

    Args:
        sentences: The sentences.
        model: One of :data:`FOLD_MODELS`.
        folder: Where the taggers are kept; those of an interrupted run are used again.
        folds: How many parts the corpus is cut into.
        seed: Seed of the parts.
        report: Called with a sentence about each training.
        on_sentence: Called after each sentence.

    Raises:
        InputError: There is no such tagger, or there is too little to learn from.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    numbers = fold_numbers([sentence.text for sentence in sentences], folds, seed)
    has_spans = any(sentence.spans for sentence in sentences)
    has_labels = any(sentence.labels for sentence in sentences)
    if not (has_spans or has_labels):
        raise InputError("the corpus has no labels to look at", hint="give a labelled one")
    found: list[Evidence] = [Evidence()] * len(sentences)
    for fold in range(folds):
        learnt = [one for one, number in zip(sentences, numbers, strict=True) if number != fold]
        teaches_spans = any(one.spans for one in learnt)
        places = [place for place, number in enumerate(numbers) if number == fold]
        own = [sentences[place] for place in places]
        tagger = classifier = None
        # A layer that only the judged fold has cannot be learnt.
        if teaches_spans:
            # Texts that are labelled as wholes say nothing of spans.
            spanned = [one for one in learnt if one.spans or not one.labels]
            tagger = _trained(spanned, model, folder / f"{model}-{fold + 1}", seed, report)
        if any(one.labels for one in learnt):
            labelled = [one for one in learnt if one.labels or not one.spans]
            classifier = _trained(
                labelled, "linear-classifier", folder / f"texts-{fold + 1}", seed, report
            )
        evidence = _evidence(own, tagger, classifier)
        for place, one in zip(places, evidence, strict=True):
            found[place] = replace(one, silent=has_spans and not teaches_spans)
            if on_sentence is not None:
                on_sentence()
    return found


def learnt_evidence(
    sentences: Sequence[Sentence],
    labelled: Sequence[Sentence],
    model: str,
    folder: Path,
    *,
    seed: int = 42,
    report: Callable[[str], None] | None = None,
    on_sentence: Callable[[], None] | None = None,
) -> list[Evidence]:
    """What a tagger that learns from labelled sentences says of others.

    Args:
        sentences: The others.
        labelled: The labelled sentences.
        model: One of :data:`FOLD_MODELS`.
        folder: Where it is trained.
        seed: Seed of training.
        report: Called with a sentence about the training.
        on_sentence: Called after each sentence.

    Raises:
        InputError: There is too little to learn from.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    tagger = _trained(labelled, model, folder / model, seed, report)
    found = []
    for own in _evidence(sentences, tagger, None):
        found.append(own)
        if on_sentence is not None:
            on_sentence()
    return found


def asked_evidence(
    sentences: Sequence[Sentence],
    extractor: SpanExtractor,
    *,
    on_sentence: Callable[[], None] | None = None,
) -> list[Evidence]:
    """What a model that is there says of sentences, which it should not have learnt from.

    A tagger that knows the probabilities of all tags tells them, and a classifier those of all
    labels, whatever its thresholds.

    Args:
        sentences: The sentences.
        extractor: The model.
        on_sentence: Called after each sentence.

    Raises:
        GenerationError: The model fails.
    """
    texts = [Sentence(sentence.text, (), sentence.id) for sentence in sentences]
    found = []
    for own in told_evidence(extractor.extract(texts), texts, extractor):
        found.append(own)
        if on_sentence is not None:
            on_sentence()
    return found


def told_evidence(
    extractions: Iterable[Extraction], sentences: Sequence[Sentence], extractor: SpanExtractor
) -> Iterator[Evidence]:
    """What extractions of sentences say, with what their model knows besides.

    Args:
        extractions: The extractions.
        sentences: Their sentences.
        extractor: What made them.
    """
    beliefs = _beliefs(extractor, [sentence.text for sentence in sentences])
    for extraction, (marginals, every) in zip(extractions, beliefs, strict=False):
        labels = {
            label.label: UNSCORED if label.score is None else label.score
            for label in extraction.labels
        }
        read = extraction.projection.reply
        silent = extraction.reply.error is not None or (
            read is not None and read.status in NO_ANSWER
        )
        values = {
            (label.label, name): {value: labels[label.label]}
            for label in extraction.labels
            for name, value in label.attributes.items()
            if isinstance(value, str | int | float)
        }
        yield Evidence(
            extraction.spans, marginals, {**labels, **every}, frozenset(labels), values, silent
        )


def _beliefs(
    extractor: SpanExtractor, texts: Sequence[str]
) -> Iterator[tuple[TagMarginals | None, Mapping[str, float]]]:
    """For each text the probabilities of all tags and of all labels, as far as a model has them."""
    from llmner.baselines._marginals import MarginalTagger

    load = getattr(extractor, "load", None)
    model = load() if callable(load) else None
    for start in range(0, len(texts), _AT_ONCE):
        batch = texts[start : start + _AT_ONCE]
        marginals: Sequence[TagMarginals | None] = [None] * len(batch)
        every: Sequence[Mapping[str, float]] = [{}] * len(batch)
        if isinstance(model, MarginalTagger):
            # A text that it fails at has an answer with an error.
            told = attempt(model.marginals, batch)
            marginals = marginals if isinstance(told, Mishap) else told
        elif isinstance(model, Classifier):
            rows = attempt(model.probabilities, batch)
            if not isinstance(rows, Mishap):
                every = [dict(zip(model.labels, map(float, row), strict=True)) for row in rows]
        yield from zip(marginals, every, strict=True)


def _trained(
    sentences: Sequence[Sentence],
    kind: str,
    folder: Path,
    seed: int,
    report: Callable[[str], None] | None,
) -> Any:
    """A tagger that learnt from sentences; that of an interrupted run if it is the same."""
    from llmner.baselines import load_baseline, train_baseline
    from llmner.baselines._kinds import KINDS, seeded
    from llmner.baselines._store import read_baseline_record
    from llmner.scoring import corpus_signature

    # A classifier's own folds choose thresholds, which nobody asks for here.
    options = {"folds": 0} if kind == "linear-classifier" else {}
    config = seeded(KINDS[kind].config, seed, **options)
    signature = corpus_signature("", sentences)["sha256"]
    if (folder / "baseline.json").is_file():
        record = read_baseline_record(folder)
        if record["corpus"]["sha256"] == signature and record["kind"] == kind:
            return load_baseline(folder)
    if report is not None:
        report(f"training {folder.name} on {len(sentences):,} sentences")
    folder.parent.mkdir(parents=True, exist_ok=True)
    trained = train_baseline(sentences, config, folder, seed=seed, restart=True)
    return trained.baseline


def _evidence(sentences: Sequence[Sentence], tagger: Any, classifier: Any) -> Iterator[Evidence]:
    from llmner.baselines._marginals import MarginalTagger

    for start in range(0, len(sentences), _AT_ONCE):
        batch = sentences[start : start + _AT_ONCE]
        texts = [sentence.text for sentence in batch]
        spans = [()] * len(texts) if tagger is None else tagger.tag(texts)
        marginals: Sequence[TagMarginals | None] = [None] * len(texts)
        if isinstance(tagger, MarginalTagger):
            marginals = tagger.marginals(texts)
        rows = [()] * len(texts) if classifier is None else classifier.probabilities(texts)
        names = () if classifier is None else classifier.labels
        values: Sequence[Any] = [{}] * len(texts)
        if classifier is not None:
            # What a label's attribute is, not whether the text has the label.
            given = [[label.label for label in sentence.labels] for sentence in batch]
            values = classifier.values(texts, given)
        for own, around, row, worth in zip(spans, marginals, rows, values, strict=True):
            labels = dict(zip(names, map(float, row), strict=True))
            yield Evidence(tuple(own), around, labels, values=worth)
