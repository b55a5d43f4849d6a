"""Label Studio: its JSON (tasks with annotations), JSON-MIN, and tasks with predictions.

Of several annotations of a task, the one marked as ground truth or else the first that was not
cancelled is read; where there is none, the first prediction. Offsets are those of JavaScript, which
counts UTF-16 code units. What is written uses ``from_name`` "label" and ``to_name`` "text", as
Label Studio's template for named entities does. Attributes of spans are choices, numbers and texts
of their regions (``perRegion``), named after the attribute; labels of whole texts are choices of
the task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from llmner._numbers import is_number
from llmner.corpora._claims import SpanClaim, fraction_of
from llmner.corpora._format import CorpusFormat, ReadOptions
from llmner.corpora._json import text_of
from llmner.corpora._losses import OTHERS, RELATIONS
from llmner.corpora._records import Loss, Record, id_of, read_records, record_of
from llmner.files import dump_json
from llmner.spans import Sentence, TextLabel

__all__ = [
    "FORMATS",
    "LABEL_STUDIO",
    "LABEL_STUDIO_MIN",
    "LABEL_STUDIO_PREDICTIONS",
    "results_of",
]

_RELATION = "relation"


def _are_tasks(rows: list[Any]) -> bool:
    return all(
        isinstance(row, dict)
        and isinstance(row.get("data"), dict)
        and any(key in row for key in ("annotations", "completions", "predictions"))
        for row in rows
    )


def _parse_task(row: Any) -> Record | None:
    if not isinstance(row, dict) or not isinstance(row.get("data"), dict):
        return None
    texts = [value for value in row["data"].values() if isinstance(value, str)]
    text = text_of(row["data"])
    text = max(texts, key=len, default=None) if text is None else text
    if text is None:
        return None
    made = row.get("annotations") or row.get("completions") or []
    valid = [part for part in made if isinstance(part, dict) and not part.get("was_cancelled")]
    valid.sort(key=lambda part: not part.get("ground_truth"))
    predicted = [part for part in row.get("predictions") or [] if isinstance(part, dict)]
    losses = [Loss(OTHERS, "another annotation of the task")] * (len(valid) - 1)
    if valid and predicted:
        losses.append(Loss(OTHERS, f"{len(predicted)} predictions beside an annotation"))
    chosen = (valid or predicted or [{}])[0]
    claims: list[SpanClaim] = []
    labels: list[TextLabel] = []
    score = None if valid else chosen.get("score")
    results = chosen.get("result") or []
    if not all(isinstance(result, dict) for result in results):
        return None
    regions = _attributes_by_region(results)
    for result in results:
        _add_result(result, score, claims, labels, losses, regions)
    id = id_of(row["data"]) or id_of(row)
    return Record(text, claims, id, labels, losses)


def _attributes_by_region(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The attributes of each region with a label, by its id."""
    regions: dict[str, dict[str, Any]] = {
        str(result["id"]): {}
        for result in results
        if isinstance(result.get("value"), dict) and _names_of(result["value"]) and "id" in result
    }
    for result in results:
        own = regions.get(str(result.get("id")))
        value, name = result.get("value"), result.get("from_name")
        if own is not None and isinstance(value, dict) and isinstance(name, str):
            said = _attribute(value)
            if said is not None and not _names_of(value):
                own[name] = said
    return regions


def _attribute(value: dict[str, Any]) -> Any:
    """The value that a region's result gives; ``None`` if it gives none."""
    for key in ("choices", "text"):
        said = value.get(key)
        if isinstance(said, list) and said and all(isinstance(item, str) for item in said):
            return said[0] if len(said) == 1 else said
    return next((value[key] for key in ("number", "rating") if is_number(value.get(key))), None)


def _names_of(value: dict[str, Any]) -> list[Any]:
    names = value.get("labels") or value.get("hypertextlabels") or []
    return [names] if isinstance(names, str) else list(names)


def _add_result(
    result: dict[str, Any],
    score: Any,
    claims: list[SpanClaim],
    labels: list[TextLabel],
    losses: list[Loss],
    regions: dict[str, dict[str, Any]],
) -> None:
    """Add what one result of an annotation says."""
    value = result.get("value")
    kind = result.get("type", "labels")
    if kind == _RELATION:
        losses.append(Loss(RELATIONS, str(result.get("labels") or result.get("direction"))))
        return
    if not isinstance(value, dict):
        losses.append(Loss(OTHERS, str(kind)))
        return
    if isinstance(value.get("choices"), list) and "start" not in value:
        labels += [TextLabel(str(choice)) for choice in value["choices"] if choice]
        return
    names = _names_of(value)
    id = str(result.get("id"))
    if not names and id in regions and result.get("from_name") in regions[id]:
        # An attribute of a region, which has it.
        return
    places = value.get("globalOffsets") or value
    start, end = places.get("start"), places.get("end")
    if not names or not isinstance(start, int) or not isinstance(end, int):
        losses.append(Loss(OTHERS, str(kind)))
        return
    own = result.get("score", value.get("score", score))
    fraction = fraction_of(own)
    surface = value.get("text") if isinstance(value.get("text"), str) else None
    own_attributes = regions.get(id, {}) if "id" in result else {}
    claims += [
        SpanClaim(start, end, str(name), surface, fraction, own_attributes) for name in names
    ]


def _read_tasks(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    expected = '{"data": {"text"}, "annotations"}'
    return read_records(path, options, _parse_task, expected, utf16=True)


def results_of(
    sentence: Sentence, *, labels: str = "label", text: str = "text", choices: str = "labels"
) -> list[dict[str, Any]]:
    """The regions of an annotation or a prediction: a sentence's spans, attributes and labels.

    Args:
        sentence: The sentence.
        labels: The name of the control for spans in the project's labelling interface.
        text: The name of its text.
        choices: The name of its control for labels of the whole text.

    >>> from llmner.spans import Span
    >>> [result] = results_of(Sentence("😀 춘천", (Span(2, 4, "LC"),)))
    >>> result["value"]["start"], result["from_name"]
    (3, 'label')
    """
    units = [0]
    for char in sentence.text:
        units.append(units[-1] + 1 + (ord(char) > 0xFFFF))
    names = {"from_name": labels, "to_name": text, "type": "labels"}
    results: list[dict[str, Any]] = []
    for number, span in enumerate(sentence.spans):
        value = {
            "start": units[span.start],
            "end": units[span.end],
            "text": sentence.surface(span),
            "labels": [span.label],
        }
        result = {"id": f"span-{number}", "value": value, **names}
        results.append(result if span.score is None else {**result, "score": span.score})
        place = {key: value[key] for key in ("start", "end", "text")}
        for name, said in _holdable(span.attributes).items():
            kind = "number" if is_number(said) else "choices"
            listed = said if isinstance(said, list) or kind == "number" else [said]
            results.append(
                {
                    "id": f"span-{number}",
                    "from_name": name,
                    "to_name": text,
                    "type": kind,
                    "value": {**place, kind: listed},
                }
            )
    if sentence.labels:
        given = [label.label for label in sentence.labels]
        about = {"from_name": choices, "to_name": text, "type": "choices"}
        results.append({"id": "labels", **about, "value": {"choices": given}})
    return results


def _holdable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that a region can have: texts, numbers, and lists of texts."""
    return {
        name: value
        for name, value in attributes.items()
        if isinstance(value, str)
        or is_number(value)
        or (
            isinstance(value, list)
            and len(value) > 1
            and all(isinstance(item, str) for item in value)
        )
    }


def _kept(sentence: Sentence) -> Sentence:
    spans = tuple(replace(s, attributes=_holdable(s.attributes)) for s in sentence.spans)
    labels = tuple(TextLabel(label.label) for label in sentence.labels)
    return replace(sentence, spans=spans, labels=labels)


def _data(sentence: Sentence) -> dict[str, Any]:
    data = {"text": sentence.text}
    return data if sentence.id is None else {"id": sentence.id, **data}


def _write_task(sentence: Sentence, stream: BinaryIO) -> None:
    task = {"data": _data(sentence), "annotations": [{"result": results_of(sentence)}]}
    stream.write(dump_json(task))


def _write_prediction(sentence: Sentence, stream: BinaryIO) -> None:
    task = {"data": _data(sentence), "predictions": [{"result": results_of(sentence)}]}
    stream.write(dump_json(task))


def _are_minimal(rows: list[Any]) -> bool:
    return all(_minimal_key(row) is not None for row in rows)


def _minimal_key(row: Any) -> str | None:
    """The key of the annotations of a row of JSON-MIN: the name of the labelling control."""
    if not isinstance(row, dict) or text_of(row) is None:
        return None
    key: str
    for key, value in row.items():
        if (
            isinstance(value, list)
            and value
            and all(
                isinstance(item, dict) and isinstance(item.get("labels"), list) and "start" in item
                for item in value
            )
        ):
            return key
    # A task without entities lacks the key.
    return "" if "annotation_id" in row or "lead_time" in row or "annotator" in row else None


def _parse_minimal(row: Any) -> Record | None:
    key = _minimal_key(row)
    if key is None:
        return None
    return record_of(row if key else {**row, "label": []}, (key or "label",))


def _read_minimal(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    expected = '{"text", "label": [{"start", "end", "text", "labels"}]}'
    return read_records(path, options, _parse_minimal, expected, utf16=True)


LABEL_STUDIO = CorpusFormat(
    "label-studio",
    _read_tasks,
    _write_task,
    None,
    b"[\n",
    between=b",\n",
    footer=b"\n]\n",
    looks_like_rows=_are_tasks,
    kept=_kept,
)
LABEL_STUDIO_PREDICTIONS = CorpusFormat(
    "label-studio-predictions",
    _read_tasks,
    _write_prediction,
    None,
    b"[\n",
    between=b",\n",
    footer=b"\n]\n",
    kept=_kept,
)
LABEL_STUDIO_MIN = CorpusFormat(
    "label-studio-min", _read_minimal, None, None, looks_like_rows=_are_minimal
)
FORMATS = (LABEL_STUDIO, LABEL_STUDIO_PREDICTIONS, LABEL_STUDIO_MIN)
