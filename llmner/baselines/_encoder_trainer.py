"""transformers' trainer for encoders: figures of characters, checkpoints, the best epoch's weights.

Importing this module imports torch and transformers, which is slow.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from llmner.baselines._types import BestEpoch, Epoch
from llmner.engines._saving import SavesSteps

__all__ = ["EncoderTrainer", "epochs_of", "optimizer_for"]

# Checkpoints are ordered by number where file times cannot be relied on; there is no need to know.
logging.getLogger("transformers.trainer_utils").setLevel(logging.ERROR)

_WEIGHTS = "weights.safetensors"
_BEST = "best.safetensors"


class EncoderTrainer(Trainer):  # type: ignore[misc]
    """A ``Trainer`` whose evaluations add figures of characters.

    Those of subwords would depend on the tokenizer. Its checkpoints hold the weights as they are:
    transformers would rename those of some models when it writes them, and not all of them back.

    Args:
        judge: Figures on the held-out sentences, asked for at each epoch's end; ``None`` without
            such sentences.
        on_epoch: Called after each epoch.
        patience: Training stops after this many epochs without a better F1.
        log_steps: Steps between two logged losses, besides the one of each epoch.
        save_steps: Steps between two checkpoints, besides the one of each epoch.
        logs: Folder for TensorBoard.
        **settings: Arguments of ``Trainer``.
    """

    def __init__(
        self,
        *,
        judge: Callable[[], Mapping[str, float]] | None,
        on_epoch: Callable[[Epoch], None] | None,
        patience: int,
        log_steps: int | None,
        save_steps: int | None,
        logs: Path,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        # A loss is the mean of its batch, so that it is divided by the batches of a step.
        self.model_accepts_loss_kwargs = False
        self._judge = judge
        self._on_epoch = on_epoch
        self._started = time.monotonic()
        self.best = BestEpoch(patience)
        self.remove_callback(PrinterCallback)
        self.add_callback(_Table(self, log_steps))
        if save_steps is not None:
            self.add_callback(SavesSteps(save_steps))
        board = _board(logs)
        if board is not None:
            self.add_callback(board)

    @property
    def epochs(self) -> list[Epoch]:
        """The epochs so far, those before an interruption included."""
        return epochs_of(self.state.log_history)

    @property
    def seconds(self) -> float:
        """How long the training took, what was done before an interruption included."""
        return max((entry.get("elapsed", 0.0) for entry in self.state.log_history), default=0.0)

    def train(self, *args: Any, **options: Any) -> Any:
        """Train, and leave the model with the best epoch's weights, out of mixed precision."""
        output = super().train(*args, **options)
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        best = Path(self.args.output_dir) / _BEST
        if self.best.epoch is not None:
            load_model(self.model, best, device=str(self.args.device))
        return output

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the seconds since training began to every entry."""
        logs["elapsed"] = round(time.monotonic() - self._started, 2)
        super().log(logs, start_time)

    def evaluation_loop(self, *args: Any, **options: Any) -> Any:
        """Add the figures of characters to the loss."""
        output = super().evaluation_loop(*args, **options)
        if self._judge is not None:
            output.metrics.update({f"eval_{key}": value for key, value in self._judge().items()})
        return output

    def begin(self) -> None:
        """Go on with the epochs and the clock of the run that a checkpoint is of."""
        self._started = time.monotonic() - self.seconds
        for epoch in self.epochs:
            self.best.update(epoch)

    def end_epoch(self) -> bool:
        """Tell of the epoch that has ended, keep its weights if they are the best.

        Returns:
            Whether training should stop.
        """
        epoch = self.epochs[-1]
        if self.best.update(epoch):
            path = Path(self.args.output_dir) / _BEST
            path.parent.mkdir(parents=True, exist_ok=True)
            half = path.with_suffix(".half")
            save_model(self.model, str(half))
            os.replace(half, path)
        if self._on_epoch is not None:
            self._on_epoch(epoch)
        return self.best.should_stop(epoch)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(folder / _WEIGHTS))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_model(self.model if model is None else model, Path(resume_from_checkpoint) / _WEIGHTS)


class _Table(TrainerCallback):  # type: ignore[misc]
    """Ends epochs, once their last entry is logged, and asks for losses in between."""

    def __init__(self, trainer: EncoderTrainer, log_steps: int | None) -> None:
        self._trainer = trainer
        self._log_steps = log_steps

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._log_steps and state.global_step % self._log_steps == 0:
            control.should_log = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        evaluates = args.eval_strategy == "epoch"
        epoch_is_over = state.epoch is not None and state.epoch == int(state.epoch)
        last = "eval_loss" if evaluates else "loss"
        if epoch_is_over and last in (logs or {}) and self._trainer.end_epoch():
            control.should_training_stop = True


def epochs_of(history: Sequence[Mapping[str, Any]]) -> list[Epoch]:
    """The epochs of a trainer's log.

    An epoch's loss is the mean of those logged in it, each weighted by its steps.

    Args:
        history: The entries. One at the end of each epoch has a loss, another the held-out figures.
    """
    epochs: dict[int, dict[str, Any]] = {}
    sums: dict[int, list[float]] = {}
    step = 0
    for entry in history:
        position = entry.get("epoch")
        if position is None:
            continue
        # The last entry of an epoch has a whole number; the model is judged at 0 before all.
        number = -int(-position // 1)
        fields = epochs.setdefault(number, {"over": False, "elapsed": 0.0})
        if "loss" in entry:
            steps = entry["step"] - step
            step = entry["step"]
            weighted = sums.setdefault(number, [0.0, 0.0])
            weighted[0] += entry["loss"] * steps
            weighted[1] += steps
        for key in ("loss", "precision", "recall", "f1", "accuracy"):
            if f"eval_{key}" in entry:
                fields[key] = entry[f"eval_{key}"]
        if "loss" in entry or "eval_loss" in entry:
            fields["over"] = fields["over"] or position == number
            fields["elapsed"] = max(fields["elapsed"], entry.get("elapsed", 0.0))
    result: list[Epoch] = []
    before = 0.0
    for number, fields in sorted(epochs.items()):
        if not fields["over"]:
            continue
        total, steps = sums.get(number, [0.0, 0.0])
        result.append(
            Epoch(
                number,
                total / steps if steps else None,
                fields.get("loss"),
                fields.get("precision"),
                fields.get("recall"),
                fields.get("f1"),
                round(fields["elapsed"] - before, 1),
            )
        )
        before = fields["elapsed"]
    return result


def optimizer_for(
    model: Any, args: TrainingArguments, *, head: Any = None, head_rate: float | None = None
) -> torch.optim.Optimizer:
    """AdamW over all weights that are trained, those of a head at a rate of their own.

    As in transformers, neither biases nor weights of norms decay.

    Args:
        model: The model.
        args: Learning rate and weight decay.
        head: A part of the model.
        head_rate: Its learning rate; by default that of the others.
    """
    in_head = set() if head is None else {id(weights) for weights in head.parameters()}
    groups: dict[tuple[bool, bool], list[Any]] = {}
    for weights in model.parameters():
        if weights.requires_grad:
            groups.setdefault((id(weights) in in_head, weights.dim() > 1), []).append(weights)
    return torch.optim.AdamW(
        [
            {
                "params": weights,
                "lr": head_rate if headed and head_rate is not None else args.learning_rate,
                "weight_decay": args.weight_decay if decays else 0.0,
            }
            for (headed, decays), weights in groups.items()
        ],
        lr=args.learning_rate,
        eps=args.adam_epsilon,
        betas=(args.adam_beta1, args.adam_beta2),
    )


def _board(folder: Path) -> Any:
    """A callback that writes to TensorBoard, if that is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
        from transformers.integrations import TensorBoardCallback
    except ImportError:
        return None
    return TensorBoardCallback(SummaryWriter(log_dir=str(folder)))
