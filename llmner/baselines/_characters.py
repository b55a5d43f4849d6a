"""Texts as rows of characters, each with its token: what taggers of characters share.

A token may reach over the end of a name, as where a name and its particle are one token of a
language model's vocabulary. No tag of such a token is right; tags of its characters are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from llmner._mishaps import Mishap, attempt
from llmner.baselines._alignment import owners
from llmner.baselines._encoder_tagger import CHARACTERS, EncoderTagger, Window
from llmner.baselines._syllables import spans_of
from llmner.baselines._tag_scores import character_offsets
from llmner.baselines._views import views
from llmner.engines._model_files import read_object
from llmner.errors import InputError
from llmner.spans import Span
from llmner.tagging import is_tag

__all__ = ["HEAD_FILES", "VIEWS", "CharacterRow", "CharacterRows", "read_head", "window_views"]

HEAD_FILES = "the head of an encoder of characters"
"""What errors call the files of a head."""

# What a token's state does not say. Words are not among them: the encoder knows them, and files
# that hold words of the training sentences could not be given away.
VIEWS = ("char", "left", "right", "kind", "place", "piece")
_LONGEST_PIECE = 7


@dataclass(frozen=True, slots=True)
class CharacterRow:
    """A window as numbers.

    Attributes:
        window: Its tokens.
        places: Offsets of its characters that are not white space, in the text.
        tokens: For each place, the number of its token in the window. A character that no token
            covers has that of the character before it.
        numbers: For each view, the numbers of its values: (places,).
    """

    window: Window
    places: list[int]
    tokens: list[int]
    numbers: dict[str, list[int]]

    @property
    def ids(self) -> list[int]:
        """Numbers of the window's tokens."""
        return self.window.ids

    def to_dict(self) -> dict[str, Any]:
        """The row as a trainer's data set has it, without labels."""
        return {"input_ids": self.ids, "tokens": self.tokens, **self.numbers}


class CharacterRows(EncoderTagger):
    """A tagger whose rows are of characters. What predicts their tags is a subclass's.

    Args:
        model: The encoder.
        tokenizer: Its tokenizer, a fast one.
        tags: The BIOES tags, in the order of the scores.
        vocabulary: For each view, the number of each value.
        max_length: Longest window, in tokens.
        stride: Tokens that two neighbouring windows share.

    Raises:
        InputError: The tokenizer has no offsets, because it is not a fast one.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        tags: Sequence[str],
        vocabulary: Mapping[str, Mapping[str, int]],
        max_length: int,
        stride: int,
    ) -> None:
        super().__init__(
            model, tokenizer, tags=tags, scheme="bioes", max_length=max_length, stride=stride
        )
        self.vocabulary = vocabulary

    unit: ClassVar[Literal["token", "character"]] = "character"

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """(start, end) of the characters that are not white space."""
        return character_offsets(text)

    def rows(self, text: str) -> list[CharacterRow]:
        """A text as numbers, a row for each window that has characters."""
        return [
            CharacterRow(
                window,
                places,
                tokens,
                {
                    view: [numbers.get(value, 0) for value in values[view]]
                    for view, numbers in self.vocabulary.items()
                },
            )
            for window, places, tokens, values in window_views(self, text)
        ]

    def _joined(
        self, text: str, parts: Sequence[tuple[CharacterRow, list[str], list[float]]]
    ) -> tuple[Span, ...]:
        """The spans of a text, from the tags and probabilities of all its windows."""
        places: list[int] = []
        tags: list[str] = []
        probabilities: list[float] = []
        for number, (row, row_tags, row_probabilities) in enumerate(parts):
            kept = set(self.kept(row.window, number, len(parts)))
            for place, token, tag, probability in zip(
                row.places, row.tokens, row_tags, row_probabilities, strict=True
            ):
                if token in kept and not (places and place <= places[-1]):
                    places.append(place)
                    tags.append(tag)
                    probabilities.append(probability)
        return spans_of(tags, places, probabilities)


def read_head(folder: Path) -> tuple[list[str], dict[str, dict[str, int]], int]:
    """The tags, the vocabulary and the hidden size of a head.

    Raises:
        InputError: The file is missing or malformed.
    """
    path = folder / CHARACTERS
    fields = read_object(path, HEAD_FILES)
    tags: Any = fields.get("tags")
    vocabulary: Any = fields.get("vocabulary")
    hidden: Any = fields.get("hidden")
    if not _is_head(tags, vocabulary, hidden):
        raise InputError(f"is not {HEAD_FILES}", path=path, hint="train it again")
    return tags, vocabulary, hidden


def window_views(
    tagger: EncoderTagger, text: str
) -> Iterator[tuple[Window, list[int], list[int], dict[str, list[str]]]]:
    """Each window of a text that has characters, with their offsets, tokens and views."""
    for window in tagger.windows(text):
        if not window.own:
            continue
        low = min(window.offsets[token][0] for token in window.own)
        high = max(window.offsets[token][1] for token in window.own)
        part = text[low:high]
        owned = owners(part, [(start - low, end - low) for start, end in window.offsets])
        places = [place for place, char in enumerate(part) if not char.isspace()]
        if not places:
            continue
        tokens: list[int] = []
        for place in places:
            token = owned[place]
            tokens.append(token if token is not None else tokens[-1] if tokens else window.own[0])
        values = views(part, places)
        values["piece"] = _pieces(tokens)
        yield (
            window,
            [low + place for place in places],
            tokens,
            {view: values[view] for view in VIEWS},
        )


def _pieces(tokens: Sequence[int]) -> list[str]:
    """For each character, how many of its token are before it and from it on."""
    before: list[int] = []
    for number, token in enumerate(tokens):
        same = number > 0 and tokens[number - 1] == token
        before.append(before[-1] + 1 if same else 0)
    left: list[int] = [0] * len(tokens)
    for number in range(len(tokens) - 1, -1, -1):
        same = number + 1 < len(tokens) and tokens[number + 1] == tokens[number]
        left[number] = left[number + 1] + 1 if same else 1
    return [
        f"{min(first, _LONGEST_PIECE)} {min(last, _LONGEST_PIECE)}"
        for first, last in zip(before, left, strict=True)
    ]


def _is_head(tags: Any, vocabulary: Any, hidden: Any) -> bool:
    """Whether values are those of a head's file."""
    valid = attempt(
        lambda: (
            type(hidden) is int
            and 0 < hidden < 1 << 16
            and len(tags) > 1
            and all(is_tag(tag, "bioes") for tag in tags)
            and len(set(tags)) == len(tags)
            and tuple(vocabulary) == VIEWS
            and all(
                type(number) is int and 0 <= number <= len(numbers)
                for numbers in vocabulary.values()
                for number in numbers.values()
            )
        )
    )
    return not isinstance(valid, Mishap) and valid
