"""The label set: codes, names, descriptions, and other words that models use for labels.

``recipes`` loads a schema as a part of a recipe.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Protocol, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from llmner._kept import kept
from llmner._unicode import normalized
from llmner.attributes import Attribute
from llmner.errors import InputError
from llmner.languages import cues_after, meaning_of

__all__ = [
    "Label",
    "LabelSchema",
    "SchemaLike",
    "as_schema",
    "cues_of",
    "label_fields",
    "means_person",
]

# Codes are used in tags (B-PS), markup (<..:PS>) and JSON keys, so they have no space or delimiter.
Code = Annotated[str, StringConstraints(pattern=r"^[^\s<>:\\\"'{}\[\],]+$", max_length=64)]

# An attribute's name stands beside these keys in replies and rows.
_RESERVED = frozenset({"attributes", "end", "id", "label", "labels", "score", "start", "text"})

# What stands between several names of one label, and what says no more than that it is one.
_PARTS = re.compile(r"[\s/|,=:_–—-]+")
_FILLERS = frozenset(
    "name names entity entities list type label 이름 개체 개체명 목록 표현 유형 列表 名称 "
    "名".split()
)
_LONGEST_NAME = 60
_TAG_PREFIX = re.compile(r"^[bieslu]-(?=.)")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Label(_Model):
    """One label of a schema.

    Attributes:
        code: The label in tags, spans and replies, for example ``"PS"``.
        name: Its name for people, for example ``"사람"``.
        description: What the label means, for the prompt.
        aliases: Other words that models use for it (``"person"``, ``"인물"``).
        followed_by: What often follows its entities (에서 after places, 씨 after people). It
            only helps to decide between labels with the same surface. By default, labels whose
            names mean places or organisations have the Korean particles that usually follow them.
        attributes: The properties of its mentions by name, ``{"sentiment": ["good", "bad"]}``. A
            list of names is short for optional ones with any text.
        evidence: Of a label of whole texts: whether a reply names the words that it rests on.
        person: Whether its entities are people, whose titles (씨, 님, 회장) are not part of the
            name. By default, whether the code, the name or an alias means person.

    >>> Label(code="PS", name="사람", aliases=("person",)).words
    ('PS', '사람', 'person')
    """

    code: Code
    name: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    followed_by: tuple[str, ...] = ()
    attributes: dict[Code, Attribute] = Field(default={})
    evidence: bool = False
    person: bool | None = None

    @field_validator("attributes", mode="before")
    @classmethod
    def _of_names(cls, data: Any) -> Any:
        return {name: {} for name in data} if isinstance(data, list | tuple) else data

    @field_validator("attributes")
    @classmethod
    def _are_free(cls, attributes: dict[str, Attribute]) -> dict[str, Attribute]:
        owner: dict[str, str] = {}
        for name, attribute in attributes.items():
            if name in _RESERVED:
                raise ValueError(f"an attribute cannot be called {name!r}")
            for word in filter(None, (name, attribute.name, *attribute.aliases)):
                if owner.setdefault(_fold(word), name) != name:
                    raise ValueError(f"{word!r} names both {owner[_fold(word)]} and {name}")
        return attributes

    @model_serializer(mode="wrap")
    def _as_before(
        self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        # Without any, attributes are a list, as in the recipes whose hashes adapters keep.
        fields: dict[str, Any] = serialize(self)
        if not self.attributes and "attributes" in fields:
            fields["attributes"] = []
        if not self.evidence:
            fields.pop("evidence", None)
        return fields

    @cached_property
    def closed_attributes(self) -> dict[str, Attribute]:
        """The attributes that take only the values they name.

        >>> list(Label(code="A", attributes={"tone": ["good"], "size": "number"}).closed_attributes)
        ['tone']
        """
        return {name: own for name, own in self.attributes.items() if own.values}

    @cached_property
    def _attributes_by_word(self) -> dict[str, str]:
        return {
            _fold(word): name
            for name, attribute in self.attributes.items()
            for word in filter(None, (name, attribute.name, *attribute.aliases))
        }

    def resolve_attribute(self, word: str) -> str | None:
        """The name of the attribute that a word means, or ``None``.

        >>> Label(code="A", attributes={"tone": {"name": "어조"}}).resolve_attribute("어조")
        'tone'
        """
        if word in self.attributes:
            return word
        return self._attributes_by_word.get(_fold(word)) if len(word) <= 200 else None

    @property
    def words(self) -> tuple[str, ...]:
        """All words for the label: code, name and aliases."""
        return self.code, self.name, *self.aliases


def label_fields(data: Any) -> Any:
    """Labels as fields, from codes or from codes with descriptions; other data as it is.

    Codes have no spaces: ``phone number`` is the name of ``phone_number``.

    >>> label_fields(["PERSON"]), label_fields({"PRODUCT": "names of goods"})
    ([{'code': 'PERSON'}], [{'code': 'PRODUCT', 'description': 'names of goods'}])
    """
    if isinstance(data, str):
        data = [part.strip() for part in data.split(",") if part.strip()]
    if isinstance(data, Mapping):
        return [
            {**_named(code), **(said if isinstance(said, Mapping) else {"description": said or ""})}
            for code, said in data.items()
        ]
    if isinstance(data, Iterable):
        return [_named(item) if isinstance(item, str) else item for item in data]
    return data


def _named(word: str) -> dict[str, Any]:
    parts = word.split()
    return {"code": word} if len(parts) < 2 else {"code": "_".join(parts), "name": word}


class LabelSchema(_Model):
    """An ordered label set.

    Build one from codes with :meth:`of`, or from :class:`Label` objects. Every recipe has one.
    Codes are short for labels, and ``{"PRODUCT": "names of goods"}`` for labels with descriptions.

    Attributes:
        labels: The labels of spans.
        text_labels: The labels of whole texts.
        units: Other ways to write units (``{"km": ["킬로미터"]}``), beyond those that projection
            knows anyway.

    Raises:
        pydantic.ValidationError: There is no label, two labels have the same code or name, or a
            unit is not a word.

    >>> schema = LabelSchema(labels=(Label(code="PS", name="사람"), Label(code="LC", name="장소")))
    >>> schema.codes, schema.resolve("사람")
    (('PS', 'LC'), 'PS')
    """

    labels: tuple[Label, ...] = ()
    text_labels: tuple[Label, ...] = ()
    units: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    _language: str | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, *codes: str) -> LabelSchema:
        """A schema of labels with codes only.

        >>> LabelSchema.of("PS", "LC").codes
        ('PS', 'LC')
        """
        return cls(labels=tuple(Label(code=code) for code in codes))

    def in_language(self, code: str) -> LabelSchema:
        """The same labels for texts in a language.

        Args:
            code: The language's BCP 47 code; ``"und"`` for none.

        >>> LabelSchema.of("PS").in_language("ko-KR").language
        'ko-KR'
        """
        schema = LabelSchema(labels=self.labels, text_labels=self.text_labels, units=self.units)
        schema._language = code
        return schema

    @field_validator("labels", "text_labels", mode="before")
    @classmethod
    def _of_codes(cls, data: Any) -> Any:
        return label_fields(data)

    @model_validator(mode="after")
    def _unambiguous(self) -> LabelSchema:
        if not self.labels and not self.text_labels:
            raise ValueError("labels: give at least one label")
        for labels in (self.labels, self.text_labels):
            owner: dict[str, str] = {}
            counts = Counter(label.code for label in labels)
            for code, count in counts.items():
                if count > 1:
                    raise ValueError(f"label code {code!r} is used twice")
            for label in labels:
                for word in label.words:
                    key = _fold(word)
                    if key and owner.setdefault(key, label.code) != label.code:
                        raise ValueError(f"{word!r} names both {owner[key]} and {label.code}")
        return self

    @model_validator(mode="after")
    def _units_are_words(self) -> LabelSchema:
        for unit, words in self.units.items():
            for word in (unit, *words):
                # A unit that begins with a digit would change the number before it: 1 and the unit
                # "5" are 15.
                if not word.strip() or normalized("NFKC", word.strip()[:1]).isdigit():
                    raise ValueError(
                        f"unit {word!r} is empty or begins with a digit; give only the word"
                    )
        return self

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes, in the schema's order."""
        return tuple(label.code for label in self.labels)

    @cached_property
    def language(self) -> str | None:
        """The BCP 47 code of the language whose rules projection uses.

        ``None`` if the letters of each text decide.
        """
        return self._language

    @cached_property
    def by_code(self) -> dict[str, Label]:
        """The labels by their codes."""
        return {label.code: label for label in self.labels}

    @cached_property
    def _as_labels(self) -> LabelSchema:
        """The labels of whole texts as if they were labels of spans."""
        return LabelSchema(labels=self.text_labels)

    def text_label(self, code: str) -> Label | None:
        """The label of whole texts with a code, or ``None``."""
        return self._as_labels.by_code.get(code) if self.text_labels else None

    def resolve_text_label(self, word: str) -> str | None:
        """The code of the label of whole texts that a word means, or ``None``.

        >>> label = Label(code="delivery", name="배송")
        >>> LabelSchema(text_labels=(label,)).resolve_text_label("배송")
        'delivery'
        """
        return self._as_labels.resolve(word) if self.text_labels else None

    def names_attribute(self, word: str) -> bool:
        """Whether a word means an attribute of any label."""
        return self.has_attributes and any(
            label.resolve_attribute(word) is not None for label in self.labels
        )

    @cached_property
    def has_attributes(self) -> bool:
        """Whether any label has attributes."""
        return any(label.attributes for label in self.labels)

    @cached_property
    def _words(self) -> dict[str, str]:
        words = [(word, label.code) for label in self.labels for word in label.words if _fold(word)]
        # Words as they are written are included too: most replies use the codes themselves.
        return dict(words) | {_fold(word): code for word, code in words}

    @cached_property
    def unit_table(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """``units`` as a tuple, which can be a dictionary key."""
        return tuple(self.units.items())

    @cached_property
    def cues(self) -> dict[str, tuple[str, ...]]:
        """What often follows the entities of each code, by ``followed_by`` or by its name."""
        cues_by_code: dict[str, tuple[str, ...]] = {}
        for label in self.labels:
            cues_by_word = (cues_of(word) for word in label.words)
            cues = label.followed_by or next(filter(None, cues_by_word), ())
            if cues:
                cues_by_code[label.code] = cues
        return cues_by_code

    @cached_property
    def known(self) -> dict[str, tuple[str, bool]]:
        """For each word for a label, its code and whether its entities are people."""
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
        """The code that a word means, or ``None``.

        Resolves codes, names and aliases in any case and width, with ``B-`` and ``I-`` prefixes,
        their plurals, several names of one label (``PS(사람)``, ``PS - person``), and words of
        other languages where one label alone has that meaning. O(length of the word); words of more
        than 200 characters are not resolved.

        >>> LabelSchema.of("PS", "LC").resolve("b-ps")
        'PS'
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
            bracket = max(key.rfind(opening) for opening in "([{")
            if bracket > 0:
                before, inside = key[:bracket].strip(), key[bracket + 1 : -1].strip()
                code = self._words.get(before) or self._words.get(inside)
        return code or self._resolve_loosely(key)

    def _resolve_loosely(self, key: str) -> str | None:
        """The code of a folded word that says what a label's entities are, in any language.

        Reads plurals (persons, organizations), several names of one label (``PS - 사람``), and
        words of other languages (地名) where one label alone has that meaning.
        """
        if key[:1] in ("[", "【", "{", "(") and key[-1:] in ("]", "】", "}", ")"):
            key = key[1:-1].strip()
        code = self._resolve_word(key)
        if code is not None or len(key) > _LONGEST_NAME:
            return code
        parts = [part for part in _PARTS.split(key) if part]
        if len(parts) < 2:
            return None
        named = [part for part in parts if part not in _FILLERS] or parts
        codes = {self._resolve_word(part) for part in named}
        return codes.pop() if len(codes) == 1 else None

    def _resolve_word(self, key: str) -> str | None:
        code = self._words.get(key) or self._codes_by_meaning.get(meaning_of(key) or "")
        if code is None and len(key) > 2 and key[-1] == "s":
            code = self._words.get(key[:-1])
        if code is None and key.endswith("ies"):
            code = self._words.get(f"{key[:-3]}y")
        return code

    @cached_property
    def _codes_by_meaning(self) -> dict[str, str]:
        """Meaning → code, of the meanings that one label alone has."""
        codes: dict[str, set[str]] = {}
        for label in self.labels:
            for word in label.words:
                codes.setdefault(meaning_of(_fold(word)) or "", set()).add(label.code)
        return {meaning: min(own) for meaning, own in codes.items() if meaning and len(own) == 1}


@kept(1024)
def means_person(word: str) -> bool:
    """Whether a word for a label means people.

    >>> means_person("사람"), means_person("place")
    (True, False)
    """
    return meaning_of(_fold(word)) == "person"


@kept(1024)
def cues_of(word: str) -> tuple[str, ...]:
    """What often follows the entities of a label, if the word for it means places or organisations.

    >>> "에서" in cues_of("장소")
    True
    """
    return cues_after(meaning_of(_fold(word)))


def _fold(word: str) -> str:
    """A word in normal width and lower case, without the decoration around it."""
    return normalized("NFKC", word).casefold().strip(" \t\r\n*_`'\"<>#-·:.")


class HasSchema(Protocol):
    """What has labels, such as a recipe."""

    @property
    def schema_(self) -> LabelSchema:
        """The labels."""
        ...


SchemaLike: TypeAlias = LabelSchema | HasSchema | Mapping[str, str] | Iterable[str | Label]
"""Labels as users give them: a schema, a recipe, codes, or codes with descriptions."""


def as_schema(labels: SchemaLike | None) -> LabelSchema | None:
    """Labels as a schema; ``None`` stays.

    Raises:
        InputError: They are no labels, or two of them are called alike.

    >>> as_schema(["PS", "LC"]).codes
    ('PS', 'LC')
    """
    if labels is None or isinstance(labels, LabelSchema):
        return labels
    schema = getattr(labels, "schema_", None)
    if isinstance(schema, LabelSchema):
        return schema
    try:
        return LabelSchema.model_validate({"labels": labels})
    except ValidationError as error:
        first = error.errors()[0]
        problem = first["msg"].removeprefix("Value error, ").removeprefix("labels: ")
        if first["type"] in ("string_pattern_mismatch", "string_too_long"):
            problem = f"{first['input']!r} cannot be a label in tags and markup"
        raise InputError(
            f"labels: {problem}", hint="expected codes, such as PERSON, or codes with descriptions"
        ) from None
