"""What is known of a reply while it is read, and after. How it is read is for the formats and
readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llmner._budget import Budget
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["NOTHING", "Order", "Place", "ReadReply", "Reading", "Status", "Unwrapped"]

Order = Literal["text", "label", "none"]
"""What the order of mentions tells: their order in the text, within each label only, or nothing."""

Status = Literal["ok", "repaired", "truncated", "empty", "unreadable"]
"""``ok``: read as its format writes it. ``repaired``: read, after mending. ``truncated``: cut off;
the complete mentions were kept. ``empty``: nothing but white space. ``unreadable``: no answer to be
found.
"""

Place = tuple[tuple[int, int], tuple[int, int] | None]
"""Code points of a surface, with what ends it, and of its label if that could be found."""

NOTHING = "-"
"""The whole ``lines`` or ``pairs`` reply for a sentence without entities; an empty one would say
nothing.
"""


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


# Of these two one is made for every reply that is read, and none is handed out: frozen ones take
# longer.
@dataclass(slots=True)
class Reading:
    """What one format's reader made of a reply.

    Attributes:
        format: The format it was read as; a reader may serve several.
        mentions: The mentions, in the order the reply has them.
        repairs: What was mended; a kind may stand in it twice.
        text: The plain sentence, where the reply repeats it.
    """

    format: str
    mentions: tuple[Mention, ...]
    repairs: tuple[str, ...] = ()
    text: str | None = None


@dataclass(slots=True)
class Unwrapped:
    """A reply without reasoning and end-of-turn tokens, as lenient readers get it.

    Attributes:
        text: All of it.
        blocks: The contents of its markdown fences.
        outside: The text outside them.
        parts: ``blocks`` and ``outside``, in this order, as far as they are not blank.
        asked: The format that was asked for, or ``"auto"``.
        schema: Resolves label names.
        budget: Steps of work that readers may take.
    """

    text: str
    blocks: list[str]
    outside: str
    parts: list[str]
    asked: str
    schema: LabelSchema | None
    budget: Budget
