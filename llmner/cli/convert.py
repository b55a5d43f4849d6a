"""``llmner convert``: one corpus format to another, or to chat rows for fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmner.asking import AskOptions
from llmner.asking.building import load_recipe
from llmner.cli._asking import with_ask_options
from llmner.cli._cluster import (
    RayAddressOption,
    RayOption,
    RayRestartOption,
    WorkersOption,
    cluster_of,
    ray_paths,
    run_on_ray,
)
from llmner.cli._common import (
    BadRows,
    FromOption,
    SkipBadOption,
    SplitOption,
    StrictOption,
    counted,
    guarded,
    note,
    prints_to_terminal,
    progress,
    tell_losses,
    tell_reading,
)


@guarded
@with_ask_options(names=("recipe", "reply_format"))
def convert(
    input: Annotated[
        str, typer.Argument(help="A corpus file, a saved data set, or klue/ner on the Hub.")
    ],
    output: Annotated[Path, typer.Argument(help="The file to write; - for stdout.")],
    to: Annotated[
        str,
        typer.Option(help="chat, spans, conll, markup, klue-tsv, doccano, label-studio, ..."),
    ],
    from_: FromOption = None,
    split: SplitOption = None,
    options: AskOptions = AskOptions(),
    prompt_completion: Annotated[
        bool,
        typer.Option(
            "--prompt-completion",
            help='Chat rows as {"id", "prompt", "completion"}: trl then trains on the answer '
            "alone.",
        ),
    ] = False,
    strict: StrictOption = False,
    skip_bad: SkipBadOption = False,
    ray: RayOption = False,
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
    restart: RayRestartOption = False,
) -> None:
    """Convert a corpus to another format, or to chat rows for fine-tuning.

    The file is written whole or not at all.

    What OUTPUT's format cannot hold is told, with counts and an example.
    """
    from llmner.corpora import Losses, ReadStats, format_names, read_corpus, write_corpus
    from llmner.errors import InputError, UnknownNameError
    from llmner.recipes.chat import write_chat

    formats = format_names()
    if to != "chat" and to not in formats:
        raise UnknownNameError(
            f"unknown format {to!r}", hint=f"expected chat, {', '.join(formats)}"
        )
    recipe = load_recipe(options.recipe) if to == "chat" else None
    cluster = cluster_of(ray, ray_address, workers, 0.0, restart=restart)
    if cluster is not None:
        from llmner.scaling import ConvertJob

        if split is not None:
            raise InputError("--split does not go with --ray", hint="leave it out")
        job = ConvertJob(to, recipe, prompt_completion, strict, skip_bad)
        files, folder = ray_paths(Path(input), output)
        run_on_ray(job, files, folder, cluster, format=from_, restart=restart)
        return
    bad = BadRows(None if str(output) == "-" else output, skip=skip_bad)
    stats, losses = ReadStats(), Losses(strict=strict)
    sentences = read_corpus(
        input,
        from_,
        split,
        strict=strict,
        labels=None if recipe is None else recipe.schema_.codes,
        on_bad=bad.collect,
        stats=stats,
    )
    with progress("converting", shown=not prints_to_terminal(output)) as step:
        if recipe is not None:
            count = write_chat(
                counted(sentences, step), output, recipe, prompt_completion=prompt_completion
            )
        else:
            count = write_corpus(counted(sentences, step), output, to, losses=losses)
    bad.close()
    tell_reading(stats)
    tell_losses(losses, f"{to} cannot hold")
    labels = f", {stats.labels} labels of texts" if stats.labels else ""
    note(f"{count} sentences, {stats.spans} entities{labels} are in {output}")
