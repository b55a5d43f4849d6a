"""``llmner evaluate``: score predictions, recorded replies, or an engine's answers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmner.asking import AskOptions
from llmner.asking.evaluating import answerer_sources, build_answerers, check_labels
from llmner.asking.options import OPTIONS
from llmner.cli._asking import given_options, with_ask_options
from llmner.cli._cluster import (
    GpusOption,
    RayAddressOption,
    RayOption,
    WorkersOption,
    cluster_of,
    extract_job,
    shown_progress,
)
from llmner.cli._common import (
    GoldFormatOption,
    JsonOption,
    PredictedFormatOption,
    ReportOption,
    ResamplesOption,
    RestartOption,
    SplitOption,
    StrictOption,
    dashed,
    guarded,
    note,
    note_resumed,
    progress,
    resumable,
    tell_blank,
    tell_unanswered,
)
from llmner.errors import InputError

if TYPE_CHECKING:
    from llmner.asking.evaluating import Answerer
    from llmner.scoring import Comparison, Evaluation

# Options that change answers, and so have no effect on predictions.
_ANSWER_OPTIONS = ("grounded", "json_schema", "samples", "min_score", "calibration")


# There is no default engine: without one, predictions or recorded replies are scored.
@guarded
@with_ask_options(
    names=[name for name in OPTIONS if name != "replies"],
    defaults={"engine": None},
    help={
        "engine": "Ask an engine now: transformers, vllm, openai, or baseline:FOLDER for a "
        "tagger. Answers are kept until the evaluation is done; an interrupted one goes on."
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
            help="Predictions: what extract wrote, or any corpus format. "
            "May be given several times."
        ),
    ] = None,
    replies: Annotated[
        list[Path] | None,
        typer.Option(
            help='Recorded replies, rows {"id", "text", "reply"}. May be given several times.'
        ),
    ] = None,
    gold_format: GoldFormatOption = None,
    predicted_format: PredictedFormatOption = None,
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
    show_wrong: Annotated[
        int,
        typer.Option(min=0, help="Print so many sentences that are not all right, in colour."),
    ] = 0,
    report: ReportOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Keep the whole run as JSON: figures, signature and every sentence, for compare."
        ),
    ] = None,
    restart: RestartOption = False,
    json: JsonOption = False,
    ray: RayOption = False,
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
    gpus_per_worker: GpusOption = 0.0,
) -> None:
    """Score --predicted spans, recorded --replies, or an --engine's answers against --gold."""
    from llmner.cli._results import (
        check_outputs,
        note_doubts,
        predicted_sources,
        read_gold,
        write_report,
    )
    from llmner.extraction.runs import KeptAnswers
    from llmner.scaling import from_job
    from llmner.scaling.evaluating import drop_kept
    from llmner.scoring import (
        check_replaceable_run,
        corpus_signature,
        evaluate_sources,
        write_run,
    )
    from llmner.scoring.side_by_side import compare_with_first, run_names

    predictions, recorded = predicted or [], replies or []
    asks_engine = context.params["engine"] is not None or options.engine.base_url is not None
    cluster = cluster_of(ray, ray_address, workers, gpus_per_worker)
    if cluster is not None and (recorded or not asks_engine):
        raise InputError("--ray is for --engine", hint="leave out --replies, or --ray")
    _check_runs(len(predictions) + len(recorded) + asks_engine, output)
    check_outputs(report, output, [Path(gold), *predictions, *recorded])
    if not (asks_engine or recorded) and set(_ANSWER_OPTIONS) & set(options.given()):
        raise InputError(
            "predictions are scored as they are",
            hint="give --min-score and the like to extract, or --engine here",
        )
    corpus = read_gold(gold, gold_format, split, strict=strict)
    given = given_options(context, options.flat())
    texts = [sentence.text for sentence in corpus]
    answerers = build_answerers(
        options,
        recorded,
        engine=asks_engine,
        given=given,
        report=note,
        spell=dashed,
        texts=texts,
    )
    job = None if cluster is None else extract_job(options, given, texts, report=None)
    if asks_engine and output is not None and not restart:
        check_replaceable_run(output, answerers[-1].extractor.describe())
    if asks_engine:
        check_labels(answerers[-1], corpus)
    whole = limit is None and not partial
    sources = predicted_sources(predictions, corpus, predicted_format, whole=whole)
    answers = KeptAnswers(output)
    folder = None
    if job is not None:
        asked = {"corpus": corpus_signature("", corpus), "limit": limit, "seed": seed}
        folder = answers.folder(asked | job.describe())
    with (
        progress("evaluating", len(answerers) * (limit or len(corpus))) as step,
        resumable(step, restart=restart) if asks_engine else nullcontext(),
    ):
        if job is not None and folder is not None:
            sources.append(
                from_job(
                    answerers[0].name,
                    job,
                    corpus,
                    folder,
                    cluster=cluster,
                    restart=restart,
                    signature=answerers[0].extractor.describe(),
                    on_progress=shown_progress(step),
                    report=note,
                )
            )
        else:
            sources += answerer_sources(
                answerers,
                corpus,
                whole=whole,
                keep=answers.path,
                restart=restart,
                on_prediction=lambda: step(1),
                on_resume=lambda done: note_resumed(step, done),
            )
        results = evaluate_sources(
            corpus,
            sources,
            corpus_name=Path(gold).name,
            limit=limit,
            seed=seed,
            partial=partial,
            resamples=resamples,
        )
        runs = dict(zip(run_names([source.name for source in sources]), results, strict=True))
        comparisons = compare_with_first(runs, resamples=resamples, seed=seed)
        write_report(report, runs, comparisons)
        if output is not None:
            write_run(results[0], output)
    _print_runs(runs, comparisons, json=json)
    if show_wrong and not json:
        from llmner.reports.console import console, show_wrong_sentences

        for name, run in runs.items():
            show_wrong_sentences(console(), name, run, show_wrong)
    answers.drop()
    if folder is not None:
        drop_kept(folder)
    note_doubts(runs, Path(gold).name)
    for answerer in answerers:
        _note_joined(answerer)
    for name, run in runs.items():
        _note_unanswered(name, run)


def _note_joined(answerer: Answerer) -> None:
    """Tell that recorded replies were found by their texts."""
    from llmner.extraction import Extractor

    engine = answerer.extractor.engine if isinstance(answerer.extractor, Extractor) else None
    recorded = None if engine is None else engine.recorded()
    if recorded is not None and recorded.by_text:
        note(f"note: {answerer.name}: its ids are not those of the gold sentences; joined by text")


def _check_runs(count: int, output: Path | None) -> None:
    """Make sure that there is a run to score, and a single one with ``--output``.

    Raises:
        InputError: There is none, or ``--output`` is given and there are several.
    """
    if not count:
        raise InputError(
            "there is nothing to score", hint="give --predicted, --replies or --engine"
        )
    if output is not None and count > 1:
        raise InputError("--output can keep only one run", hint="evaluate the runs one by one")


def _print_runs(
    runs: Mapping[str, Evaluation], comparisons: Mapping[str, Comparison], *, json: bool
) -> None:
    from llmner.cli._results import comparison_row, print_json
    from llmner.reports.console import console, show_evaluation, show_evaluations

    first = next(iter(runs.values()))
    if not json and not comparisons:
        show_evaluation(console(), first)
    elif not json:
        show_evaluations(console(), runs, comparisons)
    elif not comparisons:
        print_json(first.to_dict())
    else:
        print_json(
            {
                "runs": {name: run.to_dict() for name, run in runs.items()},
                "compared": {
                    name: comparison_row(comparison, first)
                    for name, comparison in comparisons.items()
                },
            }
        )


def _note_unanswered(name: str, run: Evaluation) -> None:
    errors = [row.prediction.error for row in run.rows if row.prediction.status == "unanswered"]
    tell_unanswered(
        len(errors),
        len(run.rows),
        next(iter(errors), None),
        f"all its entities count as missed ({name})",
    )
    tell_blank(sum(row.prediction.is_blank for row in run.rows), len(run.rows) - len(errors))
