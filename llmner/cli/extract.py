"""``llmner extract``: entities of a text, or of every sentence of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmner.cli._baselines import is_baseline, make_baseline
from llmner.cli._common import (
    BATCH_SIZE,
    AdapterOption,
    BadRows,
    BaseUrlOption,
    BatchSizeOption,
    CalibrationOption,
    ConcurrencyOption,
    DeviceOption,
    EngineOption,
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
    RepliesOption,
    ReplyFormatOption,
    RestartOption,
    SamplesOption,
    SkipBadOption,
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
    not_both,
    note,
    policy,
    progress,
    resumable,
    tell_repairs,
    tell_unanswered,
    windows,
)

if TYPE_CHECKING:
    from llmner.extraction import Extraction, SpanExtractor
    from llmner.spans import Sentence


@guarded
def extract(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(help="A text to extract from.", show_default=False)] = None,
    input: Annotated[
        Path | None,
        typer.Option("--input", "-i", help="A corpus, or a .txt with one sentence a line; - for stdin."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Spans JSONL to write; resumed if interrupted.")
    ] = None,
    input_format: Annotated[
        str | None,
        typer.Option(
            help="klue-tsv, spans, conll, markup, gmb-csv, text, hub; by default guessed. document: a file is "
            "one text."
        ),
    ] = None,
    split: SplitOption = None,
    recipe: RecipeOption = None,
    reply_format: ReplyFormatOption = None,
    engine: EngineOption = "transformers",
    model: ModelOption = None,
    adapter: AdapterOption = None,
    replies: RepliesOption = None,
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
    skip_bad: SkipBadOption = False,
    restart: RestartOption = False,
    retry: Annotated[
        bool,
        typer.Option("--retry-failed", help="Ask again what has no answer in a finished --output."),
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Print every sentence even with --output.")] = False,
    json: JsonOption = False,
) -> None:
    """Extract entities from TEXT, or from every sentence of --input.

    Without --output, prints each text with its entities in colour and a table; with --json, one JSON
    object a line. With --output, writes the same objects to a file.
    """
    from llmner.cli._results import check_outputs
    from llmner.corpora import ReadStats, read_corpus
    from llmner.errors import InputError
    from llmner.extraction import Extractor
    from llmner.spans import Sentence

    not_both(text=text, input=input)
    if str(output) == "-":
        output, json = None, True
    if output is not None:
        check_outputs(None, output, [path for path in (input, replies, calibration) if path is not None])
    if retry and (output is None or input is None or restart):
        raise InputError(
            "--retry-failed mends a finished --output of --input", hint="give both, and no --restart"
        )
    tagger = (
        make_baseline(
            engine,
            context,
            batch_size=batch_size,
            min_score=min_score,
            calibration=calibration,
            device=device,
            trust_remote_code=trust_remote_code,
        )
        if is_baseline(engine)
        else None
    )
    found = choose_adapter(
        adapter, model=model, recipe=recipe, reply_format=reply_format, asks=engine in ("transformers", "vllm")
    )
    asked = load_recipe(recipe, reply_format, found, model)
    projecting = policy(particles, fuzzy, repeats)
    splitting = windows(window, overlap)
    chosen = answering(grounded, json_schema, samples, min_score, calibration)
    bad = BadRows(output, skip=skip_bad)
    stats = ReadStats()
    sentences: list[Sentence]
    if text is not None:
        sentences = [Sentence(text)]
    else:
        assert input is not None
        # Read whole before the engine starts: bad input should fail in a second, not after an hour.
        sentences = list(
            read_corpus(str(input), input_format, split, strict=strict, on_bad=bad.collect, stats=stats)
        )
        tell_repairs(stats)
    if tagger is not None:
        try:
            _run(tagger, tagger.labels, sentences, output, str(input), restart=restart, show=show, json=json)
        finally:
            bad.close()
        return
    generator = make_generator(
        engine,
        model=model,
        adapter=found,
        replies=replies,
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
    )
    # Sorting by length pays off over several batches; a reader wants the first sentence soon.
    soon = engine == "transformers" and (show or output is None)
    extractor = Extractor(
        asked,
        generator,
        batch_size=(batch_size or BATCH_SIZE) if soon else at_once(engine, batch_size, concurrency),
        read_as="auto" if engine == "recorded" and reply_format is None else None,
        **splitting,
        **chosen,
        **projecting,
    )
    try:
        _run(
            extractor,
            asked.schema_.codes,
            sentences,
            output,
            str(input),
            restart=restart,
            retry=retry,
            show=show,
            json=json,
        )
    finally:
        bad.close()


def _run(
    extractor: SpanExtractor,
    labels: Sequence[str],
    sentences: list[Sentence],
    output: Path | None,
    source: str,
    *,
    restart: bool,
    retry: bool = False,
    show: bool,
    json: bool,
) -> None:
    printer = _printer(labels, json=json)
    if output is None:
        _show(extractor, printer, sentences)
    else:
        printed = printer if show else None
        _keep(extractor, printed, sentences, output, source, restart=restart, retry=retry)


def _printer(labels: Sequence[str], *, json: bool) -> Callable[[Extraction], None]:
    """What prints an extraction on standard output."""
    from llmner.files import dump_json, write_bytes
    from llmner.reports.console import console, show_projection

    out = console()

    def show(extraction: Extraction) -> None:
        if json:
            write_bytes(dump_json(extraction.row()) + b"\n")
        else:
            show_projection(out, extraction.projection, labels, extraction.sentence.id)

    return show


def _show(extractor: SpanExtractor, show: Callable[[Extraction], None], sentences: list[Sentence]) -> None:
    from llmner.extraction.runs import RunSummary

    summary = RunSummary()
    with progress("extracting", len(sentences)) as step:
        for extraction in extractor.extract(sentences):
            step(1)
            summary.add(extraction.reply.error)
            show(extraction)
    tell_unanswered(summary.unanswered, summary.sentences, summary.reason, "ask for them again")


def _keep(
    extractor: SpanExtractor,
    printed: Callable[[Extraction], None] | None,
    sentences: list[Sentence],
    output: Path,
    source: str,
    *,
    restart: bool,
    retry: bool,
) -> None:
    from llmner.extraction.runs import retry_failed, run_extraction
    from llmner.scoring import corpus_signature

    signature = corpus_signature(Path(source).name, sentences)
    source = f"{signature['name']} ({signature['sentences']} sentences, {signature['sha256']})"
    failures: list[int] = []
    with progress("extracting", None if retry else len(sentences)) as step, resumable(step, restart=restart):

        def seen(extraction: Extraction) -> None:
            step(1)
            if printed is not None:
                printed(extraction)

        def resumed(done: int) -> None:
            step.resume(done)
            note(f"{done} sentences were done already; going on")

        def found(count: int) -> None:
            failures.append(count)
            step.total(count)

        if retry:
            summary = retry_failed(
                extractor,
                sentences,
                output,
                source=source,
                on_failures=found,
                on_extraction=seen,
                on_resume=resumed,
            )
        else:
            summary = run_extraction(
                extractor,
                sentences,
                output,
                source=source,
                restart=restart,
                on_extraction=seen,
                on_resume=resumed,
            )
    if failures == [0]:
        note(f"every sentence in {output} has an answer; nothing was asked")
        return
    if failures:
        note(f"{failures[0] - summary.unanswered} of {failures[0]} failed sentences have an answer now")
    note(f"{summary.sentences} sentences are in {output}")
    tell_unanswered(summary.unanswered, summary.sentences, summary.reason, "--retry-failed asks them again")
