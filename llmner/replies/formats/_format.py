"""The description of a reply format: how it is written, read, searched and constrained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llmner.replies._types import Order, Place, Reading, Unwrapped
from llmner.schema import LabelSchema
from llmner.spans import Mention, Sentence

__all__ = ["ReplyFormat"]


@dataclass(frozen=True, slots=True)
class ReplyFormat:
    """One way in which a model may write down the entities of a text.

    The attributes that every format must have are without a default, so that no format is
    incomplete.

    Attributes:
        name: Its name in recipes and on the command line.
        order: What the order of the mentions in a reply tells; see :data:`Order`.
        write: Writes the reply for a sentence with gold spans. The schema orders the labels.
        read_exact: Reads a reply that is exactly what the format writes, with codes of the schema
            for labels; ``None`` for any other reply.
        read: Reads a reply that is more or less in the format; ``None`` if another format's reader
            should try. Formats that are easily confused share one reader, which looks at ``asked``.
        places: Where each mention stands in the raw reply; ``None`` for one that was not found.
        grammar: Writes a grammar for a text that is not blank and a schema, in llguidance's dialect
            of Lark. It allows only replies whose surfaces stand in the text. Its first rule
            is ``reply``.
        json_schema: The JSON schema of all replies with a schema's labels; ``None`` if replies are
            no JSON.
        read_sure: Reads a raw reply that can only be in this format, whatever wrapping or other
            format it looks like; ``None`` for any other. It is tried before all readers.
        read_last: Reads a reply that no reader could read.
        whole_part: The whole mentions of a reply that was cut off by a limit, without the last
            piece, which may be half of one.
        repeats_text: Whether a reply repeats the text, so that the bare text says that there is no
            entity.
        holds_attributes: Whether it has room for attributes of mentions.

    >>> from llmner.replies import REPLY_FORMATS
    >>> REPLY_FORMATS["tagged"].order, REPLY_FORMATS["tagged"].repeats_text
    ('text', True)
    """

    name: str
    order: Order
    write: Callable[[Sentence, LabelSchema | None], str]
    read_exact: Callable[[str, LabelSchema], Reading | None]
    read: Callable[[Unwrapped], Reading | None]
    places: Callable[[str, Sequence[Mention]], list[Place | None]]
    grammar: Callable[[str, LabelSchema], str]
    json_schema: Callable[[LabelSchema], dict[str, Any]] | None = None
    read_sure: Callable[[str, LabelSchema], Reading | None] | None = None
    read_last: Callable[[Unwrapped], Reading | None] | None = None
    whole_part: Callable[[str], str] | None = None
    repeats_text: bool = False
    holds_attributes: bool = False
