"""``llmner extract``: entities of a text, or of every sentence of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmner.cli._common import (
    AdapterOption,
    BadRows,
    BaseUrlOption,
    BatchSizeOption,
    ConcurrencyOption,
    DeviceOption,
    EngineOption,
    FuzzyOption,
    JsonOption,
    MaxNewTokensOption,
    ModelOption,
    OverlapOption,
    ParticlesOption,
    RecipeOption,
    RemoteCodeOption,
    RepeatsOption,
    RepliesOption,
    ReplyFormatOption,
    SkipBadOption,
    SplitOption,
    StrictOption,
    WindowOption,
    choose_adapter,
    guarded,
    load_recipe,
    make_generator,
    not_both,
    note,
    policy,
    progress,
    tell_repairs,
    windows,
)

if TYPE_CHECKING:
    from llmner.extraction import Extraction, Extractor
    from llmner.spans import Sentence


@guarded
def extract(
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
            help="klue-tsv, spans, conll, markup, text, hub; by default guessed. document: a file is one text."
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
    batch_size: BatchSizeOption = 16,
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
    restart: Annotated[bool, typer.Option("--restart", help="Start an interrupted run over.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print every sentence even with --output.")] = False,
    json: JsonOption = False,
) -> None:
    """Extract entities from TEXT, or from every sentence of --input.

    Without --output, prints each text with its entities in colour and a table; with --json, one JSON
    object a line. With --output, writes the same objects to a file.
    """
    from llmner.corpora import ReadStats, read_corpus
    from llmner.extraction import Extractor
    from llmner.spans import Sentence

    not_both(text=text, input=input)
    if str(output) == "-":
        output, json = None, True
    found = choose_adapter(
        adapter, model=model, recipe=recipe, reply_format=reply_format, asks=engine == "transformers"
    )
    asked = load_recipe(recipe, reply_format, found)
    projecting = policy(particles, fuzzy, repeats)
    splitting = windows(window, overlap)
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
    )
    extractor = Extractor(
        asked,
        generator,
        # Sorting by length pays off over several batches; a reader wants the first sentence soon.
        batch_size=batch_size if show or output is None else 4 * batch_size,
        read_as="auto" if engine == "recorded" and reply_format is None else None,
        **splitting,
        **projecting,
    )
    _run(extractor, sentences, output, str(input), restart=restart, show=show or output is None, json=json)
    bad.close()


def _run(
    extractor: Extractor,
    sentences: list[Sentence],
    output: Path | None,
    source: str,
    *,
    restart: bool,
    show: bool,
    json: bool,
) -> None:
    from llmner._files import dump_json, write_bytes
    from llmner.cli._show import console, show_projection
    from llmner.extraction import run_extraction
    from llmner.scoring import corpus_signature

    out = console()
    labels = extractor.recipe.schema_.codes

    with progress("extracting", len(sentences)) as step:

        def seen(extraction: Extraction) -> None:
            step(1)
            if json and show:
                write_bytes(dump_json(extraction.row()) + b"\n")
            elif show:
                show_projection(out, extraction.projection, labels, extraction.sentence.id)

        if output is None:
            for extraction in extractor.extract(sentences):
                seen(extraction)
            return

        def resumed(done: int) -> None:
            step(done)
            note(f"{done} sentences were done already; going on")

        signature = corpus_signature(Path(source).name, sentences)
        try:
            count = run_extraction(
                extractor,
                sentences,
                output,
                source=f"{signature['name']} ({signature['sentences']} sentences, {signature['sha256']})",
                restart=restart,
                on_extraction=seen,
                on_resume=resumed,
            )
        except KeyboardInterrupt:
            note("what was done is kept; the same command goes on from there")
            raise
    note(f"{count} sentences are in {output}")
