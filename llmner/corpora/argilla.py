"""Records of Argilla 2, as ``Record.to_dict`` gives them and ``Record.from_dict`` takes them.

A question whose answer is a list of places holds spans; one whose answer is a word, or a list of
words, holds labels of the whole text. Responses count before suggestions, the first one of several.
What is written are suggestions for the questions ``entities`` and ``labels``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from llmner._numbers import is_number, is_whole
from llmner.corpora._claims import SpanClaim
from llmner.corpora._format import CorpusFormat, ReadOptions
from llmner.corpora._json import text_of
from llmner.corpora._losses import OTHERS
from llmner.corpora._records import Loss, Record, id_of, read_records
from llmner.files import dump_json
from llmner.spans import Sentence, Span, TextLabel

__all__ = ["ARGILLA", "FORMATS"]

_EXPECTED = '{"fields": {"text"}, "suggestions", "responses"}'
_SPANS, _LABELS = "entities", "labels"


def _are_records(rows: list[Any]) -> bool:
    return all(
        isinstance(row, dict)
        and isinstance(row.get("fields"), dict)
        and isinstance(row.get("suggestions", row.get("responses")), dict)
        for row in rows
    )


def _parse(row: Any) -> Record | None:
    if not isinstance(row, dict) or not isinstance(row.get("fields"), dict):
        return None
    fields = row["fields"]
    texts = [value for value in fields.values() if isinstance(value, str)]
    text = text_of(fields)
    text = max(texts, key=len, default=None) if text is None else text
    if text is None:
        return None
    claims: list[SpanClaim] = []
    labels: list[TextLabel] = []
    losses: list[Loss] = []
    for question, answer in _answers(row, losses).items():
        if not isinstance(answer, dict):
            return None
        value, score = answer.get("value"), answer.get("score")
        if isinstance(value, list) and all(map(_is_place, value)):
            scores = score if isinstance(score, list) and len(score) == len(value) else []
            claims += [_claim(own, scores[n] if scores else None) for n, own in enumerate(value)]
        elif isinstance(value, str) and value:
            labels.append(TextLabel(value, score=_share(score)))
        elif isinstance(value, list) and all(isinstance(own, str) and own for own in value):
            labels += [TextLabel(own) for own in dict.fromkeys(value)]
        elif value is not None:
            losses.append(Loss(OTHERS, f"the answer to {question!r}"))
    return Record(text, claims, id_of(row), labels, losses)


def _answers(row: Mapping[str, Any], losses: list[Loss]) -> dict[str, Any]:
    """The answer to each question: the first response, or else the suggestion."""
    suggestions, responses = row.get("suggestions") or {}, row.get("responses") or {}
    answers = dict(suggestions) if isinstance(suggestions, dict) else {}
    for question, given in responses.items() if isinstance(responses, dict) else ():
        given = [own for own in given if isinstance(own, dict)] if isinstance(given, list) else []
        if given:
            answers[question] = given[0]
            losses += [Loss(OTHERS, f"another response to {question!r}")] * (len(given) - 1)
    return answers


def _is_place(item: Any) -> bool:
    return isinstance(item, dict) and is_whole(item.get("start")) and is_whole(item.get("end"))


def _claim(item: Mapping[str, Any], score: Any) -> SpanClaim:
    return SpanClaim(
        int(item["start"]), int(item["end"]), str(item.get("label") or ""), score=_share(score)
    )


def _share(score: Any) -> float | None:
    return float(score) if is_number(score) and 0 <= score <= 1 else None


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    return read_records(path, options, _parse, _EXPECTED)


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    row: dict[str, Any] = {} if sentence.id is None else {"id": sentence.id}
    row["fields"] = {"text": sentence.text}
    spans = sentence.spans
    value = [{"start": own.start, "end": own.end, "label": own.label} for own in spans]
    suggestion: dict[str, Any] = {"value": value}
    if _all_scored(spans):
        suggestion["score"] = [own.score for own in spans]
    row["suggestions"] = {_SPANS: suggestion}
    if sentence.labels:
        row["suggestions"][_LABELS] = {"value": [own.label for own in sentence.labels]}
    row["responses"] = {}
    stream.write(dump_json(row) + b"\n")


def _all_scored(spans: tuple[Span, ...]) -> bool:
    """Whether every span has a score: Argilla takes one for each, or none."""
    return bool(spans) and all(own.score is not None for own in spans)


def _kept(sentence: Sentence) -> Sentence:
    scored = _all_scored(sentence.spans)
    spans = tuple(
        replace(own, attributes={}, score=own.score if scored else None) for own in sentence.spans
    )
    return replace(
        sentence, spans=spans, labels=tuple(TextLabel(label.label) for label in sentence.labels)
    )


ARGILLA = CorpusFormat("argilla", _read, _write, None, looks_like_rows=_are_records, kept=_kept)
FORMATS = (ARGILLA,)
