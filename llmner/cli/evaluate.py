"""``llmner evaluate``: scores of predictions, of recorded replies, or of an engine; and reports of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from llmner.cli._baselines import is_baseline, make_baseline
from llmner.cli._common import (
    AdapterOption,
    BaseUrlOption,
    BatchSizeOption,
    CalibrationOption,
    ConcurrencyOption,
    DeviceOption,
    FuzzyOption,
    GpuMemoryOption,
    GroundedOption,
    JsonOption,
    JsonSchemaOption,
    MaxModelLenOption,
    MaxNewTokensOption,
    MinScoreOption,
    ModelOption,
    OverlapOption,
    ParticlesOption,
    RecipeOption,
    RemoteCodeOption,
    RepeatsOption,
    ReplyFormatOption,
    ReportOption,
    ResamplesOption,
    RestartOption,
    SamplesOption,
    SplitOption,
    StrictOption,
    TemperatureOption,
    WindowOption,
    answering,
    at_once,
    choose_adapter,
    guarded,
    load_recipe,
    make_generator,
    note,
    policy,
    progress,
    resumable,
    tell_unanswered,
    windows,
)


@guarded
def evaluate(
    context: typer.Context,
    gold: Annotated[str, typer.Option(help="The labelled corpus: file, saved data set, or Hub name.")],
    predicted: Annotated[
        list[Path] | None,
        typer.Option(help="Predictions: what extract wrote, or any corpus format. May be given several times."),
    ] = None,
    replies: Annotated[
        list[Path] | None,
        typer.Option(help='Recorded replies, rows {"id", "text", "reply"}. May be given several times.'),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Ask an engine now: transformers, vllm, openai, or baseline:FOLDER for a tagger. Answers are "
            "kept until the evaluation is done; an interrupted one goes on.",
            show_default=False,
        ),
    ] = None,
    gold_format: Annotated[str | None, typer.Option(help="The corpus's format; by default guessed.")] = None,
    split: SplitOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Score a sample of this many sentences, drawn as datasets does.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample and of the intervals.")] = 42,
    partial: Annotated[
        bool, typer.Option("--partial", help="Score only the sentences that have a prediction.")
    ] = False,
    recipe: RecipeOption = None,
    reply_format: ReplyFormatOption = None,
    model: ModelOption = None,
    adapter: AdapterOption = None,
    base_url: BaseUrlOption = None,
    concurrency: ConcurrencyOption = 32,
    grounded: GroundedOption = False,
    json_schema: JsonSchemaOption = False,
    samples: SamplesOption = 1,
    temperature: TemperatureOption = None,
    min_score: MinScoreOption = None,
    calibration: CalibrationOption = None,
    batch_size: BatchSizeOption = None,
    max_model_len: MaxModelLenOption = None,
    gpu_memory_utilization: GpuMemoryOption = None,
    max_new_tokens: MaxNewTokensOption = 256,
    window: WindowOption = 400,
    overlap: OverlapOption = 80,
    device: DeviceOption = "auto",
    trust_remote_code: RemoteCodeOption = False,
    particles: ParticlesOption = "auto",
    fuzzy: FuzzyOption = 0.75,
    repeats: RepeatsOption = "listed",
    strict: StrictOption = False,
    resamples: ResamplesOption = 1000,
    report: ReportOption = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Keep the whole run as JSON: figures, signature and every sentence, for compare."),
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
    from llmner.extraction import Extractor, SpanExtractor
    from llmner.extraction.runs import cached_rows, drop_rows, partial_path
    from llmner.files import kind_of
    from llmner.reports.console import console, show_evaluation, show_evaluations
    from llmner.scoring import compare, evaluate_sources, from_extractor, write_run

    tagged = is_baseline(engine)
    engines = [("recorded", path) for path in replies or ()] + ([(engine, None)] if engine else [])
    count = len(predicted or ()) + len(engines)
    if not count:
        raise InputError("there is nothing to score", hint="give --predicted, --replies or --engine")
    if output is not None and count > 1:
        raise InputError("--output keeps one run, and several are given", hint="evaluate them one by one")
    check_outputs(report, output, [Path(gold), *(predicted or ()), *(replies or ())])
    if not engines and (
        grounded or json_schema or samples > 1 or min_score is not None or calibration is not None
    ):
        raise InputError(
            "predictions are scored as they are",
            hint="give --min-score and the like to extract, or --engine here",
        )
    found = choose_adapter(
        adapter,
        model=model,
        recipe=recipe,
        reply_format=reply_format,
        asks=engine in ("transformers", "vllm"),
    )
    asked = load_recipe(recipe, reply_format, found, model)
    projecting = policy(particles, fuzzy, repeats)
    splitting = windows(window, overlap)
    chosen = answering(grounded, json_schema, samples, min_score, calibration)
    extractors: list[SpanExtractor] = [
        make_baseline(
            str(engine),
            context,
            batch_size=batch_size,
            min_score=min_score,
            calibration=calibration,
            device=device,
            trust_remote_code=trust_remote_code,
            beside_replies=bool(replies),
        )
        if tagged and path is None
        else Extractor(
            asked,
            make_generator(
                name,
                model=model,
                adapter=found,
                replies=path,
                base_url=base_url,
                concurrency=concurrency,
                batch_size=batch_size,
                max_new_tokens=max_new_tokens,
                device=device,
                trust_remote_code=trust_remote_code,
                max_model_len=max_model_len,
                gpu_memory_utilization=gpu_memory_utilization,
                samples=samples,
                temperature=temperature,
            ),
            batch_size=at_once(name, batch_size, concurrency),
            read_as="auto" if path is not None and reply_format is None else None,
            **splitting,
            **chosen,
            **projecting,
        )
        for name, path in engines
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
        progress("evaluating", len(engines) * (limit or len(corpus))) as step,
        resumable(step, restart=restart) if engine else nullcontext(),
    ):

        def resumed(done: int) -> None:
            step.resume(done)
            note(f"{done} sentences were done already; going on")

        sources += [
            from_extractor(
                name if path is None else str(path),
                extractor,
                corpus,
                whole=whole,
                on_prediction=lambda: step(1),
                keep=keep if path is None else None,
                restart=restart,
                on_resume=resumed,
            )
            for (name, path), extractor in zip(engines, extractors, strict=True)
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
        compared = {name: compare(named[first], named[name], resamples=resamples, seed=seed) for name in others}
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
                "compared": {name: comparison_row(held, named[first]) for name, held in compared.items()},
            }
        )
    else:
        show_evaluations(console(), named, compared)
    for path in kept:
        drop_rows(path)
    for name, result in named.items():
        errors = [row.prediction.error for row in result.rows if row.prediction.status == "unanswered"]
        tell_unanswered(
            len(errors),
            len(result.rows),
            next(iter(errors), None),
            f"all its entities count as missed ({name})",
        )
