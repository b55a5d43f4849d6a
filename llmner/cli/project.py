"""``llmner project``: turn recorded replies of any LLM into exact spans, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmner.asking import AskOptions
from llmner.asking.building import load_recipe
from llmner.cli._asking import with_ask_options
from llmner.cli._cluster import (
    PartFormOption,
    RayAddressOption,
    RayOption,
    RayRestartOption,
    WorkersOption,
    cluster_of,
    part_form,
    ray_paths,
    run_on_ray,
    tell_projection,
)
from llmner.cli._common import (
    BadRows,
    SkipBadOption,
    guarded,
    prints_to_terminal,
    progress,
)


@guarded
@with_ask_options(
    names=("recipe", "labels", "particles", "fuzzy", "repeats"),
    help={
        "recipe": "A built-in recipe (klue, klue-strict, gmb) or a YAML file; by default klue.",
        "labels": "The labels, in place of a recipe: PERSON,PLACE. Repeatable.",
    },
)
def project(
    input: Annotated[
        Path,
        typer.Option("--input", "-i", help='JSON Lines of {"id", "text", "reply"}; - for stdin.'),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Spans JSONL to write; - for stdout, the default.",
            show_default=False,
        ),
    ] = Path("-"),
    options: AskOptions = AskOptions(),
    any_label: Annotated[
        bool,
        typer.Option(
            "--any-label", help="Take labels as replies have them; the recipe is not used."
        ),
    ] = False,
    reply_format: Annotated[
        str,
        typer.Option(
            help="json-by-type, json-list, tagged, lines, pairs, labels, or auto to "
            "look at each reply."
        ),
    ] = "auto",
    skip_bad: SkipBadOption = False,
    ray: RayOption = False,
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
    to: PartFormOption = None,
    restart: RayRestartOption = False,
) -> None:
    """Project replies that any LLM gave onto their texts, with an outcome for every mention."""
    from llmner.cli._results import check_outputs
    from llmner.errors import CorpusError, InputError
    from llmner.extraction.projecting import ProjectionSummary, check_reply_format, project_rows
    from llmner.files import dump_json, open_lines, whole_file

    cluster = cluster_of(ray, ray_address, workers, 0.0, restart=restart)
    form = part_form(to, cluster)
    if str(output) != "-" and cluster is None:
        check_outputs(None, output, [input])
    check_reply_format(reply_format)
    if any_label and options.recipe.labels is not None:
        raise InputError("--any-label and --labels exclude each other", hint="give one of them")
    schema = None if any_label else load_recipe(options.recipe).schema_
    policy = options.projection.policy()
    if cluster is not None:
        from llmner.scaling import ProjectJob

        job = ProjectJob(schema, reply_format, policy, skip_bad, form)
        run_on_ray(job, *ray_paths(input, output), cluster, restart=restart)
        return
    bad = BadRows(None if str(output) == "-" else output, skip=skip_bad)
    summary = ProjectionSummary()
    rows = project_rows(
        open_lines(input),
        input,
        schema,
        reply_format=reply_format,
        policy=policy,
        on_bad=bad.collect,
        summary=summary,
    )
    with (
        progress(
            "projecting", one="reply", many="replies", shown=not prints_to_terminal(output)
        ) as step,
        whole_file(output) as stream,
    ):
        for row in rows:
            stream.write(dump_json(row) + b"\n")
            step(1)
        if not summary.rows and not bad.rows:
            raise CorpusError("has no replies", path=input, hint="the file is empty")
    bad.close()
    tell_projection(summary, len(summary.failures), next(iter(summary.failures), None))
