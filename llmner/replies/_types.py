"""The data that is passed around while a reply is read, and the result of reading it.

The reading itself is done by the formats and their readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llmner._budget import Budget
from llmner.replies._source import SourceText
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["NOTHING", "Order", "Place", "ReadReply", "Reading", "Status", "Unwrapped"]

Order = Literal["text", "label", "none"]
"""What the order of the mentions tells: their order in the text (``text``), their order in the text
among mentions of one label (``label``), or nothing (``none``).
"""

Status = Literal["ok", "repaired", "truncated", "empty", "unreadable"]
"""How well a reply could be read.

``ok``: the reply is written as its format prescribes. ``repaired``: it was read after repairs.
``truncated``: it was cut off, and its complete mentions were kept. ``empty``: it is nothing but
white space. ``unreadable``: no answer was found in it.
"""

Place = tuple[tuple[int, int], tuple[int, int] | None]
"""Where a mention stands in a reply: ``(start, end)`` of its surface and of its label.

Both are half-open ranges of code points. The surface's range includes the character that ends the
surface. The label's is ``None`` where the label could not be found.
"""

NOTHING = "-"
"""The whole ``lines`` or ``pairs`` reply for a sentence without entities.

An empty reply could not be told from a model that said nothing.
"""


@dataclass(frozen=True, slots=True)
class ReadReply:
    """What a reply says.

    Attributes:
        mentions: The mentions, in the order of the reply.
        status: How well the reply could be read; see :data:`Status`.
        repairs: The kinds of repair that were made, each once, in the order in which they were
            made: ``"fence"``, ``"prose"``, ``"think"``, ``"quotes"``, ``"trailing-comma"``,
            ``"comment"``, ``"truncated"``, ``"drafts"``, ``"label-name"``, ``"duplicate-key"``, ...
            :data:`REPAIRS` explains them.
        format: The format it was read as, or ``None`` if no answer was found.
        order: What the order of the mentions tells about the text; see :data:`Order`.
        text: The plain sentence, if the reply repeats it (``tagged``).
        labels: What it says of the whole text: labels with attributes, as mentions without a
            surface.

    >>> from llmner.replies import read_reply
    >>> reply = read_reply('```json\\n{"PS": ["손흥민"]}\\n```')
    >>> reply.status, reply.repairs, reply.format, reply.order
    ('repaired', ('fence',), 'json-by-type', 'label')
    """

    mentions: tuple[Mention, ...] = ()
    status: Status = "ok"
    repairs: tuple[str, ...] = ()
    format: str | None = None
    order: Order = "none"
    text: str | None = None
    labels: tuple[Mention, ...] = ()


# One Reading and one Unwrapped are made for every reply, and neither leaves this package. They are
# not frozen because frozen dataclasses take longer to make.
@dataclass(slots=True)
class Reading:
    """What one format's reader made of a reply.

    Attributes:
        format: The format it was read as; one reader may serve several formats.
        mentions: The mentions, in the order of the reply.
        repairs: The kinds of repair that were made, possibly with duplicates.
        text: The plain sentence, if the reply repeats it.
    """

    format: str
    mentions: tuple[Mention, ...]
    repairs: tuple[str, ...] = ()
    text: str | None = None


@dataclass(slots=True)
class Unwrapped:
    """A reply without reasoning and end-of-turn tokens; the input of lenient readers.

    Attributes:
        text: The whole reply.
        blocks: The contents of its Markdown fences.
        outside: The text outside the fences.
        parts: ``blocks`` and then ``outside``, without those that are blank.
        asked: The format that was asked for, or ``"auto"``.
        schema: Resolves label names.
        budget: The steps of work that readers may take.
        source: The text that the reply is about, if it is known.
    """

    text: str
    blocks: list[str]
    outside: str
    parts: list[str]
    asked: str
    schema: LabelSchema | None
    budget: Budget
    source: SourceText | None = None
