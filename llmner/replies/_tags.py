"""Replies that tag the tokens of the text: rows like ``민준<TAB>B-PS``, or ``민준/B-PS 은/O``."""

from __future__ import annotations

import re

from llmner.replies._mentions import MentionCollector, is_label
from llmner.replies._types import Reading, Unwrapped

__all__ = ["read_tags"]

_TAG = r"(?:[BIESLUM][-_][^\s|/,()\[\]]{1,40}|O)"
_has_tags = re.compile(r"(?:^|[\s|/,(\[])[BIESLUM][-_]\w").search
_TOKEN_FIRST = re.compile(rf"(?P<token>.*)(?<=[\t |,:：>])(?P<tag>{_TAG})")
_TAG_FIRST = re.compile(rf"(?P<tag>{_TAG})[\t |,:：](?P<token>.*)")
_SLASHED = re.compile(
    rf"(?P<token>\S{{1,60}}?)(?:/(?P<tag>{_TAG})|[(\[](?P<inner>{_TAG})[)\]])(?=\s|$)"
)
_NUMBERED = re.compile(r"^[ \t|]*+\d{1,4}[ \t|]+(?=\S)")
# What stands between a token and its tag.
_BETWEEN = " |,:：->"


def read_tags(unwrapped: Unwrapped) -> Reading | None:
    """Read a reply of tokens with BIO tags; ``None`` for any other.

    The pieces of an entity become one mention. Other lines than tagged ones are prose.
    """
    for part in unwrapped.parts:
        if _has_tags(part) is None:
            continue
        collector = MentionCollector(unwrapped.schema, unwrapped.budget, unwrapped.source)
        unread = 0 if "/" in part or "(" in part else _read_rows(_unnumbered(part), collector)
        if not collector.mentions:
            unread = _read_slashed(part, collector)
        if collector.mentions:
            collector.repairs["tags"] = None
            return collector.reading("pairs", ["prose"] if unread else [])
    return None


def _unnumbered(part: str) -> str:
    """Rows without their numbers, if all have one."""
    rows = [row for row in part.split("\n") if row.strip()]
    if not rows or not all(map(_NUMBERED.match, rows)):
        return part
    return "\n".join(_NUMBERED.sub("", row) for row in rows)


def _read_rows(part: str, collector: MentionCollector) -> int:
    """Add the mentions of rows with a token and a tag; the number of other lines."""
    unread = 0
    for line in part.split("\n"):
        collector.budget.spend(1 + len(line) // 8)
        row = line.rstrip(" \t\r|")
        row = row.removeprefix("|").removeprefix(" ") if "|" in line else row
        match = _TOKEN_FIRST.fullmatch(row) or _TAG_FIRST.fullmatch(row)
        if match is None:
            collector.end_run()
            unread += bool(line.strip())
        else:
            token, tab, _ = match["token"].rpartition("\t")
            if not tab:
                token = match["token"].strip(_BETWEEN)
            _add(token.strip("\t ") or token, match["tag"], collector)
    return unread


def _read_slashed(part: str, collector: MentionCollector) -> int:
    matches = list(_SLASHED.finditer(part))
    collector.budget.spend(1 + len(part) // 8)
    for match in matches:
        _add(match["token"], match["tag"] or match["inner"], collector)
    return int(len("".join(part.split())) > sum(len(match[0]) for match in matches))


def _add(token: str, tag: str, collector: MentionCollector) -> None:
    if tag == "O" or not token or not is_label(tag, collector.schema):
        collector.end_run()
    else:
        collector.add(tag, token)
