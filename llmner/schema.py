"""The label set: codes, names, descriptions, and the other words models use for them.

It does not know recipes' prompts or reply formats; ``recipes`` loads a schema as part of a recipe.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, model_validator

from llmner._kept import kept
from llmner._unicode import normalized
from llmner.languages import cues_after, meaning_of

__all__ = ["Label", "LabelSchema", "cues_of", "means_person"]

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
        followed_by: What often stands right after one (에서 after places, 씨 after people). It
            decides between labels that claim the same surface, nothing else. Left out, labels whose
            names say that they are places or organisations have the Korean particles that usually
            follow those.
        attributes: Names of optional attributes a mention may carry.
        person: Whether its entities are people, whose titles (씨, 님, 회장) are no part of the
            name. By default so if the code, the name or an alias says person.
    """

    code: Code
    name: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    followed_by: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    person: bool | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Code, name and aliases: everything it goes by."""
        return self.code, self.name, *self.aliases


class LabelSchema(_Model):
    """An ordered label set.

    Build one from codes with :meth:`of`, or from :class:`Label` objects; recipes carry one.

    Attributes:
        labels: The labels.
        units: Units by how else they are written (``{"km": ["킬로미터"]}``), beyond those that
            projection knows by itself.

    Raises:
        pydantic.ValidationError: No label, a code twice, or one name for two labels.
    """

    labels: tuple[Label, ...] = Field(min_length=1)
    units: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    _language: str | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, *codes: str) -> LabelSchema:
        """A schema of bare codes: ``LabelSchema.of("PS", "LC")``."""
        return cls(labels=tuple(Label(code=code) for code in codes))

    def in_language(self, code: str) -> LabelSchema:
        """The same labels for texts of a language, which recipes name.

        Args:
            code: Its BCP 47 code; ``"und"`` for none.

        >>> LabelSchema.of("PS").in_language("ko-KR").language
        'ko-KR'
        """
        schema = LabelSchema(labels=self.labels, units=self.units)
        schema._language = code
        return schema

    @model_validator(mode="after")
    def _unambiguous(self) -> LabelSchema:
        owner: dict[str, str] = {}
        counts = Counter(label.code for label in self.labels)
        for code, count in counts.items():
            if count > 1:
                raise ValueError(f"label code {code!r} stands twice")
        for label in self.labels:
            for word in label.words:
                key = _fold(word)
                if key and owner.setdefault(key, label.code) != label.code:
                    raise ValueError(f"{word!r} names both {owner[key]} and {label.code}")
        return self

    @model_validator(mode="after")
    def _units_are_words(self) -> LabelSchema:
        for unit, words in self.units.items():
            for word in (unit, *words):
                # Such a unit would rewrite the number before it: 5 behind 1 makes 15 another
                # number.
                if not word.strip() or normalized("NFKC", word.strip()[:1]).isdigit():
                    raise ValueError(
                        f"unit {word!r} is empty or begins with a digit; give the word alone"
                    )
        return self

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes, in the schema's order."""
        return tuple(label.code for label in self.labels)

    @cached_property
    def language(self) -> str | None:
        """BCP 47 code of a language whose rules projection uses whatever letters a text has.

        ``None`` leaves it to the letters.
        """
        return self._language

    @cached_property
    def _words(self) -> dict[str, str]:
        words = [(word, label.code) for label in self.labels for word in label.words if _fold(word)]
        # As they are written too: most replies use the codes themselves.
        return dict(words) | {_fold(word): code for word, code in words}

    @cached_property
    def unit_table(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """``units`` as a tuple, which can be a key."""
        return tuple(self.units.items())

    @cached_property
    def cues(self) -> dict[str, tuple[str, ...]]:
        """Code → what often follows its entities: what the label says, or what its name
        suggests.
        """
        found: dict[str, tuple[str, ...]] = {}
        for label in self.labels:
            meant = (cues_of(word) for word in label.words)
            cues = label.followed_by or next(filter(None, meant), ())
            if cues:
                found[label.code] = cues
        return found

    @cached_property
    def known(self) -> dict[str, tuple[str, bool]]:
        """Words as they are written → the code they mean, and whether its entities are people."""
        return {word: (code, code in self.persons) for word, code in self._words.items()}

    @cached_property
    def persons(self) -> frozenset[str]:
        """The codes whose entities are people."""
        return frozenset(
            label.code
            for label in self.labels
            if label.person or (label.person is None and any(means_person(w) for w in label.words))
        )

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
                code = self._words.get(key[:at].strip()) or self._words.get(
                    key[at + 1 : -1].strip()
                )
        return code


@kept(1024)
def means_person(word: str) -> bool:
    """Whether a label name says that its entities are people."""
    return meaning_of(_fold(word)) == "person"


@kept(1024)
def cues_of(word: str) -> tuple[str, ...]:
    """What often follows entities of a label, if its name says that they are places or
    organisations.
    """
    return cues_after(meaning_of(_fold(word)))


def _fold(word: str) -> str:
    """Width, case and the decoration models put around a label."""
    return normalized("NFKC", word).casefold().strip(" \t\r\n*_`'\"<>#-·:.")
