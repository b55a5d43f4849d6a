"""Requests and answers as models: for validation, and for OpenAPI with its examples."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from llmner.projection import AttributeKind, LabelOutcomeKind, OutcomeKind
from llmner.replies import Status

__all__ = [
    "ErrorAnswer",
    "ExplainAnswer",
    "ExplainRequest",
    "ExtractAnswer",
    "ExtractRequest",
    "Health",
    "InferAnswer",
    "InferRequest",
    "LabelStudioAnswer",
    "LabelStudioHealth",
    "LabelStudioProject",
    "LabelStudioRequest",
    "LabelStudioSetup",
    "ProjectAnswer",
    "ProjectRequest",
    "RecipesAnswer",
    "TextResult",
]

_TEXT = "손흥민은 춘천에서 태어났다."
_SPANS: list[Any] = [{"start": 0, "end": 3, "label": "PS"}, {"start": 5, "end": 7, "label": "LC"}]
_OUTCOME: dict[str, Any] = {"kind": "exact", "similarity": 1.0, "reason": ""}
_OUTCOMES: list[Any] = [
    {"label": "PS", "text": "손흥민", "start": 0, "end": 3, **_OUTCOME},
    {"label": "LC", "text": "춘천", "start": 5, "end": 7, **_OUTCOME},
]

_ReplyFormat = Literal["json-by-type", "json-list", "tagged", "lines", "pairs", "labels"]
_AnyReplyFormat = Literal["auto", _ReplyFormat]


# ``fail_fast``: the first wrong element is enough, since a million of them would make a million
# errors. ``max_length``: the rows of a million empty texts take a thousand times their own size.
_Texts = Annotated[list[str], Field(fail_fast=True, max_length=10_000)]


class _Request(BaseModel):
    # Unknown fields are refused by ``_bodies.validate``, which names only the first hundred.
    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


class InferRequest(_Request):
    """One text, or several."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": _TEXT}, {"text": [_TEXT, "내일 봅시다."]}]}
    )

    text: str | _Texts = Field(description="A text of any length, or a list of them.")


# A hundred labels with a sentence each are a long question already.
_MOST_LABELS, _LONGEST_LABEL, _LONGEST_MEANING = 100, 64, 500


def _are_labels(value: object) -> object:
    """Labels, if they are some. One message for all that they can be, and none that quotes them."""
    if value is None:
        return None
    names = list(value) if isinstance(value, list | dict) else []
    meanings = list(value.values()) if isinstance(value, dict) else []
    if not names or len(names) > _MOST_LABELS:
        raise ValueError(
            f"expected up to {_MOST_LABELS} labels, in a list or with what each means by label"
        )
    if not all(isinstance(name, str) and len(name.strip()) > 0 for name in names):
        raise ValueError("every label must be a string that shows something")
    if any(len(name) > _LONGEST_LABEL for name in names):
        raise ValueError(f"a label may have {_LONGEST_LABEL} characters")
    if not all(isinstance(own, str) and len(own) <= _LONGEST_MEANING for own in meanings):
        raise ValueError(f"what a label means must be a string of {_LONGEST_MEANING} characters")
    return value


_Labels = Annotated[list[str] | dict[str, str], BeforeValidator(_are_labels)]


class _Asking(_Request):
    """How a request wants to be answered."""

    labels: _Labels | None = Field(
        default=None,
        description="Labels to find in place of a recipe's: a list, or what each means by label.",
    )
    language: Literal["ko", "en", "ja", "zh"] | None = Field(
        default=None,
        description="Language of the question about labels; by default that of the texts.",
    )
    recipe: str | None = Field(
        default=None,
        description="A recipe that /v1/recipes lists; by default the server's own.",
    )
    reply_format: _ReplyFormat | None = Field(
        default=None,
        description="Format in which the model is asked to reply; by default the recipe's.",
    )
    grounded: bool | None = Field(
        default=None,
        description="Restrict replies to their format, the labels and pieces of the text; by "
        "default as the server was started.",
    )
    min_score: float | None = Field(
        default=None, ge=0, le=1, description="Drop spans with a lower score."
    )

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if self.recipe is not None and self.labels is not None:
            raise ValueError("give one of recipe and labels")
        return self


class ExtractRequest(_Asking):
    """Texts to extract from, and how."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"texts": [_TEXT], "grounded": True, "min_score": 0.2},
                {"texts": ["Ines flew to Tallinn."], "labels": {"PLACE": "towns and countries"}},
            ]
        }
    )

    texts: _Texts = Field(min_length=1, description="Texts of any length.")


class ExplainRequest(_Asking):
    """A text whose labels or spans are to be explained."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": _TEXT}]})

    text: str = Field(
        min_length=1, description="A text of at most 200 words; it is asked about once for each."
    )


class ProjectRequest(_Request):
    """A text, and what any model replied about it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "text": _TEXT,
                    "reply": '```json\n{"사람": ["손흥민"], "장소": ["춘천에서"]}\n```',
                },
                {"text": "Ada met Bob.", "reply": "PER: Ada, Bob", "labels": ["PER", "LOC"]},
            ]
        }
    )

    text: str = Field(description="The text that was asked about.")
    reply: str = Field(description="The model's raw reply.")
    recipe: str | None = Field(
        default=None,
        description="Recipe whose labels and units are used; by default the server's own.",
    )
    labels: Annotated[list[str], Field(min_length=1, max_length=1000, fail_fast=True)] | None = (
        Field(default=None, description="The labels, if no recipe has them.")
    )
    any_label: bool = Field(default=False, description="Accept any label, as the reply has it.")
    reply_format: _AnyReplyFormat = Field(
        default="auto",
        description="Format that the model was asked for; auto detects it from the reply.",
    )
    particles: Literal["auto", "keep", "trim"] = Field(
        default="auto", description="Korean particles and titles at the end of a mention."
    )
    fuzzy: float | None = Field(
        default=0.75,
        ge=0,
        le=1,
        description="Lowest similarity of a fuzzy match; null allows none.",
    )
    repeats: Literal["listed", "all"] = Field(
        default="listed",
        description="listed: one place for each mention; all: every place of a name that is "
        "listed once.",
    )

    @model_validator(mode="after")
    def _one_label_set(self) -> ProjectRequest:
        if (self.recipe is not None) + (self.labels is not None) + self.any_label > 1:
            raise ValueError("give one of recipe, labels and any_label")
        return self


class Entity(BaseModel):
    """One entity, as token-classification pipelines give it. ``word`` is ``text[start:end]``."""

    entity_group: str = Field(description="Its label.")
    score: float | None = Field(description="In [0, 1]; null if the engine gives no probabilities.")
    word: str
    start: int = Field(description="First character, in code points.")
    end: int = Field(description="One past the last character.")
    attributes: dict[str, Any] = Field(default={}, description="Its attributes, if it has any.")


class InferAnswer(BaseModel):
    """Entities of a text; for a list of texts, a list of entities for each, or an error."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "result": [
                        {
                            "entity_group": "PS",
                            "score": 0.98,
                            "word": "손흥민",
                            "start": 0,
                            "end": 3,
                        }
                    ]
                }
            ]
        }
    )

    result: list[Entity] | list[list[Entity] | ErrorAnswer]
    labels: list[TextLabelRow] | list[list[TextLabelRow]] | None = Field(
        default=None,
        description="Labels of the whole text, or of each, if the model gives such labels.",
    )


class SpanRow(BaseModel):
    """A span: half-open offsets into the text, in code points."""

    start: int
    end: int
    label: str
    score: float | None = None
    attributes: dict[str, Any] = Field(default={}, description="Further attributes of the entity.")


class AttributeOutcomeRow(BaseModel):
    """What became of one attribute of a mention."""

    name: str = Field(description="Its name in the recipe, or in the reply if it is unknown there.")
    kind: AttributeKind
    said: Any = Field(default=None, description="The value as the reply has it.")
    value: Any = Field(default=None, description="The value of the span; null if it has none.")


class OutcomeRow(BaseModel):
    """Where one mention of the reply was placed, or why it was not."""

    label: str
    text: str = Field(description="The mention, as the reply has it.")
    kind: OutcomeKind
    start: int | None
    end: int | None
    similarity: float
    reason: str
    repeats: list[SpanRow] = Field(default=[], description="Further places, with repeats: all.")
    attributes: dict[str, Any] = Field(default={}, description="Further attributes from the reply.")
    attribute_outcomes: list[AttributeOutcomeRow] = Field(
        default=[], description="What became of each attribute, if the recipe's labels have any."
    )
    said: str | None = Field(
        default=None, description="The reply's own label, if it is a different one."
    )


class TextLabelRow(BaseModel):
    """A label of the whole text."""

    label: str
    score: float | None = None
    attributes: dict[str, Any] = {}
    evidence: list[dict[str, int]] = Field(
        default=[], description="start and end of the parts of the text that it rests on."
    )


class LabelOutcomeRow(BaseModel):
    """What became of a label that the reply gives the whole text."""

    label: str = Field(description="The label, as the reply has it.")
    kind: LabelOutcomeKind
    said: dict[str, Any] = Field(default={}, description="Its attributes, as the reply has them.")
    attribute_outcomes: list[AttributeOutcomeRow] = []


class Usage(BaseModel):
    """Numbers of tokens; null if the engine does not count them."""

    prompt_tokens: int | None
    completion_tokens: int | None


class ProjectAnswer(BaseModel):
    """Spans of the text, an outcome for every mention, and how the reply was read."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "text": _TEXT,
                    "spans": _SPANS,
                    "outcomes": _OUTCOMES,
                    "reply": "PS: 손흥민\nLC: 춘천",
                    "status": "ok",
                    "repairs": [],
                    "markup": "<손흥민:PS>은 <춘천:LC>에서 태어났다.",
                }
            ]
        }
    )

    text: str
    spans: list[SpanRow]
    labels: list[TextLabelRow] = Field(
        default=[], description="Labels of the whole text, if the recipe asks for them."
    )
    label_outcomes: list[LabelOutcomeRow] = []
    outcomes: list[OutcomeRow]
    reply: str = Field(description="The raw reply.")
    status: Status
    repairs: list[str] = Field(description="What had to be repaired to read the reply.")
    markup: str | None = Field(
        description="The text with its entities marked; null if markup cannot express a label."
    )


class TextResult(ProjectAnswer):
    """What was extracted from one text. A streamed answer has one of these per line."""

    index: int = Field(description="Index of the text in the request, from 0.")
    finish_reason: Literal["stop", "length", "error"]
    error: str | None = Field(
        default=None, description="Why the engine had no answer to this text."
    )
    windows: list[dict[str, Any]] = Field(
        default=[], description="For a long text: the answer about each window."
    )
    samples: list[str] = Field(default=[], description="All replies, if several were sampled.")
    usage: Usage


class TaggedText(BaseModel):
    """What a tagger found in one text: it gives spans, and no reply that would have to be read."""

    index: int = Field(description="Index of the text in the request, from 0.")
    text: str
    spans: list[SpanRow]
    markup: str | None = Field(
        description="The text with its spans marked; null if it has marks of its own."
    )
    usage: Usage


class ExtractAnswer(BaseModel):
    """One result for each text, in the order of the request."""

    results: list[TextResult | TaggedText]
    recipe: str | None = Field(description="The recipe; null if the model is a tagger.")
    usage: Usage


class Place(BaseModel):
    """Where something stands in the text."""

    start: int
    end: int


class WordRow(Place):
    """A word, and what the label loses without it."""

    share: float = Field(description="How far the score falls without the word, in [-1, 1].")


class ExplanationRow(BaseModel):
    """Which words a label of the text, or a span, rests on."""

    label: str
    score: float
    start: int | None = Field(default=None, description="Of a span: its first character.")
    end: int | None = Field(default=None, description="Of a span: one past its last character.")
    attributes: dict[str, Any] = {}
    highlight: Place | None = Field(
        description="The word without which the score falls most; null if it falls without none."
    )
    words: list[WordRow]


class ExplainAnswer(BaseModel):
    """An explanation of each span and of each label that the text has."""

    text: str
    explanations: list[ExplanationRow]


class RecipeRow(BaseModel):
    """A recipe that a request can choose."""

    name: str
    description: str
    language: str
    reply_format: str
    labels: list[dict[str, str]] = Field(description="code, name and description of each label.")
    about: Literal["spans", "texts"] = Field(
        description="Whether its labels are those of spans or of whole texts."
    )


class RecipesAnswer(BaseModel):
    """The recipes and reply formats that a request can choose from."""

    default: str
    recipes: list[RecipeRow]
    reply_formats: list[str]
    repairs: dict[str, str] = Field(description="What each repair of a reply means.")
    model: bool = Field(
        description="Whether there is a model. Without one, the server only projects replies."
    )
    grounded: bool = Field(
        description="Whether replies are grounded unless a request says otherwise."
    )
    constrains: bool = Field(description="Whether replies can be grounded at all.")
    fine_tuned: str | None = Field(
        description="The recipe that the model was fine-tuned on; it finds few other labels."
    )
    colours: dict[str, int] = Field(
        description="The number of the colour that words for people, places, ... have on the page."
    )
    tagger: list[str] | None = Field(
        description="The labels of the model, if it is a tagger, which takes no recipe."
    )


class _LabelStudio(BaseModel):
    # Its versions send fields that are of no use here.
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


def _are_tasks(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not all(isinstance(task.get("data"), dict) for task in tasks):
        raise ValueError("every task must have its fields under data")
    return tasks


class LabelStudioRequest(_LabelStudio):
    """Tasks to predict, and the labelling interface of their project."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"tasks": [{"id": 1, "data": {"text": _TEXT}}]}]}
    )

    tasks: Annotated[
        list[dict[str, Any]],
        Field(max_length=1000, fail_fast=True, description="Tasks, with their fields under data."),
        AfterValidator(_are_tasks),
    ]
    label_config: str | None = Field(
        default=None, max_length=200_000, description="The labelling interface, as XML."
    )
    model_version: str | None = None
    project: str | int | None = None
    params: dict[str, Any] | None = None


class LabelStudioPrediction(BaseModel):
    """The prediction of one task."""

    result: list[dict[str, Any]] = Field(description="Regions, in UTF-16 offsets.")
    score: float = Field(description="The lowest score of its spans, in [0, 1].")
    model_version: str


class LabelStudioAnswer(BaseModel):
    """The predictions, in the order of the tasks."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {
                            "result": [
                                {
                                    "id": "span-0",
                                    "from_name": "label",
                                    "to_name": "text",
                                    "type": "labels",
                                    "value": {
                                        "start": 0,
                                        "end": 3,
                                        "text": "손흥민",
                                        "labels": ["PS"],
                                    },
                                    "score": 0.98,
                                }
                            ],
                            "score": 0.98,
                            "model_version": "llmner-0.1.0",
                        }
                    ]
                }
            ]
        }
    )

    results: list[LabelStudioPrediction]


class LabelStudioProject(_LabelStudio):
    """A project that is connected."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"project": "1", "schema": "<View></View>"}]}
    )

    project: str | int | None = None
    label_config: str | None = Field(
        default=None, alias="schema", max_length=200_000, description="Its interface, as XML."
    )
    hostname: str | None = None
    access_token: str | None = None
    extra_params: Any = None


class LabelStudioSetup(BaseModel):
    """The version of the model."""

    model_version: str


class LabelStudioHealth(BaseModel):
    """Whether tasks can be predicted."""

    status: Literal["UP"]
    model_class: str


class Health(BaseModel):
    """The state of the server."""

    state: Literal["ok", "ready", "loading", "failing"]
    message: str = ""


class FieldError(BaseModel):
    """One wrong field."""

    field: str
    message: str


class ErrorBody(BaseModel):
    """Why the request was not answered."""

    type: str = Field(
        description="A word for programs: invalid, too_large, unauthorized, busy, ..."
    )
    message: str
    fields: list[FieldError] = Field(
        default=[], description="The wrong fields of an invalid request."
    )


class ErrorAnswer(BaseModel):
    """The answer to a request that failed."""

    error: ErrorBody
