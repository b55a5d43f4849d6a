"""Reading any reply: it is unwrapped, each format's reader tries it, and all repairs are listed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from llmner._budget import UNBOUNDED, Budget
from llmner.replies._calls import read_calls
from llmner.replies._clean import drop_end_of_turn, drop_reasoning, split_fences
from llmner.replies._drafts import looks_json, read_json
from llmner.replies._mentions import is_label, is_none_word, is_nothing, may_be_joined
from llmner.replies._places import places_of
from llmner.replies._records import read_records, read_tables
from llmner.replies._source import SourceText, fold
from llmner.replies._tags import read_tags
from llmner.replies._types import Place, Reading, ReadReply, Status, Unwrapped
from llmner.replies._value_marks import read_value_marks
from llmner.replies._xml import read_xml
from llmner.replies.formats import REPLY_FORMATS, ReplyFormat
from llmner.replies.labels import LABEL_FORMATS, is_about_texts, read_labels
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["find_places", "read_exact", "read_reply"]

_BRACKETED = re.compile(r"[^\[\]{}\"]*\[[^\[\]{}\"\n]+[:：]([^\[\]{}\":：\n]+)\]")
_HEADED = re.compile(r"\s*\[([^\[\]{}\"'\n]{1,60})\][ \t]*[^\s,\]\[{]")
# Shapes that are no format of ours. Each reader takes only what no format can be; the last three
# take nothing that looks like JSON.
_IN_JSON_TOO = (read_tags, read_calls, read_value_marks)
_OTHER_SHAPES = (*_IN_JSON_TOO, read_xml, read_records, read_tables)


def read_reply(
    reply: str,
    schema: LabelSchema | None = None,
    format: str = "auto",
    *,
    text: str | None = None,
    budget: Budget | None = None,
) -> ReadReply:
    """Read any string that a model may have sent. Linear in the reply.

    If a JSON reply has several drafts of the answer, the last complete one with a mention wins,
    because models correct themselves. A draft that was cut off counts only if no complete one has a
    mention. Drafts in a Markdown fence win over drafts outside. JSON values with nothing but white
    space, commas or semicolons between them are one draft unless they list the same label again, so
    nothing is lost of JSON Lines and of replies with an object for each label.

    Args:
        reply: The raw reply. No string raises an error.
        schema: Resolves label names ("사람", "person", "ps") to codes; unknown labels stay as they
            are. Without a schema, only upper-case words are taken for labels where it takes a
            guess.
        format: The format that was asked for, or ``"auto"``. It is tried first. A reply in another
            format is read all the same, with ``"format"`` among its repairs. An unknown name counts
            as ``"auto"``.
        text: The text that the model was asked about. It tells which of several drafts is meant,
            whether a string is one name or several, and whether a phrase is a name or says that
            there is none.
        budget: The steps of work that reading may take, for replies from strangers.

    Returns:
        Mentions, status and repairs.

    Raises:
        WorkLimitError: The budget is used up or was ended.

    >>> reply = read_reply("The answer is {'person': ['Ada Lovelace'],}", LabelSchema.of("person"))
    >>> [(mention.label, mention.text) for mention in reply.mentions]
    [('person', 'Ada Lovelace')]
    >>> reply.status, reply.repairs
    ('repaired', ('quotes', 'trailing-comma', 'prose'))
    """
    if schema is not None and is_about_texts(schema):
        exact = read_exact(reply, schema, format)
        return exact or read_labels(reply, schema, text=text, budget=budget)
    work = budget or UNBOUNDED
    work.spend(1 + len(reply) // 16)
    expected = REPLY_FORMATS.get(format)
    source = SourceText(text, work) if text is not None and text.strip() else None
    if expected is not None and expected.read_sure is not None and schema is not None:
        certain = _with_known_labels(expected.read_sure(reply, schema), schema, expected)
        if certain is not None and not _is_doubtful(certain, source):
            return certain
    repairs: list[str] = []
    answer = drop_end_of_turn(drop_reasoning(reply, repairs, text), repairs)
    blocks, outside = split_fences(answer, repairs)
    if not answer.strip():
        return ReadReply(status="unreadable" if repairs else "empty", repairs=_once(repairs))
    parts = [block for block in blocks if block.strip()] + ([outside] if outside.strip() else [])
    unwrapped = Unwrapped(answer, blocks, outside, parts, format, schema, work, source)
    # The best reading so far that may not be the answer.
    doubtful: Reading | None = None
    for read in _readers(unwrapped, expected):
        reading = read(unwrapped)
        if reading is None:
            continue
        if not reading.mentions and "prose" in reading.repairs:
            # An empty list in the middle of something else: another reader may read more.
            doubtful = doubtful or reading
        elif (
            read in _OTHER_SHAPES
            and source is not None
            and not source.share([mention.text for mention in reading.mentions])
        ):
            # Code or rows about another text, with the answer behind them.
            doubtful = doubtful or reading
        elif doubtful is None or reading.mentions:
            return _reply_of(reading, repairs, expected)
    if doubtful is not None:
        return _reply_of(doubtful, repairs, expected)
    if is_nothing(answer):
        return ReadReply(status="repaired", repairs=_once([*repairs, "none-word"]))
    return ReadReply(status="unreadable", repairs=_once(repairs))


def _is_doubtful(read: ReadReply, source: SourceText | None) -> bool:
    """Whether a reply that is written as it should be has words for nothing, or joined names."""
    if source is None:
        return False
    if read.text is not None and fold(read.text) != source.folded:
        # A marked sentence that is not the text.
        return True
    return any(
        is_none_word(mention.text) or (may_be_joined(mention.text) and not source.has(mention.text))
        for mention in read.mentions
    )


def _readers(
    unwrapped: Unwrapped, expected: ReplyFormat | None
) -> list[Callable[[Unwrapped], Reading | None]]:
    """Every format's reader, in the order in which they try."""
    # A reader that several formats share comes once: it tells them apart itself.
    is_json = looks_json(unwrapped.text)
    readers = list(dict.fromkeys([reply_format.read for reply_format in REPLY_FORMATS.values()]))
    if expected is not None and expected.read is not readers[0] and not is_json:
        readers.remove(expected.read)
        readers.insert(0, expected.read)
    if readers[0] is read_json and _starts_bracketed(unwrapped.text, unwrapped.schema):
        readers.append(readers.pop(0))
    if expected is not None and expected.read_last is not None:
        readers.append(expected.read_last)
    if is_json and "<parameter" in unwrapped.text:
        # The arguments of a call, each JSON in an element.
        readers.insert(0, read_xml)
    return [*(_IN_JSON_TOO if is_json else _OTHER_SHAPES), *readers]


def _reply_of(reading: Reading, repairs: Sequence[str], expected: ReplyFormat | None) -> ReadReply:
    """The result of a reading.

    Args:
        reading: The reading.
        repairs: The repairs that were made before it.
        expected: The format that was asked for.
    """
    other = () if expected is None or reading.format == expected.name else ("format",)
    all_repairs = _once([*repairs, *other, *reading.repairs])
    status: Status = "truncated" if "truncated" in all_repairs else "ok"
    if status == "ok" and all_repairs:
        status = "repaired"
    order = REPLY_FORMATS[reading.format].order
    return ReadReply(reading.mentions, status, all_repairs, reading.format, order, reading.text)


def read_exact(reply: str, schema: LabelSchema, format: str) -> ReadReply | None:
    """Read a reply that is exactly what a format writes; ``None`` for any other reply.

    For replies that a grammar kept to the format. Nothing is guessed: a surface may look like a
    word for nothing, like a fence or like another format's markup.

    Args:
        reply: The raw reply.
        schema: Its codes are the labels.
        format: The format's name.

    >>> from llmner.schema import LabelSchema
    >>> schema = LabelSchema.of("PS", "LC")
    >>> read_exact("손흥민\\tPS", schema, "pairs").mentions[0].text
    '손흥민'
    >>> read_exact("PS: 손흥민", schema, "pairs") is None
    True
    """
    about_text = LABEL_FORMATS.get(format)
    if is_about_texts(schema):
        labels = None if about_text is None else about_text.read_exact(reply, schema)
        return None if labels is None else ReadReply(format=format, labels=tuple(labels))
    expected = REPLY_FORMATS.get(format)
    if expected is None:
        return None
    return _with_known_labels(expected.read_exact(reply, schema), schema, expected)


def _with_known_labels(
    reading: Reading | None, schema: LabelSchema, expected: ReplyFormat
) -> ReadReply | None:
    """The result of an exact reading; ``None`` if a label is no code of the schema."""
    if reading is None:
        return None
    codes = schema.codes
    if not all(mention.label in codes for mention in reading.mentions):
        return None
    return ReadReply(reading.mentions, "ok", (), expected.name, expected.order, reading.text)


def find_places(reply: str, mentions: Sequence[Mention], format: str | None) -> list[Place | None]:
    """Where each mention stands in the reply; ``None`` for one that was not found.

    The range of a surface includes the character after it, or the end of the reply: that the name
    ends here is part of what the model said. A mention is not found if it does not stand in the
    reply as it was read, or if searching took more than about a hundred times the length of the
    reply. Linear in the reply and the mentions.

    Args:
        reply: The raw reply.
        mentions: The mentions that were read from it, in the order of the reply.
        format: The format that it was read as.

    >>> find_places("손흥민\\tPS", [Mention("PS", "손흥민")], "pairs")
    [((0, 4), (4, 6))]
    """
    reply_format = REPLY_FORMATS.get(format or "")
    if reply_format is None:
        return places_of(reply, mentions)
    return reply_format.places(reply, mentions)


def _starts_bracketed(text: str, schema: LabelSchema | None) -> bool:
    """Whether a text begins like ``[손흥민:PS]``, which looks like a list with a bare word."""
    match = _BRACKETED.match(text) or _HEADED.match(text)
    return match is not None and is_label(match[1], schema)


def _once(repairs: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(repairs))
