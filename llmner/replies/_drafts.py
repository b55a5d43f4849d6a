"""Replies in JSON, whole or damaged: which of several drafts counts, and what it says.

Both JSON formats are read here, since models write the one where the other was asked for. The
syntax is ``_json``'s, the meaning of keys and values ``_interpret``'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmner._budget import Budget
from llmner.replies._interpret import Found, interpret, is_nothing
from llmner.replies._json import Draft, Pairs, find_values
from llmner.replies._types import Reading, Unwrapped
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["exact_json", "is_json", "looks_json", "read_json"]

# A line that begins as JSON does. Lines of pretty-printed JSON would pass for lines of another
# format.
_LOOKS_JSON = re.compile(r"^[ \t]*[\[{][ \t]*(?:[\"'“{\[}\]]|$)", re.MULTILINE)
# A model that wraps JSON in a JSON string does it once; what is escaped deeper is no answer.
_MOST_ESCAPED = 4


def looks_json(reply: str) -> bool:
    """Whether a line of a reply begins as JSON does."""
    return _LOOKS_JSON.search(reply) is not None


def is_json(reply: str) -> bool:
    """Whether a reply is JSON from its first character to its last."""
    try:
        json.loads(reply)
    except (ValueError, RecursionError):
        return False
    return True


def exact_json(
    format: str, reply: str, pairs_of: Callable[[Any], list[tuple[Any, Any]] | None]
) -> Reading | None:
    """What a reply says that is JSON to the letter and of a format's shape.

    Args:
        format: The format's name.
        reply: The raw reply.
        pairs_of: From a JSON value to (label, surface) pairs; ``None`` for a value of another
            shape.
    """
    try:
        value = json.loads(reply)
    except (ValueError, RecursionError):
        return None
    pairs = pairs_of(value)
    if pairs is None or not all(isinstance(part, str) for pair in pairs for part in pair):
        return None
    return Reading(format, tuple(Mention(label, surface) for label, surface in pairs))


def read_json(unwrapped: Unwrapped) -> Reading | None:
    """What a reply says as ``json-by-type`` or ``json-list``, whichever it is; ``None`` if it has
    no JSON.
    """
    blocks, outside = unwrapped.blocks, unwrapped.outside
    schema, budget = unwrapped.schema, unwrapped.budget
    reading = _read_drafts(blocks, outside, schema, budget)
    for _ in range(_MOST_ESCAPED):
        if reading is not None or not ('\\"' in outside or any('\\"' in block for block in blocks)):
            return reading
        # JSON inside a JSON string, its quotes still escaped.
        blocks = [block.replace('\\"', '"') for block in blocks]
        outside = outside.replace('\\"', '"')
        reading = _read_drafts(blocks, outside, schema, budget)
        if reading is not None:
            reading.repairs = (*reading.repairs, "escaped")
    return reading


@dataclass(slots=True)
class _Candidate:
    """A draft with its meaning."""

    found: Found
    complete: bool
    repairs: list[str]
    answers: bool
    alone: bool
    is_object: bool


def _read_drafts(
    blocks: list[str], outside: str, schema: LabelSchema | None, budget: Budget
) -> Reading | None:
    # Blocks are searched as one text: {"PS": ...} in one fence and {"LC": ...} in the next are one
    # answer.
    fenced = _candidates("\n".join(blocks), schema, budget)
    loose = _candidates(outside, schema, budget)
    for candidates in (fenced, loose):
        usable = [candidate for candidate in candidates if candidate.answers]
        if not usable:
            continue
        named = [candidate for candidate in usable if candidate.found.mentions]
        complete = [candidate for candidate in named if candidate.complete]
        chosen = (complete or named or usable)[-1]
        extra = list(chosen.repairs)
        if not chosen.alone or (candidates is fenced and outside.strip()):
            extra.append("prose")
        if len(usable) > 1:
            extra.append("drafts")
        shapes = chosen.found.shapes or {
            ("json-by-type" if chosen.is_object else "json-list"): None
        }
        format = "json-by-type" if "json-by-type" in shapes else "json-list"
        return chosen.found.reading(format, extra)
    return None


def _candidates(text: str, schema: LabelSchema | None, budget: Budget) -> list[_Candidate]:
    drafts = _group(find_values(text, budget), text)
    covered = text[: drafts[0][0].start] + text[drafts[-1][-1].end :] if drafts else ""
    alone = not covered.strip()
    candidates = []
    for group in drafts:
        found = Found(schema, budget)
        for draft in group:
            interpret(draft.value, found)
        repairs = [repair for draft in group for repair in draft.repairs]
        if len(group) > 1:
            repairs.append("json-lines")
        # An empty object or list is an answer; a bracketed aside ("[참고]") is none.
        complete = all(draft.complete for draft in group)
        empty = complete and all(_is_empty(draft.value) for draft in group)
        answers = bool(found.mentions or found.shapes or empty)
        is_object = isinstance(group[0].value, Pairs)
        candidates.append(_Candidate(found, complete, repairs, answers, alone, is_object))
    return candidates


def _is_empty(value: object) -> bool:
    """``{}``, ``[]``, ``[null]``, ``{"entities": []}``, ``["없음"]``."""
    if isinstance(value, Pairs):
        return all(_is_empty(item) for _, item in value)
    if isinstance(value, list):
        return all(_is_empty(item) for item in value)
    return value is None or (isinstance(value, str) and is_nothing(value))


def _group(drafts: list[Draft], text: str) -> list[list[Draft]]:
    """Neighbouring values with nothing but separators between them, unless they repeat a label."""
    groups: list[list[Draft]] = []
    keys: set[str] = set()
    for draft in drafts:
        own = _labels_of(draft.value)
        previous = groups[-1][-1] if groups else None
        joined = (
            previous is not None
            and re.fullmatch(r"[\s,;]*", text[previous.end : draft.start]) is not None
            and not (own & keys)
            and not (
                isinstance(draft.value, list)
                and not isinstance(draft.value, Pairs)
                and len(groups[-1]) > 0
                and isinstance(previous.value, Pairs)
            )
        )
        if joined:
            groups[-1].append(draft)
            keys |= own
        else:
            groups.append([draft])
            keys = set(own)
    return groups


def _labels_of(value: object) -> set[str]:
    """The keys under which a by-type object lists something; entity objects have none."""
    if not isinstance(value, Pairs):
        return set()
    return {key for key, item in value if isinstance(key, str) and isinstance(item, list)}
