"""Rows: extractions, projections and outcomes as JSON, and outcomes back from JSON.

No other module knows these keys. ``corpora.jsonl`` has the rows of spans, and ``runs`` keeps rows
on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from llmner._numbers import is_number, is_whole
from llmner._unicode import is_invisible
from llmner.corpora.jsonl import row_error, span_of_row, span_rows, text_label_rows
from llmner.errors import CorpusError, SpanError
from llmner.projection import AttributeKind, AttributeOutcome, Outcome, OutcomeKind, Projection
from llmner.replies import ReadReply
from llmner.replies._clean import is_blank
from llmner.spans import Mention, Span

if TYPE_CHECKING:
    from llmner.engines import Reply
    from llmner.extraction._extraction import Extraction
    from llmner.extraction.merging import WindowReply

__all__ = [
    "SIMILARITY_DIGITS",
    "is_blank_answer",
    "is_blank_row",
    "label_fields",
    "outcome_of_row",
    "outcome_row",
    "outcome_rows",
    "outcomes_of_row",
    "projection_row",
    "reading_row",
    "reply_fields",
    "window_rows",
]

SIMILARITY_DIGITS = 4
"""How many decimals of a similarity a row keeps."""


def projection_row(
    id: str | None, projection: Projection, reply: str, **fields: Any
) -> dict[str, Any]:
    """The row of a projected reply.

    Args:
        id: The sentence's id.
        projection: The projection.
        reply: The raw reply.
        **fields: More fields about the reply.
    """
    read = projection.reply
    assert read is not None
    return {
        "id": id,
        "text": projection.text,
        "spans": span_rows(projection.spans),
        **label_fields(projection),
        "outcomes": outcome_rows(projection.outcomes),
        "reply": reply,
        **fields,
        **reading_row(read),
    }


def label_fields(projection: Projection) -> dict[str, Any]:
    """The fields about the whole text; none if the reply says nothing of it."""
    if not projection.label_outcomes:
        return {}
    outcomes = [
        {
            "label": outcome.mention.label,
            "kind": outcome.kind,
            **({"said": dict(outcome.mention.attributes)} if outcome.mention.attributes else {}),
            **(
                {"attribute_outcomes": [asdict(own) for own in outcome.attributes]}
                if outcome.attributes
                else {}
            ),
        }
        for outcome in projection.label_outcomes
    ]
    return {"labels": text_label_rows(projection.labels), "label_outcomes": outcomes}


def reading_row(read: ReadReply) -> dict[str, Any]:
    """The fields that say how a reply was read."""
    return {"status": read.status, "repairs": list(read.repairs)}


def reply_fields(answer: Extraction | WindowReply) -> dict[str, Any]:
    """The fields about a reply besides its text: finish reason, error and samples."""
    reply: Reply = answer.reply
    fields: dict[str, Any] = {"finish_reason": reply.finish_reason}
    if reply.error is not None:
        fields["error"] = reply.error
    if answer.samples:
        fields["samples"] = [sample.text for sample in answer.samples]
    return fields


def window_rows(parts: Iterable[WindowReply]) -> list[dict[str, Any]]:
    """The rows of windows: range, raw reply and how it was read."""
    rows: list[dict[str, Any]] = []
    for part in parts:
        read = part.projection.reply
        assert read is not None
        fields = reply_fields(part)
        row = {"start": part.start, "end": part.end, "reply": part.reply.text}
        row |= {"finish_reason": fields.pop("finish_reason"), **reading_row(read), **fields}
        rows.append(row)
    return rows


def is_blank_answer(text: str, outcomes: Sequence[object], replies: Iterable[str]) -> bool:
    """Whether the replies about a text say nothing at all, not even that there is nothing to name.

    >>> is_blank_answer("손흥민은", (), ["<think>Let me see"])
    True

    Args:
        text: The text.
        outcomes: The outcomes of the mentions that were read.
        replies: The raw replies: one, or those of all samples and of all windows that show
            something. Nobody is asked about the others.
    """
    return not outcomes and not is_invisible(text) and all(is_blank(reply) for reply in replies)


def is_blank_row(row: Mapping[str, Any]) -> bool:
    """Whether a row has an answer that says nothing at all; see :func:`is_blank_answer`."""
    if row.get("error") is not None or not isinstance(row.get("reply"), str):
        return False
    text = str(row.get("text"))
    parts = row.get("windows") or (row,)
    replies = [
        str(reply)
        for part in parts
        if part is row or not is_invisible(_stretch(text, part))
        for reply in part.get("samples") or (part.get("reply"),)
    ]
    return is_blank_answer(text, row.get("outcomes") or (), replies)


def _stretch(text: str, window: Mapping[str, Any]) -> str:
    """The part of a text that a window's row is about; all of it if the row does not say."""
    start, end = window.get("start"), window.get("end")
    return text[start:end] if is_whole(start) and is_whole(end) else text


def outcome_rows(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """The rows of outcomes; see :func:`outcome_row`."""
    return [outcome_row(outcome) for outcome in outcomes]


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """The row of one outcome: label, surface, kind, range, similarity and reason.

    If there are any, it also has ``repeats`` and the mention's ``attributes``, and with a schema
    that has attributes, ``attribute_outcomes``. If the span's label is not the reply's, ``said`` is
    the reply's. The span's score and attributes are in the row of the span.

    >>> outcome = Outcome(Mention("PS", "손흥민"), "exact", Span(0, 3, "PS"), 1.0)
    >>> row = outcome_row(outcome)
    >>> row["text"], row["kind"], row["start"], row["end"]
    ('손흥민', 'exact', 0, 3)
    """
    mention, span = outcome.mention, outcome.span
    row: dict[str, Any] = {
        "label": mention.label if span is None else span.label,
        "text": mention.text,
        "kind": outcome.kind,
        "start": None if span is None else span.start,
        "end": None if span is None else span.end,
        "similarity": round(outcome.similarity, SIMILARITY_DIGITS),
        "reason": outcome.reason,
    }
    if outcome.repeats:
        row["repeats"] = span_rows(outcome.repeats)
    if mention.attributes:
        row["attributes"] = dict(mention.attributes)
    if outcome.attributes:
        row["attribute_outcomes"] = [asdict(attribute) for attribute in outcome.attributes]
    if span is not None and span.label != mention.label:
        row["said"] = mention.label
    return row


def outcome_of_row(row: Any, path: Path, line: int | None = None) -> Outcome:
    """Read one row of :func:`outcome_rows`.

    Args:
        row: The row.
        path: Its file, for errors.
        line: Its line, counted from 1.

    Raises:
        CorpusError: The row has an unknown kind, an impossible range or a value of another type.
    """
    wrong = partial(row_error, path, line, None)
    if not isinstance(row, dict):
        raise wrong("'outcomes' is not a list of objects", "what extract writes")
    start, end, label = row.get("start"), row.get("end"), str(row.get("label"))
    for key in ("start", "end"):
        if row.get(key) is not None and not is_whole(row[key]):
            raise wrong(f"an outcome's {key!r} is {row[key]!r}", "a whole number or null")
    similarity = row.get("similarity")
    if similarity is not None and not (is_number(similarity) and 0 <= similarity <= 1):
        raise wrong(f"an outcome's 'similarity' is {similarity!r}", "a number from 0 to 1")
    repeats = row.get("repeats")
    if repeats is not None and not isinstance(repeats, list):
        raise wrong(f"an outcome's 'repeats' is {repeats!r}", "a list of spans")
    attributes = row.get("attributes")
    if attributes is not None and not isinstance(attributes, dict):
        raise wrong(f"an outcome's 'attributes' is {attributes!r}", "an object")
    outcomes = _attribute_outcomes(row, wrong)
    kind: OutcomeKind | None = next(
        (k for k in get_args(OutcomeKind) if k == row.get("kind")), None
    )
    if kind is None:
        raise wrong(f"outcome kind {row.get('kind')!r} is unknown", "what extract writes")
    try:
        span = None if start is None or end is None else Span(start, end, label)
    except SpanError:
        raise wrong(
            f"an outcome's range [{start!r}, {end!r}) is not valid", "what extract writes"
        ) from None
    return Outcome(
        Mention(str(row.get("said", label)), str(row.get("text", "")), attributes or {}),
        kind,
        span,
        0.0 if similarity is None else float(similarity),
        str(row.get("reason") or ""),
        tuple(span_of_row(path, line or 0, None, repeat) for repeat in repeats or ()),
        outcomes,
    )


def _attribute_outcomes(
    row: Mapping[str, Any], wrong: Callable[[str, str], CorpusError]
) -> tuple[AttributeOutcome, ...]:
    """The outcomes of an outcome's attributes.

    Raises:
        CorpusError: They are not what ``extract`` writes.
    """
    outcomes = row.get("attribute_outcomes") or []
    if not isinstance(outcomes, list):
        raise wrong("an outcome's 'attribute_outcomes' is no list", "what extract writes")
    read = []
    for outcome in outcomes:
        known = isinstance(outcome, dict) and outcome.get("kind") in get_args(AttributeKind)
        if not known or not isinstance(outcome.get("name"), str):
            raise wrong(f"an attribute's outcome is {outcome!r}", "what extract writes")
        name, kind = outcome["name"], outcome["kind"]
        read.append(AttributeOutcome(name, kind, outcome.get("said"), outcome.get("value")))
    return tuple(read)


def outcomes_of_row(
    row: Mapping[str, Any], path: Path, line: int | None = None
) -> tuple[Outcome, ...]:
    """The outcomes in a row of ``extract``'s output; none if the row has no ``outcomes``.

    Raises:
        CorpusError: The outcomes are not what ``extract`` writes.
    """
    outcomes = row.get("outcomes", [])
    if not isinstance(outcomes, list):
        raise CorpusError("'outcomes' is not a list of objects", path=path, line=line)
    return tuple(outcome_of_row(outcome, path, line) for outcome in outcomes)
