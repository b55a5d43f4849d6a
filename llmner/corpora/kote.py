"""KOTE: Korean online comments with emotions, ``id<TAB>comment<TAB>0,6,10``.

The numbers stand for 44 emotions, several a comment. They become labels of the whole text. Comments
with quotes are quoted as in CSV. Only read.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from llmner.corpora._format import CorpusFormat, ReadOptions
from llmner.errors import CorpusError
from llmner.files import open_lines
from llmner.spans import Sentence, TextLabel

__all__ = ["EMOTIONS", "FORMATS", "KOTE"]

EMOTIONS = tuple(
    "불평/불만 환영/호의 감동/감탄 지긋지긋 고마움 슬픔 화남/분노 존경 기대감 우쭐댐/무시함 "
    "안타까움/실망 비장함 의심/불신 뿌듯함 편안/쾌적 신기함/관심 아껴주는 부끄러움 공포/무서움 "
    "절망 한심함 역겨움/징그러움 짜증 어이없음 없음 패배/자기혐오 귀찮음 힘듦/지침 즐거움/신남 "
    "깨달음 죄책감 증오/혐오 흐뭇함(귀여움/예쁨) 당황/난처 경악 부담/안_내킴 서러움 재미없음 "
    "불쌍함/연민 놀람 행복 불안/걱정 기쁨 안심/신뢰".split()
)
"""The emotions by their numbers. ``없음`` says that a comment has none."""

_ROW = re.compile(r"(?P<id>\d+)\t(?P<text>.+)\t(?P<numbers>\d{1,2}(?:,\d{1,2})*)")


def _looks_like(lines: list[str]) -> bool:
    rows = [_ROW.fullmatch(line) for line in lines if line.strip()]
    return (
        bool(rows)
        and all(rows)
        and all(code < len(EMOTIONS) for row in rows if row for code in _codes(row))
        # Ids and tags in columns, which other files have, are single numbers.
        and any("," in row["numbers"] for row in rows if row)
    )


def _codes(row: re.Match[str]) -> list[int]:
    return list(dict.fromkeys(int(code) for code in row["numbers"].split(",")))


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    for number, line in open_lines(path):
        if not line.strip():
            continue
        try:
            yield _sentence(path, number, line, options)
        except CorpusError as error:
            options.bad(error, line)


def _sentence(path: Path, number: int, line: str, options: ReadOptions) -> Sentence:
    row = _ROW.fullmatch(line)
    if row is None:
        raise CorpusError(
            "is no row of KOTE", path=path, line=number, hint="expected id<TAB>text<TAB>0,6,10"
        )
    codes = _codes(row)
    unknown = [code for code in codes if code >= len(EMOTIONS)]
    if unknown:
        raise CorpusError(
            f"emotion {unknown[0]} is unknown",
            path=path,
            line=number,
            id=row["id"],
            hint=f"expected 0 to {len(EMOTIONS) - 1}",
        )
    text = row["text"]
    if text[:1] == '"':
        # Broken quotes belong to the text.
        parsed = next(csv.reader([text], delimiter="\t", strict=False), [text])
        text = parsed[0] if len(parsed) == 1 else text
    labels = [TextLabel(EMOTIONS[code]) for code in codes]
    return options.sentence(path, number, row["id"], text, [], labels)


KOTE = CorpusFormat("kote", _read, None, _looks_like)
FORMATS = (KOTE,)
