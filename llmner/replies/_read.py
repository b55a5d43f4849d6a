"""Reading any reply: unwrap it, let the formats' readers try, and say what was done."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from llmner._budget import UNBOUNDED, Budget
from llmner.replies._clean import drop_end_of_turn, drop_reasoning, split_fences
from llmner.replies._drafts import looks_json, read_json
from llmner.replies._interpret import is_label, is_nothing
from llmner.replies._places import places_of
from llmner.replies._types import Place, Reading, ReadReply, Status, Unwrapped
from llmner.replies.formats import REPLY_FORMATS, ReplyFormat
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["find_places", "read_exact", "read_reply"]

_BRACKETED = re.compile(r"[^\[\]{}\"]*\[[^\[\]{}\"\n]+[:：]([^\[\]{}\":：\n]+)\]")


def read_reply(
    reply: str,
    schema: LabelSchema | None = None,
    format: str = "auto",
    *,
    budget: Budget | None = None,
) -> ReadReply:
    """Read any string a model may have sent. Linear in the reply; never raises on any ``str``.

    Several drafts: the last complete one that names a mention wins (models correct themselves); a
    draft that was cut off counts only where no complete one names any; drafts in a markdown fence
    go before drafts outside one. Values with nothing but white space or commas between them are one
    draft unless they list the same label again, so JSON Lines and one-object-a-label replies lose
    nothing.

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
    asked = REPLY_FORMATS.get(format)
    if asked is not None and asked.read_sure is not None and schema is not None:
        sure = _checked(asked.read_sure(reply, schema), schema, asked)
        if sure is not None:
            return sure
    repairs: list[str] = []
    text = drop_end_of_turn(drop_reasoning(reply, repairs), repairs)
    blocks, outside = split_fences(text, repairs)
    if not text.strip():
        return ReadReply(status="unreadable" if repairs else "empty", repairs=_once(repairs))
    parts = [block for block in blocks if block.strip()] + ([outside] if outside.strip() else [])
    unwrapped = Unwrapped(text, blocks, outside, parts, format, schema, work)
    for read in _readers(unwrapped, asked):
        reading = read(unwrapped)
        if reading is not None:
            return _reply_of(reading, repairs, asked)
    if is_nothing(text):
        return ReadReply(status="repaired", repairs=_once([*repairs, "none-word"]))
    return ReadReply(status="unreadable", repairs=_once(repairs))


def _readers(
    unwrapped: Unwrapped, asked: ReplyFormat | None
) -> list[Callable[[Unwrapped], Reading | None]]:
    """Every format's reader, in the order in which they are to try."""
    # Formats that share a reader are read once: whatever was asked for, it tells them apart.
    readers = list(dict.fromkeys([each.read for each in REPLY_FORMATS.values()]))
    if asked is not None and asked.read is not readers[0] and not looks_json(unwrapped.text):
        readers.remove(asked.read)
        readers.insert(0, asked.read)
    if readers[0] is read_json and _starts_bracketed(unwrapped.text, unwrapped.schema):
        readers.append(readers.pop(0))
    if asked is not None and asked.read_last is not None:
        readers.append(asked.read_last)
    return readers


def _reply_of(reading: Reading, repairs: Sequence[str], asked: ReplyFormat | None) -> ReadReply:
    """A reading with all that was mended.

    Args:
        reading: The reading.
        repairs: What was mended before.
        asked: The format that was asked for.
    """
    other = () if asked is None or reading.format == asked.name else ("format",)
    all_repairs = _once([*repairs, *other, *reading.repairs])
    status: Status = "truncated" if "truncated" in all_repairs else "ok"
    if status == "ok" and all_repairs:
        status = "repaired"
    order = REPLY_FORMATS[reading.format].order
    return ReadReply(reading.mentions, status, all_repairs, reading.format, order, reading.text)


def read_exact(reply: str, schema: LabelSchema, format: str) -> ReadReply | None:
    """What a reply says that is just what its format writes; ``None`` for any other.

    Nothing is guessed: a surface may look like a word for nothing, a fence or another format's
    markup. For replies that were kept to a format by a grammar.

    Args:
        reply: The raw reply.
        schema: Its codes are the labels.
        format: The format.

    >>> from llmner.schema import LabelSchema
    >>> schema = LabelSchema.of("PS", "LC")
    >>> read_exact("손흥민\\tPS", schema, "pairs").mentions[0].text
    '손흥민'
    >>> read_exact("PS: 손흥민", schema, "pairs") is None
    True
    """
    asked = REPLY_FORMATS.get(format)
    return None if asked is None else _checked(asked.read_exact(reply, schema), schema, asked)


def _checked(reading: Reading | None, schema: LabelSchema, asked: ReplyFormat) -> ReadReply | None:
    """An exact reading, if all its labels are codes of the schema."""
    if reading is None:
        return None
    codes = schema.codes
    if not all(mention.label in codes for mention in reading.mentions):
        return None
    return ReadReply(reading.mentions, "ok", (), asked.name, asked.order, reading.text)


def find_places(reply: str, mentions: Sequence[Mention], format: str | None) -> list[Place | None]:
    """The place of each mention, in the reply's order; ``None`` for one that is not there as it was
    read.

    A surface's place takes in the character after it, or the end of the reply: that a name ends
    here is part of what was said. Linear in the reply and the mentions: those that are not there as
    they were read are looked for as long as that takes no more than some hundred looks through the
    whole reply.

    Args:
        reply: The raw reply.
        mentions: What it was read as.
        format: The format it was read as.

    >>> find_places("손흥민\\tPS", [Mention("PS", "손흥민")], "pairs")
    [((0, 4), (4, 6))]
    """
    read_as = REPLY_FORMATS.get(format or "")
    return places_of(reply, mentions) if read_as is None else read_as.places(reply, mentions)


def _starts_bracketed(text: str, schema: LabelSchema | None) -> bool:
    """``[손흥민:PS]`` would pass for a list with a bare word in it."""
    match = _BRACKETED.match(text)
    return match is not None and is_label(match[1], schema)


def _once(repairs: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(repairs))
