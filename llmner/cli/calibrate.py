"""``llmner calibrate``: fit scores to precision, for ``--calibration``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmner.cli._common import (
    GoldFormatOption,
    PredictedFormatOption,
    SplitOption,
    StrictOption,
    dashed,
    guarded,
    note,
)
from llmner.cli._results import check_outputs, read_gold


@guarded
def calibrate(
    gold: Annotated[
        str, typer.Option(help="Labelled sentences that the model was not trained on.")
    ],
    predicted: Annotated[Path, typer.Option(help="What extract wrote for them, with scores.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write, for --calibration.")
    ],
    gold_format: GoldFormatOption = None,
    predicted_format: PredictedFormatOption = None,
    split: SplitOption = None,
    target_precision: Annotated[
        float | None,
        typer.Option(
            help="Guarantee that this share of spans is right: extract then sets aside for review "
            "those that it cannot be guaranteed of.",
            show_default=False,
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="How certain the guarantee is, between 0 and 1.")
    ] = 0.95,
    strict: StrictOption = False,
) -> None:
    """Fit scores to precision by isotonic regression.

    Fit on sentences that neither trained the model nor will be reported on: a part kept from
    training.
    """
    from llmner.errors import InputError
    from llmner.extraction.confidence import Calibrator
    from llmner.extraction.runs import run_record
    from llmner.scoring import align, read_predictions, reliability

    check_outputs(None, output, [Path(gold), predicted])
    for name in ("calibration", "min_score"):
        if (run_record(predicted) or {}).get(name) is not None:
            raise InputError(
                "its scores are calibrated already, or spans with low scores are missing",
                path=predicted,
                hint=f"extract again without {dashed(name)}",
            )
    corpus = read_gold(gold, gold_format, split, strict=strict)
    predictions = align(
        corpus, read_predictions(predicted, predicted_format), complete=True, path=predicted
    )
    pairs = [
        (span.score, span in set(sentence.spans))
        for sentence, prediction in zip(corpus, predictions, strict=True)
        if prediction is not None
        for span in prediction.spans
        if span.score is not None
    ]
    calibrator = Calibrator.fit(pairs)
    if target_precision is not None:
        guaranteed = calibrator.with_guarantee(pairs, target_precision, confidence)
        if guaranteed is None:
            raise InputError(
                f"a precision of {target_precision:g} cannot be guaranteed with these spans",
                path=predicted,
                hint="give more sentences, or a lower --target-precision or --confidence",
            )
        calibrator = guaranteed
    calibrator.save(output)
    raw = reliability(pairs)
    assert raw is not None
    note(
        f"{output} is fitted on {raw.scored} spans of {len(corpus)} sentences; "
        f"before, their expected calibration error (ECE) was {raw.ece:.3f}"
    )
    if calibrator.guarantee is not None:
        own = calibrator.guarantee
        note(
            f"with {own.confidence:.0%} confidence, at least {own.precision:.0%} of the spans with "
            f"a calibrated score of {own.min_score:.3f} and more are right; {own.kept} of "
            f"{own.spans} have it ({own.right} right), the others are for review"
        )
