"""langextract's JSON Lines: documents with extractions, their classes, places and attributes.

An extraction that langextract could not place has no ``char_interval``; it is left out. Where its
alignment was approximate, the place counts, not the extraction's own text.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from llmner._numbers import is_whole
from llmner.corpora._claims import SpanClaim
from llmner.corpora._format import CorpusFormat, ReadOptions, bare
from llmner.corpora._losses import UNPLACED
from llmner.corpora._records import Loss, Record, id_of, read_records
from llmner.files import dump_json
from llmner.spans import Sentence

__all__ = ["FORMATS", "LANGEXTRACT"]


def _looks_like_rows(rows: list[Any]) -> bool:
    return all(
        isinstance(row, dict)
        and isinstance(row.get("text"), str)
        and "extractions" in row
        and (row["extractions"] is None or isinstance(row["extractions"], list))
        for row in rows
    )


def _parse(row: Any) -> Record | None:
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        return None
    claims, losses = [], []
    for item in row.get("extractions") or []:
        if not isinstance(item, dict) or not isinstance(item.get("extraction_class"), str):
            return None
        label = item["extraction_class"]
        interval = item.get("char_interval")
        interval = interval if isinstance(interval, dict) else {}
        start = interval.get("start_pos", interval.get("char_start"))
        end = interval.get("end_pos", interval.get("char_end"))
        if not is_whole(start) or not is_whole(end):
            losses.append(Loss(UNPLACED, f"{label} {item.get('extraction_text')!r}"))
            continue
        attributes = item.get("attributes")
        kept = attributes if isinstance(attributes, dict) else {}
        claims.append(SpanClaim(start, end, label, attributes=kept))
    return Record(
        row["text"], claims, id_of({"id": row.get("document_id")}) or id_of(row), (), losses
    )


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    return read_records(path, options, _parse, '{"text", "extractions", "document_id"}')


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    extractions = [
        {
            "extraction_class": span.label,
            "extraction_text": sentence.surface(span),
            "char_interval": {"start_pos": span.start, "end_pos": span.end},
            "alignment_status": "match_exact",
            "extraction_index": number,
            "group_index": number - 1,
            "description": None,
            "attributes": dict(span.attributes),
        }
        for number, span in enumerate(sentence.spans, 1)
    ]
    row: dict[str, Any] = {"extractions": extractions, "text": sentence.text}
    if sentence.id is not None:
        row["document_id"] = sentence.id
    stream.write(dump_json(row) + b"\n")


LANGEXTRACT = CorpusFormat(
    "langextract",
    _read,
    _write,
    None,
    looks_like_rows=_looks_like_rows,
    kept=partial(bare, attributes=True),
)
FORMATS = (LANGEXTRACT,)
