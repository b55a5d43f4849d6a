"""trl's trainer, watched by entity F1: at each evaluation the model answers held-out sentences.

Heavy: importing it imports torch and trl. What the answers are scored by is ``scoring``'s; what
becomes of the run's files is ``_run``'s.
"""

from __future__ import annotations

import copy
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

from llmner.engines.transformers_engine import TransformersGenerator
from llmner.errors import InputError
from llmner.extraction import Extractor
from llmner.recipes import Recipe
from llmner.scoring import score
from llmner.spans import Sentence, Span
from llmner.training._config import OptimOptions, TrainingConfig
from llmner.training._cpu_head import score_answers_only
from llmner.training._model import adapter_config, is_fsdp
from llmner.training._prepared import Prepared
from llmner.training._rows import TokenRow

__all__ = ["NerTrainer", "build_trainer", "check_optimisation", "sft_config"]


class NerTrainer(SFTTrainer):  # type: ignore[misc]
    """``SFTTrainer`` whose evaluations add ``precision``, ``recall`` and ``f1`` of generated
    answers.

    Args:
        held_out: Sentences to answer.
        recipe: How they are asked and answered.
        run: The run's configuration.
        **settings: ``SFTTrainer``'s own.
    """

    def __init__(
        self, *, held_out: Sequence[Sentence], recipe: Recipe, run: TrainingConfig, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self._held_out = list(held_out)
        self._recipe = recipe
        self._run = run
        self._began: float | None = None
        self.add_callback(_Clock(self))
        if self.args.device.type == "cpu":
            score_answers_only(self.model.get_base_model())

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, without warnings that are not the user's to mend."""
        with _quiet():
            return super().train(*args, **kwargs)

    def start_clock(self, seconds: float) -> None:
        """Count on from so many seconds of an interrupted run."""
        self._began = time.monotonic() - seconds

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the seconds since training began to every entry."""
        if self._began is not None:
            logs["elapsed"] = round(time.monotonic() - self._began, 2)
        super().log(logs, start_time)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """The losses as trl computes them, and the figures of generated answers beside them."""
        output = super().evaluation_loop(*args, **kwargs)
        prefix = kwargs.get("metric_key_prefix", "eval")
        if is_fsdp():
            # A sharded model cannot answer: its parts are spread over processes that must act as
            # one.
            return output
        began = time.monotonic()
        figures = self._answer()
        figures["answer_seconds"] = round(time.monotonic() - began, 2)
        output.metrics.update({f"{prefix}_{key}": value for key, value in figures.items()})
        return output

    def _answer(self) -> dict[str, float]:
        """Micro precision, recall and F1 of the answers to the held-out sentences, each 0 to 1.

        Every process answers its share; all get the same figures.
        """
        trained = self.accelerator.unwrap_model(self.model)
        training = trained.training
        trained.eval()
        tokenizer = self.processing_class
        side, tokenizer.padding_side = tokenizer.padding_side, "left"
        with _own_forward(trained.get_base_model()):
            generator = TransformersGenerator.around(
                self._to_ask(trained),
                tokenizer,
                name=self._run.model.model,
                batch_size=self._run.evaluation.eval_batch_size,
                max_new_tokens=self._run.evaluation.max_new_tokens,
            )
            extractor = Extractor(self._recipe, generator, batch_size=max(1, len(self._held_out)))
            number, size = self.accelerator.process_index, self.accelerator.num_processes
            own: list[tuple[Span, ...]] = [
                extraction.spans for extraction in extractor.extract(self._held_out[number::size])
            ]
        tokenizer.padding_side = side
        trained.train(training)
        shares = gather_object([own])
        predicted = [shares[at % size][at // size] for at in range(len(self._held_out))]
        micro = score([sentence.spans for sentence in self._held_out], predicted).micro
        return {"precision": micro.precision, "recall": micro.recall, "f1": micro.f1}

    def _to_ask(self, trained: Any) -> Any:
        """The model to generate with: on a CPU a merged copy, since factors of their own take far
        longer.

        A copy, because merging and undoing it would leave the weights a little different every
        time.
        """
        if self.args.device.type != "cpu" or getattr(trained, "is_quantized", False):
            return trained
        return copy.deepcopy(trained).merge_and_unload()


@contextmanager
def _own_forward(model: Any) -> Iterator[None]:
    """The model with its class's ``forward``: trl's is bound to it, and a copy would run the
    original.
    """
    patched = model.__dict__.pop("forward", None)
    try:
        yield
    finally:
        if patched is not None:
            model.forward = patched


class _Clock(TrainerCallback):  # type: ignore[misc]
    """Starts the trainer's clock where the run it goes on with had stopped."""

    def __init__(self, trainer: NerTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.start_clock(
            max((entry.get("elapsed", 0.0) for entry in state.log_history), default=0.0)
        )


class _EpochEnds(TrainerCallback):  # type: ignore[misc]
    """Evaluates and saves at each epoch's end, also when evaluations are counted in steps.

    Not where an evaluation was made just before, a tenth of ``eval_steps`` or less. The run's end
    always is.
    """

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        last = max(
            (entry["step"] for entry in state.log_history if "eval_loss" in entry),
            default=-args.eval_steps,
        )
        since = state.global_step - last
        if since > args.eval_steps / 10 or (since and state.global_step >= state.max_steps):
            control.should_evaluate = True
            control.should_save = True
        return control


def sft_config(config: TrainingConfig, folder: Path, *, bfloat16: bool = True) -> SFTConfig:
    """trl's configuration for a run.

    Args:
        config: The run's.
        folder: Where checkpoints go.
        bfloat16: Whether the model computes in it; else in float32.
    """
    optim, evaluation = config.optim, config.evaluation
    cuda = torch.cuda.is_available()
    evaluates = config.data.held_out > 0
    steps = evaluation.eval_steps
    when = "steps" if steps is not None else "epoch"
    best = evaluates and not is_fsdp()
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=optim.epochs,
        max_steps=optim.max_steps or -1,
        per_device_train_batch_size=optim.batch_size,
        per_device_eval_batch_size=optim.batch_size,
        gradient_accumulation_steps=optim.gradient_accumulation,
        learning_rate=optim.learning_rate,
        # A share is turned into steps by transformers, against the whole run.
        warmup_steps=optim.warmup,
        lr_scheduler_type=optim.scheduler,
        optim=optim.optimizer,
        weight_decay=optim.weight_decay,
        max_grad_norm=optim.max_grad_norm,
        train_sampling_strategy="group_by_length" if optim.batching == "length" else "random",
        packing=optim.batching == "packing",
        eval_packing=False,
        # Rows are ready; trl cuts nothing. Packing needs to know how long its rows may be.
        max_length=config.data.max_length if optim.batching == "packing" else None,
        seed=optim.seed,
        data_seed=optim.seed,
        logging_steps=optim.log_steps,
        logging_nan_inf_filter=False,
        bf16=bfloat16,
        use_cpu=not cuda,
        gradient_checkpointing=config.model.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        eval_strategy=when if evaluates else "no",
        save_strategy=when,
        eval_steps=steps,
        save_steps=steps or 500,
        save_total_limit=evaluation.keep_checkpoints,
        load_best_model_at_end=best,
        metric_for_best_model="eval_f1" if best else None,
        greater_is_better=True if best else None,
        dataloader_pin_memory=cuda,
        # Every adapter is used in every step; looking for unused ones costs a pass over the graph.
        ddp_find_unused_parameters=False,
        remove_unused_columns=True,
        report_to="none",
        disable_tqdm=not sys.stderr.isatty(),
    )


def check_optimisation(optim: OptimOptions) -> None:
    """Make sure that optimiser and schedule exist, before a model is loaded for them.

    Raises:
        InputError: One of them does not, or not on this machine.
    """
    for field, name, names in (
        ("optimizer", optim.optimizer, OptimizerNames),
        ("scheduler", optim.scheduler, SchedulerType),
    ):
        known = [member.value for member in names]
        if name not in known:
            near = ", ".join(match for match, _, _ in process.extract(name, known, limit=3))
            raise InputError(
                f"{field} {name!r} is unknown", hint=f"transformers has {near} and others"
            )
    if optim.optimizer.startswith("paged") and not torch.cuda.is_available():
        raise InputError(
            f"optimizer {optim.optimizer} needs a CUDA device", hint="name adamw_torch"
        )


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
        prepared: Recipe, base model, rows and held-out sentences; trl puts the adapter on.
        logs: Folder for TensorBoard.
        checkpoints: Folder for checkpoints.
        on_log: Called with each log entry and the trainer's state.
    """
    with _quiet():
        bfloat16 = prepared.model.dtype != torch.float32
        args = sft_config(config, checkpoints, bfloat16=bfloat16)
    callbacks: list[Any] = [_Listener(on_log)] if on_log is not None else []
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
    # Both print every log entry as a dict; what is told of a run is the caller's.
    trainer.remove_callback(PrinterCallback)
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(_Bar())
    return trainer


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what trl, PEFT and transformers warn each other of: arguments renamed in transformers
    6.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)
        yield


class _Bar(ProgressCallback):  # type: ignore[misc]
    """The progress bar alone."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Leaves the bar as it is."""


class _Listener(TrainerCallback):  # type: ignore[misc]
    """Hands every log entry on."""

    def __init__(self, told: Callable[[dict[str, Any], Any], None]) -> None:
        self._told = told

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and state.is_world_process_zero:
            self._told(dict(logs), state)
