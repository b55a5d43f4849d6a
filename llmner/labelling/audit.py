"""Which labels are likely wrong: missing, spurious, at the wrong place, of the wrong kind.

Rows come best first. Besides what models doubt (``_suspicions``), the same words labelled two ways,
the same text labelled two ways, and texts that are in the held-out part as well are told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from llmner._unicode import normalized
from llmner.errors import CorpusError, InputError
from llmner.labelling._suspicions import (
    Candidate,
    Surfaces,
    candidates,
    probabilities,
)
from llmner.labelling.evidence import Evidence
from llmner.spans import Sentence, Span, TextLabel

__all__ = ["Decision", "Kind", "Suspicion", "apply_decisions", "audit", "suspicion_of_row"]

Kind = Literal[
    "missing", "spurious", "boundary", "label", "inconsistent", "duplicate", "leak"
]  # fmt: skip
"""What may be wrong with a label.

``missing``: there is none, and there should be one. ``spurious``: there should be none.
``boundary``: it should begin or end elsewhere. ``label``: it should be another. ``inconsistent``:
the same words are labelled otherwise elsewhere. ``duplicate``: the same text is. ``leak``: the text
is in the held-out part as well.
"""

Decision = Literal["accept", "keep"]
"""What somebody decides: ``accept`` the suggestion, or ``keep`` the label as it is."""

# A surface is labelled one way if it is so often enough.
_FEWEST, _MINORITY = 5, 0.2
# What is told of words, texts and leaks; models are surer.
_INCONSISTENT, _DUPLICATE, _LEAK = 0.3, 0.8, 0.9


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A label that is likely wrong.

    Attributes:
        sentence: The sentence's number in the corpus, from 0.
        id: Its id.
        text: Its text.
        kind: What is likely wrong.
        start: The first character of the label in question, or of the one that is missing; ``None``
            if it is one of the whole text.
        end: One past its last character.
        label: The label; of what is missing, the one that is suggested.
        suggested: The span that should be there; ``None`` if none should, or if it is about the
            whole text.
        score: How likely it is wrong, in [0, 1]; errors are as frequent in it as in planted ones.
        reason: Why, in a few words for people.

    >>> Suspicion(0, None, "손흥민은", "spurious", 0, 3, "LC", None, 0.9, "no model finds it").kind
    'spurious'
    """

    sentence: int
    id: str | None
    text: str
    kind: Kind
    start: int | None
    end: int | None
    label: str | None
    suggested: Span | None
    score: float
    reason: str

    def row(self) -> dict[str, Any]:
        """It as JSON has it; ``decision`` is for whoever looks at it.

        >>> Suspicion(0, "7", "a", "leak", None, None, None, None, 1.0, "r").row()["decision"]
        """
        row = asdict(self)
        if self.suggested is not None:
            own = self.suggested
            row["suggested"] = {"start": own.start, "end": own.end, "label": own.label}
        row["score"] = round(self.score, 6)
        return row | {"decision": None}


def audit(
    sentences: Sequence[Sentence],
    evidence: Sequence[Sequence[Evidence]],
    *,
    held_out: Iterable[Sentence] = (),
    seed: int = 42,
) -> list[Suspicion]:
    """The labels that are likely wrong, the likeliest first.

    Args:
        sentences: The corpus.
        evidence: For each model what it says of each sentence, from which it has not learnt.
        held_out: Sentences of the held-out part, whose texts should not be in the corpus.
        seed: Seed of planted errors.

    Raises:
        InputError: A model says something of another number of sentences.

    >>> text = "손흥민은 춘천에서"
    >>> sure = Evidence((Span(0, 3, "PS", 0.99), Span(5, 7, "LC", 0.95)))
    >>> [found] = audit([Sentence(text, (Span(0, 3, "PS"),))], [[sure]])
    >>> found.kind, found.suggested
    ('missing', Span(start=5, end=7, label='LC', score=None))
    """
    if any(len(own) != len(sentences) for own in evidence):
        raise InputError("a model says something of another number of sentences")
    surfaces = Surfaces(sentences)
    found = _doubted(sentences, evidence, surfaces, seed)
    doubted = {(own.sentence, own.start, own.end) for own in found}
    found += [
        own
        for own in _inconsistent(sentences, surfaces)
        if (own.sentence, own.start, own.end) not in doubted
    ]
    found += _doubted_texts(sentences, evidence)
    found += _duplicates(sentences)
    found += _leaks(sentences, held_out)
    return sorted(found, key=lambda own: (-own.score, own.sentence, own.start or 0))


def _doubted(
    sentences: Sequence[Sentence],
    evidence: Sequence[Sequence[Evidence]],
    surfaces: Surfaces,
    seed: int,
) -> list[Suspicion]:
    """What models doubt of spans; with several, the mean of what they say."""
    scores: dict[tuple[int, Span | None, Span | None], float] = defaultdict(float)
    kept: dict[tuple[int, Span | None, Span | None], Candidate] = {}
    for own in evidence:
        doubts = [
            candidate
            for number, (sentence, said) in enumerate(zip(sentences, own, strict=True))
            for candidate in candidates(number, sentence, said)
        ]
        learnt = probabilities(sentences, own, doubts, surfaces, seed)
        for candidate, score in zip(doubts, learnt, strict=True):
            key = candidate.number, candidate.given, candidate.found
            scores[key] += score / len(evidence)
            kept.setdefault(key, candidate)
    return [
        _suspicion(sentences[own.number], own, scores[key], surfaces) for key, own in kept.items()
    ]


def _suspicion(
    sentence: Sentence, candidate: Candidate, score: float, surfaces: Surfaces
) -> Suspicion:
    given, found = candidate.given, candidate.found
    about = given or found
    assert about is not None
    suggested = None if found is None else Span(found.start, found.end, found.label)
    return Suspicion(
        candidate.number,
        sentence.id,
        sentence.text,
        candidate.kind,
        about.start,
        about.end,
        about.label,
        suggested,
        score,
        _reason(sentence.text, candidate, surfaces),
    )


def _reason(text: str, candidate: Candidate, surfaces: Surfaces) -> str:
    given, found = candidate.given, candidate.found
    sure = f"{candidate.against:.0%}"
    parts = []
    if found is None:
        parts.append(f"the model finds nothing here ({sure})")
    else:
        surface = text[found.start : found.end]
        parts.append(f"the model finds {surface} {found.label} ({sure})")
    for span, is_given in ((given, True), (found, False)):
        if span is None:
            continue
        surface = text[span.start : span.end]
        same, other, bare = surfaces.counts(surface, span.label)
        same -= is_given
        if same or other or (bare and not is_given):
            parts.append(
                f"elsewhere {surface} is {span.label} {same} times, another {other} times, "
                f"nothing {bare} times"
            )
        if found is not None and given is not None and surface == text[found.start : found.end]:
            break
    return "; ".join(parts)


def _inconsistent(sentences: Sequence[Sentence], surfaces: Surfaces) -> list[Suspicion]:
    """Labels of words that nearly always have another one, where no model objects."""
    found = []
    for number, sentence in enumerate(sentences):
        for span in sentence.spans:
            surface = sentence.text[span.start : span.end]
            counts = surfaces.labelled[surface]
            total = sum(counts.values())
            (label, most), *_ = counts.most_common(1)
            if label == span.label or total < _FEWEST or counts[span.label] > _MINORITY * total:
                continue
            found.append(
                Suspicion(
                    number,
                    sentence.id,
                    sentence.text,
                    "inconsistent",
                    span.start,
                    span.end,
                    span.label,
                    Span(span.start, span.end, label),
                    _INCONSISTENT * most / total,
                    f"{surface} is {label} {most} times and {span.label} {counts[span.label]}",
                )
            )
    return found


def _doubted_texts(
    sentences: Sequence[Sentence], evidence: Sequence[Sequence[Evidence]]
) -> list[Suspicion]:
    """Labels of whole texts that models doubt, and those that they miss."""
    found = []
    for number, sentence in enumerate(sentences):
        given = {own.label for own in sentence.labels}
        for label in sorted({name for own in evidence for name in own[number].labels} | given):
            if not any(own[number].labels for own in evidence):
                continue
            says = sum(own[number].labels.get(label, 0.0) for own in evidence) / len(evidence)
            kind: Kind = "spurious" if label in given else "missing"
            score = 1 - says if label in given else says
            if score <= 0.5:
                continue
            found.append(
                Suspicion(
                    number,
                    sentence.id,
                    sentence.text,
                    kind,
                    None,
                    None,
                    label,
                    None,
                    score,
                    f"the model gives the text {label} with {says:.0%}",
                )
            )
    return found


def _folded(text: str) -> str:
    return " ".join(normalized("NFKC", text).split())


def _duplicates(sentences: Sequence[Sentence]) -> list[Suspicion]:
    """Labels of texts that are there more than once, where most or the first are labelled
    otherwise.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for number, sentence in enumerate(sentences):
        groups[sentence.text].append(number)
    found = []
    for numbers in groups.values():
        versions = Counter(sentences[number].spans for number in numbers)
        if len(versions) < 2:
            continue
        (usual, _), *_ = versions.most_common(1)
        model = next(number for number in numbers if sentences[number].spans == usual)
        for number in numbers:
            sentence = sentences[number]
            for span in sorted(set(sentence.spans) ^ set(usual)):
                has_it = span in sentence.spans
                name = sentences[model].id or f"sentence {model + 1}"
                has = "has nothing" if has_it else f"has {span.label}"
                found.append(
                    Suspicion(
                        number,
                        sentence.id,
                        sentence.text,
                        "duplicate",
                        span.start,
                        span.end,
                        span.label,
                        None if has_it else Span(span.start, span.end, span.label),
                        _DUPLICATE,
                        f"the same text, {name}, {has} here",
                    )
                )
    return found


def _leaks(sentences: Sequence[Sentence], held_out: Iterable[Sentence]) -> list[Suspicion]:
    names = {
        _folded(sentence.text): sentence.id or f"sentence {number}"
        for number, sentence in enumerate(held_out, 1)
    }
    return [
        Suspicion(
            number, sentence.id, sentence.text, "leak", None, None, None, None, _LEAK,
            f"the held-out part has the same text, {names[_folded(sentence.text)]}",
        )
        for number, sentence in enumerate(sentences)
        if _folded(sentence.text) in names
    ]  # fmt: skip


def suspicion_of_row(row: Mapping[str, Any]) -> tuple[Suspicion, Decision | Span | None]:
    """A suspicion and what was decided, from a row that :meth:`Suspicion.row` gave.

    Returns:
        The suspicion, and ``accept``, ``keep``, a span to put there instead, or ``None`` if nothing
        is decided.

    Raises:
        CorpusError: It is no such row.
    """
    try:
        suggested = row["suggested"]
        decision = row.get("decision")
        found = Suspicion(
            int(row["sentence"]),
            row["id"],
            str(row["text"]),
            row["kind"],
            row["start"],
            row["end"],
            row["label"],
            None if suggested is None else _span(suggested),
            float(row["score"]),
            str(row["reason"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorpusError(
            f"is no row of audit ({error!r})", hint="expected what llmner audit wrote"
        ) from None
    if found.kind not in get_args(Kind):
        raise CorpusError(f"kind {found.kind!r} is unknown")
    if isinstance(decision, Mapping):
        try:
            return found, _span(decision)
        except (KeyError, TypeError, ValueError):
            decision = dict(decision)
    if decision not in (None, "accept", "keep"):
        raise CorpusError(
            f"decision {decision!r:.60} is unknown",
            hint='expected "accept", "keep", or {"start", "end", "label"}',
        )
    return found, decision


def _span(fields: Mapping[str, Any]) -> Span:
    return Span(int(fields["start"]), int(fields["end"]), str(fields["label"]))


def apply_decisions(
    sentences: Sequence[Sentence],
    decided: Iterable[tuple[Suspicion, Decision | Span | None]],
) -> tuple[list[Sentence], int]:
    """The corpus with the labels that were decided on, and how many of them changed.

    Args:
        sentences: The corpus that was looked at.
        decided: What was decided of it.

    Raises:
        InputError: The decisions are about another corpus, or two of them contradict each other.

    >>> text = "손흥민은 춘천에서"
    >>> place = Span(5, 7, "LC")
    >>> doubt = Suspicion(0, None, text, "missing", 5, 7, "LC", place, 0.9, "")
    >>> (mended,), count = apply_decisions([Sentence(text)], [(doubt, "accept")])
    >>> mended.spans, count
    ((Span(start=5, end=7, label='LC', score=None),), 1)
    """
    changed: dict[int, Sentence] = {}
    count = 0
    for suspicion, decision in decided:
        if decision in (None, "keep"):
            continue
        number = suspicion.sentence
        if not 0 <= number < len(sentences) or sentences[number].text != suspicion.text:
            raise InputError(
                f"the decision about {suspicion.id or f'sentence {number + 1}'} is about another "
                "text",
                hint="give the corpus that was looked at",
            )
        sentence = changed.get(number, sentences[number])
        mended = _mended(sentence, suspicion, decision)
        if mended != sentence:
            count += 1
            changed[number] = mended
    return [changed.get(number, sentence) for number, sentence in enumerate(sentences)], count


def _mended(sentence: Sentence, suspicion: Suspicion, decision: Decision | Span | None) -> Sentence:
    if suspicion.start is None or suspicion.end is None:
        if suspicion.kind == "leak" or suspicion.label is None:
            # Which of the two parts it leaves is not said.
            return sentence
        labels = [own for own in sentence.labels if own.label != suspicion.label]
        if suspicion.kind == "missing":
            labels.append(TextLabel(suspicion.label))
        return replace(sentence, labels=tuple(labels))
    wanted = decision if isinstance(decision, Span) else suspicion.suggested
    spans = [
        own
        for own in sentence.spans
        if (own.start, own.end, own.label) != (suspicion.start, suspicion.end, suspicion.label)
    ]
    if wanted is not None:
        over = [own for own in spans if own.start < wanted.end and wanted.start < own.end]
        if over and (wanted in over):
            return sentence
        # A boundary that grows takes the place of what it covers.
        spans = [own for own in spans if own not in over]
        if wanted.end > len(sentence.text):
            raise InputError(
                f"a decision about {suspicion.id or suspicion.text[:30]!r} ends after the text"
            )
        spans.append(wanted)
    return replace(sentence, spans=tuple(sorted(spans)))
