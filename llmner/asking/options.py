"""Every option of asking a model, with its default.

An option has the same name, default and meaning on the command line, in the server, in YAML and in
Python. The docstrings of the groups below are also the help texts of the command line.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le

from llmner._shown import expected_one_of
from llmner.errors import InputError

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = [
    "BASELINE",
    "GROUPS",
    "ONE_ENGINES",
    "OPTIONS",
    "AskOptions",
    "DecodingOptions",
    "EngineOptions",
    "ProjectionOptions",
    "RecipeOptions",
    "ScoreOptions",
    "Spell",
    "WindowOptions",
    "is_baseline",
    "option_help",
    "plain",
    "read_fields",
]

Spell = Callable[[str], str]
"""Writes an option's name as its user does: ``max_new_tokens``, or ``--max-new-tokens``."""

BASELINE = "baseline:"
"""The beginning of an engine's name that is a tagger's folder: ``baseline:build/crf``."""

ONE_ENGINES = (
    "max_model_len",
    "gpu_memory_utilization",
    "replies",
    "base_url",
    "request_fields",
    "quantization",
)
"""Options that belong to a single engine: giving one to another engine is an error.

Other options that an engine does not take are ignored.
"""


@dataclass(frozen=True)
class RecipeOptions:
    """What is asked.

    Attributes:
        recipe: A built-in recipe (klue, klue-strict, gmb) or a YAML file; by default the adapter's,
            else klue.
        reply_format: json-by-type, json-list, tagged, lines or pairs, not the recipe's own.
        labels: Labels to find, in place of a recipe: PERSON,PLACE. Repeatable; PRODUCT=names of
            goods says what one means.
        language: Language of the question about labels, ko, en, ja or zh; by default that of the
            text.
    """

    recipe: str | None = None
    reply_format: str | None = None
    labels: dict[str, str] | None = None
    language: str | None = None


@dataclass(frozen=True)
class EngineOptions:
    """What answers.

    Attributes:
        engine: transformers, vllm, openai (any OpenAI-compatible endpoint), recorded, or
            baseline:FOLDER for a tagger that train-baseline made (or USER/NAME on the Hub).
        model: Model name or folder; by default the adapter's, else the embedded Gemma 3 270M.
        adapter: PEFT adapter: a folder or USER/NAME on the Hub; brings model and recipe unless they
            are named. The one in the package, trained on KLUE-NER, is used unless an adapter,
            model, recipe or reply format is named; none asks the bare model.
        replies: Recorded replies, JSON Lines of {"id", "text", "reply"}.
        base_url: Address of the openai engine's endpoint, ending in /v1; by default
            OPENAI_BASE_URL. It makes openai the engine.
        request_fields: A field that the openai engine adds to every request; repeatable. What is
            JSON is sent as JSON, and null leaves a field out: temperature=null,
            chat_template_kwargs={"enable_thinking": false}.
        concurrency: Requests that the openai engine has on their way at once.
        batch_size: Sentences answered together; 32, with vllm 128, with a baseline 64.
        max_model_len: vllm: longest question and answer together, in tokens; 4096.
        gpu_memory_utilization: vllm: share of the card's memory to take; 0.9.
        device: auto, cpu, cuda, cuda:1, ...
        dtype: Number type that the transformers engine computes in: auto (what is fast on this
            device), float32, bfloat16, float16, or int8 on a CPU.
        quantization: nf4 loads the transformers engine's model in 4 bits, as QLoRA trains on it.
        trust_remote_code: Run Python code that comes with the model.
    """

    engine: str = "transformers"
    model: str | None = None
    adapter: str | None = None
    replies: Path | None = None
    base_url: str | None = None
    request_fields: dict[str, Any] | None = None
    concurrency: Annotated[int, Ge(1)] = 32
    batch_size: Annotated[int, Ge(1)] | None = None
    max_model_len: Annotated[int, Ge(1)] | None = None
    gpu_memory_utilization: Annotated[float, Ge(0.05), Le(1)] | None = None
    device: str = "auto"
    dtype: str = "auto"
    quantization: str | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True)
class DecodingOptions:
    """How answers are written.

    Attributes:
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 for the likeliest reply, the default; with samples 0.7.
        samples: Replies drawn for each text; spans that more than half have are kept.
        passes: How often each text is asked about; in a further pass, what was found is covered.
        grounded: Keep each reply to its format, its labels and stretches of the text: nothing is
            invented. By default only with the adapter in the package.
        json_schema: Keep each reply to its JSON format, for endpoints that cannot do grounded.
    """

    max_new_tokens: Annotated[int, Ge(1)] = 256
    temperature: Annotated[float, Ge(0)] | None = None
    samples: Annotated[int, Ge(1)] = 1
    passes: Annotated[int, Ge(1)] = 1
    grounded: bool | None = None
    json_schema: bool = False


@dataclass(frozen=True)
class WindowOptions:
    """How long texts are split.

    Attributes:
        window: Longest stretch of a text asked about at once, in characters; longer texts are
            split. By default what the recipe says, else 400.
        overlap: Context on either side of what a window of a longer text is asked for, in
            characters. By default what the recipe says, else 80; at most half of a given window.
    """

    window: Annotated[int, Ge(1)] | None = None
    overlap: Annotated[int, Ge(0)] | None = None


@dataclass(frozen=True)
class ScoreOptions:
    """What is made of scores.

    Attributes:
        min_score: Drop spans with a lower score.
        calibration: Turn scores into shares of right spans; a file that calibrate wrote.
    """

    min_score: Annotated[float, Ge(0), Le(1)] | None = None
    calibration: Path | None = None


@dataclass(frozen=True)
class ProjectionOptions:
    """How mentions find their places.

    Attributes:
        particles: Korean particles and titles at the end of a mention: auto, keep or trim.
        fuzzy: Lowest similarity of a fuzzy match; 1 allows none.
        repeats: listed: place what is listed; all: every place of a name that is listed once.
    """

    particles: Literal["auto", "keep", "trim"] = "auto"
    fuzzy: Annotated[float, Ge(0), Le(1)] = 0.75
    repeats: Literal["listed", "all"] = "listed"

    def policy(self) -> dict[str, Any]:
        """The fields of a projection policy.

        >>> ProjectionOptions(fuzzy=1).policy()["fuzzy"] is None
        True
        """
        fuzzy = None if self.fuzzy >= 1 else self.fuzzy
        return {"particles": self.particles, "fuzzy": fuzzy, "repeats": self.repeats}


GROUPS: dict[str, type] = {
    "recipe": RecipeOptions,
    "engine": EngineOptions,
    "decoding": DecodingOptions,
    "windows": WindowOptions,
    "scores": ScoreOptions,
    "projection": ProjectionOptions,
}


@dataclass(frozen=True)
class AskOptions:
    """All options of asking, in groups. :meth:`of` takes them by name.

    Attributes:
        recipe: What is asked.
        engine: What answers.
        decoding: How answers are written.
        windows: How long texts are split.
        scores: What is made of scores.
        projection: How mentions find their places.

    >>> AskOptions.of(window=100).windows
    WindowOptions(window=100, overlap=None)
    """

    recipe: RecipeOptions = RecipeOptions()
    engine: EngineOptions = EngineOptions()
    decoding: DecodingOptions = DecodingOptions()
    windows: WindowOptions = WindowOptions()
    scores: ScoreOptions = ScoreOptions()
    projection: ProjectionOptions = ProjectionOptions()

    @classmethod
    def of(cls, *, spell: Spell | None = None, **values: Any) -> AskOptions:
        """Make options from values by name; the others have their defaults.

        Args:
            spell: How to write an option's name in errors.
            **values: The options.

        Raises:
            InputError: There is no such option, or it cannot have that value.

        >>> AskOptions.of(samples=5, grounded=True).given()
        ['samples', 'grounded']
        """
        from pydantic import TypeAdapter, ValidationError

        unknown = [name for name in values if name not in OPTIONS]
        if unknown:
            raise InputError(
                f"unknown option {unknown[0]!r}", hint=expected_one_of(unknown[0], OPTIONS)
            )
        groups: dict[str, Any] = {}
        if values.get("base_url") is not None:
            values.setdefault("engine", "openai")
        if values.get("labels") is not None:
            values["labels"] = _labels(values["labels"], spell or plain)
        for name, group in GROUPS.items():
            group_values = {key: values[key] for key in _names(group) if key in values}
            try:
                groups[name] = TypeAdapter(group).validate_python(group_values)
            except ValidationError as error:
                raise _wrong_value(error, spell or plain) from None
        return cls(**groups)

    def but(self, **values: Any) -> AskOptions:
        """These options with other values for some of them.

        >>> AskOptions().but(samples=3).decoding.samples
        3
        """
        return AskOptions.of(**self.flat() | values)

    def replaying(self, replies: Path) -> AskOptions:
        """These options with recorded replies as the engine.

        Options that belong to a single engine (:data:`ONE_ENGINES`) are reset.

        >>> options = AskOptions.of(engine="openai", base_url="http://localhost:8000/v1")
        >>> options.replaying(Path("replies.jsonl")).given()
        ['engine', 'replies']
        """
        return self.but(**dict.fromkeys(ONE_ENGINES) | {"engine": "recorded", "replies": replies})

    def flat(self) -> dict[str, Any]:
        """Every option's value by name.

        >>> AskOptions().flat()["samples"]
        1
        """
        return {
            name: value
            for group in GROUPS
            for name, value in dataclasses.asdict(getattr(self, group)).items()
        }

    def given(self) -> list[str]:
        """Names of the options whose values are not the defaults.

        >>> AskOptions.of(fuzzy=1, samples=1).given()
        ['fuzzy']
        """
        defaults = AskOptions().flat()
        return [name for name, value in self.flat().items() if value != defaults[name]]


def _names(group: type) -> list[str]:
    return [field.name for field in dataclasses.fields(group)]


OPTIONS = [name for group in GROUPS.values() for name in _names(group)]


def plain(name: str) -> str:
    """An option's name as Python and YAML write it.

    >>> plain("max_new_tokens")
    'max_new_tokens'
    """
    return name


def read_fields(pairs: Iterable[str], spell: Spell = plain) -> dict[str, Any]:
    """The fields of requests that are written as ``NAME=VALUE``; a value that is no JSON is a text.

    >>> read_fields(["top_k=1", "service_tier=flex", "temperature=null"])
    {'top_k': 1, 'service_tier': 'flex', 'temperature': None}

    Args:
        pairs: The fields. Of two with the same name the last one counts.
        spell: How to write the option's name in errors.

    Raises:
        InputError: A field has no name or no value.
    """
    fields: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise InputError(
                f"{spell('request_fields')} {pair!r} is no NAME=VALUE",
                hint="expected, for example, top_k=1",
            )
        try:
            # NaN and Infinity are no JSON.
            fields[name.strip()] = json.loads(value, parse_constant=_no_number)
        except (ValueError, RecursionError):
            fields[name.strip()] = value
    return fields


def _labels(labels: Any, spell: Spell) -> dict[str, str]:
    """Labels with what they mean.

    From a list of codes, a mapping from codes to meanings, ``PERSON,PLACE`` or ``NAME=MEANING``.

    Raises:
        InputError: There is none, or they are no labels.
    """
    items = [labels] if isinstance(labels, str) else labels
    if isinstance(items, Mapping):
        pairs = list(items.items())
    elif isinstance(items, bytes) or not isinstance(items, Iterable):
        raise _no_labels(spell, items)
    else:
        pairs = []
        for item in items:
            if not isinstance(item, str):
                raise _no_labels(spell, item)
            # A comma in what a label means parts nothing.
            names, _, meaning = item.partition("=")
            *bare, last = names.split(",")
            named = [*((own, "") for own in bare), (last, meaning)]
            pairs += [(own.strip(), what.strip()) for own, what in named if own.strip()]
    if not pairs:
        raise InputError(f"{spell('labels')} has no labels", hint="expected PERSON,PLACE")
    for name, meaning in pairs:
        if not isinstance(name, str) or not isinstance(meaning, str | None):
            raise _no_labels(spell, name if isinstance(meaning, str | None) else meaning)
    return {name: meaning or "" for name, meaning in pairs}


def _no_labels(spell: Spell, given: object) -> InputError:
    return InputError(
        f"{spell('labels')}: {given!r:.60} is neither a label nor what one means",
        hint='expected PERSON,PLACE, or {"PRODUCT": "names of goods"}',
    )


def _no_number(name: str) -> Any:
    raise ValueError(name)


def option_help(group: type) -> dict[str, str]:
    """The help text of each option of a group, from the group's docstring.

    >>> option_help(WindowOptions)["overlap"][:23]
    'Context on either side '
    """
    text = (inspect.getdoc(group) or "").partition("Attributes:\n")[2]
    parts = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in parts}


def _wrong_value(error: ValidationError, spell: Spell) -> InputError:
    first = error.errors()[0]
    name, value = spell(str(first["loc"][0])), first["input"]
    if first["type"] == "literal_error":
        *choices, last = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        return InputError(
            f"{name} {value!r} is unknown", hint=f"expected {', '.join(choices)} or {last}"
        )
    return InputError(f"{name} {value!r}: {first['msg']}")


def is_baseline(engine: str | None) -> bool:
    """Whether an engine's name is a tagger's folder, ``baseline:FOLDER``.

    >>> is_baseline("baseline:build/crf")
    True
    """
    return engine is not None and engine.startswith(BASELINE)
