"""What a reply format is: everything that is ever done with it, in both directions."""

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
    """One way of writing entities down.

    What every format must have has no default, so that half a format cannot be made.

    Attributes:
        name: Its name in recipes and on the command line.
        order: What the order of mentions in such a reply tells.
        write: From a sentence with gold spans to the reply; the schema orders the labels.
        read_exact: What a reply says that is to the letter what the format writes, with the
            schema's codes for labels; ``None`` for any other.
        read: What a reply says that is more or less in the format; ``None`` where another format's
            reader should try. Formats that are mistaken for one another share one reader, which
            looks at ``asked``.
        places: Where in the raw reply each mention stands, ``None`` for one that is not there.
        grammar: From a text that is not blank and the label codes to rules in llguidance's Lark
            dialect, of which ``reply`` is the first: replies that name stretches of the text only.
        json_schema: From the label codes to the JSON schema of all replies; ``None``: they are no
            JSON.
        read_sure: What a raw reply says that cannot but be this format's, whatever wrapping or
            other format it looks like; looked at before all readers.
        read_last: What a reply says that no reader could read.
        whole_part: A reply that was cut off by a limit, without the piece that may be half of one.
        repeats_text: Whether a reply is the text again, so that the text alone says that nothing is
            in it.
    """

    name: str
    order: Order
    write: Callable[[Sentence, LabelSchema | None], str]
    read_exact: Callable[[str, LabelSchema], Reading | None]
    read: Callable[[Unwrapped], Reading | None]
    places: Callable[[str, Sequence[Mention]], list[Place | None]]
    grammar: Callable[[str, tuple[str, ...]], str]
    json_schema: Callable[[tuple[str, ...]], dict[str, Any]] | None = None
    read_sure: Callable[[str, LabelSchema], Reading | None] | None = None
    read_last: Callable[[Unwrapped], Reading | None] | None = None
    whole_part: Callable[[str], str] | None = None
    repeats_text: bool = False
