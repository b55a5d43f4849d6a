"""What to compare, on what: the YAML file of ``compare-models``, checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from llmner._numbers import not_bool
from llmner._yaml import load_yaml
from llmner.baselines._types import Fields, Told
from llmner.corpora import ReadStats, read_corpus
from llmner.errors import InputError
from llmner.files import read_text
from llmner.spans import Sentence

__all__ = ["CorpusEntry", "ModelEntry", "ModelsConfig", "Published", "load_models_config", "slug"]


class CorpusEntry(Fields):
    """A corpus: file, saved data set or Hub name, its format and split."""

    path: str
    format: str | None = None
    split: str | None = None

    def read(self, told: Told) -> list[Sentence]:
        """Its sentences; repairs of their tags are told."""
        stats = ReadStats()
        sentences = list(read_corpus(self.path, self.format, self.split, stats=stats))
        if stats.repairs:
            told(
                f"{self.path}: {stats.repairs} broken tags were repaired (first: "
                f"{stats.first_repair})"
            )
        return sentences


class ModelEntry(Fields):
    """One model of the table: exactly one of ``train``, ``baseline``, ``engine`` and ``predicted``.

    Attributes:
        name: What the table calls it.
        train: A kind of baseline to train (``crf``, ``bilstm-crf``, ``encoder``).
        baseline: A folder that ``llmner train-baseline`` wrote, or ``USER/NAME`` on the Hub.
        engine: ``transformers``, ``vllm`` or ``openai``.
        predicted: A file of predictions, as ``extract`` writes them.
        held_out: With ``train``: what to judge epochs by; the configuration's where it is not said,
            and nothing for ``crf``, which has none to choose from.
        recipe: With ``engine``: what to ask; by default the adapter's or the merged model's, else
            ``klue``.
        grounded: With ``engine``: keep replies to the text by a grammar.
        options: With ``train``: fields of its configuration. With ``engine``: options of the engine
            (``model``, ``adapter``, ``batch_size``, ``max_new_tokens``, ...); where neither model,
            adapter nor recipe is named, the packaged adapter answers, as on the command line.
    """

    name: str = Field(min_length=1)
    train: Literal["crf", "bilstm-crf", "encoder"] | None = None
    baseline: str | None = None
    engine: Literal["transformers", "vllm", "openai"] | None = None
    predicted: Path | None = None
    held_out: float | None = Field(default=None, ge=0)
    recipe: str | None = None
    grounded: bool = False
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> ModelEntry:
        given = [
            key
            for key in ("train", "baseline", "engine", "predicted")
            if getattr(self, key) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"needs one of train, baseline, engine and predicted, and has {len(given)}"
            )
        if self.engine is None and (self.recipe is not None or self.grounded):
            raise ValueError("recipe and grounded belong to an engine")
        if self.options and given[0] in ("baseline", "predicted"):
            raise ValueError(f"options mean nothing to {given[0]}")
        return self


class Published(Fields):
    """Figures of somebody else's, to stand beside the table: cited, not measured."""

    name: str
    figures: dict[str, Annotated[float, BeforeValidator(not_bool)]]
    source: str

    def quoted(self) -> tuple[str, str]:
        """(figures, source), to be printed."""
        figures = ", ".join(f"{name} {value:.2f}" for name, value in self.figures.items())
        return f"{self.name}: {figures}", self.source


class ModelsConfig(Fields):
    """What to compare, on what.

    Attributes:
        gold: The corpus to evaluate on.
        train: The corpus that baselines learn from.
        models: The models, the first of which the others are compared with.
        held_out: Of the training sentences, what baselines judge epochs by: a share below 1 or a
            number.
        seed: Of held-out sentences, samples and intervals.
        limit: Evaluate on a sample of this many sentences.
        resamples: Bootstrap resamples for the intervals.
        published: Figures to cite.
    """

    gold: CorpusEntry
    train: CorpusEntry | None = None
    models: list[ModelEntry] = Field(min_length=1)
    held_out: float = Field(default=0.1, ge=0)
    seed: int = Field(default=42, ge=0)
    limit: int | None = Field(default=None, ge=1)
    resamples: int = Field(default=1000, ge=0, le=1_000_000)
    published: list[Published] = Field(default_factory=list)

    @model_validator(mode="after")
    def _whole(self) -> ModelsConfig:
        names = [model.name for model in self.models]
        slugs = [slug(name) for name in names]
        if len(set(slugs)) < len(slugs):
            raise ValueError("two models are called alike")
        if self.train is None and any(model.train for model in self.models):
            raise ValueError("models are to be trained, and there is no train corpus")
        return self


def slug(name: str) -> str:
    """A name as a folder can have it."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.").lower() or "model"


def load_models_config(path: Path) -> ModelsConfig:
    """A configuration file.

    Raises:
        InputError: It cannot be read, or a field is wrong; says which.
    """
    text = read_text(path)
    try:
        held = load_yaml(text)
    except InputError as error:
        raise InputError(error.problem, path=path, line=error.line) from None
    if not isinstance(held, dict):
        raise InputError("holds no fields", path=path, hint="expected gold, train and models")
    try:
        return ModelsConfig.model_validate(held)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the configuration"
        raise InputError(
            f"{where}: {first['msg'].removeprefix('Value error, ')}", path=path
        ) from None
