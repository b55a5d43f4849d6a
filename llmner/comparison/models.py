"""Several models on the same sentences: trained, loaded or asked as a configuration says."""

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
from llmner.baselines._kinds import KINDS, BaselineConfig
from llmner.baselines._store import RECORD_FILE, find_baseline, read_baseline_record
from llmner.baselines._train import check_folder, train_baseline
from llmner.baselines._types import Epoch, Told, silent
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
    evaluate_sources,
    from_extractor,
    from_file,
)
from llmner.spans import Sentence

__all__ = ["compare_models"]


# Options of engines that are true or false.
_SWITCHES = ("completions", "trust_remote_code")


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

    Baselines that an earlier call trained alike on the same sentences are loaded, not trained
    again; answers of engines are kept while they come, so an interrupted comparison goes on.

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
    config_class = KINDS[entry.train].config
    seeded = {"seed": config.seed} if "seed" in config_class.model_fields else {}
    try:
        return config_class(**seeded | entry.options)
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
    timed = Timed(extractor, step)
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
        model.facts |= speed(timed, kept[0] if kept else None, restart=restart) | size_of(
            timed.extractor
        )
        timed.release()
        return found

    model.source = replace(source, predict=predict)
    return model


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

    assert entry.train is not None
    assert config.train is not None
    chosen = _config_of(entry, config)
    place = folder / slug(entry.name)
    default = config.held_out if KINDS[entry.train].step == "epoch" else 0.0
    held_out = default if entry.held_out is None else entry.held_out
    name = Path(config.train.path).name
    if is_file(place / RECORD_FILE):
        record = read_baseline_record(place)
        alike = record.get("config") == chosen.model_dump() and record.get("seed") == config.seed
        same = (
            record.get("corpus") == corpus_signature(name, learnt)
            and record.get("held_out_as") == held_out
        )
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
    for name, value in entry.options.items():
        if isinstance(value, bool) and name not in _SWITCHES:
            raise InputError(
                f"{entry.name}: options.{name}: {str(value).lower()} is no value that it can have"
            )
    engine = str(entry.engine)
    taken = options_taken(engine_class(engine))
    for name in entry.options:
        if name not in taken:
            raise InputError(f"{entry.name}: options: {name} means nothing to the {engine} engine")
    known = {name: value for name, value in entry.options.items() if name in OPTIONS}
    more = {name: value for name, value in entry.options.items() if name not in OPTIONS}
    try:
        options = AskOptions.of(
            engine=engine, recipe=entry.recipe, grounded=entry.grounded, **known
        )
    except InputError as error:
        raise InputError(f"{entry.name}: options: {error.problem}", hint=error.hint) from None
    asking = prepare(options, told)
    try:
        extractor = build(asking, report=told, more=more)
    except TypeError as error:
        raise InputError(f"{entry.name}: options: {error}") from None
    return extractor, {} if asking.adapter is None else _record_of(asking.adapter.folder)


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
            figures = {
                key: known.get(key)
                for key in ("train_loss", "eval_loss", "precision", "recall", "f1")
            }
            yield Epoch(row["epoch"], **figures, seconds=known.get("seconds", 0.0))


def _nothing() -> None:
    pass
