"""``llmner select``: which sentences to label next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmner.asking import AskOptions
from llmner.asking.options import OPTIONS
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

_NAMES = [name for name in OPTIONS if name not in ("engine", "model", "replies", "calibration")]


@guarded
@with_ask_options(names=_NAMES)
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
    from llmner.errors import UnknownNameError
    from llmner.files import dump_json, whole_file
    from llmner.labelling import CRITERIA
    from llmner.labelling import select as selected
    from llmner.labelling.select import NEEDED

    if by not in CRITERIA:
        raise UnknownNameError(f"unknown criterion {by!r}", hint=f"expected {', '.join(CRITERIA)}")
    check_outputs(None, output, [Path(corpus), *([Path(labelled)] if labelled else [])])
    quotas = _quotas(quota or [])
    models = model or []
    # Before anything that costs is asked.
    if len(models) < (needed := NEEDED.get(by, 0)):
        raise InputError(
            f"{by} needs {'two models' if needed == 2 else 'a model'}", hint="name --model"
        )
    if quotas and not models:
        raise InputError("--quota needs a model that finds labels", hint="name --model")
    sentences = read_gold(corpus, from_, split, strict=strict)
    known = [] if labelled is None else read_gold(labelled, None, None, strict=strict)
    evidence = _asked(sentences, known, models, options, output, seed)
    picked = selected(
        sentences,
        number,
        by,
        evidence=evidence,
        labelled=known,
        quotas=quotas,
        seed=seed,
    )
    with whole_file(output) as stream:
        for own in picked:
            stream.write(dump_json(own.row()) + b"\n")
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
