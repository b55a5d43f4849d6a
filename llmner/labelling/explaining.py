"""Why a text has a label: how far its score falls without each word.

One word at a time is left out, and all of these texts are asked about in batches. Classifiers are
asked for probabilities, whatever their thresholds; of taggers and language models the score of the
same span counts, and 0 where it is gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmner.errors import GenerationError
from llmner.extraction import Extraction, SpanExtractor
from llmner.labelling.evidence import Classifier, told_evidence
from llmner.labelling.select import uncertainty
from llmner.spans import Sentence, Span, TextLabel

__all__ = [
    "DOUBT",
    "Explanation",
    "Remembering",
    "WordShare",
    "explain",
    "explain_doubt",
    "explain_text",
    "shares",
]

DOUBT = "doubt"
"""What an explanation of doubt has as its label."""

_WORD = re.compile(r"\S+")
# What stands around a word and is no part of it.
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")
# Texts that are asked about together at most.
_AT_ONCE = 256


Key = tuple[str, str]
"""The label, and the surface of a span; empty for a label of the whole text."""


@dataclass(frozen=True, slots=True)
class WordShare:
    """A word of a text, and what a label loses without it.

    Attributes:
        start: The word's first character.
        end: One past its last character.
        share: How far the label's score falls when the word is left out, in [-1, 1]. Below 0, the
            word speaks against the label.
    """

    start: int
    end: int
    share: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a text has a label.

    Attributes:
        text: The text.
        label: The span, or the label of the whole text.
        score: Its score in the whole text; 1 where the model gives none.
        words: The words of the text, in its order.
    """

    text: str
    label: Span | TextLabel
    score: float
    words: tuple[WordShare, ...]

    @property
    def highlight(self) -> WordShare | None:
        """The word without which the score falls most; ``None`` if it falls without none.

        >>> words = (WordShare(0, 4, 0.1), WordShare(5, 9, 0.6))
        >>> Explanation("good food", TextLabel("food"), 0.9, words).highlight.start
        5
        """
        best = max(self.words, key=lambda word: word.share, default=None)
        return None if best is None or best.share <= 0 else best

    def to_dict(self) -> dict[str, Any]:
        """The explanation as ``explain --json`` prints it, in a list for each text."""
        label: dict[str, Any] = {"label": self.label.label, "score": round(self.score, 6)}
        if isinstance(self.label, Span):
            label |= {"start": self.label.start, "end": self.label.end}
        if self.label.attributes:
            label["attributes"] = dict(self.label.attributes)
        best = self.highlight
        return {
            **label,
            "highlight": None if best is None else {"start": best.start, "end": best.end},
            "words": [
                {"start": word.start, "end": word.end, "share": round(word.share, 6)}
                for word in self.words
            ],
        }


def explain(
    extractor: SpanExtractor, sentences: Iterable[Sentence | str]
) -> Iterator[tuple[Explanation, ...]]:
    """Explain what is found in each text, in order.

    A text of n words is asked about n + 1 times.

    Args:
        extractor: A classifier or tagger, or a language model whose replies have scores.
        sentences: The sentences, or their texts.

    Yields:
        An explanation of each span and of each label that a text has.

    Raises:
        GenerationError: The model fails at a text.

    >>> from llmner.baselines import BaselineExtractor
    >>> model = BaselineExtractor(Path("build/reviews"))  # doctest: +SKIP
    >>> (explanations,) = explain(model, ["배송이 너무 늦었어요"])  # doctest: +SKIP
    >>> explanations[0].highlight  # doctest: +SKIP
    WordShare(start=0, end=3, share=0.71)
    """
    load = getattr(extractor, "load", None)
    model = load() if callable(load) else None
    classifier = model if isinstance(model, Classifier) else None
    for sentence in sentences:
        text = sentence if isinstance(sentence, str) else sentence.text
        yield explain_text(text, extractor.extract, classifier)


def explain_text(
    text: str,
    extract: Callable[[Sequence[str]], Iterable[Extraction]],
    classifier: Classifier | None = None,
) -> tuple[Explanation, ...]:
    """Explain what is found in one text; see :func:`explain`.

    Args:
        text: The text.
        extract: Gives an extraction of each of several texts.
        classifier: What gives the probability of every label, if it is a classifier that extracts.

    Raises:
        GenerationError: The model fails at it.
    """
    (found,) = _answered(extract, [text])
    items: list[Span | TextLabel] = [*found.spans, *found.labels]
    words = _words(text)
    if not items or not words:
        return ()
    texts = _without_each(text, words)
    if classifier is not None:
        whole, *without = _probabilities(classifier, [text, *texts])
    else:
        whole, without = _scores(found), list(map(_scores, _answered(extract, texts)))
    explanations = []
    for item in items:
        key = _key(item, text)
        shares = tuple(
            # Without its own words a span is gone, which says nothing of what stands around it.
            replace(word, share=0.0)
            if isinstance(item, Span) and word.start < item.end and item.start < word.end
            else word
            for word in _shares(words, key, whole, without)
        )
        explanations.append(Explanation(text, item, whole[key], shares))
    return tuple(explanations)


def explain_doubt(extractor: SpanExtractor, text: str) -> Explanation | None:
    """Explain why a model is unsure of a text, which is why ``select`` picks it.

    Doubt is what :func:`~llmner.labelling.select` goes by: of all characters, named or not, where
    a tagger knows the probabilities of tags; else of the least sure span, or of the label that is
    nearest to 0.5.

    Args:
        extractor: The model.
        text: The text, which is asked about once, and once without each word.

    Returns:
        The doubt, in [0, 1], and how far it falls without each word; ``None`` if there is none.

    Raises:
        GenerationError: The model fails.

    >>> from llmner.baselines import BaselineExtractor
    >>> model = BaselineExtractor(Path("build/crf"))  # doctest: +SKIP
    >>> explain_doubt(model, "호날두가 호텔에 왔다").highlight  # doctest: +SKIP
    WordShare(start=5, end=8, share=0.31)
    """
    words = _words(text)
    if not words:
        return None
    texts = [text, *_without_each(text, words)]
    sentences = [Sentence(own) for own in texts]
    evidence = list(told_evidence(_answered(extractor.extract, texts), sentences, extractor))
    key, score = (DOUBT, ""), uncertainty(text, evidence[0])[0]
    if evidence[0].silent or score <= 0:
        return None
    without = [
        # An answer that cannot be read says nothing of the word that was left out.
        {key: score if said.silent else uncertainty(own, said)[0]}
        for own, said in zip(texts[1:], evidence[1:], strict=True)
    ]
    found = _shares(words, key, {key: score}, without)
    return Explanation(text, TextLabel(DOUBT, score=score), score, found)


class Remembering:
    """An extractor that asks about no text twice; all else is what it stands for.

    Args:
        extractor: What it stands for.
    """

    def __init__(self, extractor: SpanExtractor) -> None:
        self._extractor = extractor
        self._known: dict[str, Extraction] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._extractor, name)

    def extract(self, sentences: Iterable[Sentence | str]) -> Iterator[Extraction]:
        """Extract from texts, in order; ids are not looked at."""
        texts = [own if isinstance(own, str) else own.text for own in sentences]
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, self._extractor.extract(new), strict=True))
        yield from (self._known[text] for text in texts)


def shares(model: Classifier, text: str, label: str) -> tuple[WordShare, ...]:
    """How far a classifier's probability of a label falls without each word of a text.

    Args:
        model: A classifier with ``labels`` and ``probabilities``.
        text: The text.
        label: The label, whether the classifier gives it or not.
    """
    words = _words(text)
    whole, *without = _probabilities(model, [text, *_without_each(text, words)])
    return _shares(words, (label, ""), whole, without)


def _shares(
    words: Sequence[WordShare],
    key: Key,
    whole: Mapping[Key, float],
    without: Sequence[Mapping[Key, float]],
) -> tuple[WordShare, ...]:
    """How far the score of one label or span falls without each word; where it is gone, to 0."""
    return tuple(
        replace(word, share=whole[key] - scores.get(key, 0.0))
        for word, scores in zip(words, without, strict=True)
    )


def _without_each(text: str, words: Sequence[WordShare]) -> list[str]:
    return [text[: word.start] + text[word.end :] for word in words]


def _words(text: str) -> list[WordShare]:
    """The words of a text without the punctuation around them."""
    words = []
    for match in _WORD.finditer(text):
        inner = _EDGES.sub("", match[0])
        if inner:
            start = match.start() + match[0].index(inner)
            words.append(WordShare(start, start + len(inner), 0.0))
    return words


def _key(item: Span | TextLabel, text: str) -> Key:
    return item.label, text[item.start : item.end] if isinstance(item, Span) else ""


def _probabilities(classifier: Classifier, texts: Sequence[str]) -> list[dict[Key, float]]:
    """The probability of each label in each text."""
    return [
        {(label, ""): float(p) for label, p in zip(classifier.labels, row, strict=True)}
        for start in range(0, len(texts), _AT_ONCE)
        for row in classifier.probabilities(texts[start : start + _AT_ONCE])
    ]


def _scores(extraction: Extraction) -> dict[Key, float]:
    """The score of each span and label of a text."""
    items: list[Span | TextLabel] = [*extraction.spans, *extraction.labels]
    text = extraction.sentence.text
    return {_key(item, text): 1.0 if item.score is None else item.score for item in items}


def _answered(
    extract: Callable[[Sequence[str]], Iterable[Extraction]], texts: Sequence[str]
) -> list[Extraction]:
    extractions = list(extract(texts))
    for extraction in extractions:
        if extraction.reply.error is not None:
            raise GenerationError(f"the model fails at a text: {extraction.reply.error}")
    return extractions
