"""doccano's JSON Lines: ``{"id", "text", "label": [[0, 4, "PER"]]}``.

Exports with relations have ``entities`` (objects with ``start_offset``, ``end_offset``) and
``relations``; these are read, too. What is written can be imported as sequence labelling.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from llmner.corpora._format import CorpusFormat, ReadOptions, bare
from llmner.corpora._records import Record, are_records, read_records, record_of, record_or_plain
from llmner.files import dump_json
from llmner.spans import Sentence

__all__ = ["DOCCANO", "FORMATS"]

_KEYS = ("label", "labels", "entities")
_EXPECTED = '{"text", "label": [[start, end, label]]}'


def _parse(row: Any) -> Record | None:
    return record_or_plain(row, _KEYS)


def _looks_like_rows(rows: list[Any]) -> bool:
    return are_records(rows, _is_exported)


def _is_exported(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("text", row.get("data")), str):
        return False
    value = row.get("label", row.get("labels"))
    if isinstance(value, list):
        return bool(value) and (
            all(isinstance(item, list) for item in value) and record_of(row, _KEYS) is not None
        )
    entities = row.get("entities")
    return (
        isinstance(entities, list)
        and ("relations" in row or any(map(_has_offset, entities)))
        and record_of(row, _KEYS) is not None
    )


def _has_offset(item: Any) -> bool:
    return isinstance(item, dict) and "start_offset" in item


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    return read_records(path, options, _parse, _EXPECTED)


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    row: dict[str, Any] = {} if sentence.id is None else {"id": sentence.id}
    row["text"] = sentence.text
    row["label"] = [[span.start, span.end, span.label] for span in sentence.spans]
    stream.write(dump_json(row) + b"\n")


DOCCANO = CorpusFormat("doccano", _read, _write, None, looks_like_rows=_looks_like_rows, kept=bare)
FORMATS = (DOCCANO,)
