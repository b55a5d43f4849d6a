"""What compared models came to, in one table and one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from llmner.baselines._kinds import KINDS
from llmner.baselines._types import Epoch
from llmner.comparison.config import ModelsConfig, slug
from llmner.errors import MissingExtraError
from llmner.files import dump_json, whole_file
from llmner.reports.document import render_report
from llmner.reports.figures import Facts
from llmner.scoring import Evaluation, compare, write_run

__all__ = ["ComparedModel", "models_dict", "write_loss_curves", "write_models"]


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


def write_models(config: ModelsConfig, models: Sequence[ComparedModel], folder: Path) -> list[str]:
    """Write one table and one report of compared models, and a run of each; gives the names of the
    files.

    ``models.md`` and ``report.html`` for people, ``models.json`` for programs, ``curves.png`` where
    there are any, and ``NAME.run.json`` of each model for ``llmner compare``.

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
    """Draw the models' losses and held-out F1 over epochs side by side, as a PNG; whether there
    were any.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    drawn = [
        model for model in models if any(epoch.train_loss is not None for epoch in model.epochs)
    ]
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
            points = [
                (e.epoch, value) for e in model.epochs if (value := getattr(e, name)) is not None
            ]
            if points:
                axes.plot(*zip(*points, strict=True), label=label)
        # An engine has no kind: its training, if any, is counted in epochs and tokens.
        kind = KINDS.get(str(model.evaluation.signature.get("kind")))
        axes.set(
            title=model.name,
            xlabel="epoch" if kind is None else kind.step,
            ylabel=f"nats a {'token' if kind is None else kind.loss_unit}",
        )
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
