"""The results of a comparison of models: one table, one report and the loss curves."""

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
from llmner.scoring import Evaluation, write_run
from llmner.scoring.side_by_side import compare_with_first

__all__ = ["ComparedModel", "models_dict", "write_loss_curves", "write_models"]


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One model and its results.

    Attributes:
        name: Its name in the table.
        evaluation: Its figures.
        facts: Training time, speed, number of parameters and size.
        epochs: The epochs of its training, as far as they are known.
    """

    name: str
    evaluation: Evaluation
    facts: Facts
    epochs: tuple[Epoch, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Its figures and facts, without sentences."""
        return {
            "name": self.name,
            **self.evaluation.to_dict(),
            "facts": asdict(self.facts),
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }


def write_models(config: ModelsConfig, models: Sequence[ComparedModel], folder: Path) -> list[str]:
    """Write the results of compared models into a folder.

    The files are ``models.md``, ``report.html``, ``models.json``, ``curves.png`` (if a training has
    epochs), and ``NAME.run.json`` of each model for ``llmner compare``.

    Args:
        config: The configuration of the comparison.
        models: The models and their results.
        folder: An existing folder.

    Returns:
        The names of the files, without those of runs.

    Raises:
        InputError: A file cannot be written.
        MissingExtraError: matplotlib is not installed.

    >>> config = load_models_config(Path("models.yaml"))  # doctest: +SKIP
    >>> write_models(config, compare_models(config, Path("out")), Path("out"))  # doctest: +SKIP
    ['models.md', 'report.html', 'models.json', 'curves.png']
    """
    evaluations = {model.name: model.evaluation for model in models}
    compared = compare_with_first(evaluations, resamples=config.resamples, seed=config.seed)
    cited = [published.quoted() for published in config.published]
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
    """The results as ``compare-models --json`` prints them.

    >>> config = {"gold": {"path": "dev.tsv"}, "models": [{"name": "a", "predicted": "a.jsonl"}]}
    >>> models_dict(ModelsConfig.model_validate(config), [])
    {'models': [], 'cited': []}
    """
    cited = [list(published.quoted()) for published in config.published]
    return {"models": [model.to_dict() for model in models], "cited": cited}


def write_loss_curves(path: Path, models: Sequence[ComparedModel]) -> bool:
    """Draw the losses and the held-out F1 of each model over its epochs, as a PNG.

    Args:
        path: The file to write.
        models: The models. Those without losses are left out.

    Returns:
        Whether a file was written; without any losses, none is.

    Raises:
        MissingExtraError: matplotlib is not installed.

    >>> write_loss_curves(Path("curves.png"), [])
    False
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
                (epoch.epoch, value)
                for epoch in model.epochs
                if (value := getattr(epoch, name)) is not None
            ]
            if points:
                axes.plot(*zip(*points, strict=True), label=label)
        # Not a baseline: an engine, whose training has epochs and losses per token.
        kind = KINDS.get(str(model.evaluation.signature.get("kind")))
        axes.set(
            title=model.name,
            xlabel="epoch" if kind is None else kind.step,
            ylabel=f"nats per {'token' if kind is None else kind.loss_unit}",
        )
        axes.grid(alpha=0.3)
        points = [(epoch.epoch, epoch.f1) for epoch in model.epochs if epoch.f1 is not None]
        if len(points) > 1:
            f1_axes = axes.twinx()
            f1_axes.plot(*zip(*points, strict=True), "k--", label="held-out F1", linewidth=1)
            f1_axes.set(ylim=(0, 1), ylabel="F1")
        axes.legend(fontsize="small")
    with whole_file(path) as stream:
        figure.savefig(stream, format="png", dpi=110)
    return True
