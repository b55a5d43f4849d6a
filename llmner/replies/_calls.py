"""Replies written as code: ``[PS(span="민준")]``, ``Entity(text='민준', label='PS')``,
``PS = ["민준"]``.
"""

from __future__ import annotations

import re

from llmner.replies._interpret import (
    LABEL_KEYS,
    TEXT_KEYS,
    collect_surfaces,
    first_of,
    normalize_key,
)
from llmner.replies._json import find_values
from llmner.replies._mentions import MentionCollector, is_label
from llmner.replies._types import Reading, Unwrapped

__all__ = ["read_calls"]

# Bounded, so that no text takes more than linear time.
_STRING = r"\"(?:[^\"\\\n]|\\.){0,200}\"|'(?:[^'\\\n]|\\.){0,200}'"
_CALL = re.compile(
    rf"(?P<name>[^\W\d][\w.]{{0,60}})[ \t]?\((?P<arguments>(?:[^()\"'\n]|{_STRING}|\n){{1,400}}+)\)"
)
_ARGUMENT = re.compile(rf"(?:(?P<key>\w+)\s*[=:]\s*)?(?P<value>{_STRING}|[^\s,=()\"'][^,=()\"']*)")
_LISTED = re.compile(r"(?:^|[\s(,])(?P<key>[^\W\d]\w{0,40})\s*=\s*(?=\[)")
# Members of an enumeration: EntityType.PER, <EntityType.PER: 'PER'>.
_MEMBER = re.compile(
    r"<?\b[A-Z]\w{0,40}\.([A-Za-z]\w{0,40})(?::\s?[\"'][^\"'\n]{0,60}[\"']>)?(?![\w.(])"
)
_LONGEST_LIST = 4000
_may_be_code = re.compile(r"\w[ \t]?\(\s*(?:\w+\s*[=:]\s*)?[\"']|\w\s*=\s*\[").search


def read_calls(unwrapped: Unwrapped) -> Reading | None:
    """Read calls of constructors, and lists that are assigned to labels; ``None`` for other
    replies.
    """
    for part in unwrapped.parts:
        if _may_be_code(part) is None:
            continue
        collector = MentionCollector(unwrapped.schema, unwrapped.budget, unwrapped.source)
        collector.budget.spend(1 + len(part) // 4)
        for match in _CALL.finditer(_MEMBER.sub(r'"\1"', part)):
            _read_call(match["name"].rpartition(".")[2], match["arguments"], collector)
        if not collector.mentions:
            position = 0
            for match in _LISTED.finditer(part):
                if match.start() >= position and is_label(match["key"], collector.schema):
                    following = part[match.end() : match.end() + _LONGEST_LIST]
                    (value,) = find_values(following, collector.budget, most=1)
                    collect_surfaces(match["key"], value.value, collector)
                    position = match.end() + value.end
        if collector.mentions:
            collector.repairs["calls"] = None
            return collector.reading("json-list")
    return None


def _read_call(name: str, arguments: str, collector: MentionCollector) -> None:
    schema = collector.schema
    named: dict[str, str] = {}
    positional: list[str] = []
    quoted = False
    for match in _ARGUMENT.finditer(arguments):
        value = match["value"].strip()
        if value[:1] in "\"'":
            quoted = True
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        if match["key"]:
            named[normalize_key(match["key"])] = value
        else:
            positional.append(value)
    if not quoted:
        return
    surface = first_of(named, TEXT_KEYS) or None
    if is_label(name, schema):
        surface = surface or next(iter((*positional, *named.values())), None)
        if surface:
            collector.add(name, surface)
        return
    label = first_of(named, LABEL_KEYS) or None
    if label is None and len(positional) >= 2:
        label = next((value for value in positional[:2] if is_label(value, schema)), None)
        surface = surface or next((value for value in positional[:2] if value != label), None)
    elif label is None and positional:
        label = positional[0]
    elif surface is None and positional:
        surface = positional[0]
    if label and surface and is_label(label, schema):
        collector.add(label, surface)
