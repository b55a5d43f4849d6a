"""Recipes: a YAML file that says which labels there are, what to ask, and how to answer.

A recipe may extend another one, and then contains only what differs. A recipe fills in its own
templates; ``chat`` turns the results into a conversation, and ``llmner.replies`` writes and reads
answers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from llmner._shown import expected_one_of
from llmner._yaml import line_of, parse_yaml
from llmner.attributes import Attribute, AttributeValue
from llmner.errors import CorpusError, InputError, RecipeError, UnknownNameError
from llmner.files import is_file, kind_of, open_bytes, target_of
from llmner.markup import parse_markup
from llmner.recipes._templates import fill_template
from llmner.recipes.zero_shot import zero_shot_fields
from llmner.replies import LABEL_FORMATS, REPLY_FORMATS, render_reply
from llmner.schema import Label, LabelSchema, as_schema, label_fields
from llmner.spans import Sentence, Span, TextLabel

__all__ = [
    "Example",
    "ExampleLabel",
    "Layout",
    "Recipe",
    "Windows",
    "builtin_recipes",
    "recipe_folder",
]


_LONGEST = 4_000_000


def recipe_folder() -> Path:
    """The folder of the built-in recipes: inside an installed wheel, or ``prompts/`` of a checkout.

    >>> (recipe_folder() / "klue.yaml").is_file()
    True
    """
    package = Path(str(resources.files("llmner"))).resolve()
    installed = package / "prompts"
    return installed if installed.is_dir() else package.parent / "prompts"


def builtin_recipes() -> list[str]:
    """The names of the built-in recipes, sorted.

    >>> builtin_recipes()[:4]
    ['gmb', 'klue', 'klue-mini', 'klue-sft']
    """
    return sorted(path.stem for path in recipe_folder().glob("*.yaml"))


def _format_names() -> list[str]:
    return sorted({*REPLY_FORMATS, *LABEL_FORMATS})


def _check_format(value: str) -> str:
    if value not in _format_names():
        raise ValueError(f"expected one of {', '.join(_format_names())}")
    return value


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Layout(_Model):
    """How a conversation is written as plain text, for models without a chat template.

    Attributes:
        input: The text before a question.
        output: The text before its answer.
        end: The text after an answer; generation stops there.

    >>> Layout(input="Q: ").output
    'Output: '
    """

    input: str = "Input: "
    output: str = "Output: "
    end: str = Field(default="\n\n", min_length=1)


class ExampleLabel(_Model):
    """A label of the whole text in a worked example.

    Attributes:
        label: Its code.
        attributes: Its attributes.
        evidence: The words that it rests on, as the text has them.

    >>> ExampleLabel(label="price", evidence=("cheap",)).text_label("so cheap").evidence[0].start
    3
    """

    label: str
    attributes: dict[str, Any] = Field(default={})
    evidence: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_code(cls, data: Any) -> Any:
        return {"label": data} if isinstance(data, str) else data

    def text_label(self, text: str) -> TextLabel:
        """The label of a text.

        Raises:
            InputError: The text does not have the words of the evidence.
        """
        spans = []
        for surface in self.evidence:
            start = text.find(surface)
            if start < 0 or not surface:
                raise InputError(f"the evidence {surface!r} is not in the text")
            spans.append(Span(start, start + len(surface), self.label))
        return TextLabel(self.label, self.attributes, evidence=tuple(spans))


class Example(_Model):
    """A worked example whose mentions have attributes. One without is only its markup.

    Attributes:
        text: The sentence in markup: ``"The <food:TERM> was great."``
        attributes: The attributes of each mention, in the order of the text.
        labels: The labels of the whole text: codes, or objects with ``label``, ``attributes`` and
            the words of their ``evidence``.

    >>> example = Example(text="Nice <food:TERM>.", attributes=({"polarity": "positive"},))
    >>> example.sentence().spans[0].attributes
    {'polarity': 'positive'}
    """

    text: str
    attributes: tuple[dict[str, Any], ...] = ()
    labels: tuple[ExampleLabel, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_markup(cls, data: Any) -> Any:
        return {"text": data} if isinstance(data, str) else data

    @model_serializer(mode="wrap")
    def _short(self, serialize: SerializerFunctionWrapHandler) -> Any:
        return serialize(self) if self.attributes or self.labels else self.text

    def sentence(self) -> Sentence:
        """The sentence with its gold spans.

        Raises:
            InputError: The markup is broken, or has not one mention for each of ``attributes``.
        """
        text, spans = parse_markup(self.text)
        if self.attributes and len(self.attributes) != len(spans):
            raise InputError(
                f"{len(self.attributes)} attributes for {len(spans)} mentions",
                hint="give one object for each, {} for a mention without attributes",
            )
        attributes = self.attributes or ({},) * len(spans)
        return Sentence(
            text,
            tuple(
                replace(span, attributes=own) for span, own in zip(spans, attributes, strict=True)
            ),
            labels=tuple(label.text_label(text) for label in self.labels),
        )


class Windows(_Model):
    """How much of a long text to ask about at once, all in characters (code points).

    Attributes:
        window: The longest stretch; a text that is no longer is asked about whole.
        overlap: The longest context on either side of what a window is asked for; ``None`` for 80,
            or half of a window that is shorter than 160.
        core: Of a longer text, as many whole sentences as fit into so many characters are asked for
            at once, and at least one, as far as it fits into the window. ``None`` for as many as
            fit into the window beside their context.

    >>> Windows(core=60).window
    400
    """

    window: int = Field(default=400, ge=1, strict=True)
    overlap: int | None = Field(default=None, ge=0, strict=True)
    core: int | None = Field(default=None, ge=1, strict=True)

    @model_validator(mode="after")
    def _consistent(self) -> Windows:
        if self.overlap is not None and self.overlap >= self.window:
            raise ValueError(
                f"overlap must be less than the window of {self.window} characters, got "
                f"{self.overlap}"
            )
        if self.core is not None and self.core > self.window:
            raise ValueError(
                f"core must be at most the window of {self.window} characters, got {self.core}"
            )
        return self


class Recipe(_Model):
    """What to ask a model and how it should answer.

    Attributes:
        name: A short name, for signatures and file names.
        language: The BCP 47 code of the language of the texts.
        description: One sentence for people who choose a recipe.
        labels: The labels of spans, in the order that answers use. Codes are short for labels, and
            codes with descriptions.
        text_labels: The labels of whole texts. A recipe asks for these or for spans, not for both.
        units: Units with their other spellings, ``{평: [坪]}``; projection treats all
            spellings of a unit as equal.
        reply_format: ``json-by-type``, ``json-list``, ``tagged``, ``lines`` or ``pairs``; for
            labels of whole texts ``labels`` or ``json-list``.
        system: The system prompt, a Jinja template. Without one, and without examples, a recipe
            asks for its labels as :meth:`of` does. The template may use ``labels`` (each with the
            fields of a label and ``words``, all names of the label; its ``attributes`` are a list,
            each with ``key``, the fields of an attribute and ``words``), ``examples`` (each with
            ``text`` and ``answer``) and ``empty`` (the answer for a sentence without entities).
            ``docs/recipes.md`` lists what else templates can do.
        user: The question for one sentence, a Jinja template that may use ``text``.
        examples: Worked examples in markup: ``"<손흥민:PS>은 <춘천:LC>에서 태어났다."``; see
            :class:`Example` for attributes and for labels of the whole text.
        examples_as: ``"turns"`` makes each example a question and an answer before the real
            question; ``"system"`` leaves the examples to the system template.
        completion: The layout for models without a chat template.
        windows: How much of a long text to ask about at once, unless the user says otherwise.

    >>> label = {"code": "PS", "description": "people"}
    >>> recipe = Recipe(name="people", labels=[label], system="List all people.")
    >>> recipe.system_prompt, recipe.reply_format
    ('List all people.', 'json-by-type')
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    language: str = Field(default="und", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]+)*$")
    description: str = ""
    labels: tuple[Label, ...] = ()
    text_labels: tuple[Label, ...] = ()
    units: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    reply_format: Annotated[str, AfterValidator(_check_format)] = "json-by-type"
    system: str
    user: str = "{{ text }}"
    examples: tuple[Example, ...] = ()
    examples_as: Literal["turns", "system"] = "turns"
    completion: Layout = Layout()
    windows: Windows = Windows()

    @model_validator(mode="before")
    @classmethod
    def _usual_format(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if data.get("text_labels") and not data.get("labels"):
            data = {"reply_format": "labels", **data}
        labels = label_fields(data.get("labels"))
        if isinstance(labels, Sequence) and labels and not {"system", "examples"} & data.keys():
            # What is no label, the check of the fields will say.
            codes = [
                str(label.get("code") if isinstance(label, dict) else getattr(label, "code", label))
                for label in labels
            ]
            data = {**zero_shot_fields(codes, str(data.get("language", ""))), **data}
        return data

    @field_validator("labels", "text_labels", mode="before")
    @classmethod
    def _of_codes(cls, data: Any) -> Any:
        return label_fields(data)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        _ = self.schema_
        _check_kind(self)
        codes = set(self.schema_.codes)
        for number, example in enumerate(self.examples):
            try:
                sentence = example.sentence()
            except InputError as error:
                raise ValueError(f"examples[{number}]: {error}") from None
            for text_label in sentence.labels:
                label = self.schema_.text_label(text_label.label)
                if label is None:
                    raise ValueError(
                        f"examples[{number}]: {text_label.label!r} is not among the text_labels"
                    )
                _check_attributes(text_label, label, number)
            for span in sentence.spans:
                if span.label not in codes:
                    raise ValueError(
                        f"examples[{number}]: {span.label!r} is not among the labels "
                        f"{', '.join(sorted(codes))}"
                    )
                _check_attributes(span, self.schema_.by_code[span.label], number)
        for key in ("system", "user"):
            try:
                _ = self.system_prompt if key == "system" else self._question("가")
            except RecipeError as error:
                raise ValueError(f"{key}: {error.problem}") from None
        if "가나다" not in self.question("가나다"):
            raise ValueError(
                "user: the template does not use {{ text }}, so no sentence would reach the model"
            )
        return self

    @cached_property
    def schema_(self) -> LabelSchema:
        """The label set."""
        schema = LabelSchema(labels=self.labels, text_labels=self.text_labels, units=self.units)
        return schema.in_language(self.language)

    @cached_property
    def hash(self) -> str:
        """The first 12 hex digits of the SHA-256 of what the recipe asks, for signatures.

        Windows are not part of it. They change which stretch of a text is asked about and not what
        is asked, signatures have those that were used, and the adapters that were trained before
        recipes had any keep the hash in their records.
        """
        unused = {"windows"} if self.text_labels else {"windows", "text_labels"}
        asked = self.model_dump_json(exclude=unused)
        return hashlib.sha256(asked.encode()).hexdigest()[:12]

    @classmethod
    def of(
        cls,
        labels: Iterable[str | Label] | Mapping[str, str] | LabelSchema,
        *,
        language: str = "en",
        reply_format: str | None = None,
    ) -> Recipe:
        """A recipe for labels that have none: a prompt without worked examples.

        Args:
            labels: The labels, or what each of them means by label.
            language: The language of the prompt and of the texts: ``ko``, ``en``, ``ja`` or
                ``zh``; for other ones the prompt is in English.
            reply_format: How to answer; by default ``json-by-type``.

        Raises:
            InputError: They are no labels, two of them are called alike, or they are labels of
                whole texts or have attributes, for which there is no such prompt.

        >>> Recipe.of({"PRODUCT": "names of goods"}).schema_.codes
        ('PRODUCT',)
        """
        schema = as_schema(labels)
        assert schema is not None
        others = [f"{label.code} has attributes" for label in schema.labels if label.attributes]
        others += [f"{label.code} is of whole texts" for label in schema.text_labels]
        if others:
            raise InputError(
                f"labels: {others[0]}, which wants a recipe",
                hint="write one in YAML (docs/recipes.md)",
            )
        try:
            recipe = cls.model_validate(
                {"name": "labels", "language": language, "labels": schema.labels}
            )
        except ValidationError:
            # The prompt shows each label in an example, and some characters cannot stand there.
            raise InputError(
                f"labels: one of {', '.join(map(repr, schema.codes))} has a character that no "
                "label can have",
                hint="expected letters, digits, - and _",
            ) from None
        return recipe if reply_format is None else recipe.with_reply_format(reply_format)

    def example_sentences(self) -> Iterator[Sentence]:
        """The worked examples as sentences with gold spans.

        >>> next(Recipe.load("klue").example_sentences()).spans[0].label
        'PS'
        """
        for example in self.examples:
            yield example.sentence()

    @cached_property
    def system_prompt(self) -> str:
        """The system template, filled in; may be empty."""
        examples = [{"text": text, "answer": answer} for text, answer in self._worked_examples()]
        labels = [_label_fields(label) for label in self.labels or self.text_labels]
        empty = self._answer(Sentence(""))
        return fill_template(self.system, labels=labels, examples=examples, empty=empty).strip()

    @cached_property
    def turns(self) -> tuple[tuple[str, str], ...]:
        """(question, answer) of each worked example that has turns of its own."""
        if self.examples_as != "turns":
            return ()
        return tuple((self.question(text), answer) for text, answer in self._worked_examples())

    def question(self, text: str) -> str:
        """The user template, filled in for one sentence.

        Raises:
            RecipeError: The template fails on this text.

        >>> Recipe.load("klue").question("손흥민은 춘천에서 태어났다.")
        '손흥민은 춘천에서 태어났다.'
        """
        try:
            return self._question(text)
        except RecipeError as error:
            raise RecipeError(f"recipe {self.name}: user: {error.problem}") from None

    def _question(self, text: str) -> str:
        return text if self.user == "{{ text }}" else fill_template(self.user, text=text)

    def _answer(self, sentence: Sentence) -> str:
        return render_reply(sentence, self.reply_format, self.schema_)

    def _worked_examples(self) -> list[tuple[str, str]]:
        return [(sentence.text, self._answer(sentence)) for sentence in self.example_sentences()]

    def with_reply_format(self, reply_format: str) -> Recipe:
        """The same recipe with another reply format.

        Raises:
            UnknownNameError: There is no such reply format.

        >>> Recipe.load("klue").with_reply_format("tagged").reply_format
        'tagged'
        """
        if reply_format not in _format_names():
            raise UnknownNameError(
                f"unknown reply format {reply_format!r}",
                hint=expected_one_of(reply_format, _format_names()),
            )
        # model_copy would also copy the cached properties, which depend on the format.
        try:
            return Recipe.model_validate({**self.model_dump(), "reply_format": reply_format})
        except ValidationError as error:
            raise RecipeError(f"recipe {self.name}: {_explain(error.errors()[0])}") from None

    def to_yaml(self) -> str:
        """The recipe as the text of a YAML file. Loading that file gives an equal recipe.

        >>> print(Recipe.load("klue").to_yaml().splitlines()[0])
        name: klue
        """
        fields = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(fields, allow_unicode=True, sort_keys=False, width=100)

    @classmethod
    def load(cls, name_or_path: str | PathLike[str]) -> Recipe:
        """Load a built-in recipe by name (``"klue"``), or any recipe by path.

        A string with a path separator or a YAML ending is a path.

        Raises:
            UnknownNameError: There is no built-in recipe of that name.
            RecipeError: The file is missing, is not YAML, or is not a valid recipe; the message
                names file, line and key.

        >>> Recipe.load("klue").schema_.codes
        ('PS', 'LC', 'OG', 'DT', 'TI', 'QT')
        """
        return cls._load(name_or_path, ())

    @classmethod
    def _load(cls, name_or_path: str | PathLike[str], extending: tuple[Path, ...]) -> Recipe:
        """Load a recipe; ``extending`` are the files of the recipes that extend it."""
        name = str(name_or_path)
        path = Path(name)
        if (
            isinstance(name_or_path, str)
            and path.name == name
            and path.suffix not in (".yaml", ".yml")
        ):
            path = recipe_folder() / f"{name}.yaml"
            if not path.is_file():
                raise UnknownNameError(
                    f"no recipe is called {name!r}",
                    hint=f"{expected_one_of(name, builtin_recipes())}; for your own file give its "
                    f"path",
                )
        return cls._parse(_read(path, pipe=not extending), path, extending)

    @classmethod
    def _parse(cls, source: str, path: Path, extending: tuple[Path, ...]) -> Recipe:
        try:
            data, node = parse_yaml(source)
        except InputError as error:
            raise RecipeError(error.problem, path=path, line=error.line) from None
        if not isinstance(data, dict):
            raise RecipeError(
                "not a recipe", path=path, hint="expected keys such as name, labels and system"
            )
        if "extends" in data:
            data = {**cls._extended(data.pop("extends"), path, extending), **data}
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            # A misspelt key also makes the right key missing. The misspelling is reported first.
            errors = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
            message = _explain(errors[0])
            location = errors[0]["loc"]
            if not location and (
                match := re.match(r"(examples)\[(\d+)\]|(system|user|reply_format)\b", message)
            ):
                location = (match[3],) if match[3] else (match[1], int(match[2]))
            raise RecipeError(message, path=path, line=line_of(node, location)) from None

    @classmethod
    def _extended(cls, name: Any, path: Path, extending: tuple[Path, ...]) -> dict[str, Any]:
        """The fields of the recipe that this one extends; its path is relative to this file."""
        if not isinstance(name, str):
            raise RecipeError("extends: expected the name or path of a recipe", path=path)
        candidate = path.parent / name
        try:
            is_circular = target_of(candidate) in (*extending, target_of(path))
        except InputError:
            # It is a link to itself, or no file can have this name.
            raise RecipeError(
                f"extends: {name!r} is not a name or a path of a recipe", path=path
            ) from None
        if is_circular:
            raise RecipeError(f"extends: {name} itself extends this recipe", path=path)
        try:
            base = cls._load(
                candidate if is_file(candidate) else name, (*extending, target_of(path))
            )
            return base.model_dump(exclude_defaults=True)
        except InputError as error:
            raise RecipeError(f"extends: {error}", path=path) from None


def _check_kind(recipe: Recipe) -> None:
    """Check that a recipe asks for one kind of labels, in a format that has room for them.

    Raises:
        ValueError: It asks for spans and for labels of whole texts, or the format is for the others
            or has no room for attributes or evidence.
    """
    if recipe.labels and recipe.text_labels:
        raise ValueError(
            "labels and text_labels: a recipe asks for spans or for labels of whole texts; write "
            "two recipes"
        )
    formats: list[str] = list(REPLY_FORMATS if recipe.labels else LABEL_FORMATS)
    problem = None
    if recipe.reply_format not in formats:
        problem = f"is not for {'labels of spans' if recipe.labels else 'labels of whole texts'}"
    elif recipe.schema_.has_attributes:
        formats = [name for name in formats if REPLY_FORMATS[name].holds_attributes]
        if recipe.reply_format not in formats:
            problem = "has no room for the labels' attributes"
    elif recipe.text_labels:
        about = LABEL_FORMATS[recipe.reply_format].problem
        problem = next(filter(None, map(about, recipe.text_labels)), None)
        problem = None if problem is None else f"has {problem}"
        formats = ["json-list"]
    if problem is not None:
        raise ValueError(
            f"reply_format: {recipe.reply_format} {problem}; use {' or '.join(formats)}"
        )


def _check_attributes(span: Span | TextLabel, label: Label, number: int) -> None:
    """Check the attributes of a mention of a worked example.

    Raises:
        ValueError: The label has no such attribute, or no such value, or requires another.
    """
    for name, value in span.attributes.items():
        if name not in label.attributes:
            raise ValueError(f"examples[{number}]: {label.code} has no attribute {name!r}")
        if not label.attributes[name].has(value):
            raise ValueError(f"examples[{number}]: {value!r} is no value of {label.code}.{name}")
    for name, attribute in label.attributes.items():
        if attribute.required and name not in span.attributes:
            raise ValueError(f"examples[{number}]: a {label.code} has no {name!r}")


def _label_fields(label: Label) -> dict[str, Any]:
    """A label as templates see it."""
    attributes = [
        {
            **attribute.model_dump(exclude={"values"}),
            "key": key,
            "words": [key, *filter(None, (attribute.name, *attribute.aliases))],
            "values": [{**value.model_dump(), "words": value.words} for value in attribute.values],
        }
        for key, attribute in label.attributes.items()
    ]
    return {**label.model_dump(), "words": label.words, "attributes": attributes}


def _read(path: Path, *, pipe: bool) -> str:
    """Read the text of a recipe's file, which may have four million bytes at most.

    Args:
        path: The file.
        pipe: Whether it may be a pipe. A recipe that another one extends may not: reading a pipe
            that an untrusted recipe names could block for ever.

    Raises:
        RecipeError: The file is missing, a folder, too long, or not UTF-8.
    """
    try:
        if not pipe and kind_of(path) == "special":
            raise RecipeError("not a regular file", path=path)
        with open_bytes(path) as stream:
            raw = stream.read(_LONGEST + 1)
        if len(raw) > _LONGEST:
            raise RecipeError(f"too long for a recipe (more than {_LONGEST:,} bytes)", path=path)
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"not UTF-8 (byte {error.start})", path=path, hint="save it as UTF-8"
        ) from None
    except OSError as error:
        raise RecipeError(f"cannot be read ({error.strerror})", path=path) from None
    except CorpusError as error:
        raise RecipeError(error.problem, path=path, hint=error.hint) from None


def _model_at(place: Sequence[Any]) -> type[BaseModel]:
    """The model that a key belongs to, by the keys that lead to it."""
    models: dict[Any, type[BaseModel]] = {
        "labels": ExampleLabel if place[0] == "examples" else Label,
        "text_labels": Label,
        "attributes": Attribute,
        "values": AttributeValue,
        "windows": Windows,
        "examples": Example,
        "completion": Layout,
    }
    return next((models[key] for key in reversed(place[:-1]) if key in models), Recipe)


def _explain(error: Any) -> str:
    """The message for a pydantic error: the key, and what was expected there."""
    key = ".".join(str(part) for part in error["loc"])
    kind, message = error["type"], error["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        model = _model_at(error["loc"])
        from rapidfuzz import process

        fields = list(model.model_fields)
        nearest = process.extractOne(str(error["loc"][-1]), fields, score_cutoff=60)
        hint = (
            f"did you mean {nearest[0]!r}?" if nearest else f"expected one of {', '.join(fields)}"
        )
        return f"unknown key {key!r}; {hint}"
    if kind == "missing":
        return f"key {key!r} is missing"
    if kind == "model_type":
        # pydantic's message says "dictionary or instance of", which YAML does not have.
        return f"{key}: expected keys with values"
    if kind == "tuple_type":
        # pydantic's message says "tuple", which YAML does not have.
        return f"{key}: expected a list, like [a, b]"
    return f"{key}: {message}" if key else message
