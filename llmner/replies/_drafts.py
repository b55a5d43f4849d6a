"""Replies in JSON, whole or damaged: which of several drafts counts, and what it says.

Both JSON formats are read here, because models write one where the other was asked for. ``_json``
parses the values, and ``_interpret`` knows what their keys mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmner.replies._interpret import interpret
from llmner.replies._json import find_values
from llmner.replies._json_values import Pairs, ParsedValue
from llmner.replies._mentions import MentionCollector, is_nothing
from llmner.replies._source import SourceText
from llmner.replies._types import Reading, Unwrapped
from llmner.spans import Mention

__all__ = ["exact_json", "is_json", "looks_json", "read_json"]

# A line that begins as JSON does: a line of pretty-printed JSON must not be taken for a line of
# another format.
_LOOKS_JSON = re.compile(r"^[ \t]*[\[{][ \t]*(?:[\"'“{\[}\]]|$)", re.MULTILINE)
# How many times JSON may be wrapped in a JSON string. Models that do it do it once.
_MAX_UNESCAPES = 4
# What parts the lines of one answer: separators, and bullets or numbers of a list.
_BETWEEN = re.compile(r"[\s,;]*+(?:(?:[-*•]|\d{1,3}[.)])\s*+)?")


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
    format: str, reply: str, mentions_of: Callable[[Any], list[Mention] | None]
) -> Reading | None:
    """Read a reply that is exactly the JSON that a format writes; ``None`` for any other.

    Args:
        format: The format's name.
        reply: The raw reply.
        mentions_of: From a JSON value to mentions; ``None`` for a value that does not have the
            format's shape. Labels and surfaces that are no strings are found here.
    """
    try:
        value = json.loads(reply)
    except (ValueError, RecursionError):
        return None
    mentions = mentions_of(value)
    if mentions is None or not all(
        isinstance(mention.label, str) and isinstance(mention.text, str) for mention in mentions
    ):
        return None
    return Reading(format, tuple(mentions))


def read_json(unwrapped: Unwrapped) -> Reading | None:
    """Read a reply as ``json-by-type`` or ``json-list``; ``None`` if it has no JSON answer."""
    blocks, outside = unwrapped.blocks, unwrapped.outside
    reading = _read_drafts(blocks, outside, unwrapped)
    for _ in range(_MAX_UNESCAPES):
        if reading is not None or not ('\\"' in outside or any('\\"' in block for block in blocks)):
            return reading
        # JSON inside a JSON string, with its quotes still escaped.
        blocks = [block.replace('\\"', '"') for block in blocks]
        outside = outside.replace('\\"', '"')
        reading = _read_drafts(blocks, outside, unwrapped)
        if reading is not None:
            reading.repairs = (*reading.repairs, "escaped")
    return reading


@dataclass(slots=True)
class _Draft:
    """One version of the answer: one JSON value, or several that belong together.

    Attributes:
        collector: Its mentions.
        complete: Whether none of its values was cut off.
        repairs: The kinds of repair that parsing it took.
        answers: Whether it is an answer, even if an empty one.
        alone: Whether there is nothing else in the text that it was found in.
        is_object: Whether its first value is an object.
    """

    collector: MentionCollector
    complete: bool
    repairs: list[str]
    answers: bool
    alone: bool
    is_object: bool


def _read_drafts(blocks: list[str], outside: str, unwrapped: Unwrapped) -> Reading | None:
    # The fences are searched as one text, because {"PS": ...} in one and {"LC": ...} in the next
    # are one answer.
    fenced = _drafts("\n".join(blocks), unwrapped)
    unfenced = _drafts(outside, unwrapped)
    for drafts, others in ((fenced, unfenced), (unfenced, [])):
        answers = [draft for draft in drafts if draft.answers]
        if not answers:
            continue
        chosen = _choose(answers, unwrapped.source)
        if others and chosen.collector.mentions and not _share(chosen, unwrapped.source):
            # Names of another text: an example, a template. The answer may stand elsewhere.
            elsewhere = [draft for draft in others if _share(draft, unwrapped.source)]
            chosen = elsewhere[-1] if elsewhere else chosen
        extra = list(chosen.repairs)
        if not chosen.alone or (drafts is fenced and outside.strip()):
            extra.append("prose")
        if len(answers) > 1:
            extra.append("drafts")
        shapes = chosen.collector.shapes or {
            ("json-by-type" if chosen.is_object else "json-list"): None
        }
        format = "json-by-type" if "json-by-type" in shapes else "json-list"
        return chosen.collector.reading(format, extra)
    return None


def _choose(answers: list[_Draft], source: SourceText | None) -> _Draft:
    """The last complete draft with a mention; of those, one whose names are in the text."""
    with_mentions = [draft for draft in answers if draft.collector.mentions]
    complete = [draft for draft in with_mentions if draft.complete]
    eligible = complete or with_mentions
    if source is None or len(answers) == 1:
        return (eligible or answers)[-1]
    shares = [_share(draft, source) for draft in eligible]
    for least in (0.5, 0.0):
        known = [draft for draft, share in zip(eligible, shares, strict=True) if share > least]
        if known:
            return known[-1]
    # An empty answer beside names of another text.
    empty = [draft for draft in answers if draft.complete and not draft.collector.mentions]
    return (empty or eligible or answers)[-1]


def _share(draft: _Draft, source: SourceText | None) -> float:
    """The share of a draft's mentions that the text has; 1 where the text is not known."""
    mentions = draft.collector.mentions
    if source is None:
        return float(bool(mentions))
    return source.share([mention.text for mention in mentions])


def _drafts(text: str, unwrapped: Unwrapped) -> list[_Draft]:
    groups = _group(find_values(text, unwrapped.budget, unwrapped.source), text)
    around = text[: groups[0][0].start] + text[groups[-1][-1].end :] if groups else ""
    alone = not around.strip()
    drafts = []
    for values in groups:
        collector = MentionCollector(unwrapped.schema, unwrapped.budget, unwrapped.source)
        for value in values:
            interpret(value.value, collector)
        repairs = [repair for value in values for repair in value.repairs]
        if len(values) > 1:
            repairs.append("json-lines")
        # An empty object or list is an answer; an aside in brackets ("[참고]") is not.
        complete = all(value.complete for value in values)
        empty = complete and all(_is_empty(value.value) for value in values)
        answers = bool(collector.mentions or collector.shapes or empty)
        is_object = isinstance(values[0].value, Pairs)
        drafts.append(_Draft(collector, complete, repairs, answers, alone, is_object))
    return drafts


def _is_empty(value: object) -> bool:
    """Whether a value names nothing.

    ``{}``, ``[]``, ``[null]``, ``{"entities": []}`` and ``["없음"]`` do not.
    """
    if isinstance(value, Pairs):
        return all(_is_empty(item) for _, item in value)
    if isinstance(value, list):
        return all(_is_empty(item) for item in value)
    return value is None or (isinstance(value, str) and is_nothing(value))


def _group(values: list[ParsedValue], text: str) -> list[list[ParsedValue]]:
    """Group the values that make one answer.

    Neighbours do if only white space, commas or semicolons separate them; but a list does not join
    an object before it, nor an object one that lists the same surfaces: that is the next draft.
    """
    groups: list[list[ParsedValue]] = []
    group_surfaces: dict[str, set[str]] = {}
    for value in values:
        surfaces = _surfaces_by_label(value.value)
        previous = groups[-1][-1] if groups else None
        joined = (
            previous is not None
            and _BETWEEN.fullmatch(text, previous.end, value.start) is not None
            and not _repeat(group_surfaces, surfaces)
            and not (
                isinstance(value.value, list)
                and not isinstance(value.value, Pairs)
                and isinstance(previous.value, Pairs)
            )
        )
        if joined:
            groups[-1].append(value)
            for label, words in surfaces.items():
                group_surfaces.setdefault(label, set()).update(words)
        else:
            groups.append([value])
            group_surfaces = surfaces
    return groups


def _repeat(earlier: dict[str, set[str]], later: dict[str, set[str]]) -> bool:
    """Whether an object lists the same labels again, and is no further line of one answer.

    A line of JSON Lines has one label, and surfaces that no earlier line has.
    """
    again = earlier.keys() & later.keys()
    if not again:
        return False
    if len(later) > 1 or any(not later[label] for label in again):
        return True
    return any(earlier[label] & later[label] for label in again)


def _surfaces_by_label(value: object) -> dict[str, set[str]]:
    """What an object lists under its keys; entity objects list nothing."""
    if not isinstance(value, Pairs):
        return {}
    return {
        key: {str(word) for word in item}
        for key, item in value
        if isinstance(key, str) and isinstance(item, list)
    }
