"""``llmner compare-models``: taggers and language models on the same sentences, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmner.cli._common import JsonOption, guarded, note, progress

_OUTPUTS = ("models.json", "models.md", "report.html", "curves.png")


@guarded
def compare_models(
    config: Annotated[Path, typer.Option(help="What to compare, on what: a YAML file, see docs/baselines.md.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The folder for models.md, models.json, report.html, curves.png and taggers."
        ),
    ] = Path("models"),
    limit: Annotated[
        int | None, typer.Option(min=1, help="Evaluate on a sample of this many sentences.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Train and ask again what an earlier call left in the folder.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train or load the models that --config names, evaluate all on the same sentences, write one table.

    Taggers that were trained alike before are loaded, and answers are kept: called again, it goes on.
    """
    from llmner._files import dump_json, whole_file
    from llmner.baselines._models import compare_models as compare_all
    from llmner.baselines._models import load_models_config, slug, write_loss_curves
    from llmner.cli._results import print_json
    from llmner.cli._show import console, show_models
    from llmner.errors import InputError
    from llmner.scoring import compare, render_report, write_run

    if output.exists() and not output.is_dir():
        raise InputError("is no folder", path=output, hint="name another")
    chosen = load_models_config(config)
    if limit is not None:
        chosen = chosen.model_copy(update={"limit": limit})
    with progress("evaluating", None) as step:
        models = compare_all(chosen, output, restart=restart, report=note, on_sentence=lambda: step(1))
    evaluations = {model.name: model.evaluation for model in models}
    facts = {model.name: model.facts for model in models}
    first, *others = evaluations
    compared = {
        name: compare(evaluations[first], evaluations[name], resamples=chosen.resamples, seed=chosen.seed)
        for name in others
    }
    cited = [held.quoted() for held in chosen.published]
    curves = output / "curves.png"
    picture = curves.read_bytes() if write_loss_curves(curves, models) else None
    for name, form in (("report.html", "html"), ("models.md", "md")):
        text = render_report(
            evaluations,
            compared,
            "html" if form == "html" else "md",
            facts=facts,
            curves=picture,
            cited=cited,
        )
        with whole_file(output / name) as stream:
            stream.write(text.encode("utf-8", "replace"))
    result = {"models": [model.to_dict() for model in models], "cited": [list(row) for row in cited]}
    with whole_file(output / "models.json") as stream:
        stream.write(dump_json(result, indent=2) + b"\n")
    for model in models:
        write_run(model.evaluation, output / f"{slug(model.name)}.run.json")
    if json:
        print_json(result)
    else:
        show_models(console(), evaluations, facts, cited)
    note(f"{', '.join(_OUTPUTS)} and a run of each model, for compare, are in {output}")
