"""The label set: codes, names, descriptions, and the other words models use for them.

It does not know recipes' prompts or reply formats; ``recipes`` loads a schema as part of a recipe.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

__all__ = ["Label", "LabelSchema"]

# Codes stand in tags (B-PS), markup (<..:PS>) and JSON keys, so they hold no space or delimiter.
Code = Annotated[str, StringConstraints(pattern=r"^[^\s<>:\\\"'{}\[\],]+$", max_length=64)]

_TAG_PREFIX = re.compile(r"^[bieslu]-(?=.)")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Label(_Model):
    """One label of a schema.

    Attributes:
        code: What stands in tags, spans and replies, for example ``"PS"``.
        name: What people call it, for example ``"사람"``.
        description: What counts as one, for the prompt.
        aliases: Other words that models use for it (``"person"``, ``"인물"``).
        followed_by: What often stands right after one (에서 after places, 씨 after people). It decides
            between places that are equally good otherwise, nothing else.
        attributes: Names of optional attributes a mention may carry.
    """

    code: Code
    name: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    followed_by: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()


class LabelSchema(_Model):
    """An ordered label set.

    Build one from codes with :meth:`of`, or from :class:`Label` objects; recipes carry one.

    Raises:
        pydantic.ValidationError: No label, a code twice, or one name for two labels.
    """

    labels: tuple[Label, ...] = Field(min_length=1)

    @classmethod
    def of(cls, *codes: str) -> LabelSchema:
        """A schema of bare codes: ``LabelSchema.of("PS", "LC")``."""
        return cls(labels=tuple(Label(code=code) for code in codes))

    @model_validator(mode="after")
    def _unambiguous(self) -> LabelSchema:
        owner: dict[str, str] = {}
        codes = [label.code for label in self.labels]
        for code in codes:
            if codes.count(code) > 1:
                raise ValueError(f"label code {code!r} stands twice")
        for label in self.labels:
            for word in (label.code, label.name, *label.aliases):
                key = _fold(word)
                if key and owner.setdefault(key, label.code) != label.code:
                    raise ValueError(f"{word!r} names both {owner[key]} and {label.code}")
        return self

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes, in the schema's order."""
        return tuple(label.code for label in self.labels)

    @cached_property
    def _words(self) -> dict[str, str]:
        return {
            key: label.code
            for label in self.labels
            for word in (label.code, label.name, *label.aliases)
            if (key := _fold(word))
        }

    def resolve(self, word: str) -> str | None:
        """The code that ``word`` means, or ``None``.

        Understands codes, names and aliases in any case and width, ``B-``/``I-`` prefixes, and both
        orders of ``PS(사람)``. O(length of ``word``), with words over 200 characters refused.
        """
        code = self._words.get(word)
        if code is not None:
            return code
        if len(word) > 200:
            return None
        key = _fold(word)
        code = self._words.get(key)
        if code is not None:
            return code
        key = _TAG_PREFIX.sub("", key)
        code = self._words.get(key)
        if code is None and key[-1:] in (")", "]", "}"):
            at = max(key.rfind(bracket) for bracket in "([{")
            if at > 0:
                code = self._words.get(key[:at].strip()) or self._words.get(key[at + 1 : -1].strip())
        return code


def _fold(word: str) -> str:
    """Width, case and the decoration models put around a label."""
    return unicodedata.normalize("NFKC", word).casefold().strip(" \t\r\n*_`'\"<>#-·:.")
