"""A training run from its configuration to an adapter's folder, going on where an interrupted one
stopped.

The run's folder is its state: ``training.yaml`` says what it is, ``checkpoints/`` how far it came.
What is learnt is ``_rows``' to know, how is ``_trainer``'s.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

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
    "last_checkpoint",
    "train",
    "trainer_builder",
]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What came of a run.

    Attributes:
        folder: The adapter's folder.
        coverage: What the adapter covers.
        epochs: The table.
        best: Step and figures of the checkpoint that was kept, or ``None`` without held-out
            sentences.
        sentences: Sentences learnt from.
        held_out: Sentences kept apart.
        over_long: Sentences left out for their length.
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
    """Fine-tune, and leave adapter, tokenizer, recipe, configuration, record, curves and model
    card.

    A run that was interrupted, by ``kill -9`` too, goes on from its last whole checkpoint when it
    is called again with the same configuration.

    Args:
        config: What to do.
        restart: Throw away what an earlier run left in the folder.
        report: Told in a sentence what is being done.
        on_log: Called with each log entry and the trainer's state.

    Raises:
        InputError: Bad input, or the folder holds another run or a finished one.
        GenerationError: The model cannot be loaded.
        MissingExtraError: The ``train`` extra is not installed.
    """
    build = trainer_builder()
    from llmner.training._trainer import check_optimisation

    check_optimisation(config.optim)
    main = is_main_process()
    told = report if report is not None and main else _silent
    folder = Path(config.evaluation.output)
    checkpoints = folder / "checkpoints"
    if main:
        _open_folder(folder, config, restart)
    prepared = prepare(config, told)
    told(
        f"{len(prepared.rows):,} sentences to learn from, {len(prepared.held_rows):,} held out"
        + (f", {prepared.over_long:,} left out for their length" if prepared.over_long else "")
    )
    trainer = build(
        config,
        prepared,
        logs=folder / "runs",
        checkpoints=checkpoints,
        on_log=on_log,
    )
    coverage = check_coverage(trainer.model, config.lora)
    told(str(coverage))
    last = last_checkpoint(checkpoints)
    if last is not None:
        told(f"Going on from {last.name}")
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
    """Whether this is the process that speaks and writes; ``accelerate launch`` and torchrun start
    several.
    """
    return int(os.environ.get("RANK", "0")) == 0


def trainer_builder() -> Callable[..., Any]:
    """What builds the trainer; imports torch and trl.

    Raises:
        MissingExtraError: The ``train`` extra is not installed.
    """
    # On a CPU it complains of a kernel that it can do without.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        from llmner.training._trainer import build_trainer
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", f"fine-tuning ({error.name} is missing)") from None
    return build_trainer


def _silent(_: str) -> None:
    pass


def _open_folder(folder: Path, config: TrainingConfig, restart: bool) -> None:
    """Make the folder this run's, or make sure that it is already.

    Raises:
        InputError: It is another run's, or holds a finished one, or cannot be written.
    """
    kind_of(folder)  # It may be no path at all.
    if restart:
        for name in ("checkpoints", "runs"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in (TRAINING_FILE, RECORD_FILE, ADAPTER_FILE):
            (folder / name).unlink(missing_ok=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = (folder / TRAINING_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        known = None
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", path=folder) from None
    if (folder / RECORD_FILE).exists() or (known is None and (folder / ADAPTER_FILE).exists()):
        raise InputError(
            "holds a finished adapter", path=folder, hint="name another --output, or --restart"
        )
    wanted = config.flat()
    if known is not None:
        before = _known_settings(folder / TRAINING_FILE, known)
        differing = sorted(
            key
            for key in {*before, *wanted}
            if key != "output" and before.get(key) != wanted.get(key)
        )
        if differing:
            raise InputError(
                f"an interrupted run lies there with another {', '.join(differing)}",
                path=folder,
                hint="finish it as it was begun, or start over with --restart",
            )
        return
    with whole_file(folder / TRAINING_FILE) as stream:
        stream.write(yaml.safe_dump(wanted, allow_unicode=True, sort_keys=False).encode())


def _known_settings(path: Path, text: str) -> dict[str, Any]:
    try:
        known = load_yaml(text)
    except InputError:
        known = None
    if not isinstance(known, dict):
        raise InputError(
            "cannot be read, so what was begun here is not known",
            path=path,
            hint="start over with --restart",
        )
    return known


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; what a kill left half-written is removed.

    The trainer writes its state last, so a checkpoint with a readable state is whole.
    """
    found: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        number = path.name.removeprefix("checkpoint-")
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            found.append((int(number), path))
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
    return max(found)[1] if found else None


def _save_adapter(trainer: Any, config: TrainingConfig, folder: Path) -> None:
    """Adapter in bfloat16, which halves it and is what it is used in, under the base model's own
    name.
    """
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
        # Else PEFT asks the Hub whether the vocabulary has grown; it cannot have.
        save_embedding_layers=False,
    )
    # PEFT's template; ours is written when there is something to say.
    (folder / CARD_FILE).unlink(missing_ok=True)


def _finish(
    prepared: Prepared,
    config: TrainingConfig,
    result: TrainingResult,
    history: Sequence[dict[str, Any]],
) -> None:
    """Everything beside the adapter."""
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
