"""JSON Lines of spaCy's world: pairs of a text and its entities, and Prodigy's tasks.

``["text", {"entities": [[0, 4, "PER"]]}]`` and ``{"text", "entities": [[0, 4, "PER"]]}`` are
spaCy's training data as people keep it. Prodigy writes ``{"text", "spans", "answer"}``; what was
not accepted is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from llmner.corpora._format import CorpusFormat, ReadOptions, bare
from llmner.corpora._json import json_rows
from llmner.corpora._losses import REFUSED
from llmner.corpora._records import (
    Record,
    are_records,
    cats_of,
    id_of,
    read_records,
    record_of,
    record_or_plain,
    with_label_names,
)
from llmner.errors import CorpusError
from llmner.files import dump_json
from llmner.spans import Sentence, TextLabel

__all__ = ["FORMATS", "PRODIGY", "SPACY_JSONL"]

_KEYS = ("entities", "ents", "spans")


def _parse(row: Any) -> Record | None:
    return record_or_plain(row, _KEYS)


def _looks_like_rows(rows: list[Any]) -> bool:
    return are_records(rows, lambda row: _is_pair(row) and record_of(row, _KEYS) is not None)


def _is_pair(row: Any) -> bool:
    if isinstance(row, list):
        return len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], dict | list)
    entities = row.get("entities") if isinstance(row, dict) else None
    return isinstance(entities, list) and all(isinstance(item, list) for item in entities)


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    return read_records(path, options, _parse, '{"text", "entities": [[start, end, label]]}')


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    row: dict[str, Any] = {} if sentence.id is None else {"id": sentence.id}
    row["text"] = sentence.text
    row["entities"] = [[span.start, span.end, span.label] for span in sentence.spans]
    if sentence.labels:
        row["cats"] = cats_of(sentence.labels)
    stream.write(dump_json(row) + b"\n")


def _kept(sentence: Sentence) -> Sentence:
    return with_label_names(sentence, bare(sentence))


def _are_tasks(rows: list[Any]) -> bool:
    return all(
        isinstance(row, dict)
        and isinstance(row.get("text"), str)
        and ("answer" in row or "_input_hash" in row or "_task_hash" in row)
        and (not row.get("spans") or record_of(row, ("spans",)) is not None)
        for row in rows
    )


def _parse_task(row: Any) -> Record | None:
    if not isinstance(row, dict):
        return None
    meta = row.get("meta")
    id = id_of(row) or (id_of(meta) if isinstance(meta, dict) else None)
    record = record_of({**row, "spans": row.get("spans") or []}, ("spans",))
    # What was chosen of several classes.
    chosen = row.get("accept")
    names = [name for name in chosen if isinstance(name, str)] if isinstance(chosen, list) else []
    if record is not None and names:
        record = replace(record, labels=[*record.labels, *map(TextLabel, names)])
    return None if record is None else replace(record, id=id)


def _read_tasks(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    def accepted() -> Iterator[Any]:
        for row in json_rows(path):
            answer = row.value.get("answer", "accept") if isinstance(row.value, dict) else "accept"
            if answer == "accept":
                yield row
                continue
            try:
                options.lost(REFUSED, f"answer {answer!r}", path, row.line)
            except CorpusError as error:
                yield replace(row, fault=error)

    return read_records(path, options, _parse_task, '{"text", "spans", "answer"}', rows=accepted())


def _write_task(sentence: Sentence, stream: BinaryIO) -> None:
    row: dict[str, Any] = {"text": sentence.text}
    if sentence.id is not None:
        row["meta"] = {"id": sentence.id}
    row["spans"] = [
        {"start": span.start, "end": span.end, "label": span.label} for span in sentence.spans
    ]
    if sentence.labels:
        names = list(cats_of(sentence.labels))
        row |= {"options": [{"id": name, "text": name} for name in names], "accept": names}
    stream.write(dump_json({**row, "answer": "accept"}) + b"\n")


PRODIGY = CorpusFormat(
    "prodigy",
    _read_tasks,
    _write_task,
    None,
    looks_like_rows=_are_tasks,
    kept=_kept,
)
SPACY_JSONL = CorpusFormat(
    "spacy-jsonl", _read, _write, None, looks_like_rows=_looks_like_rows, kept=_kept
)
FORMATS = (PRODIGY, SPACY_JSONL)
