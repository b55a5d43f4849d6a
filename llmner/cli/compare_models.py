"""``llmner compare-models``: taggers and language models on the same sentences, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmner.cli._common import JsonOption, guarded, note, progress


@guarded
def compare_models(
    config: Annotated[
        Path, typer.Option(help="What to compare, on what: a YAML file, see docs/baselines.md.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The folder for models.md, models.json, report.html, curves.png and taggers.",
        ),
    ] = Path("models"),
    limit: Annotated[
        int | None, typer.Option(min=1, help="Evaluate on a sample of this many sentences.")
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Train and ask again what an earlier call left in the folder."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train or load the models that --config names, evaluate all on the same sentences, write one
    table.

    Taggers that were trained alike before are loaded, and answers are kept: called again, it goes
    on.
    """
    from llmner.cli._results import print_json
    from llmner.comparison import compare_models as compare_all
    from llmner.comparison import load_models_config, models_dict, write_models
    from llmner.errors import InputError
    from llmner.files import kind_of
    from llmner.reports.console import console, show_models

    if kind_of(output) not in ("missing", "folder"):
        raise InputError("not a folder", path=output, hint="name another")
    settings = load_models_config(config)
    if limit is not None:
        settings = settings.model_copy(update={"limit": limit})
    with progress("evaluating", None) as step:
        models = compare_all(
            settings, output, restart=restart, report=note, on_sentence=lambda: step(1)
        )
    files = write_models(settings, models, output)
    if json:
        print_json(models_dict(settings, models))
    else:
        show_models(
            console(),
            {model.name: model.evaluation for model in models},
            {model.name: model.facts for model in models},
            [figures.quoted() for figures in settings.published],
        )
    note(f"{', '.join(files)} and a run of each model, for compare, are in {output}")
