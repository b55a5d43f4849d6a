"""``llmner select``: which sentences to label next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmner.asking import AskOptions
from llmner.asking.judges import JUDGE_OPTIONS
from llmner.cli._asking import with_ask_options
from llmner.cli._common import (
    FromOption,
    SplitOption,
    StrictOption,
    dashed,
    guarded,
    note,
    progress,
)
from llmner.errors import InputError

if TYPE_CHECKING:
    from llmner.labelling import Evidence
    from llmner.spans import Sentence


@guarded
@with_ask_options(names=JUDGE_OPTIONS)
def select(
    corpus: Annotated[
        str, typer.Argument(help="Sentences to choose from: any corpus, or lines of text.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Spans JSONL of the chosen ones, the best first."),
    ],
    number: Annotated[int, typer.Option(min=1, help="How many to choose.")] = 250,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="What is asked: crf or bilstm-crf, which learn from --labelled; baseline:FOLDER; "
            "or an engine, such as openai:MODEL. Several for disagreement.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(help="mixed, uncertainty, disagreement, rarity, diversity or random."),
    ] = "mixed",
    labelled: Annotated[
        str | None,
        typer.Option(help="What is labelled already; none of it is chosen.", show_default=False),
    ] = None,
    quota: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=NUMBER",
            help="At least so many sentences in which the model finds a label. Repeatable.",
            show_default=False,
        ),
    ] = None,
    from_: FromOption = None,
    split: SplitOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of training and of random.")] = 42,
    options: AskOptions = AskOptions(),
    strict: StrictOption = False,
) -> None:
    """Choose the sentences of CORPUS that are worth a label next, each with its reason.

    Rows have what the model finds, to begin from: convert them for the tool that you label with.
    """
    from llmner.cli._results import check_outputs, read_gold
    from llmner.files import write_jsonl
    from llmner.labelling import select as selected
    from llmner.labelling.select import check_criterion

    models = model or []
    # Before anything that costs is asked.
    criterion = check_criterion(by, len(models))
    check_outputs(None, output, [Path(corpus), *([Path(labelled)] if labelled else [])])
    quotas = _quotas(quota or [])
    if quotas and not models:
        raise InputError("--quota needs a model that finds labels", hint="name --model")
    sentences = read_gold(corpus, from_, split, strict=strict)
    known = [] if labelled is None else read_gold(labelled, None, None, strict=strict)
    evidence = _asked(sentences, known, models, options, output, seed)
    picked = selected(
        sentences,
        number,
        criterion,
        evidence=evidence,
        labelled=known,
        quotas=quotas,
        seed=seed,
    )
    write_jsonl(output, (own.row() for own in picked))
    note(f"{len(picked):,} of {len(sentences):,} sentences are in {output}, chosen by {by}")
    for label, wanted in quotas.items():
        have = sum(
            label in own.labels or any(span.label == label for span in own.spans) for own in picked
        )
        if have < wanted:
            note(f"warning: {label} is found in {have} of them, not in {wanted}")


def _quotas(given: list[str]) -> dict[str, int]:
    quotas = {}
    for item in given:
        label, _, count = item.partition("=")
        if not label.strip() or not count.strip().isdecimal():
            raise InputError(f"--quota {item!r:.60} is no quota", hint="expected LABEL=NUMBER")
        quotas[label.strip()] = int(count)
    return quotas


def _asked(
    sentences: list[Sentence],
    known: list[Sentence],
    models: list[str],
    options: AskOptions,
    output: Path,
    seed: int,
) -> list[list[Evidence]]:
    from llmner.asking.judges import taught

    with progress("asking", len(sentences) * len(models)) as step:
        return taught(
            sentences,
            known,
            models,
            options,
            output,
            seed=seed,
            report=note,
            on_sentence=lambda: step(1),
            spell=dashed,
        )
