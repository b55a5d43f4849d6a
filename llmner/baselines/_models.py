"""Several models on the same sentences: trained or loaded as a configuration says, in one table."""

from __future__ import annotations

import gc
import hashlib
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from llmner._files import dump_json, is_file, kind_of, parse_json, read_text, whole_file
from llmner._numbers import is_number, is_whole, not_bool
from llmner._yaml import load_yaml
from llmner.baselines._extract import BaselineExtractor
from llmner.baselines._store import RECORD_FILE, find_baseline, read_baseline_record, size_on_disk
from llmner.baselines._train import CONFIGS, BaselineConfig, check_folder, train_baseline
from llmner.baselines._types import Epoch, Fields, Told, silent
from llmner.corpora import ReadStats, read_corpus
from llmner.errors import InputError, MissingExtraError
from llmner.extraction import Extraction, Extractor, SpanExtractor
from llmner.generation import create_generator
from llmner.generation.adapters import PACKAGED_ADAPTER, RECIPE_FILE, find_adapter
from llmner.recipes import Recipe
from llmner.scoring import (
    Evaluation,
    Facts,
    Prediction,
    Source,
    compare,
    corpus_signature,
    evaluate_sources,
    from_extractor,
    from_file,
    render_report,
    write_run,
)
from llmner.spans import Sentence

__all__ = [
    "ComparedModel",
    "ModelEntry",
    "ModelsConfig",
    "compare_models",
    "load_models_config",
    "models_dict",
    "slug",
    "write_loss_curves",
    "write_models",
]


# Options of engines that are true or false.
_SWITCHES = ("completions", "trust_remote_code")


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
            told(f"{self.path}: {stats.repairs} broken tags were repaired (first: {stats.first_repair})")
        return sentences


class ModelEntry(Fields):
    """One model of the table: exactly one of ``train``, ``baseline``, ``engine`` and ``predicted``.

    Attributes:
        name: What the table calls it.
        train: A kind of baseline to train (``crf``, ``bilstm-crf``, ``encoder``).
        baseline: A folder that ``llmner train-baseline`` wrote, or ``USER/NAME`` on the Hub.
        engine: ``transformers``, ``vllm`` or ``openai``.
        predicted: A file of predictions, as ``extract`` writes them.
        held_out: With ``train``: what to judge epochs by; the configuration's where it is not said, and nothing
            for ``crf``, which has none to choose from.
        recipe: With ``engine``: what to ask; by default the adapter's or the merged model's, else ``klue``.
        grounded: With ``engine``: keep replies to the text by a grammar.
        options: With ``train``: fields of its configuration. With ``engine``: options of the engine
            (``model``, ``adapter``, ``batch_size``, ``max_new_tokens``, ...); where neither model, adapter nor
            recipe is named, the packaged adapter answers, as on the command line.
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
        given = [key for key in ("train", "baseline", "engine", "predicted") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"needs one of train, baseline, engine and predicted, and has {len(given)}")
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
        held_out: Of the training sentences, what baselines judge epochs by: a share below 1 or a number.
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


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One model and what it came to.

    Attributes:
        name: What the table calls it.
        evaluation: Its figures.
        facts: Training time, speed, parameters, size.
        epochs: Of its training, as far as they are known.
    """

    name: str
    evaluation: Evaluation
    facts: Facts
    epochs: tuple[Epoch, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Figures and facts, without sentences."""
        return {
            "name": self.name,
            **self.evaluation.to_dict(),
            "facts": asdict(self.facts),
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }


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
        raise InputError(f"{where}: {first['msg'].removeprefix('Value error, ')}", path=path) from None


class _Timed:
    """An extractor whose sentences a second are measured: of a loaded model, without what is done with them."""

    def __init__(self, extractor: Extractor | BaselineExtractor, told: Callable[[], None]) -> None:
        self.extractor: Extractor | BaselineExtractor | None = extractor
        self.batch_size = extractor.batch_size
        self.sentences = 0
        self.seconds = 0.0
        self._described = extractor.describe()
        self._told = told

    def extract(self, sentences: Iterable[Sentence | str]) -> Iterator[Extraction]:
        assert self.extractor is not None
        _load(self.extractor)
        found = self.extractor.extract(sentences)
        while True:
            started = time.perf_counter()
            extraction = next(found, None)
            self.seconds += time.perf_counter() - started
            if extraction is None:
                return
            self.sentences += 1
            self._told()
            yield extraction

    def describe(self) -> dict[str, Any]:
        return self._described

    def release(self) -> None:
        """Let go of the model: the next one needs the memory."""
        self.extractor = None
        gc.collect()
        if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


def _load(extractor: Extractor | BaselineExtractor) -> None:
    owner: Any = getattr(extractor, "generator", extractor)
    if (load := getattr(owner, "load", None)) is not None:
        load()


@dataclass(slots=True)
class _Model:
    """A model on its way into the table."""

    source: Source
    facts: dict[str, Any] = field(default_factory=dict)
    epochs: tuple[Epoch, ...] = ()


def compare_models(
    config: ModelsConfig,
    folder: Path,
    *,
    restart: bool = False,
    report: Told | None = None,
    on_sentence: Callable[[], None] | None = None,
) -> list[ComparedModel]:
    """Train or load the models, evaluate all of them on the same sentences.

    Baselines that an earlier call trained alike on the same sentences are loaded, not trained again; answers
    of engines are kept while they come, so an interrupted comparison goes on.

    Args:
        config: What to compare, on what.
        folder: Where baselines and answers go.
        restart: Train and ask again what an earlier call left there.
        report: Told in a sentence what is being done.
        on_sentence: Called after each sentence that a model has answered.

    Raises:
        InputError: A corpus, folder or file that is wrong.
        GenerationError: A model that cannot be loaded or asked.
        MissingExtraError: A part that is not installed.
    """
    told: Told = report if report is not None else silent
    step = on_sentence if on_sentence is not None else _nothing
    for entry in config.models:
        _check(entry, config, folder)
    gold = config.gold.read(told)
    learnt = config.train.read(told) if config.train is not None else []
    folder.mkdir(parents=True, exist_ok=True)
    models = []
    for entry in config.models:
        told(f"{entry.name}:")
        models.append(_prepared(entry, config, folder, gold, learnt, told, step, restart=restart))
    evaluations = evaluate_sources(
        gold,
        [model.source for model in models],
        corpus_name=Path(config.gold.path).name,
        limit=config.limit,
        seed=config.seed,
        resamples=config.resamples,
    )
    return [
        ComparedModel(entry.name, evaluation, Facts(**model.facts), model.epochs)
        for entry, model, evaluation in zip(config.models, models, evaluations, strict=True)
    ]


def _check(entry: ModelEntry, config: ModelsConfig, folder: Path) -> None:
    """Find what is wrong with an entry before an hour is spent on those before it."""
    if entry.predicted is not None and kind_of(entry.predicted) != "file":
        raise InputError(f"{entry.name}: no such file", path=entry.predicted)
    if entry.baseline is not None:
        read_baseline_record(find_baseline(entry.baseline))
    if entry.train is not None:
        _config_of(entry, config)
        check_folder(folder / slug(entry.name), restart=True)
    if entry.engine is not None:
        _asking(entry, silent)


def _config_of(entry: ModelEntry, config: ModelsConfig) -> BaselineConfig:
    assert entry.train is not None
    kind = CONFIGS[entry.train]
    seeded = {"seed": config.seed} if "seed" in kind.model_fields else {}
    try:
        return kind(**seeded | entry.options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{entry.name}: options.{where}: {first['msg']}") from None


def _prepared(
    entry: ModelEntry,
    config: ModelsConfig,
    folder: Path,
    gold: Sequence[Sentence],
    learnt: Sequence[Sentence],
    told: Told,
    step: Callable[[], None],
    *,
    restart: bool,
) -> _Model:
    if entry.predicted is not None:
        return _Model(from_file(entry.predicted, gold, whole=config.limit is None))
    extractor: Extractor | BaselineExtractor
    record: Mapping[str, Any] = {}
    if entry.engine is not None:
        extractor, record = _asking(entry, told)
    else:
        if entry.baseline is not None:
            place = find_baseline(entry.baseline, told)
        else:
            place = _trained(entry, config, folder, learnt, told, restart=restart)
        record = read_baseline_record(place)
        remote = bool(entry.options.get("trust_remote_code"))
        extractor = BaselineExtractor(place, trust_remote_code=remote)
    timed = _Timed(extractor, step)
    kept: list[Path] = []

    def keep(known: Mapping[str, Any]) -> Path:
        # Rows of another recipe, sample or version are other rows.
        digest = hashlib.sha256(dump_json(known)).hexdigest()[:8]
        kept.append(folder / f"{slug(entry.name)}-{digest}.rows.jsonl")
        return kept[0]

    source = from_extractor(
        entry.name,
        timed,
        gold,
        keep=keep if entry.engine is not None else None,
        restart=restart,
        on_resume=lambda done: told(f"{done} sentences were done already; going on"),
    )
    model = _Model(source, epochs=tuple(_epochs(record)))
    if is_number(record.get("seconds")):
        model.facts["training_seconds"] = float(record["seconds"])

    def predict(places: Sequence[int]) -> list[Prediction]:
        told(f"{entry.name} answers {len(places):,} sentences")
        found = source.predict(places)
        model.facts |= _speed(timed, kept[0] if kept else None, restart=restart) | _size(timed.extractor)
        timed.release()
        return found

    model.source = replace(source, predict=predict)
    return model


def _speed(timed: _Timed, rows: Path | None, *, restart: bool) -> dict[str, Any]:
    """Sentences a second, over this call and those before it that the kept rows are of."""
    sentences, seconds = timed.sentences, timed.seconds
    if rows is not None:
        path = rows.with_name(f"{rows.name}.speed.json")
        if restart:
            path.unlink(missing_ok=True)
        try:
            before = parse_json(read_text(path))
            sentences, seconds = sentences + int(before["sentences"]), seconds + float(before["seconds"])
        except (InputError, ValueError, LookupError, TypeError):
            pass
        if timed.sentences:
            with whole_file(path) as stream:
                stream.write(dump_json({"sentences": sentences, "seconds": round(seconds, 3)}) + b"\n")
    if not sentences or not seconds:
        return {}
    return {"sentences_a_second": sentences / seconds, "timed_sentences": sentences}


def _trained(
    entry: ModelEntry,
    config: ModelsConfig,
    folder: Path,
    learnt: Sequence[Sentence],
    told: Told,
    *,
    restart: bool,
) -> Path:
    """The folder of a baseline, trained now unless it lies there, trained alike."""
    from llmner import __version__

    assert config.train is not None
    chosen = _config_of(entry, config)
    place = folder / slug(entry.name)
    default = 0.0 if entry.train == "crf" else config.held_out
    held_out = default if entry.held_out is None else entry.held_out
    name = Path(config.train.path).name
    if is_file(place / RECORD_FILE):
        record = read_baseline_record(place)
        alike = record.get("config") == chosen.model_dump() and record.get("seed") == config.seed
        same = record.get("corpus") == corpus_signature(name, learnt) and record.get("held_out_as") == held_out
        versions = record.get("versions")
        version = versions.get("llmner") if isinstance(versions, dict) else None
        if alike and same and version == __version__ and not restart:
            told(f"trained already, in {place}")
            return place
    train_baseline(
        learnt,
        chosen,
        place,
        held_out=held_out,
        seed=config.seed,
        corpus=name,
        # What is no baseline of an earlier call is somebody's, and stays.
        restart=(place / RECORD_FILE).is_file(),
        report=told,
    )
    return place


def _asking(entry: ModelEntry, told: Told) -> tuple[Extractor, Mapping[str, Any]]:
    """An extractor around an engine, and the record of its adapter's training."""
    assert entry.engine is not None
    options = dict(entry.options)
    for name, value in options.items():
        if isinstance(value, bool) and name not in _SWITCHES:
            raise InputError(f"{entry.name}: options.{name}: {str(value).lower()} is no value that it can have")
    record: Mapping[str, Any] = {}
    adapter = None
    name = options.pop("adapter", None)
    asks = entry.engine in ("transformers", "vllm")
    if name is None and asks and entry.recipe is None and "model" not in options:
        name = PACKAGED_ADAPTER
    if isinstance(name, str) and name != "none":
        base = options.get("model")
        adapter = find_adapter(name, told, model=base if isinstance(base, str) else None)
        record = _record_of(adapter.folder)
        options |= {"adapter": adapter, "model": options.get("model") or adapter.model}
    own = adapter.recipe if adapter is not None and entry.recipe is None else None
    merged = Path(str(options.get("model"))) / RECIPE_FILE
    if own is None and is_file(merged):
        own = Recipe.load(merged)
    recipe = own if entry.recipe is None and own is not None else Recipe.load(entry.recipe or "klue")
    if entry.engine != "openai":
        options["report"] = told
    try:
        generator = create_generator(entry.engine, **options)
    except TypeError as error:
        raise InputError(f"{entry.name}: options: {error}") from None
    size = options.get("batch_size", 32)
    at_once = 4 * size if is_whole(size) and size > 0 else 128
    return Extractor(recipe, generator, grounded=entry.grounded, batch_size=at_once), record


def _record_of(folder: Path) -> Mapping[str, Any]:
    try:
        held = parse_json(read_text(folder / "training.json"))
    except (InputError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _epochs(record: Mapping[str, Any]) -> Iterator[Epoch]:
    rows = record.get("epochs")
    for row in rows if isinstance(rows, list) else ():
        # Curves are drawn of what is known; a record that somebody has broken has none.
        if isinstance(row, dict) and is_number(row.get("epoch")):
            known = {key: value for key, value in row.items() if is_number(value)}
            figures = {key: known.get(key) for key in ("train_loss", "eval_loss", "precision", "recall", "f1")}
            yield Epoch(row["epoch"], **figures, seconds=known.get("seconds", 0.0))


def _size(extractor: SpanExtractor | None) -> dict[str, Any]:
    """Parameters and bytes of what answered, where it is in this process."""
    if isinstance(extractor, BaselineExtractor):
        return {"parameters": extractor.load().parameters(), "bytes": size_on_disk(extractor.folder)}
    generator: Any = getattr(extractor, "generator", None)
    if getattr(generator, "model_name", None) is None or not hasattr(generator, "around"):
        return {}
    model, _ = generator.load()
    return {
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "bytes": sum(weights.numel() * weights.element_size() for weights in model.parameters()),
    }


def write_models(config: ModelsConfig, models: Sequence[ComparedModel], folder: Path) -> list[str]:
    """Write one table and one report of compared models, and a run of each; gives the names of the files.

    ``models.md`` and ``report.html`` for people, ``models.json`` for programs, ``curves.png`` where there are
    any, and ``NAME.run.json`` of each model for ``llmner compare``.

    Raises:
        InputError: A file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    evaluations = {model.name: model.evaluation for model in models}
    first, *others = evaluations.values()
    compared = {
        model.name: compare(first, other, resamples=config.resamples, seed=config.seed)
        for model, other in zip(models[1:], others, strict=True)
    }
    cited = [held.quoted() for held in config.published]
    names = ["models.md", "report.html", "models.json"]
    curves = folder / "curves.png"
    drawn = write_loss_curves(curves, models)
    forms: dict[str, Literal["html", "md"]] = {"models.md": "md", "report.html": "html"}
    for name, form in forms.items():
        report = render_report(
            evaluations,
            compared,
            form,
            facts={model.name: model.facts for model in models},
            curves=curves.read_bytes() if drawn else None,
            cited=cited,
        )
        with whole_file(folder / name) as stream:
            stream.write(report.encode("utf-8", "replace"))
    with whole_file(folder / "models.json") as stream:
        stream.write(dump_json(models_dict(config, models), indent=2) + b"\n")
    for model in models:
        write_run(model.evaluation, folder / f"{slug(model.name)}.run.json")
    return [*names, *([curves.name] if drawn else [])]


def models_dict(config: ModelsConfig, models: Sequence[ComparedModel]) -> dict[str, Any]:
    """What ``compare-models --json`` prints."""
    cited = [list(held.quoted()) for held in config.published]
    return {"models": [model.to_dict() for model in models], "cited": cited}


def write_loss_curves(path: Path, models: Sequence[ComparedModel]) -> bool:
    """Draw the models' losses and held-out F1 over epochs side by side, as a PNG; whether there were any.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    drawn = [model for model in models if any(epoch.train_loss is not None for epoch in model.epochs)]
    if not drawn:
        return False
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtraError("baselines", "drawing the curves") from None
    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(drawn), 3.4), layout="constrained")
    for axes, model in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True):
        for name, label in (("train_loss", "training loss"), ("eval_loss", "held-out loss")):
            points = [(e.epoch, value) for e in model.epochs if (value := getattr(e, name)) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), label=label)
        kind = model.evaluation.signature.get("kind")
        unit = "sentence" if kind in ("crf", "bilstm-crf") else "token"
        axes.set(title=model.name, xlabel="iteration" if kind == "crf" else "epoch", ylabel=f"nats a {unit}")
        axes.grid(alpha=0.3)
        judged = [(e.epoch, e.f1) for e in model.epochs if e.f1 is not None]
        if len(judged) > 1:
            other = axes.twinx()
            other.plot(*zip(*judged, strict=True), "k--", label="held-out F1", linewidth=1)
            other.set(ylim=(0, 1), ylabel="F1")
        axes.legend(fontsize="small")
    with whole_file(path) as stream:
        figure.savefig(stream, format="png", dpi=110)
    return True


def _nothing() -> None:
    pass
