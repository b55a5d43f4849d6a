"""``llmner evaluate``: scores of predictions, of recorded replies, or of an engine; and reports of
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from llmner.asking import AskOptions, build, build_baseline, is_baseline, prepare
from llmner.asking.options import OPTIONS
from llmner.cli._asking import given_options, with_ask_options
from llmner.cli._common import (
    JsonOption,
    ReportOption,
    ResamplesOption,
    RestartOption,
    SplitOption,
    StrictOption,
    dashed,
    guarded,
    note,
    progress,
    resumable,
    tell_unanswered,
)


# Without an engine there are predictions or recorded replies to score.
@guarded
@with_ask_options(
    names=[name for name in OPTIONS if name != "replies"],
    defaults={"engine": None},
    help={
        "engine": "Ask an engine now: transformers, vllm, openai, or baseline:FOLDER for a "
        "tagger. Answers are "
        "kept until the evaluation is done; an interrupted one goes on."
    },
)
def evaluate(
    context: typer.Context,
    gold: Annotated[
        str, typer.Option(help="The labelled corpus: file, saved data set, or Hub name.")
    ],
    predicted: Annotated[
        list[Path] | None,
        typer.Option(
            help="Predictions: what extract wrote, or any corpus format. May be given several "
            "times."
        ),
    ] = None,
    replies: Annotated[
        list[Path] | None,
        typer.Option(
            help='Recorded replies, rows {"id", "text", "reply"}. May be given several times.'
        ),
    ] = None,
    gold_format: Annotated[
        str | None, typer.Option(help="The corpus's format; by default guessed.")
    ] = None,
    split: SplitOption = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Score a sample of this many sentences, drawn as datasets does."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample and of the intervals.")] = 42,
    partial: Annotated[
        bool, typer.Option("--partial", help="Score only the sentences that have a prediction.")
    ] = False,
    options: AskOptions = AskOptions(),
    strict: StrictOption = False,
    resamples: ResamplesOption = 1000,
    report: ReportOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Keep the whole run as JSON: figures, signature and every sentence, for compare."
        ),
    ] = None,
    restart: RestartOption = False,
    json: JsonOption = False,
) -> None:
    """Score --predicted spans, recorded --replies, or an --engine's answers against --gold."""
    from llmner.cli._results import (
        check_outputs,
        comparison_row,
        predicted_sources,
        print_json,
        read_gold,
        run_names,
        write_report,
    )
    from llmner.errors import InputError
    from llmner.extraction import SpanExtractor
    from llmner.extraction.runs import cached_rows, drop_rows, partial_path
    from llmner.files import kind_of
    from llmner.reports.console import console, show_evaluation, show_evaluations
    from llmner.scoring import compare, evaluate_sources, from_extractor, write_run

    given = given_options(context, options.flat())
    engine = options.engine.engine if context.params["engine"] is not None else None
    asked = [(str(path), options.replaying(path)) for path in replies or ()]
    asked += [(engine, options)] if engine is not None else []
    count = len(predicted or ()) + len(asked)
    if not count:
        raise InputError(
            "there is nothing to score", hint="give --predicted, --replies or --engine"
        )
    if output is not None and count > 1:
        raise InputError(
            "--output keeps one run, and several are given", hint="evaluate them one by one"
        )
    check_outputs(report, output, [Path(gold), *(predicted or ()), *(replies or ())])
    alone = ("grounded", "json_schema", "samples", "min_score", "calibration")
    if not asked and any(name in options.given() for name in alone):
        raise InputError(
            "predictions are scored as they are",
            hint="give --min-score and the like to extract, or --engine here",
        )
    asking = prepare(options if engine is not None else options.but(engine="recorded"), note)
    extractors: list[SpanExtractor] = [
        build_baseline(one, given=() if replies else given, report=note, spell=dashed)
        if is_baseline(one.engine.engine)
        # Replies are of the adapter's recipe too, where there is one.
        else build(replace(asking, options=one), report=note, spell=dashed)
        for _, one in asked
    ]
    corpus = read_gold(gold, gold_format, split, strict=strict)
    whole = limit is None and not partial
    sources = predicted_sources(predicted or (), corpus, whole=whole)
    kept: list[Path] = []

    def keep(record: Mapping[str, Any]) -> Path | None:
        # Nothing can lie beside a device or a pipe.
        beside = None if output is None or kind_of(output) == "special" else partial_path(output)
        path = cached_rows(record) if beside is None else beside
        kept.extend(() if path is None else (path,))
        return path

    with (
        progress("evaluating", len(asked) * (limit or len(corpus))) as step,
        resumable(step, restart=restart) if engine else nullcontext(),
    ):

        def resumed(done: int) -> None:
            step.resume(done)
            note(f"{done} sentences were done already; going on")

        sources += [
            from_extractor(
                name,
                extractor,
                corpus,
                whole=whole,
                on_prediction=lambda: step(1),
                keep=None if one.engine.replies is not None else keep,
                restart=restart,
                on_resume=resumed,
            )
            for (name, one), extractor in zip(asked, extractors, strict=True)
        ]
        results = evaluate_sources(
            corpus,
            sources,
            corpus_name=Path(gold).name,
            limit=limit,
            seed=seed,
            partial=partial,
            resamples=resamples,
        )
        named = dict(zip(run_names([source.name for source in sources]), results, strict=True))
        first, *others = named
        compared = {
            name: compare(named[first], named[name], resamples=resamples, seed=seed)
            for name in others
        }
        write_report(report, named, compared)
        if output is not None:
            write_run(results[0], output)
    if not others:
        if json:
            print_json(results[0].to_dict())
        else:
            show_evaluation(console(), results[0])
    elif json:
        print_json(
            {
                "runs": {name: result.to_dict() for name, result in named.items()},
                "compared": {
                    name: comparison_row(held, named[first]) for name, held in compared.items()
                },
            }
        )
    else:
        show_evaluations(console(), named, compared)
    for path in kept:
        drop_rows(path)
    for name, result in named.items():
        errors = [
            row.prediction.error for row in result.rows if row.prediction.status == "unanswered"
        ]
        tell_unanswered(
            len(errors),
            len(result.rows),
            next(iter(errors), None),
            f"all its entities count as missed ({name})",
        )
