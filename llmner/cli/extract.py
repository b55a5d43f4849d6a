"""``llmner extract``: entities of a text, or of every sentence of a file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llmner.asking import (
    AskOptions,
    build,
    build_baseline,
    in_language_of,
    is_baseline,
    prepare,
)
from llmner.cli._asking import given_options, with_ask_options
from llmner.cli._cluster import (
    GpusOption,
    PartFormOption,
    RayAddressOption,
    RayOption,
    WorkersOption,
    cluster_of,
    extract_job,
    part_form,
    ray_paths,
    run_on_ray,
)
from llmner.cli._common import (
    BadRows,
    FromOption,
    JsonOption,
    RestartOption,
    SkipBadOption,
    SplitOption,
    StrictOption,
    above_bar,
    dashed,
    guarded,
    not_both,
    note,
    note_resumed,
    progress,
    resumable,
    tell_reading,
    tell_run,
)

if TYPE_CHECKING:
    from llmner.extraction import Extraction, SpanExtractor
    from llmner.scaling import Cluster
    from llmner.spans import Sentence


@guarded
@with_ask_options()
def extract(
    context: typer.Context,
    text: Annotated[
        str | None, typer.Argument(help="A text to extract from.", show_default=False)
    ] = None,
    input: Annotated[
        Path | None,
        typer.Option(
            "--input", "-i", help="A corpus, or a .txt with one sentence a line; - for stdin."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Spans JSONL to write; resumed if interrupted."),
    ] = None,
    from_: FromOption = None,
    split: SplitOption = None,
    options: AskOptions = AskOptions(),
    strict: StrictOption = False,
    skip_bad: SkipBadOption = False,
    restart: RestartOption = False,
    retry: Annotated[
        bool,
        typer.Option("--retry-failed", help="Ask again what has no answer in a finished --output."),
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print every sentence even with --output.")
    ] = False,
    json: JsonOption = False,
    ray: RayOption = False,
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
    gpus_per_worker: GpusOption = 0.0,
    to: PartFormOption = None,
) -> None:
    """Extract entities from TEXT, or from every sentence of --input.

    Without --output, prints each text with its entities in colour and a table; with --json, one
    JSON object a line. With --output, writes the same objects to a file.
    """
    from llmner.cli._results import check_outputs
    from llmner.corpora import ReadStats, read_corpus
    from llmner.errors import InputError
    from llmner.files import is_file
    from llmner.spans import Sentence

    cluster = cluster_of(ray, ray_address, workers, gpus_per_worker)
    form = part_form(to, cluster)
    if cluster is not None:
        told: dict[str, object] = {"TEXT": text, "--split": split, "--show": show, "--json": json}
        told |= {"--retry-failed": retry, "--replies": options.engine.replies is not None}
        for name, value in told.items():
            if value:
                raise InputError(f"{name} does not go with --ray", hint="leave it out")
        _on_ray(
            options,
            given_options(context, options.flat()),
            ray_paths(input, output),
            cluster,
            form,
            from_,
            restart=restart,
            strict=strict,
            skip_bad=skip_bad,
        )
        return
    if text == "-" and input is None:
        text, input = None, Path("-")
    if text is not None and input is None and is_file(Path(text)):
        raise InputError(f"{text!r} is a file, not a text", hint=f"read it with --input {text}")
    not_both(TEXT=text, input=input)
    if str(output) == "-":
        output, json = None, True
    if output is not None:
        replies, calibration = options.engine.replies, options.scores.calibration
        check_outputs(
            None, output, [path for path in (input, replies, calibration) if path is not None]
        )
    if retry and (output is None or input is None or restart):
        raise InputError(
            "--retry-failed needs --input and a finished --output",
            hint="give both, and leave out --restart",
        )
    tagger, asking = None, None
    if is_baseline(options.engine.engine):
        if retry:
            raise InputError("--retry-failed does not apply to a baseline", hint="leave it out")
        given_names = given_options(context, options.flat())
        tagger = build_baseline(options, given=given_names, report=note, spell=dashed)
    else:
        asking = prepare(options, note)
    bad = BadRows(output, skip=skip_bad)
    stats = ReadStats()
    sentences: list[Sentence]
    if text is not None:
        sentences = [Sentence(text)]
    else:
        assert input is not None
        # All input is read before the engine starts, so that bad input fails at once.
        sentences = list(
            read_corpus(str(input), from_, split, strict=strict, on_bad=bad.collect, stats=stats)
        )
        tell_reading(stats)
    if asking is not None:
        asking = in_language_of(asking, (sentence.text for sentence in sentences))
    extractor: SpanExtractor
    if asking is None:
        assert tagger is not None
        extractor, labels = tagger, tagger.labels
    else:
        # Somebody waits for the first sentence.
        extractor = build(asking, soon=show or output is None, report=note, spell=dashed)
        labels = asking.recipe.schema_.codes
    try:
        _run(
            extractor,
            labels,
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


def _on_ray(
    options: AskOptions,
    given: Collection[str],
    paths: tuple[list[Path], Path],
    cluster: Cluster,
    to: Literal["jsonl", "parquet"],
    format: str | None,
    *,
    restart: bool,
    strict: bool,
    skip_bad: bool,
) -> None:
    """Extract on many processes."""
    from itertools import islice

    from llmner.asking.building import GLANCE
    from llmner.corpora import read_corpus

    files, folder = paths
    first = read_corpus(files[0], format, on_bad=lambda _: None)
    texts = (one.text for one in islice(first, GLANCE))
    job = extract_job(options, given, texts, strict=strict, skip_bad=skip_bad, to=to)
    run_on_ray(job, files, folder, cluster, format=format, restart=restart)


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
        on_extraction = printer if show else None
        _keep(extractor, on_extraction, sentences, output, source, restart=restart, retry=retry)


def _printer(labels: Sequence[str], *, json: bool) -> Callable[[Extraction], None]:
    """A function that prints an extraction on standard output."""
    from llmner.files import dump_json, write_bytes
    from llmner.reports.console import console, show_projection

    out = console()

    def show(extraction: Extraction) -> None:
        # Standard output may be the terminal that the bar is on.
        with above_bar():
            if json:
                write_bytes(dump_json(extraction.row()) + b"\n")
            else:
                show_projection(out, extraction.projection, labels, extraction.sentence.id)

    return show


def _show(
    extractor: SpanExtractor, show: Callable[[Extraction], None], sentences: list[Sentence]
) -> None:
    from llmner.extraction.runs import RunSummary

    summary = RunSummary()
    with progress("extracting", len(sentences)) as step:
        for extraction in extractor.extract(sentences):
            step(1)
            summary.add(extraction.row(), extraction)
            show(extraction)
    tell_run(summary, "ask for them again", quiet=len(sentences) <= 1)


def _keep(
    extractor: SpanExtractor,
    on_extraction: Callable[[Extraction], None] | None,
    sentences: list[Sentence],
    output: Path,
    source: str,
    *,
    restart: bool,
    retry: bool,
) -> None:
    from llmner.extraction.runs import check_replaceable, retry_failed, run_extraction
    from llmner.scoring import corpus_source

    source = corpus_source(Path(source).name, sentences)
    if not (restart or retry):
        check_replaceable(output, source, extractor)
    failures: list[int] = []
    with (
        progress("extracting", None if retry else len(sentences)) as step,
        resumable(step, restart=restart),
    ):

        def extracted(extraction: Extraction) -> None:
            step(1)
            if on_extraction is not None:
                on_extraction(extraction)

        def resumed(done: int) -> None:
            note_resumed(step, done)

        def count_failures(count: int) -> None:
            failures.append(count)
            step.total(count)

        if retry:
            summary = retry_failed(
                extractor,
                sentences,
                output,
                source=source,
                on_failures=count_failures,
                on_extraction=extracted,
                on_resume=resumed,
            )
        else:
            summary = run_extraction(
                extractor,
                sentences,
                output,
                source=source,
                restart=restart,
                on_extraction=extracted,
                on_resume=resumed,
            )
    if failures == [0]:
        note(f"every sentence in {output} has an answer; there was nothing to ask")
        return
    if failures:
        note(
            f"{failures[0] - summary.unanswered} of {failures[0]} failed sentences now have an "
            "answer"
        )
    note(f"{summary.sentences} sentences are in {output}")
    tell_run(summary, "--retry-failed asks them again")
