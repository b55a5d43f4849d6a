"""Attributes: what a schema says of the properties of a mention, and how their values are read.

A label's attributes are named in a schema (``schema``). Models write their values in many ways
(``긍정``, ``+1``, ``Positive``); an :class:`Attribute` reads them all as the values it declares.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from llmner._numbers import is_number, is_whole
from llmner._unicode import normalized
from llmner.languages import answer_meaning, is_no_answer

__all__ = ["Attribute", "AttributeValue", "ReadValue"]

# Whole names, signs and separators of a list in one string.
_COMMAS = re.compile(r"[,，、;；/|\n]")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,2})?")
_ADVERB = re.compile(
    r"^(?:(?:very|strongly|highly|somewhat|slightly|mostly|rather|quite|mildly)\s+|약간\s*|다소\s*|조금\s*)"
    r"(?=\w)|\s+(?:sentiment|polarity|opinion)$",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SIGNS = str.maketrans("−–—﹣", "----")
# On a scale with both signs, how far each word is from its middle.
_ON_SCALE = {
    "very negative": -2,
    "negative": -1,
    "neutral": 0,
    "mixed": 0,
    "positive": 1,
    "very positive": 2,
}
_MOST_VALUES = 100


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AttributeValue(_Model):
    """One value of an attribute that has a closed set of them.

    Attributes:
        code: The value in spans, rows and replies: a text or a number.
        name: Its name for people.
        description: What it means, for the prompt.
        aliases: Other words that models use for it.

    >>> AttributeValue(code=1, name="긍정").words
    ('1', '긍정')
    """

    code: StrictStr | StrictInt | StrictFloat
    name: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_code(cls, data: Any) -> Any:
        if isinstance(data, bool):
            word = "yes" if data else "no"
            raise ValueError(
                f"YAML reads an unquoted {word} as {str(data).lower()}; write it in quotes, or use "
                f"type: boolean"
            )
        return {"code": data} if isinstance(data, str | int | float) else data

    @property
    def words(self) -> tuple[str, ...]:
        """All words for the value."""
        return tuple(word for word in (str(self.code), self.name, *self.aliases) if word)


@dataclass(frozen=True, slots=True)
class ReadValue:
    """What a reply's value was read as.

    Attributes:
        kind: ``exact`` if the reply wrote the value itself, ``normalized`` if it wrote another
            word for it, ``missing`` if it says that there is none, ``unknown`` otherwise.
        value: The value; ``None`` if there is none.
    """

    kind: Literal["exact", "normalized", "missing", "unknown"]
    value: Any = None


class Attribute(_Model):
    """A property that a label's mentions may have.

    In YAML a list of values is short for ``{values: [...]}``, and a word is short for
    ``{type: ...}``.

    Attributes:
        name: Its name for people.
        description: What it means, for the prompt.
        aliases: Other words that models use for it.
        values: The only values there are; empty for any value of the type.
        type: Of an attribute without ``values``: ``text``, ``number``, ``integer`` or ``boolean``.
        several: Whether it may have several values at once; they come as a list.
        required: Whether every mention must have it.

    Raises:
        pydantic.ValidationError: Two values have the same code or word.

    >>> sentiment = Attribute(values=["positive", "neutral", "negative"])
    >>> sentiment.read("긍정"), sentiment.read("purple").kind
    (ReadValue(kind='normalized', value='positive'), 'unknown')
    >>> Attribute(type="number").read("1,200").value
    1200
    """

    name: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    values: tuple[AttributeValue, ...] = Field(default=(), max_length=_MOST_VALUES)
    type: Literal["text", "number", "integer", "boolean"] = "text"
    several: bool = False
    required: bool = False

    @model_validator(mode="before")
    @classmethod
    def _of_short_form(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"type": data}
        return {"values": data} if isinstance(data, list | tuple) else data

    @model_validator(mode="after")
    def _unambiguous(self) -> Attribute:
        owner: dict[str, str] = {}
        for value in self.values:
            for word in value.words:
                code = str(value.code)
                if owner.setdefault(_fold(word), code) != code:
                    raise ValueError(f"{word!r} names both {owner[_fold(word)]} and {code}")
        if len({str(value.code) for value in self.values}) < len(self.values):
            raise ValueError("two values have the same code")
        return self

    @property
    def codes(self) -> tuple[Any, ...]:
        """The codes of the values, in the schema's order."""
        return tuple(value.code for value in self.values)

    @cached_property
    def _codes_by_word(self) -> dict[str, Any]:
        words = {_fold(word): value.code for value in self.values for word in value.words}
        for meaning, code in self._by_meaning.items():
            words.setdefault(_fold(meaning), code)
        return words

    @cached_property
    def _by_meaning(self) -> dict[str, Any]:
        """Meaning (positive, yes) → the code of the one value that has it."""
        codes: dict[str, list[Any]] = {}
        for value in self.values:
            for meaning in {answer_meaning(word) for word in value.words} - {None}:
                codes.setdefault(str(meaning), []).append(value.code)
        by_meaning = {meaning: own[0] for meaning, own in codes.items() if len(own) == 1}
        for meaning in ("positive", "negative"):
            if meaning in by_meaning:
                by_meaning.setdefault(f"very {meaning}", by_meaning[meaning])
        numbers = [code for code in self.codes if is_number(code)]
        if len(numbers) == len(self.codes) > 1 and min(numbers) < 0 < max(numbers):
            # A scale with both signs: its numbers mean what they say; 0 and 1 are no yes and no.
            by_meaning = {
                meaning: number for meaning, number in _ON_SCALE.items() if number in numbers
            } | {
                key: value
                for key, value in by_meaning.items()
                if key not in ("yes", "no", *_ON_SCALE)
            }
            for value in self.values:
                for word in (value.name, *value.aliases):
                    if (own := answer_meaning(word)) is not None:
                        by_meaning[own] = value.code
        return by_meaning

    @property
    def _is_polarity(self) -> bool:
        """Whether its values are words for good and bad."""
        return not any(is_number(code) for code in self.codes) and (
            {"positive", "negative"} <= self._by_meaning.keys()
        )

    @property
    def has_texts(self) -> bool:
        """Whether its values are texts, going by its type or by the first that it names."""
        return self.type == "text" and not is_number(next(iter(self.codes), ""))

    def takes(self, said: Any) -> bool:
        """Whether it reads something as a value, however that is written.

        >>> Attribute(values=["good", "bad"]).takes("Good"), Attribute(type="number").takes("-")
        (True, False)
        """
        return self.read(said).kind in ("exact", "normalized")

    def has(self, value: Any) -> bool:
        """Whether a value is one of its own, written as the schema writes it.

        >>> Attribute(values=["good", "bad"]).has("Good")
        False
        """
        return self.read(value).kind == "exact"

    def read(self, said: Any) -> ReadValue:
        """Read a value as a reply has it: a text, a number, a boolean, a list.

        Args:
            said: The value. Of several, one that is unknown makes all of them unknown.
        """
        if isinstance(said, Mapping):
            # {"value": "positive", "reason": ...}
            inner = next((said[key] for key in ("value", "label", "code") if key in said), None)
            if inner is None:
                return ReadValue("unknown")
            again = self.read(inner)
            return ReadValue("normalized" if again.kind == "exact" else again.kind, again.value)
        if isinstance(said, list | tuple):
            return self._read_list(list(said))
        if said is None:
            return ReadValue("missing")
        one = self._read_one(said)
        if not self.several:
            return one
        if one.kind in ("exact", "normalized"):
            return ReadValue("normalized", [one.value])
        parts = [part.strip() for part in _COMMAS.split(str(said)) if part.strip()]
        if one.kind == "missing" or len(parts) < 2:
            return one
        listed = self._read_list(parts)
        return ReadValue("normalized" if listed.kind == "exact" else listed.kind, listed.value)

    def _read_list(self, said: list[Any]) -> ReadValue:
        read = [self._read_one(item) for item in said if item is not None]
        read = [one for one in read if one.kind != "missing"]
        if not read:
            return ReadValue("missing")
        if any(one.kind == "unknown" for one in read):
            return ReadValue("unknown")
        values = list(dict.fromkeys(one.value for one in read))
        changed = len(values) < len(said) or any(one.kind == "normalized" for one in read)
        if self.several:
            return ReadValue("normalized" if changed else "exact", values)
        if len(values) == 1:
            return ReadValue("normalized", values[0])
        if self.values or self.type != "text":
            return ReadValue("unknown")
        return ReadValue("normalized", ", ".join(values))

    def _read_one(self, said: Any) -> ReadValue:
        if isinstance(said, list | tuple | Mapping):
            return ReadValue("unknown")
        if self.values:
            return self._read_closed(said)
        if self.type == "boolean":
            return _read_boolean(said)
        word = str(said).lower() if isinstance(said, bool) else str(said).strip()
        if self.type == "text":
            if is_no_answer(word):
                return ReadValue("missing")
            return ReadValue("exact" if word == said else "normalized", word)
        number = _number_of(word)
        if number is not None and self.type == "integer" and float(number).is_integer():
            number = int(number)
        if number is None or (self.type == "integer" and not is_whole(number)):
            return ReadValue("missing" if is_no_answer(word) else "unknown")
        is_exact = is_number(said) or (str(number) == word and type(said) is not str)
        return ReadValue("exact" if is_exact else "normalized", number)

    def _read_closed(self, said: Any) -> ReadValue:
        word = str(said).strip()
        for code in self.codes:
            if said == code and isinstance(said, bool) == isinstance(code, bool):
                return ReadValue("exact", code)
        code = self._codes_by_word.get(_fold(word))
        if code is None:
            # "1 (긍정)", "긍정(1)", "positive sentiment"
            code = self._by_meaning.get(answer_meaning(_ADVERB.sub("", word)) or "")
        if code is None and self._is_polarity and (number := _number_of(word)) is not None:
            # 1 and -1 for words: only their signs say something.
            sign = "positive" if number > 0 else "negative" if number < 0 else "neutral"
            code = self._by_meaning.get(sign)
        if code is None and word[-1:] in (")", "）", "]"):
            head, _, tail = re.sub(r"[（\[]", "(", word[:-1]).partition("(")
            codes = {self._codes_by_word.get(_fold(part)) for part in (head, tail)} - {None}
            code = codes.pop() if len(codes) == 1 else None
        if code is not None:
            is_exact = not isinstance(code, str) and type(said) is not str and word == str(code)
            return ReadValue("exact" if is_exact else "normalized", code)
        return ReadValue("missing" if is_no_answer(word) else "unknown")


def _read_boolean(said: Any) -> ReadValue:
    if isinstance(said, bool):
        return ReadValue("exact", said)
    word = str(said)
    meaning = answer_meaning(word)
    if meaning in ("yes", "no"):
        return ReadValue("normalized", meaning == "yes")
    return ReadValue("missing" if is_no_answer(word) else "unknown")


def _number_of(word: str) -> int | float | None:
    """The number that a word is; ``None`` for any other word."""
    if len(word) > 40:
        return None
    plain = normalized("NFKC", word).translate(_SIGNS).strip()
    if _THOUSANDS.fullmatch(plain):
        plain = plain.replace(",", "")
    if _NUMBER.fullmatch(plain) is None:
        return None
    number = float(plain)
    return int(plain) if plain.lstrip("+-").isdecimal() else number


def _fold(word: str) -> str:
    """A word for a value in one spelling; numbers without a plus sign or idle zeros."""
    folded = normalized("NFKC", word).translate(_SIGNS).casefold().strip(" \t\r\n*_`'\"“”‘’.!")
    number = _number_of(folded)
    if number is not None:
        return str(int(number)) if float(number).is_integer() else str(number)
    return " ".join(folded.replace("_", " ").split())
