"""``llmner batch``: questions for an endpoint's own batches, and the answers that come back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmner.asking import AskOptions, in_language_of, prepare
from llmner.asking.building import temperature_of
from llmner.cli._asking import with_ask_options
from llmner.cli._common import (
    FromOption,
    RestartOption,
    SplitOption,
    StrictOption,
    dashed,
    guarded,
    note,
    progress,
    tell_run,
)
from llmner.cli._help import CommandGroup, GroupedCommand

if TYPE_CHECKING:
    from llmner.asking import Asking
    from llmner.spans import Sentence

app = typer.Typer(
    cls=CommandGroup,
    help="Ask many questions at half the price: write them as a batch of OpenAI's or of vllm "
    "run-batch, and read the answers later.",
    no_args_is_help=True,
)

# What a batch has no use for: it goes to one endpoint, at one time of its own.
_NAMES = (
    "recipe",
    "reply_format",
    "labels",
    "language",
    "model",
    "request_fields",
    "max_new_tokens",
    "temperature",
    "samples",
    "grounded",
    "json_schema",
    "window",
    "overlap",
    "min_score",
    "calibration",
    "particles",
    "fuzzy",
    "repeats",
)
_InputOption = Annotated[
    Path, typer.Option("--input", "-i", help="A corpus, or a .txt with one sentence a line.")
]


@app.command("write", cls=GroupedCommand)
@guarded
@with_ask_options(names=_NAMES)
def write(
    input: _InputOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file of requests to write.")],
    from_: FromOption = None,
    split: SplitOption = None,
    options: AskOptions = AskOptions(),
    strict: StrictOption = False,
) -> None:
    """Write a request for every question about --input, as JSON Lines for a batch."""
    from llmner.asking.batches import batch_extractor
    from llmner.cli._results import check_outputs, read_gold
    from llmner.engines.batch_files import BatchRequests
    from llmner.files import whole_file

    check_outputs(None, output, [input])
    sentences = read_gold(str(input), from_, split, strict=strict)
    asking = _prepared(options, sentences)
    decoding = options.decoding
    with whole_file(output) as stream, progress("writing", len(sentences)) as step:
        engine = BatchRequests(
            stream,
            options.engine.model,
            max_new_tokens=decoding.max_new_tokens,
            temperature=temperature_of(decoding, dashed),
            request_fields=options.engine.request_fields,
        )
        for _ in batch_extractor(asking, engine).extract(sentences):
            step(1)
    note(
        f"wrote {output}: {engine.count:,} requests about {len(sentences):,} texts; read what "
        f"comes back with llmner batch read and the same options"
    )


@app.command("read", cls=GroupedCommand)
@guarded
@with_ask_options(names=_NAMES)
def read(
    input: _InputOption,
    answers: Annotated[
        list[Path],
        typer.Option("--answers", help="A file that came back; may be given several times."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Spans JSONL to write.")],
    from_: FromOption = None,
    split: SplitOption = None,
    options: AskOptions = AskOptions(),
    strict: StrictOption = False,
    restart: RestartOption = False,
) -> None:
    """Project the answers of a batch onto the texts of --input, as extract does.

    --input and the options are those of llmner batch write. Where two files answer a question, the
    last answer counts that is no error.
    """
    from llmner.asking.batches import batch_extractor, unused_answers
    from llmner.cli._results import check_outputs, read_gold
    from llmner.engines.batch_files import BatchReplies
    from llmner.extraction.runs import check_replaceable, run_extraction
    from llmner.scoring import corpus_source

    check_outputs(None, output, [input, *answers])
    sentences = read_gold(str(input), from_, split, strict=strict)
    asking = _prepared(options, sentences)
    engine = BatchReplies(answers, options.engine.model)
    unused = unused_answers(asking, engine, sentences, answers[0])
    extractor = batch_extractor(asking, engine)
    source = corpus_source(input.name, sentences)
    if not restart:
        check_replaceable(output, source, extractor)
    with progress("reading", len(sentences)) as step:
        summary = run_extraction(
            extractor,
            sentences,
            output,
            source=source,
            restart=restart,
            on_extraction=lambda _: step(1),
        )
    note(f"{summary.sentences} sentences are in {output}")
    if unused:
        note(f"warning: {unused} answers are to no question about these texts")
    tell_run(summary, "send their requests again, and give both files with --answers")


def _prepared(options: AskOptions, sentences: list[Sentence]) -> Asking:
    asking = prepare(options.but(engine="openai"), note)
    return in_language_of(asking, (sentence.text for sentence in sentences))
