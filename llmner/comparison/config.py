"""The configuration of ``compare-models``: which models, on which corpus."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from llmner._numbers import not_bool
from llmner._yaml import load_yaml
from llmner.baselines._types import Fields, Report
from llmner.corpora import ReadStats, read_corpus
from llmner.errors import InputError
from llmner.files import read_text
from llmner.spans import Sentence

__all__ = ["CorpusEntry", "ModelEntry", "ModelsConfig", "Published", "load_models_config", "slug"]


class CorpusEntry(Fields):
    """A corpus.

    Attributes:
        path: A file, a saved data set, or the name of a data set on the Hub.
        format: Its format; ``None`` guesses it.
        split: Its split, if it has several.
    """

    path: str
    format: str | None = None
    split: str | None = None

    def read(self, report: Report) -> list[Sentence]:
        """Read its sentences, and report repairs of broken tags."""
        stats = ReadStats()
        sentences = list(read_corpus(self.path, self.format, self.split, stats=stats))
        if stats.repairs:
            report(
                f"{self.path}: {stats.repairs} broken tags were repaired (first: "
                f"{stats.first_repair})"
            )
        for kind, count in stats.losses.counts.items():
            report(f"{self.path}: {count} {kind} left out (first: {stats.losses.examples[kind]})")
        return sentences


class ModelEntry(Fields):
    """One model of the table: exactly one of ``train``, ``baseline``, ``engine`` and ``predicted``.

    Attributes:
        name: Its name in the table.
        train: The kind of baseline to train: ``crf``, ``bilstm-crf``, ``encoder`` or
            ``classifier``.
        baseline: A folder that ``llmner train-baseline`` wrote, or ``USER/NAME`` on the Hub.
        engine: ``transformers``, ``vllm`` or ``openai``.
        predicted: A file of predictions that ``extract`` wrote.
        held_out: With ``train``, the sentences that choose the best epoch: a share or a number. The
            default is that of the whole configuration, and 0 for ``crf``, which has no epochs to
            choose from.
        recipe: With ``engine``, the recipe. The default is that of the adapter or the merged model,
            or else ``klue``.
        grounded: With ``engine``, restrict replies to the text with a grammar; by default only
            with the adapter in the package.
        options: With ``train``, fields of the baseline's configuration. With ``engine``, options of
            the engine (``model``, ``adapter``, ``batch_size``, ``max_new_tokens``, ...). Without
            model, adapter and recipe, the packaged adapter is used, as on the command line.
    """

    name: str = Field(min_length=1)
    train: Literal["crf", "bilstm-crf", "encoder", "classifier"] | None = None
    baseline: str | None = None
    engine: Literal["transformers", "vllm", "openai"] | None = None
    predicted: Path | None = None
    held_out: float | None = Field(default=None, ge=0)
    recipe: str | None = None
    grounded: bool | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> ModelEntry:
        sources = [
            key
            for key in ("train", "baseline", "engine", "predicted")
            if getattr(self, key) is not None
        ]
        if len(sources) != 1:
            raise ValueError(
                f"needs exactly one of train, baseline, engine and predicted, has {len(sources)}"
            )
        if self.engine is None and (self.recipe is not None or self.grounded):
            raise ValueError("recipe and grounded can only be used with engine")
        if self.options and sources[0] in ("baseline", "predicted"):
            raise ValueError(f"options cannot be used with {sources[0]}")
        return self


class Published(Fields):
    """Published figures to cite beside the table; they are not measured.

    Attributes:
        name: The name of the model.
        figures: Its figures by name.
        source: Where they were published.
    """

    name: str
    figures: dict[str, Annotated[float, BeforeValidator(not_bool)]]
    source: str

    def quoted(self) -> tuple[str, str]:
        """The figures and the source, as they are printed.

        >>> Published(name="BERT", figures={"F1": 91.2}, source="a paper").quoted()
        ('BERT: F1 91.20', 'a paper')
        """
        figures = ", ".join(f"{name} {value:.2f}" for name, value in self.figures.items())
        return f"{self.name}: {figures}", self.source


class ModelsConfig(Fields):
    """The configuration of a comparison of models.

    Attributes:
        gold: The corpus to evaluate on.
        train: The corpus to train baselines on.
        models: The models. The others are compared with the first one.
        held_out: The training sentences that choose the best epoch: a share below 1, or a number.
        seed: Seed of held-out sentences, samples and intervals.
        limit: Evaluate on a sample of this many sentences.
        resamples: Bootstrap resamples for the intervals.
        published: Published figures to cite.

    >>> config = {"gold": {"path": "dev.tsv"}, "models": [{"name": "GPT", "predicted": "a.jsonl"}]}
    >>> ModelsConfig.model_validate(config).models[0].name
    'GPT'
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
            raise ValueError("two models have the same name")
        if self.train is None and any(model.train for model in self.models):
            raise ValueError("a model has to be trained, but there is no train corpus")
        return self


def slug(name: str) -> str:
    """A model's name as the name of a file or folder.

    >>> slug("BiLSTM & CRF")
    'bilstm-crf'
    """
    return re.sub(r"[^\w.-]+", "-", name).strip("-.").lower() or "model"


def load_models_config(path: Path) -> ModelsConfig:
    """Read a configuration from a YAML file.

    Raises:
        InputError: The file cannot be read, or a field is wrong; the error names the field.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "models.yaml"
    ...     _ = path.write_text("gold: {path: dev.tsv}\\nmodels: [{name: a, predicted: a.jsonl}]")
    ...     load_models_config(path).gold.path
    'dev.tsv'
    """
    text = read_text(path)
    try:
        fields = load_yaml(text)
    except InputError as error:
        raise InputError(error.problem, path=path, line=error.line) from None
    if not isinstance(fields, dict):
        raise InputError("has no fields", path=path, hint="expected gold, train and models")
    try:
        return ModelsConfig.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the configuration"
        raise InputError(
            f"{field}: {first['msg'].removeprefix('Value error, ')}", path=path
        ) from None
