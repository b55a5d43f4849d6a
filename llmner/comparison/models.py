"""Comparing models: each is trained, loaded or asked as the configuration says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llmner._numbers import is_number
from llmner.asking import AskOptions, build, prepare
from llmner.asking.options import OPTIONS
from llmner.baselines._extract import BaselineExtractor
from llmner.baselines._kinds import BaselineConfig, kind_named, kind_of_config, seeded
from llmner.baselines._store import RECORD_FILE, find_baseline, read_baseline_record
from llmner.baselines._train import check_folder, train_baseline
from llmner.baselines._types import Epoch, Report, silent
from llmner.comparison.config import ModelEntry, ModelsConfig, slug
from llmner.comparison.results import ComparedModel
from llmner.comparison.timing import Timed, size_of, speed
from llmner.engines._registry import engine_class, options_taken
from llmner.errors import InputError
from llmner.extraction import Extractor
from llmner.files import dump_json, is_file, kind_of, parse_json, read_text
from llmner.reports.figures import Facts
from llmner.scoring import (
    Prediction,
    Source,
    corpus_signature,
    doubts,
    evaluate_sources,
    from_extractor,
    from_file,
)
from llmner.spans import Sentence

__all__ = ["compare_models"]


# Options of engines whose values are true or false.
_SWITCHES = ("completions", "trust_remote_code")


@dataclass(slots=True)
class _Model:
    """A model before its evaluation."""

    source: Source
    facts: dict[str, Any] = field(default_factory=dict)
    epochs: tuple[Epoch, ...] = ()


def compare_models(
    config: ModelsConfig,
    folder: Path,
    *,
    restart: bool = False,
    report: Report | None = None,
    on_sentence: Callable[[], None] | None = None,
) -> list[ComparedModel]:
    """Train or load several models, and evaluate them on the same sentences.

    Baselines that an earlier call trained with the same configuration on the same sentences are
    loaded, not trained again. Answers of engines are kept as they come, so an interrupted
    comparison continues.

    Args:
        config: The configuration.
        folder: The folder for baselines and answers; made if it does not exist.
        restart: Train and ask again, even if an earlier call did.
        report: Called with a sentence about what is being done.
        on_sentence: Called after each sentence that a model has answered.

    Returns:
        The models in the order of the configuration, with their figures.

    Raises:
        InputError: A corpus, a folder or a file is wrong.
        GenerationError: A model cannot be loaded or asked.
        MissingExtraError: An optional part of llmner is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     gold, predicted = Path(name) / "gold.txt", Path(name) / "predicted.txt"
    ...     _ = gold.write_text("<Anna:PER> sings"), predicted.write_text("<Anna:PER> sings")
    ...     entries = [{"name": "mine", "predicted": str(predicted)}]
    ...     config = ModelsConfig.model_validate({"gold": {"path": str(gold)}, "models": entries})
    ...     (model,) = compare_models(config, Path(name) / "out")
    >>> model.name, model.evaluation.scores.micro.f1
    ('mine', 1.0)
    """
    report = report if report is not None else silent
    on_sentence = on_sentence if on_sentence is not None else _nothing
    for entry in config.models:
        _check(entry, config, folder)
    gold = config.gold.read(report)
    train = config.train.read(report) if config.train is not None else []
    folder.mkdir(parents=True, exist_ok=True)
    models = []
    for entry in config.models:
        report(f"{entry.name}:")
        models.append(
            _prepared(entry, config, folder, gold, train, report, on_sentence, restart=restart)
        )
    evaluations = evaluate_sources(
        gold,
        [model.source for model in models],
        corpus_name=Path(config.gold.path).name,
        limit=config.limit,
        seed=config.seed,
        resamples=config.resamples,
    )
    for entry, evaluation in zip(config.models, evaluations, strict=True):
        for doubt in doubts(evaluation, Path(config.gold.path).name, entry.name):
            report(f"warning: {doubt}")
    return [
        ComparedModel(entry.name, evaluation, Facts(**model.facts), model.epochs)
        for entry, model, evaluation in zip(config.models, models, evaluations, strict=True)
    ]


def _check(entry: ModelEntry, config: ModelsConfig, folder: Path) -> None:
    """Check an entry before time is spent on the entries before it."""
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
    config_class = kind_named(entry.train, entry.options).config
    options = dict(entry.options)
    if entry.train == "classifier" and "model" not in config_class.model_fields:
        # "linear" has said which kind it is.
        options.pop("model", None)
    try:
        return seeded(config_class, config.seed, **options)
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(map(str, first["loc"]))
        raise InputError(f"{entry.name}: options.{option}: {first['msg']}") from None


def _prepared(
    entry: ModelEntry,
    config: ModelsConfig,
    folder: Path,
    gold: Sequence[Sentence],
    train: Sequence[Sentence],
    report: Report,
    on_sentence: Callable[[], None],
    *,
    restart: bool,
) -> _Model:
    if entry.predicted is not None:
        return _Model(from_file(entry.predicted, gold, whole=config.limit is None))
    extractor: Extractor | BaselineExtractor
    record: Mapping[str, Any] = {}
    if entry.engine is not None:
        extractor, record = _asking(entry, report)
    else:
        if entry.baseline is not None:
            baseline = find_baseline(entry.baseline, report)
        else:
            baseline = _trained(entry, config, folder, train, report, restart=restart)
        record = read_baseline_record(baseline)
        trust_remote_code = bool(entry.options.get("trust_remote_code"))
        extractor = BaselineExtractor(baseline, trust_remote_code=trust_remote_code)
    timed = Timed(extractor, on_sentence)
    row_files: list[Path] = []

    def keep(description: Mapping[str, Any]) -> Path:
        # Another recipe, sample or version has another file.
        digest = hashlib.sha256(dump_json(description)).hexdigest()[:8]
        row_files.append(folder / f"{slug(entry.name)}-{digest}.rows.jsonl")
        return row_files[0]

    source = from_extractor(
        entry.name,
        timed,
        gold,
        keep=keep if entry.engine is not None else None,
        restart=restart,
        on_resume=lambda done: report(f"{done} sentences were done already; going on"),
    )
    model = _Model(source, epochs=tuple(_epochs(record)))
    if is_number(record.get("seconds")):
        model.facts["training_seconds"] = float(record["seconds"])

    def predict(numbers: Sequence[int]) -> list[Prediction]:
        report(f"{entry.name} answers {len(numbers):,} sentences")
        predictions = source.predict(numbers)
        rows = row_files[0] if row_files else None
        model.facts |= speed(timed, rows, restart=restart) | size_of(timed.extractor)
        timed.release()
        return predictions

    model.source = replace(source, predict=predict)
    return model


def _trained(
    entry: ModelEntry,
    config: ModelsConfig,
    folder: Path,
    train: Sequence[Sentence],
    report: Report,
    *,
    restart: bool,
) -> Path:
    """The folder of a baseline, which is trained now unless an equal one is there already."""
    from llmner import __version__

    assert entry.train is not None
    assert config.train is not None
    baseline_config = _config_of(entry, config)
    baseline = folder / slug(entry.name)
    has_epochs = kind_of_config(baseline_config).step == "epoch"
    default = config.held_out if has_epochs else 0.0
    held_out = default if entry.held_out is None else entry.held_out
    name = Path(config.train.path).name
    if is_file(baseline / RECORD_FILE):
        record = read_baseline_record(baseline)
        versions = record.get("versions")
        version = versions.get("llmner") if isinstance(versions, dict) else None
        same = (
            record.get("config") == baseline_config.model_dump()
            and record.get("seed") == config.seed
            and record.get("corpus") == corpus_signature(name, train)
            and record.get("held_out_as") == held_out
            and version == __version__
        )
        if same and not restart:
            report(f"trained already, in {baseline}")
            return baseline
    train_baseline(
        train,
        baseline_config,
        baseline,
        held_out=held_out,
        seed=config.seed,
        corpus=name,
        # Only an earlier baseline is replaced. Any other content of the folder is an error.
        restart=(baseline / RECORD_FILE).is_file(),
        report=report,
    )
    return baseline


def _asking(entry: ModelEntry, report: Report) -> tuple[Extractor, Mapping[str, Any]]:
    """An extractor with an engine, and the record of its adapter's training."""
    for name, value in entry.options.items():
        if isinstance(value, bool) and name not in _SWITCHES:
            raise InputError(
                f"{entry.name}: options.{name}: {str(value).lower()} is no value that it can have"
            )
    engine = str(entry.engine)
    engine_options = options_taken(engine_class(engine))
    for name in entry.options:
        if name not in engine_options:
            raise InputError(f"{entry.name}: options: {name} means nothing to the {engine} engine")
    shared = {name: value for name, value in entry.options.items() if name in OPTIONS}
    own = {name: value for name, value in entry.options.items() if name not in OPTIONS}
    try:
        options = AskOptions.of(
            engine=engine, recipe=entry.recipe, grounded=entry.grounded, **shared
        )
    except InputError as error:
        raise InputError(f"{entry.name}: options: {error.problem}", hint=error.hint) from None
    asking = prepare(options, report)
    try:
        extractor = build(asking, report=report, more=own)
    except TypeError as error:
        raise InputError(f"{entry.name}: options: {error}") from None
    # Options of an engine are no passes.
    assert isinstance(extractor, Extractor)
    return extractor, {} if asking.adapter is None else _record_of(asking.adapter.folder)


def _record_of(folder: Path) -> Mapping[str, Any]:
    try:
        record = parse_json(read_text(folder / "training.json"))
    except (InputError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _epochs(record: Mapping[str, Any]) -> Iterator[Epoch]:
    rows = record.get("epochs")
    for row in rows if isinstance(rows, list) else ():
        # Malformed epochs are left out: they are only used to draw curves.
        if isinstance(row, dict) and is_number(row.get("epoch")):
            numbers = {key: value for key, value in row.items() if is_number(value)}
            figures = {
                key: numbers.get(key)
                for key in ("train_loss", "eval_loss", "precision", "recall", "f1")
            }
            yield Epoch(row["epoch"], **figures, seconds=numbers.get("seconds", 0.0))


def _nothing() -> None:
    pass
