"""Which labels are likely wrong: missing, spurious, at the wrong place, of the wrong kind.

Rows come best first. Besides what models doubt (``_suspicions``), the same words labelled two ways,
the same text labelled two ways, and texts that are in the held-out part as well are told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from llmner._numbers import is_whole
from llmner._unicode import normalized
from llmner.errors import CorpusError, InputError
from llmner.extraction.confidence import Calibrator
from llmner.files import read_jsonl
from llmner.labelling._suspicions import (
    Candidate,
    Surfaces,
    candidates,
    probabilities,
)
from llmner.labelling.evidence import UNSCORED, Evidence
from llmner.scoring.metrics.attributes import comparable
from llmner.spans import Sentence, Span, TextLabel

__all__ = [
    "AttributeDoubt",
    "Decision",
    "Kind",
    "Suspicion",
    "apply_decisions",
    "audit",
    "read_decisions",
    "suspicion_of_row",
]

Kind = Literal[
    "missing", "spurious", "boundary", "label", "attribute", "inconsistent", "duplicate", "leak"
]  # fmt: skip
"""What may be wrong with a label.

``missing``: there is none, and there should be one. ``spurious``: there should be none.
``boundary``: it should begin or end elsewhere. ``label``: it should be another. ``attribute``: one
of its attributes should have another value. ``inconsistent``: the same words are labelled otherwise
elsewhere. ``duplicate``: the same text is. ``leak``: the text is in the held-out part as well.
"""

Decision = Literal["accept", "keep"]
"""What somebody decides: ``accept`` the suggestion, or ``keep`` the label as it is."""

# A surface is labelled one way if it is so often enough.
_FEWEST, _MINORITY = 5, 0.2
# Labels of whole texts: what is doubted, how few texts say nothing of a probability's worth.
_DOUBT, _FEWEST_TEXTS, _LEAST = 0.5, 20, 1e-3
# What is told of words, texts and leaks; models are surer.
_INCONSISTENT, _DUPLICATE, _LEAK = 0.3, 0.8, 0.9


@dataclass(frozen=True, slots=True)
class AttributeDoubt:
    """An attribute whose value is likely wrong.

    Attributes:
        name: Its name.
        value: Its value.
        suggested: The value that it should have.
    """

    name: str
    value: Any
    suggested: Any


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
        attribute: The attribute in question, if it is about one.

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
    attribute: AttributeDoubt | None = None

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
    found += _doubted_attributes(sentences, evidence)
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
    """Labels of whole texts that models doubt, and those that they miss.

    A model's probabilities of a rare label are low throughout. So they are turned into shares of
    texts that have the label, and a label is doubted where that is below its share of all texts.
    """
    found = []
    names = sorted(
        {own.label for sentence in sentences for own in sentence.labels}
        | {name for model in evidence for own in model for name in own.labels}
    )
    for label in names:
        given = [label in {own.label for own in sentence.labels} for sentence in sentences]
        says = _shares(label, given, evidence)
        base = min(max(sum(given) / max(1, len(given)), _LEAST), 1 - _LEAST)
        for number, share in says.items():
            share = min(max(share, _LEAST), 1 - _LEAST)
            kind: Kind = "spurious" if given[number] else "missing"
            odds = share / (1 - share) * (1 - base) / base
            score = 1 / (1 + odds) if given[number] else share
            if score <= _DOUBT:
                continue
            sentence = sentences[number]
            reason = f"of texts like this, {share:.0%} have {label}; of all, {base:.0%}"
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
                    reason,
                )
            )
    return found


def _shares(
    label: str, given: Sequence[bool], evidence: Sequence[Sequence[Evidence]]
) -> dict[int, float]:
    """The share of texts like each that have a label; the mean of the models that know labels."""
    shares: dict[int, list[float]] = defaultdict(list)
    for model in evidence:
        pairs = {
            number: (own.labels.get(label, 0.0), given[number])
            for number, own in enumerate(model)
            if own.labels and not own.silent
        }
        if len(pairs) < _FEWEST_TEXTS:
            # Too few to tell what a probability is worth: it is taken as it is.
            for number, (score, _) in pairs.items():
                shares[number].append(score)
            continue
        calibrator = Calibrator.fit(pairs.values())
        for number, (score, _) in pairs.items():
            shares[number].append(calibrator(score))
    return {number: sum(own) / len(own) for number, own in shares.items()}


def _doubted_attributes(
    sentences: Sequence[Sentence], evidence: Sequence[Sequence[Evidence]]
) -> list[Suspicion]:
    """Attributes to which models give another value; with several, the mean of what they say."""
    found = []
    for number, sentence in enumerate(sentences):
        said = [model[number] for model in evidence if not model[number].silent]
        names = Counter(own.label for own in sentence.labels)
        # Of two labels of one name nobody knows which is meant.
        alone = [own for own in sentence.labels if names[own.label] == 1]
        having: list[Span | TextLabel] = [*sentence.spans, *alone]
        for about in having:
            for name, value in about.attributes.items():
                likely = _likely_value(about, name, said)
                if likely is None or likely[1] <= _DOUBT or _same(likely[0], value):
                    continue
                suggested, score = likely
                start, end = (about.start, about.end) if isinstance(about, Span) else (None, None)
                found.append(
                    Suspicion(
                        number,
                        sentence.id,
                        sentence.text,
                        "attribute",
                        start,
                        end,
                        about.label,
                        None,
                        score,
                        f"{name} is {value}, and the model says {suggested} ({score:.0%})",
                        AttributeDoubt(name, value, suggested),
                    )
                )
    return found


def _likely_value(
    about: Span | TextLabel, name: str, said: Sequence[Evidence]
) -> tuple[Any, float] | None:
    """The value that models find likeliest, and how likely; ``None`` if no model says any."""
    sums: dict[Any, float] = defaultdict(float)
    models = 0
    for own in said:
        if isinstance(about, TextLabel):
            values = own.values.get((about.label, name), {})
        else:
            values = _value_of(about, name, own)
        models += bool(values)
        for value, score in values.items():
            sums[value] += score
    if not models:
        return None
    value, total = max(sums.items(), key=lambda item: item[1])
    return value, total / models


def _value_of(about: Span, name: str, said: Evidence) -> dict[Any, float]:
    """The value of an attribute that a model gives to a span, if it finds the span."""
    same = next((span for span in said.spans if span == about), None)
    if same is None or not isinstance(same.attributes.get(name), str | int | float):
        return {}
    return {same.attributes[name]: UNSCORED if same.score is None else same.score}


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one, as scores see it."""
    return bool(comparable(one) == comparable(other))


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
        if len(numbers) < 2:
            continue
        versions = Counter(_version(sentences[number]) for number in numbers)
        if len(versions) < 2:
            continue
        (version, _), *_ = versions.most_common(1)
        model = next(number for number in numbers if _version(sentences[number]) == version)
        usual = sentences[model].spans
        name = sentences[model].id or f"sentence {model + 1}"
        for number in numbers:
            sentence = sentences[number]
            own, others = (
                {label.label for label in one.labels} for one in (sentence, sentences[model])
            )
            for label in sorted(own ^ others):
                has = "has not" if label in own else "has"
                found.append(
                    Suspicion(
                        number, sentence.id, sentence.text, "duplicate", None, None, label, None,
                        _DUPLICATE, f"the same text, {name}, {has} {label}",
                    )
                )  # fmt: skip
            for span in sorted(set(sentence.spans) ^ set(usual)):
                has_it = span in sentence.spans
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


def _version(sentence: Sentence) -> tuple[tuple[Span, ...], tuple[str, ...]]:
    return sentence.spans, tuple(sorted(label.label for label in sentence.labels))


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
            # Rows of before attributes were looked at have none.
            None if row.get("attribute") is None else AttributeDoubt(**row["attribute"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorpusError(
            f"is no row of audit ({error!r})", hint="expected what llmner audit wrote"
        ) from None
    if found.kind not in get_args(Kind):
        raise CorpusError(f"kind {found.kind!r} is unknown")
    if isinstance(decision, Mapping):
        if found.attribute is not None and set(decision) == {"value"}:
            decided = replace(found.attribute, suggested=decision["value"])
            return replace(found, attribute=decided), "accept"
        try:
            return found, _span(decision)
        except (KeyError, TypeError, ValueError):
            decision = dict(decision)
    if decision not in (None, "accept", "keep"):
        raise CorpusError(
            f"decision {decision!r:.60} is unknown",
            hint='expected "accept", "keep", {"start", "end", "label"} or {"value"}',
        )
    return found, decision


def read_decisions(path: Path) -> list[tuple[Suspicion, Decision | Span | None]]:
    """Suspicions and what was decided, from a file that ``llmner audit`` wrote.

    Args:
        path: The file, JSON Lines of :meth:`Suspicion.row`.

    Raises:
        CorpusError: It cannot be read, or a line is no such row.

    >>> import tempfile
    >>> from llmner.files import write_jsonl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "doubts.jsonl"
    ...     doubt = Suspicion(0, "7", "a", "leak", None, None, None, None, 1.0, "r")
    ...     write_jsonl(path, [doubt.row() | {"decision": "keep"}])
    ...     [decision for _, decision in read_decisions(path)]
    ['keep']
    """
    decided = []
    for number, row in read_jsonl(path):
        try:
            decided.append(suspicion_of_row(row))
        except CorpusError as error:
            raise error.located(path=path, line=number) from None
    return decided


def _span(fields: Mapping[str, Any]) -> Span:
    start, end, label = fields["start"], fields["end"], fields["label"]
    if not (is_whole(start) and is_whole(end) and isinstance(label, str)):
        raise ValueError("a span has whole numbers and a label")
    return Span(start, end, label)


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
    places: dict[int, list[tuple[Suspicion, Span | None]]] = defaultdict(list)
    valued: list[Suspicion] = []
    for suspicion, decision in decided:
        if decision in (None, "keep"):
            continue
        number = suspicion.sentence
        name = _name(suspicion)
        if not 0 <= number < len(sentences) or sentences[number].text != suspicion.text:
            raise InputError(
                f"the decision about {name} is about another text",
                hint="give the corpus that was looked at",
            )
        if suspicion.attribute is not None:
            if isinstance(decision, Span):
                raise InputError(
                    f"{name}: the row is about an attribute, and the decision about a span"
                )
            valued.append(suspicion)
            continue
        if suspicion.start is not None and suspicion.end is not None:
            wanted = decision if isinstance(decision, Span) else suspicion.suggested
            places[number].append((suspicion, wanted))
            continue
        sentence = changed.get(number, sentences[number])
        mended = _mended_text(sentence, suspicion, decision)
        count += mended != sentence
        changed[number] = mended
    # While labels are where they were.
    wishes: dict[tuple[Any, ...], Any] = {}
    for suspicion in valued:
        doubt = suspicion.attribute
        assert doubt is not None
        place = suspicion.sentence, suspicion.start, suspicion.end, suspicion.label, doubt.name
        if not _same(wishes.setdefault(place, doubt.suggested), doubt.suggested):
            raise InputError(
                f"{_name(suspicion)}: two decisions about {doubt.name} of {suspicion.label} differ",
                hint="leave one of them",
            )
        sentence = changed.get(suspicion.sentence, sentences[suspicion.sentence])
        changed[suspicion.sentence], more = _mended_attribute(sentence, suspicion)
        count += more
    for number, own in places.items():
        sentence = changed.get(number, sentences[number])
        changed[number], more = _mended(sentence, own)
        count += more
    return [changed.get(number, sentence) for number, sentence in enumerate(sentences)], count


def _name(suspicion: Suspicion) -> str:
    return suspicion.id or f"sentence {suspicion.sentence + 1}"


def _mended(
    sentence: Sentence, decided: Sequence[tuple[Suspicion, Span | None]]
) -> tuple[Sentence, int]:
    """A sentence with its spans mended, and how many rows changed something.

    What is in question is taken away first, so that one span can take the place of two.
    """
    spans = list(sentence.spans)
    wishes: dict[tuple[int, int, str], Span | None] = {}
    added: list[Span] = []
    count = 0
    for suspicion, wanted in decided:
        key = suspicion.start or 0, suspicion.end or 0, suspicion.label or ""
        there = next((own for own in spans if (own.start, own.end, own.label) == key), None)
        if there is None and key in wishes and wishes[key] != wanted:
            raise InputError(
                f"{_name(suspicion)}: two decisions about {key[2]} at {key[0]} differ",
                hint="leave one of them",
            )
        wishes[key] = wanted
        if there == wanted:
            continue
        if there is not None:
            spans.remove(there)
        if wanted is not None and wanted not in added:
            if wanted.end > len(sentence.text):
                raise InputError(f"{_name(suspicion)}: a decision ends after the text")
            # What else is known of the entity stays.
            added.append(replace(wanted, attributes={} if there is None else there.attributes))
        count += there is not None or wanted is not None
    for own in added:
        over = [
            other
            for other in (*spans, *added)
            if other != own and other.start < own.end and own.start < other.end
        ]
        if over:
            raise InputError(
                f"{_name(decided[0][0])}: {own.label} at {own.start} would overlap "
                f"{over[0].label} at {over[0].start}",
                hint="decide on both, so that one is left",
            )
    kept = [own for own in spans if own not in added]
    return replace(sentence, spans=tuple(sorted([*kept, *added]))), count


def _mended_attribute(sentence: Sentence, suspicion: Suspicion) -> tuple[Sentence, int]:
    """A sentence with the value of one attribute mended, and how many labels that changed."""
    doubt = suspicion.attribute
    assert doubt is not None
    own = suspicion.start, suspicion.end, suspicion.label
    count = 0

    def valued(about: Any, key: tuple[Any, ...]) -> Any:
        nonlocal count
        value = about.attributes.get(doubt.name)
        if key != own or not _same(value, doubt.value) or _same(value, doubt.suggested):
            return about
        count += 1
        return replace(about, attributes={**about.attributes, doubt.name: doubt.suggested})

    spans = tuple(valued(span, (span.start, span.end, span.label)) for span in sentence.spans)
    labels = tuple(valued(label, (None, None, label.label)) for label in sentence.labels)
    return replace(sentence, spans=spans, labels=labels), count


def _mended_text(
    sentence: Sentence, suspicion: Suspicion, decision: Decision | Span | None
) -> Sentence:
    """A sentence with its labels of the whole text mended."""
    name = _name(suspicion)
    if isinstance(decision, Span):
        raise InputError(f"{name}: the row is about the whole text, and the decision about a span")
    if suspicion.kind == "leak":
        raise InputError(
            f"{name}: a leak has no suggestion to accept",
            hint="take the text out of one of the two parts",
        )
    has_it = any(own.label == suspicion.label for own in sentence.labels)
    wants_it = suspicion.kind == "missing" or (suspicion.kind == "duplicate" and not has_it)
    if suspicion.label is None or has_it == wants_it:
        return sentence
    labels = [own for own in sentence.labels if own.label != suspicion.label]
    return replace(
        sentence, labels=(*labels, TextLabel(suspicion.label)) if wants_it else tuple(labels)
    )
