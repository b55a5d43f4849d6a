"""``llmner batch``: questions for an endpoint's own batches, and the answers that come back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmner.asking import AskOptions, language_of, prepare
from llmner.cli._asking import GroupedCommand, with_ask_options
from llmner.cli._common import (
    RestartOption,
    SplitOption,
    StrictOption,
    guarded,
    note,
    progress,
    tell_blank,
    tell_coverage,
    tell_reading,
    tell_unanswered,
)
from llmner.errors import InputError

if TYPE_CHECKING:
    from llmner.asking import Asking
    from llmner.engines import Engine
    from llmner.extraction import Extractor
    from llmner.spans import Sentence

app = typer.Typer(
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
_FormatOption = Annotated[str | None, typer.Option(help="Its format; by default guessed.")]


@app.command("write", cls=GroupedCommand)
@guarded
@with_ask_options(names=_NAMES)
def write(
    input: _InputOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file of requests to write.")],
    input_format: _FormatOption = None,
    split: SplitOption = None,
    options: AskOptions = AskOptions(),
    strict: StrictOption = False,
) -> None:
    """Write a request for every question about --input, as JSON Lines for a batch."""
    from llmner.cli._results import check_outputs
    from llmner.engines.batch_files import BatchRequests
    from llmner.files import whole_file

    check_outputs(None, output, [input])
    sentences = _sentences(input, input_format, split, strict=strict)
    asking = _prepared(options, sentences)
    decoding = options.decoding
    with whole_file(output) as stream, progress("writing", len(sentences)) as step:
        engine = BatchRequests(
            stream,
            options.engine.model,
            max_new_tokens=decoding.max_new_tokens,
            temperature=_temperature(options),
            request_fields=options.engine.request_fields,
        )
        for _ in _extractor(asking, engine).extract(sentences):
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
    input_format: _FormatOption = None,
    split: SplitOption = None,
    options: AskOptions = AskOptions(),
    strict: StrictOption = False,
    restart: RestartOption = False,
) -> None:
    """Project the answers of a batch onto the texts of --input, as extract does.

    --input and the options are those of llmner batch write. Where two files answer a question, the
    last answer counts that is no error.
    """
    from llmner.cli._results import check_outputs
    from llmner.engines.batch_files import BatchNames, BatchReplies
    from llmner.extraction.runs import run_extraction, run_plan, run_record
    from llmner.scoring import corpus_signature

    check_outputs(None, output, [input, *answers])
    sentences = _sentences(input, input_format, split, strict=strict)
    asking = _prepared(options, sentences)
    engine = BatchReplies(answers, options.engine.model)
    questions = BatchNames()
    for _ in _extractor(asking, questions).extract(sentences):
        pass
    unused = len(engine.replies.keys() - questions.names)
    if unused == len(engine.replies):
        raise InputError(
            "answers other questions",
            path=answers[0],
            hint="give the texts and options that the requests were written with",
        )
    extractor = _extractor(asking, engine)
    signature = corpus_signature(input.name, sentences)
    source = f"{signature['name']} ({signature['sentences']} sentences, {signature['sha256']})"
    made = run_record(output)
    if made is not None and not restart and made != run_plan(source, extractor):
        raise InputError(
            "holds what other answers or options gave",
            path=output,
            hint="name another file, or replace it with --restart",
        )
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
    tell_unanswered(
        summary.unanswered,
        summary.sentences,
        summary.reason,
        "send their requests again, and give both files with --answers",
    )
    tell_blank(summary.blank, summary.sentences - summary.unanswered)
    tell_coverage(summary.coverage)


def _sentences(
    path: Path, format: str | None, split: str | None, *, strict: bool
) -> list[Sentence]:
    from llmner.corpora import ReadStats, read_corpus

    stats = ReadStats()
    sentences = list(read_corpus(str(path), format, split, strict=strict, stats=stats))
    tell_reading(stats)
    return sentences


def _prepared(options: AskOptions, sentences: list[Sentence]) -> Asking:
    recipe = options.recipe
    if recipe.labels is not None and recipe.language is None:
        sample = [sentence.text for sentence in sentences[:10]]
        options = options.but(language=language_of(sample))
    return prepare(options.but(engine="openai"), note)


def _extractor(asking: Asking, engine: Engine) -> Extractor:
    from llmner.asking.building import extractor_options
    from llmner.extraction import Extractor

    arguments: dict[str, Any] = extractor_options(asking)
    return Extractor(asking.recipe, engine, batch_size=256, **arguments)


def _temperature(options: AskOptions) -> float:
    from llmner.asking.building import temperature_of
    from llmner.cli._common import dashed

    return temperature_of(options.decoding, dashed)
