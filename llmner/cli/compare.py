"""``llmner compare``: whether one run is better than another, and on which sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmner.cli._common import (
    MOST_DRAWS,
    GoldFormatOption,
    JsonOption,
    PredictedFormatOption,
    ReportOption,
    ResamplesOption,
    SplitOption,
    StrictOption,
    guarded,
)


@guarded
def compare(
    a: Annotated[
        Path, typer.Argument(help="A run that evaluate --output kept; with --gold, predictions.")
    ],
    b: Annotated[Path, typer.Argument(help="The run to compare it with.")],
    gold: Annotated[
        str | None,
        typer.Option(help="The labelled corpus, where A and B are files of predictions."),
    ] = None,
    gold_format: GoldFormatOption = None,
    predicted_format: PredictedFormatOption = None,
    split: SplitOption = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="With --gold: compare on a sample of this many sentences."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of resamples and shuffles, and of the sample.")
    ] = 42,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="With --gold: only the sentences that both have predictions for."
        ),
    ] = False,
    resamples: ResamplesOption = 1000,
    shuffles: Annotated[int, typer.Option(min=1, max=MOST_DRAWS, help="Shuffles for p.")] = 10_000,
    show: Annotated[
        int, typer.Option(min=0, help="Show this many of the sentences that changed.")
    ] = 10,
    strict: StrictOption = False,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Compare run B with run A: difference, 95 % interval and p of each figure; sentences that
    changed.
    """
    from llmner.cli._results import (
        check_outputs,
        comparison_row,
        note_doubts,
        predicted_sources,
        print_json,
        read_gold,
        write_report,
    )
    from llmner.reports.console import console, show_changes, show_comparison
    from llmner.scoring import compare as compare_runs
    from llmner.scoring import evaluate_runs, evaluate_sources
    from llmner.scoring.side_by_side import run_names

    check_outputs(report, None, [a, b, *([] if gold is None else [Path(gold)])])
    if gold is None:
        results = evaluate_runs([a, b], resamples=resamples, seed=seed)
    else:
        corpus = read_gold(gold, gold_format, split, strict=strict)
        results = evaluate_sources(
            corpus,
            predicted_sources(
                (a, b), corpus, predicted_format, whole=limit is None and not partial
            ),
            corpus_name=Path(gold).name,
            limit=limit,
            seed=seed,
            partial=partial,
            resamples=resamples,
        )
    runs = dict(zip(run_names([str(a), str(b)]), results, strict=True))
    first, second = runs
    comparison = compare_runs(*results, resamples=resamples, shuffles=shuffles, seed=seed)
    write_report(report, runs, {second: comparison})
    note_doubts(runs, "gold" if gold is None else Path(gold).name)
    if json:
        print_json(
            {
                "a": runs[first].signature,
                "b": runs[second].signature,
                **comparison_row(comparison, runs[first]),
            }
        )
        return
    out = console()
    show_comparison(out, comparison, first, second)
    out.print()
    show_changes(out, comparison, runs, show)
