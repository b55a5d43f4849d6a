"""A training run, from its configuration to an adapter's folder. Interrupted runs are resumed.

The folder has the state of the run: ``training.yaml`` its configuration, ``checkpoints/`` its
progress. ``_rows`` decides what is learnt, ``_trainer`` how.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llmner._checkpoints import last_checkpoint
from llmner._yaml import load_yaml
from llmner.engines._denormals import denormals_flushed
from llmner.engines.embedded import EMBEDDED_MODEL, EMBEDDED_ON_HUB
from llmner.errors import InputError, MissingExtraError
from llmner.files import kind_of, whole_file
from llmner.hub.card import model_card
from llmner.hub.folder import (
    ADAPTER_FILE,
    CARD_FILE,
    CURVES_FILE,
    RECIPE_FILE,
    RECORD_FILE,
    TRAINING_FILE,
)
from llmner.training._config import TrainingConfig
from llmner.training._model import Coverage, check_coverage, is_fsdp
from llmner.training._prepared import Prepared, prepare
from llmner.training._record import EpochRow, best_row, epoch_rows, write_curves, write_record

__all__ = [
    "TrainingResult",
    "is_main_process",
    "train",
    "trainer_builder",
]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of a run.

    Attributes:
        folder: The adapter's folder.
        coverage: The part of the model that has an adapter.
        epochs: One row per epoch.
        best: Step and figures of the best evaluation, or ``None`` without held-out sentences.
        sentences: How many sentences were learnt from.
        held_out: How many sentences were held out.
        over_long: How many sentences were left out as too long.
    """

    folder: Path
    coverage: Coverage
    epochs: tuple[EpochRow, ...]
    best: dict[str, Any] | None
    sentences: int
    held_out: int
    over_long: int


def train(
    config: TrainingConfig,
    *,
    restart: bool = False,
    report: Callable[[str], None] | None = None,
    on_log: Callable[[dict[str, Any], Any], None] | None = None,
) -> TrainingResult:
    """Fine-tune a model, and write the adapter with its tokenizer, recipe, record and model card.

    A run that was interrupted, even by ``kill -9``, resumes from its last complete checkpoint when
    this function is called again with the same configuration.

    >>> result = train(parse_config(["--train", "corpus.jsonl"]))  # doctest: +SKIP
    >>> result.best["f1"]  # doctest: +SKIP
    0.847

    Args:
        config: The configuration of the run.
        restart: Remove what an earlier run left in the folder.
        report: Called with a sentence about each stage.
        on_log: Called with each log entry and the trainer's state.

    Raises:
        InputError: The corpus, the recipe or the configuration cannot be used, or the folder has
            another run or a finished one.
        GenerationError: The model cannot be loaded.
        MissingExtraError: The ``train`` extra is not installed.
    """
    build = trainer_builder()
    from llmner.training._trainer import check_optimisation

    check_optimisation(config.optim)
    main = is_main_process()
    say = report if report is not None and main else _silent
    folder = Path(config.evaluation.output)
    checkpoints = folder / "checkpoints"
    if main:
        _open_folder(folder, config, restart)
    prepared = prepare(config, say)
    say(
        f"{len(prepared.rows):,} sentences to learn from, {len(prepared.held_rows):,} held out"
        + (f", {prepared.over_long:,} left out as too long" if prepared.over_long else "")
    )
    trainer = build(
        config,
        prepared,
        logs=folder / "runs",
        checkpoints=checkpoints,
        on_log=on_log,
    )
    coverage = check_coverage(trainer.model, config.lora)
    say(str(coverage))
    last = last_checkpoint(checkpoints)
    if last is not None:
        say(f"Resuming from {last.name}")
    with denormals_flushed():
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    trainer.accelerator.wait_for_everyone()
    history = trainer.state.log_history
    result = TrainingResult(
        folder,
        coverage,
        tuple(epoch_rows(history)),
        best_row(history),
        len(prepared.rows),
        len(prepared.held_rows),
        prepared.over_long,
    )
    if is_fsdp():
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    _save_adapter(trainer, config, folder)
    if trainer.is_world_process_zero():
        _finish(prepared, config, result, history)
    return result


def is_main_process() -> bool:
    """Whether this process reports and writes: ``accelerate launch`` and torchrun start several.

    >>> is_main_process()
    True
    """
    return int(os.environ.get("RANK", "0")) == 0


def trainer_builder() -> Callable[..., Any]:
    """The function that builds the trainer. Imports torch and trl.

    Raises:
        MissingExtraError: The ``train`` extra is not installed.
    """
    # On a CPU it warns of a kernel that is not needed.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        from llmner.training._trainer import build_trainer
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", f"fine-tuning ({error.name} is missing)") from None
    return build_trainer


def _silent(_: str) -> None:
    pass


def _open_folder(folder: Path, config: TrainingConfig, restart: bool) -> None:
    """Create the folder of this run, or make sure that it belongs to this run.

    Raises:
        InputError: It belongs to another run, has a finished adapter, or cannot be written.
    """
    kind_of(folder)  # Raises an error if it is not a valid path.
    if restart:
        for name in ("checkpoints", "runs"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in (TRAINING_FILE, RECORD_FILE, ADAPTER_FILE):
            (folder / name).unlink(missing_ok=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = (folder / TRAINING_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        text = None
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", path=folder) from None
    if (folder / RECORD_FILE).exists() or (text is None and (folder / ADAPTER_FILE).exists()):
        raise InputError(
            "holds a finished adapter", path=folder, hint="name another --output, or --restart"
        )
    settings = config.flat()
    # Before its first checkpoint a run has nothing to go on with, and so nothing to mix up.
    if text is not None and last_checkpoint(folder / "checkpoints") is not None:
        # A run may have been begun before a setting was there.
        earlier = TrainingConfig().flat() | _read_settings(folder / TRAINING_FILE, text)
        differing = sorted(
            key
            for key in {*earlier, *settings}
            if key != "output" and earlier.get(key) != settings.get(key)
        )
        if differing:
            raise InputError(
                f"holds an interrupted run with another {', '.join(differing)}",
                path=folder,
                hint="finish it as it was begun, or start over with --restart",
            )
        return
    with whole_file(folder / TRAINING_FILE) as stream:
        stream.write(yaml.safe_dump(settings, allow_unicode=True, sort_keys=False).encode())


def _read_settings(path: Path, text: str) -> dict[str, Any]:
    try:
        settings = load_yaml(text)
    except InputError:
        settings = None
    if not isinstance(settings, dict):
        raise InputError(
            "cannot be read, so the settings of the interrupted run are not known",
            path=path,
            hint="start over with --restart",
        )
    return settings


def _save_adapter(trainer: Any, config: TrainingConfig, folder: Path) -> None:
    """Save the adapter in bfloat16, in which it is used, with the base model's own name."""
    import torch

    model = trainer.accelerator.unwrap_model(trainer.model)
    state = trainer.accelerator.get_state_dict(trainer.model)
    if not trainer.is_world_process_zero():
        return
    name = EMBEDDED_ON_HUB if config.model.model == EMBEDDED_MODEL else config.model.model
    for adapter in model.peft_config.values():
        adapter.base_model_name_or_path = name
    model.save_pretrained(
        str(folder),
        state_dict={
            key: value.to(torch.bfloat16) for key, value in state.items() if "lora_" in key
        },
        # Otherwise PEFT asks the Hub whether the vocabulary has grown, which it cannot have.
        save_embedding_layers=False,
    )
    # PEFT has written a template; our own card is written at the end.
    (folder / CARD_FILE).unlink(missing_ok=True)


def _finish(
    prepared: Prepared,
    config: TrainingConfig,
    result: TrainingResult,
    history: Sequence[dict[str, Any]],
) -> None:
    """Write all files except the adapter."""
    folder = result.folder
    prepared.tokenizer.save_pretrained(str(folder))
    with whole_file(folder / RECIPE_FILE) as stream:
        stream.write(prepared.recipe.to_yaml().encode())
    write_curves(folder / CURVES_FILE, history)
    seconds = max((entry.get("elapsed", 0.0) for entry in history), default=0.0)
    write_record(
        folder / RECORD_FILE,
        result.epochs,
        model=config.model.model,
        recipe_hash=prepared.recipe.hash,
        parameters={
            "trained": result.coverage.trained,
            "all": result.coverage.total,
            "share": result.coverage.share,
            "modules": result.coverage.modules,
        },
        sentences={
            "train": result.sentences,
            "held_out": result.held_out,
            "answered": len(prepared.held_out),
            "over_long": result.over_long,
        },
        best=result.best,
        seconds=round(seconds, 1),
    )
    (folder / CARD_FILE).write_text(model_card(folder), encoding="utf-8")
