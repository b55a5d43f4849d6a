"""What a run leaves to read: a table per epoch, curves, and a JSON record with versions.

All of it is made from the trainer's log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmner._versions import versions
from llmner.errors import MissingExtraError
from llmner.files import dump_json, whole_file

__all__ = ["EpochRow", "best_row", "epoch_rows", "merit", "write_curves", "write_record"]


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One epoch, or the part of it that a stopped run did.

    >>> EpochRow(1, 100, 0.31, 0.28, 0.9, 0.8, 0.847, 60.0).f1
    0.847

    Attributes:
        epoch: Its number, from 1.
        step: Optimiser steps done by its end.
        train_loss: Mean of the losses logged in it, in nats per token.
        eval_loss: Loss on the held-out rows at its last evaluation, in nats per token.
        precision: Micro precision of the answers to held-out sentences, 0 to 1.
        recall: Micro recall, 0 to 1.
        f1: Micro F1, 0 to 1.
        seconds: How long it took, evaluations included.
    """

    epoch: int
    step: int
    train_loss: float | None
    eval_loss: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    seconds: float


def epoch_rows(history: Iterable[Mapping[str, Any]]) -> list[EpochRow]:
    """The rows of the table, from a trainer's log history.

    >>> (row,) = epoch_rows([{"epoch": 1.0, "step": 10, "loss": 0.5, "elapsed": 3.0}])
    >>> row.train_loss, row.seconds
    (0.5, 3.0)
    """
    grouped: dict[int, list[Mapping[str, Any]]] = {}
    for entry in history:
        if "loss" in entry or "eval_loss" in entry:
            # The last entry of an epoch has a whole number, so rounding goes up.
            number = max(1, -int(-float(entry["epoch"]) // 1))
            grouped.setdefault(number, []).append(entry)
    rows, before = [], 0.0
    for number, entries in sorted(grouped.items()):
        losses = [float(entry["loss"]) for entry in entries if "loss" in entry]
        evaluation: Mapping[str, Any] = next(
            (entry for entry in reversed(entries) if "eval_loss" in entry), {}
        )
        elapsed = float(entries[-1].get("elapsed", before))
        rows.append(
            EpochRow(
                number,
                int(entries[-1]["step"]),
                sum(losses) / len(losses) if losses else None,
                evaluation.get("eval_loss"),
                evaluation.get("eval_precision"),
                evaluation.get("eval_recall"),
                evaluation.get("eval_f1"),
                round(elapsed - before, 1),
            )
        )
        before = elapsed
    return rows


def merit(f1: float, loss: float) -> float:
    """What the best evaluation has most of: F1, and where that is 0 throughout, the least loss.

    >>> merit(0.5, 2.0) > merit(0.0, 0.1) > merit(0.0, 0.3)
    True
    """
    return f1 if f1 > 0 else -loss


def best_row(history: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Step, epoch and figures of the first evaluation with the most :func:`merit`, if any."""
    evaluations = [entry for entry in history if "eval_f1" in entry]
    if not evaluations:
        return None
    best = max(evaluations, key=lambda entry: merit(entry["eval_f1"], entry["eval_loss"]))
    return {
        "step": best["step"],
        "epoch": round(best["epoch"], 4),
        **{key: best[f"eval_{key}"] for key in ("precision", "recall", "f1", "loss")},
    }


def write_record(path: Path, rows: Sequence[EpochRow], **fields: Any) -> None:
    """Write the run's record as JSON: the given fields, versions, and the table."""
    record = {**fields, "versions": versions(), "epochs": [asdict(row) for row in rows]}
    with whole_file(path) as stream:
        stream.write(dump_json(record, indent=2) + b"\n")


def write_curves(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Draw losses and held-out figures by optimiser step, as a PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtraError("train", "drawing the curves") from None
    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, quality = figure.subplots(1, 2)
    for key, label in (("loss", "training"), ("eval_loss", "held out")):
        points = [(entry["step"], entry[key]) for entry in history if key in entry]
        if points:
            losses.plot(
                *zip(*points, strict=True), label=label, marker="o" if key == "eval_loss" else None
            )
    losses.set(xlabel="optimiser steps", ylabel="loss (nats a token)")
    for key, label in (
        ("eval_f1", "F1"),
        ("eval_precision", "precision"),
        ("eval_recall", "recall"),
    ):
        points = [(entry["step"], entry[key]) for entry in history if key in entry]
        if points:
            quality.plot(*zip(*points, strict=True), label=label, marker="o")
    quality.set(xlabel="optimiser steps", ylabel="held-out entities", ylim=(0, 1))
    for axes in (losses, quality):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    figure.savefig(path, dpi=120)
