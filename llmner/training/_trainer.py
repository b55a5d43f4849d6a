"""trl's trainer with entity F1: in each evaluation the model answers held-out sentences.

Importing this module imports torch and trl, which is slow.
"""

from __future__ import annotations

import copy
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from rapidfuzz import process
from torch.utils.tensorboard import SummaryWriter
from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, TrainerCallback
from transformers.integrations import TensorBoardCallback
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames
from trl import SFTConfig, SFTTrainer

from llmner.engines._saving import SavesSteps
from llmner.engines.transformers_engine import TransformersGenerator
from llmner.errors import InputError
from llmner.extraction import Extractor
from llmner.recipes import Recipe
from llmner.scoring import score
from llmner.spans import Sentence, Span, TextLabel
from llmner.training._config import OptimOptions, TrainingConfig
from llmner.training._cpu_head import score_answers_only
from llmner.training._model import adapter_config, is_fsdp
from llmner.training._prepared import Prepared
from llmner.training._record import merit
from llmner.training._rows import TokenRow

__all__ = ["NerTrainer", "build_trainer", "check_optimisation", "sft_config"]


class NerTrainer(SFTTrainer):  # type: ignore[misc]
    """An ``SFTTrainer`` whose evaluations add ``precision``, ``recall`` and ``f1`` of answers.

    Args:
        held_out: Sentences to answer.
        recipe: How they are asked and answered.
        run: The run's configuration.
        **settings: Arguments of ``SFTTrainer``.
    """

    def __init__(
        self, *, held_out: Sequence[Sentence], recipe: Recipe, run: TrainingConfig, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self._held_out = list(held_out)
        self._recipe = recipe
        self._run = run
        self._started: float | None = None
        self.add_callback(_Clock(self))
        if self.args.device.type == "cpu":
            score_answers_only(self.model.get_base_model())

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, without warnings that a user can do nothing about."""
        with _quiet():
            return super().train(*args, **kwargs)

    def start_clock(self, seconds: float) -> None:
        """Start the clock at the seconds that an interrupted run has taken."""
        self._started = time.monotonic() - seconds

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the seconds since training began to every log entry."""
        if self._started is not None:
            logs["elapsed"] = round(time.monotonic() - self._started, 2)
        super().log(logs, start_time)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Add the figures of generated answers to the losses that trl computes."""
        output = super().evaluation_loop(*args, **kwargs)
        prefix = kwargs.get("metric_key_prefix", "eval")
        if is_fsdp():
            # A sharded model cannot generate answers: its parts are in several processes.
            return output
        started = time.monotonic()
        figures = self._answer()
        figures["answer_seconds"] = round(time.monotonic() - started, 2)
        figures["merit"] = merit(figures["f1"], output.metrics[f"{prefix}_loss"])
        output.metrics.update({f"{prefix}_{key}": value for key, value in figures.items()})
        return output

    def _answer(self) -> dict[str, float]:
        """Micro precision, recall and F1 of the answers to the held-out sentences, each 0 to 1.

        Every process answers a share of the sentences, and all return the same figures.
        """
        model = self.accelerator.unwrap_model(self.model)
        training = model.training
        model.eval()
        tokenizer = self.processing_class
        side, tokenizer.padding_side = tokenizer.padding_side, "left"
        with _class_forward(model.get_base_model()):
            generator = TransformersGenerator.around(
                self._model_to_ask(model),
                tokenizer,
                name=self._run.model.model,
                batch_size=self._run.evaluation.eval_batch_size,
                max_new_tokens=self._run.evaluation.max_new_tokens,
            )
            extractor = Extractor(self._recipe, generator, batch_size=max(1, len(self._held_out)))
            process, processes = self.accelerator.process_index, self.accelerator.num_processes
            share: list[_Found] = [
                (extraction.spans, extraction.labels)
                for extraction in extractor.extract(self._held_out[process::processes])
            ]
        tokenizer.padding_side = side
        model.train(training)
        shares = gather_object([share])
        predicted = [
            shares[index % processes][index // processes] for index in range(len(self._held_out))
        ]
        return _figures(self._recipe, self._held_out, predicted)

    def _model_to_ask(self, model: Any) -> Any:
        """The model that generates answers.

        On a CPU it is a copy with the adapter merged, since separate factors are far slower. The
        model itself is not merged: merging and undoing it would change the weights a little.
        """
        if self.args.device.type != "cpu" or getattr(model, "is_quantized", False):
            return model
        return copy.deepcopy(model).merge_and_unload()


@contextmanager
def _class_forward(model: Any) -> Iterator[None]:
    """Restore the ``forward`` of the model's class for a while.

    trl's replacement is bound to this very model, so a copy of the model would run the original.
    """
    patched = model.__dict__.pop("forward", None)
    try:
        yield
    finally:
        if patched is not None:
            model.forward = patched


_Found: TypeAlias = tuple[tuple[Span, ...], tuple[TextLabel, ...]]
"""The spans that an answer gives, and the labels of the whole text."""


def _figures(
    recipe: Recipe, gold: Sequence[Sentence], predicted: Sequence[_Found]
) -> dict[str, float]:
    """Micro precision, recall and F1 of what the recipe asks for, attributes included."""
    scores = score(
        [sentence.spans for sentence in gold],
        [spans for spans, _ in predicted],
        text_labels=([sentence.labels for sentence in gold], [labels for _, labels in predicted]),
    )
    parts = ("precision", "recall", "f1")
    labels, attributes = scores.others["text_labels"], scores.others["attributes"]
    if recipe.text_labels:
        return {part: 0.0 if labels is None else labels["pairs"][part] for part in parts}
    if recipe.schema_.has_attributes and attributes is not None:
        return {part: attributes[f"span_{part}"] for part in parts}
    return {part: getattr(scores.micro, part) for part in parts}


class _Clock(TrainerCallback):  # type: ignore[misc]
    """Starts the trainer's clock where an interrupted run stopped."""

    def __init__(self, trainer: NerTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.start_clock(
            max((entry.get("elapsed", 0.0) for entry in state.log_history), default=0.0)
        )


class _EpochEnds(TrainerCallback):  # type: ignore[misc]
    """Evaluates and saves at the end of each epoch, also if evaluations are counted in steps.

    An epoch's end is skipped if the last evaluation is at most a tenth of ``eval_steps`` ago, but
    the end of the run is not.
    """

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        last_step = max(
            (entry["step"] for entry in state.log_history if "eval_loss" in entry),
            default=-args.eval_steps,
        )
        steps = state.global_step - last_step
        if steps > args.eval_steps / 10 or (steps and state.global_step >= state.max_steps):
            control.should_evaluate = True
            control.should_save = True
        return control


def sft_config(config: TrainingConfig, folder: Path, *, bfloat16: bool = True) -> SFTConfig:
    """trl's configuration for a run.

    Args:
        config: The run's configuration.
        folder: The folder for checkpoints.
        bfloat16: Whether the model computes in bfloat16; if not, in float32.
    """
    optim, evaluation = config.optim, config.evaluation
    cuda = torch.cuda.is_available()
    evaluates = config.data.evaluates
    steps = evaluation.eval_steps
    strategy = "steps" if steps is not None else "epoch"
    keeps_best = evaluates and not is_fsdp()
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=optim.epochs,
        max_steps=optim.max_steps or -1,
        per_device_train_batch_size=optim.batch_size,
        per_device_eval_batch_size=optim.batch_size,
        gradient_accumulation_steps=optim.gradient_accumulation,
        learning_rate=optim.learning_rate,
        # transformers turns a share below 1 into steps of the whole run.
        warmup_steps=optim.warmup,
        lr_scheduler_type=optim.scheduler,
        optim=optim.optimizer,
        weight_decay=optim.weight_decay,
        max_grad_norm=optim.max_grad_norm,
        train_sampling_strategy="group_by_length" if optim.batching == "length" else "random",
        packing=optim.batching == "packing",
        eval_packing=False,
        # trl must not cut rows. Packing needs the length of packed rows.
        max_length=config.data.max_length if optim.batching == "packing" else None,
        seed=optim.seed,
        data_seed=optim.seed,
        logging_steps=optim.log_steps,
        logging_nan_inf_filter=False,
        bf16=bfloat16,
        use_cpu=not cuda,
        gradient_checkpointing=config.model.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        eval_strategy=strategy if evaluates else "no",
        save_strategy=strategy,
        eval_steps=steps,
        save_steps=steps or 500,
        save_total_limit=evaluation.keep_checkpoints,
        load_best_model_at_end=keeps_best,
        metric_for_best_model="eval_merit" if keeps_best else None,
        greater_is_better=True if keeps_best else None,
        dataloader_pin_memory=cuda,
        # Every adapter is used in every step. Looking for unused ones would cost time.
        ddp_find_unused_parameters=False,
        remove_unused_columns=True,
        report_to="none",
        disable_tqdm=not sys.stderr.isatty(),
    )


def check_optimisation(optim: OptimOptions) -> None:
    """Make sure that optimiser and scheduler exist, before a model is loaded.

    Raises:
        InputError: One of them does not exist, or does not run on this machine.
    """
    for field, name, names in (
        ("optimizer", optim.optimizer, OptimizerNames),
        ("scheduler", optim.scheduler, SchedulerType),
    ):
        values = [member.value for member in names]
        if name not in values:
            similar = ", ".join(match for match, _, _ in process.extract(name, values, limit=3))
            raise InputError(
                f"{field} {name!r} is unknown", hint=f"transformers has {similar} and others"
            )
    if optim.optimizer.startswith("paged") and not torch.cuda.is_available():
        raise InputError(f"optimizer {optim.optimizer} needs a CUDA device", hint="use adamw_torch")


def _dataset(rows: Sequence[TokenRow]) -> Dataset:
    return Dataset.from_dict(
        {"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]}
    )


def build_trainer(
    config: TrainingConfig,
    prepared: Prepared,
    *,
    logs: Path,
    checkpoints: Path,
    on_log: Callable[[dict[str, Any], Any], None] | None = None,
) -> NerTrainer:
    """The trainer of a run.

    Args:
        config: The run's configuration.
        prepared: Recipe, base model, rows and held-out sentences; trl adds the adapter.
        logs: Folder for TensorBoard.
        checkpoints: Folder for checkpoints.
        on_log: Called with each log entry and the trainer's state.
    """
    with _quiet():
        bfloat16 = prepared.model.dtype != torch.float32
        args = sft_config(config, checkpoints, bfloat16=bfloat16)
    callbacks: list[Any] = [_Listener(on_log)] if on_log is not None else []
    if config.optim.save_steps is not None:
        callbacks.append(SavesSteps(config.optim.save_steps))
    if config.evaluation.eval_steps is not None:
        callbacks.append(_EpochEnds())
    if config.evaluation.patience is not None and not is_fsdp():
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=config.evaluation.patience))
    if args.process_index == 0:
        callbacks.append(TensorBoardCallback(SummaryWriter(log_dir=str(logs))))
    with _quiet():
        trainer = NerTrainer(
            held_out=prepared.held_out,
            recipe=prepared.recipe,
            run=config,
            model=prepared.model,
            args=args,
            train_dataset=_dataset(prepared.rows),
            eval_dataset=_dataset(prepared.held_rows) if prepared.held_rows else None,
            processing_class=prepared.tokenizer,
            peft_config=adapter_config(prepared.model, config.lora),
            callbacks=callbacks,
        )
    # Both print every log entry as a dictionary; the caller reports on the run instead.
    trainer.remove_callback(PrinterCallback)
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(_Bar())
    return trainer


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings of trl, PEFT and transformers about arguments that transformers 6 renames."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)
        yield


class _Bar(ProgressCallback):  # type: ignore[misc]
    """A progress bar that prints no log entries."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Print nothing."""


class _Listener(TrainerCallback):  # type: ignore[misc]
    """Passes every log entry on to a function."""

    def __init__(self, callback: Callable[[dict[str, Any], Any], None]) -> None:
        self._callback = callback

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and state.is_world_process_zero:
            self._callback(dict(logs), state)
