"""Reading any reply: unwrap it, find its format, pick a draft, and say what was done."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Literal

from llmner._budget import UNBOUNDED, Budget
from llmner.errors import MarkupError
from llmner.markup import parse_markup
from llmner.replies._clean import drop_end_of_turn, drop_reasoning, split_fences
from llmner.replies._interpret import Found, interpret, is_label, is_nothing
from llmner.replies._json import Draft, Pairs, find_values
from llmner.replies._render import NOTHING, REPLY_FORMATS, Order
from llmner.replies._text import read_lines, read_rows, read_tagged
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["ReadReply", "Status", "read_exact", "read_reply"]

Status = Literal["ok", "repaired", "truncated", "empty", "unreadable"]
"""``ok``: read as its format writes it. ``repaired``: read, after mending. ``truncated``: cut off; the
complete mentions were kept. ``empty``: nothing but white space. ``unreadable``: no answer to be found."""


@dataclass(frozen=True, slots=True)
class ReadReply:
    """What a reply says.

    Attributes:
        mentions: The mentions, in the order the reply has them.
        status: How well it could be read; see :data:`Status`.
        repairs: What was mended, each kind once, in the order it was met: ``"fence"``, ``"prose"``,
            ``"think"``, ``"quotes"``, ``"trailing-comma"``, ``"comment"``, ``"truncated"``,
            ``"drafts"``, ``"label-name"``, ``"duplicate-key"``, ...
        format: The format it was read as, or ``None`` where nothing was found.
        order: What the order of the mentions tells about the text.
        text: The plain sentence, where the reply repeats it (``tagged``).
    """

    mentions: tuple[Mention, ...] = ()
    status: Status = "ok"
    repairs: tuple[str, ...] = ()
    format: str | None = None
    order: Order = "none"
    text: str | None = None


def read_reply(
    reply: str, schema: LabelSchema | None = None, format: str = "auto", *, budget: Budget | None = None
) -> ReadReply:
    """Read any string a model may have sent. Linear in the reply; never raises on any ``str``.

    Several drafts: the last complete one that names a mention wins (models correct themselves); a
    draft that was cut off counts only where no complete one names any; drafts in a markdown fence go
    before drafts outside one. Values with nothing but white space or commas between them are one
    draft unless they list the same label again, so JSON Lines and one-object-a-label replies lose nothing.

    Args:
        reply: The raw reply.
        schema: Resolves label names ("사람", "person", "ps") to codes; unknown labels stay as they
            are. Without one, only upper-case words are taken for labels where a guess is needed.
        format: The format that was asked for, or ``"auto"``. It goes first; a reply in another
            format is read all the same and says so (``"format"`` in ``repairs``). A name nobody
            registered is treated as ``"auto"``.
        budget: Steps of work it may take, for readers of what strangers send.

    Returns:
        Mentions, status and repairs.

    Raises:
        WorkLimitError: The budget that was given is used up or was ended.
    """
    work = budget or UNBOUNDED
    work.spend(1 + len(reply) // 16)
    if schema is not None and format in ("lines", "pairs"):
        rows = reply.replace("\r\n", "\n")
        if drop_end_of_turn(rows, []) == rows and (exact := read_exact(rows, schema, format)) is not None:
            return exact
    if schema is not None and format == "tagged" and _LOOKS_JSON.search(reply) and not _is_json(reply):
        # A sentence may begin as JSON does: "[1] 손흥민은", marked, is no list.
        exact = read_exact(reply, schema, format)
        if exact is not None and exact.mentions:
            return exact
    repairs: list[str] = []
    text = drop_end_of_turn(drop_reasoning(reply, repairs), repairs)
    blocks, outside = split_fences(text, repairs)
    if not text.strip():
        return ReadReply(status="unreadable" if repairs else "empty", repairs=_once(repairs))
    attempts = ["json", "tagged", "lines"]
    wanted = "json" if format.startswith("json") else "lines" if format == "pairs" else format
    if wanted in attempts and _LOOKS_JSON.search(text) is None:
        attempts.remove(wanted)
        attempts.insert(0, wanted)
    if attempts[0] == "json" and _starts_bracketed(text, schema):
        attempts = ["tagged", "lines", "json"]
    places = [block for block in blocks if block.strip()] + ([outside] if outside.strip() else [])
    for attempt in attempts:
        if attempt == "json":
            found = _read_json(blocks, outside, schema, work)
        elif attempt == "tagged":
            found = _read_tagged(places, schema, work, asked=format == "tagged")
        else:
            found = _read_lines(places, schema, format, work)
        if found is not None:
            shape = found.format
            if format in REPLY_FORMATS and shape != format:
                repairs.append("format")
            all_repairs = _once([*repairs, *found.repairs])
            status: Status = "truncated" if "truncated" in all_repairs else "ok"
            if status == "ok" and all_repairs:
                status = "repaired"
            return ReadReply(found.mentions, status, all_repairs, shape, found.order, found.text)
    if format == "tagged" and len(places) == 1 and not is_nothing(text):
        # The sentence as it was, without a mention: the format's way of saying that there is none.
        plain = read_tagged(places[0], schema, Found(schema, work))
        return ReadReply((), "repaired" if repairs else "ok", _once(repairs), "tagged", "text", plain)
    if is_nothing(text):
        return ReadReply(status="repaired", repairs=_once([*repairs, "none-word"]))
    return ReadReply(status="unreadable", repairs=_once(repairs))


def read_exact(reply: str, schema: LabelSchema, format: str) -> ReadReply | None:
    """What a reply says that is just what its format writes; ``None`` for any other.

    Nothing is guessed: a surface may look like a word for nothing, a fence or another format's markup. For
    replies that were kept to a format by a grammar.

    Args:
        reply: The raw reply.
        schema: Its codes are the labels.
        format: The format.
    """
    text: str | None = None
    mentions: tuple[Mention, ...] | None
    if reply == NOTHING and format in ("lines", "pairs"):
        mentions = ()
    elif format in ("lines", "pairs"):
        mentions = read_rows(reply, schema, surface_first=format == "pairs")
    elif format == "tagged":
        try:
            text, spans = parse_markup(reply)
        except MarkupError:
            return None
        mentions = tuple(Mention(s.label, text[s.start : s.end], start=s.start) for s in spans)
    elif format in ("json-by-type", "json-list"):
        mentions = _exact_json(reply, by_type=format == "json-by-type")
    else:
        return None
    if mentions is None or not all(mention.label in schema.codes for mention in mentions):
        return None
    return ReadReply(mentions, "ok", (), format, REPLY_FORMATS[format].order, text)


def _exact_json(reply: str, *, by_type: bool) -> tuple[Mention, ...] | None:
    try:
        value = json.loads(reply)
        if by_type:
            if not all(isinstance(surfaces, list) for surfaces in value.values()):
                return None
            pairs = [(label, surface) for label, surfaces in value.items() for surface in surfaces]
        else:
            pairs = [(entity["label"], entity["text"]) for entity in value]
            if not all(set(entity) == {"label", "text"} for entity in value):
                return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if not all(isinstance(part, str) for pair in pairs for part in pair):
        return None
    return tuple(Mention(label, surface) for label, surface in pairs)


def _is_json(reply: str) -> bool:
    try:
        json.loads(reply)
    except (ValueError, RecursionError):
        return False
    return True


# A line that begins as JSON does. Lines of pretty-printed JSON would pass for lines of another format.
_LOOKS_JSON = re.compile(r"^[ \t]*[\[{][ \t]*(?:[\"'“{\[}\]]|$)", re.MULTILINE)
# A model that wraps JSON in a JSON string does it once; what is escaped deeper is no answer.
_MOST_ESCAPED = 4
_BRACKETED = re.compile(r"[^\[\]{}\"]*\[[^\[\]{}\"\n]+[:：]([^\[\]{}\":：\n]+)\]")


def _starts_bracketed(text: str, schema: LabelSchema | None) -> bool:
    """``[손흥민:PS]`` would pass for a list with a bare word in it."""
    match = _BRACKETED.match(text)
    return match is not None and is_label(match[1], schema)


def _once(repairs: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(repairs))


def _result(found: Found, format: str, extra: list[str], text: str | None = None) -> ReadReply:
    return ReadReply(
        tuple(found.mentions),
        repairs=_once([*extra, *found.repairs]),
        format=format,
        order=REPLY_FORMATS[format].order,
        text=text,
    )


@dataclass(slots=True)
class _Candidate:
    """A draft with its meaning."""

    found: Found
    complete: bool
    repairs: list[str]
    answers: bool
    alone: bool
    is_object: bool


def _read_json(blocks: list[str], outside: str, schema: LabelSchema | None, budget: Budget) -> ReadReply | None:
    result = _read_drafts(blocks, outside, schema, budget)
    for _ in range(_MOST_ESCAPED):
        if result is not None or not ('\\"' in outside or any('\\"' in block for block in blocks)):
            return result
        # JSON inside a JSON string, its quotes still escaped.
        blocks = [block.replace('\\"', '"') for block in blocks]
        outside = outside.replace('\\"', '"')
        result = _read_drafts(blocks, outside, schema, budget)
        if result is not None:
            return replace(result, repairs=_once([*result.repairs, "escaped"]))
    return result


def _read_drafts(
    blocks: list[str], outside: str, schema: LabelSchema | None, budget: Budget
) -> ReadReply | None:
    # Blocks are searched as one text: {"PS": ...} in one fence and {"LC": ...} in the next are one answer.
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
        shapes = chosen.found.shapes or {("json-by-type" if chosen.is_object else "json-list"): None}
        format = "json-by-type" if "json-by-type" in shapes else "json-list"
        return _result(chosen.found, format, extra)
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


def _read_tagged(
    places: list[str], schema: LabelSchema | None, budget: Budget, *, asked: bool
) -> ReadReply | None:
    for place in reversed(places) if asked else places:
        found = Found(schema, budget)
        plain = read_tagged(place, schema, found)
        if schema is not None:
            known = [mention for mention in found.mentions if schema.resolve(mention.label)]
        else:
            known = found.mentions
        if asked and found.mentions:
            return _result(found, "tagged", [], plain)
        # Unasked, markup counts only in running text; "[손흥민:PS]" alone on its line is a line.
        if known and re.search(r"[^\W\d_]", _between(plain, found)):
            return _result(found, "tagged", [], plain)
    return None


def _between(plain: str, found: Found) -> str:
    """What stands outside the mentions of a tagged sentence."""
    parts, at = [], 0
    for mention in found.mentions:
        start = mention.start or 0
        parts.append(plain[at:start])
        at = start + len(mention.text)
    return "".join([*parts, plain[at:]])


def _read_lines(places: list[str], schema: LabelSchema | None, asked: str, budget: Budget) -> ReadReply | None:
    name = "pairs" if asked == "pairs" else "lines"
    for place in places:
        if len(places) == 1 and is_nothing(place):
            return _result(
                Found(schema), name, [] if asked == name and place.strip() == NOTHING else ["none-word"]
            )
        found = Found(schema, budget)
        understood, not_understood = read_lines(place, schema, found, surface_first=name == "pairs")
        if found.mentions or (understood and not not_understood):
            return _result(found, name, ["prose"] if not_understood else [])
    return None
