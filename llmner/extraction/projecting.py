"""Replies in a file, projected row by row: what ``llmner project`` does, on any machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmner._mishaps import Mishap, attempt
from llmner.corpora import BadRow
from llmner.corpora.jsonl import row_text_and_id
from llmner.errors import CorpusError, UnknownNameError
from llmner.extraction.extractor import nothing
from llmner.extraction.rows import projection_row
from llmner.files import parse_row
from llmner.projection import Projection, project_reply
from llmner.replies import LABEL_FORMATS, REPLY_FORMATS
from llmner.schema import LabelSchema

__all__ = ["ProjectionSummary", "check_reply_format", "project_rows"]


@dataclass(slots=True)
class ProjectionSummary:
    """What became of replies, in numbers.

    Attributes:
        rows: The number of replies.
        outcomes: How many mentions had each outcome.
        statuses: How many replies were read in each way.
        failures: Why replies could not be projected.
    """

    rows: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def check_reply_format(name: str) -> None:
    """Make sure that there is a reply format of this name.

    Raises:
        UnknownNameError: There is none.
    """
    formats = dict.fromkeys(("auto", *REPLY_FORMATS, *LABEL_FORMATS))
    if name not in formats:
        raise UnknownNameError(
            f"unknown reply format {name!r}", hint=f"expected {', '.join(formats)}"
        )


def project_rows(
    lines: Iterable[tuple[int, str]],
    path: Path,
    schema: LabelSchema | None,
    *,
    reply_format: str = "auto",
    policy: Mapping[str, Any] | None = None,
    on_bad: Callable[[BadRow], None] | None = None,
    summary: ProjectionSummary | None = None,
) -> Iterator[dict[str, Any]]:
    """Project replies, each line a row ``{"id", "text", "reply"}``. Blank lines are passed over.

    Args:
        lines: The lines, each with its number.
        path: Their file, for errors.
        schema: The labels; ``None`` takes labels as replies have them.
        reply_format: The replies' format, or ``auto``.
        policy: Options of :func:`~llmner.projection.project_reply`.
        on_bad: Called with every bad row, which is then skipped. By default the first one raises.
        summary: Counters, updated as rows are made.

    Yields:
        The row of each reply, as ``extract`` would have written it.

    Raises:
        CorpusError: A row is bad.

    >>> line = '{"text": "손흥민은", "reply": "PS: 손흥민"}'
    >>> [row] = project_rows([(1, line)], Path("replies.jsonl"), None)
    >>> row["spans"][0]["label"]
    'PS'
    """
    counts = ProjectionSummary() if summary is None else summary
    options = dict(policy or {})

    def projected(id: str | None, text: str, reply: str) -> tuple[Projection, dict[str, Any]]:
        projection = project_reply(text, reply, schema, reply_format, **options)
        return projection, projection_row(id, projection, reply)

    for number, line in lines:
        if not line.strip():
            continue
        try:
            text, id, reply = _reply_of(path, number, line)
        except CorpusError as error:
            if on_bad is None:
                raise
            on_bad(BadRow(error, line))
            continue
        counts.rows += 1
        result = attempt(projected, id, text, reply)
        if isinstance(result, Mishap):
            counts.failures.append(str(result))
            yield projection_row(id, nothing(text), reply, error=str(result))
            continue
        projection, row = result
        assert projection.reply is not None
        counts.outcomes.update(outcome.kind for outcome in projection.outcomes)
        counts.statuses[projection.reply.status] += 1
        yield row


def _reply_of(path: Path, number: int, line: str) -> tuple[str, str | None, str]:
    """The text, the id and the reply of a line.

    Raises:
        CorpusError: It has none.
    """
    row = parse_row(path, number, line)
    text, id = row_text_and_id(path, number, row)
    reply = row.get("reply")
    if not isinstance(reply, str):
        raise CorpusError(
            "no 'reply'" if "reply" not in row else "'reply' is not a string",
            path=path,
            line=number,
            id=id,
            hint='expected {"id", "text", "reply"}',
        )
    return text, id, reply
