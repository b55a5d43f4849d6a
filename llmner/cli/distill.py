"""``llmner distill``: a small tagger from what a large model says of unlabelled text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmner.asking import AskOptions
from llmner.asking.options import OPTIONS
from llmner.cli._asking import with_ask_options
from llmner.cli._common import (
    FromOption,
    RestartOption,
    SplitOption,
    StrictOption,
    dashed,
    guarded,
    note,
    note_resumed,
    progress,
    resumable,
    tell_unanswered,
)
from llmner.cli._interrupts import prompt_interrupts
from llmner.errors import InputError

if TYPE_CHECKING:
    from llmner.extraction import SpanExtractor
    from llmner.spans import Sentence

_NAMES = [name for name in OPTIONS if name not in ("engine", "model", "replies", "min_score")]


@guarded
@with_ask_options(names=_NAMES)
def distill(
    corpus: Annotated[str, typer.Argument(help="Text without labels: any corpus, or lines.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the student.")],
    model: Annotated[
        str,
        typer.Option(help="The teacher: an engine, such as openai:MODEL, or baseline:FOLDER."),
    ] = "transformers",
    student: Annotated[str, typer.Option(help="What learns: crf or bilstm-crf.")] = "crf",
    labelled: Annotated[
        str | None,
        typer.Option(help="Labelled sentences that it learns from as well.", show_default=False),
    ] = None,
    min_score: Annotated[
        float,
        typer.Option(min=0, max=1, help="Sentences with a less sure span teach nothing."),
    ] = 0.5,
    from_: FromOption = None,
    split: SplitOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of training.")] = 42,
    options: AskOptions = AskOptions(),
    strict: StrictOption = False,
    restart: RestartOption = False,
) -> None:
    """Label text with a teacher, keep what it is certain of, and train a small tagger on that.

    What the teacher says is kept in OUTPUT.teacher.jsonl, and asked for once: an interrupted run
    goes on, and another --min-score or --student (with --restart) asks nothing again.
    """
    from llmner.asking.judges import build_judge
    from llmner.baselines import train_baseline
    from llmner.baselines._kinds import KINDS, seeded
    from llmner.baselines._train import check_folder
    from llmner.cli._results import check_outputs, read_gold
    from llmner.errors import UnknownNameError
    from llmner.labelling import FOLD_MODELS, certain

    if student not in FOLD_MODELS:
        raise UnknownNameError(
            f"unknown student {student!r}", hint=f"expected {', '.join(FOLD_MODELS)}"
        )
    output = output.resolve()
    if not output.name:
        raise InputError("is no folder for a student", path=output, hint="name another")
    rows_path = output.with_name(f"{output.name}.teacher.jsonl")
    check_outputs(None, rows_path, [Path(corpus), *([Path(labelled)] if labelled else [])])
    check_folder(output, restart=restart)
    sentences = read_gold(corpus, from_, split, strict=strict)
    gold = [] if labelled is None else read_gold(labelled, None, None, strict=strict)
    known = {sentence.text for sentence in gold}
    waiting = [sentence for sentence in sentences if sentence.text not in known]
    if not waiting:
        raise InputError("there is no text that is not labelled", path=corpus)
    teacher = build_judge(model, options, waiting, report=note, spell=dashed)
    if teacher is None:
        raise InputError(f"{model} learns from labels, so it is no teacher", hint="name an engine")
    rows = _taught(teacher, waiting, rows_path, Path(corpus).name, restart=restart)
    spanned = [row for row in rows if row.get("spans")]
    if spanned and not any("score" in own for row in spanned for own in row["spans"]):
        raise InputError(
            f"{model} gives no scores, so nothing says what it is certain of",
            hint=f"draw several replies with {dashed('samples')}, or name another teacher",
        )
    silver = certain(rows, min_score)
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in silver.dropped.items())
    note(
        f"{len(silver.sentences):,} of {len(waiting):,} sentences teach"
        + (f"; left out: {dropped}" if dropped else "")
    )
    if not any(sentence.spans for sentence in (*silver.sentences, *gold)):
        raise InputError(
            "the teacher is certain of no entity", hint=f"try a lower {dashed('min_score')}"
        )
    with prompt_interrupts(output):
        trained = train_baseline(
            [*gold, *silver.sentences],
            seeded(KINDS[student].config, seed),
            output,
            seed=seed,
            corpus=Path(corpus).name,
            restart=restart,
            report=note,
        )
    note(
        f"{trained.baseline.parameters():,} parameters, trained in {trained.seconds:.0f} s; the "
        f"student is in {output}; use it with --engine baseline:{output}"
    )


def _taught(
    teacher: SpanExtractor, sentences: list[Sentence], path: Path, name: str, *, restart: bool
) -> list[dict[str, Any]]:
    """The teacher's rows; those of a finished run with the same teacher and texts are read."""
    from llmner.extraction.runs import check_replaceable, run_extraction, run_plan, run_record
    from llmner.files import read_jsonl
    from llmner.scoring import corpus_source

    source = corpus_source(name, sentences)
    made = path.is_file() and run_record(path) == run_plan(source, teacher)
    # --restart is about the student, where the teacher has said this already.
    if not made:
        if not restart:
            check_replaceable(path, source, teacher)
        with (
            progress("asking the teacher", len(sentences)) as step,
            resumable(step, restart=restart),
        ):
            summary = run_extraction(
                teacher,
                sentences,
                path,
                source=source,
                restart=restart,
                on_extraction=lambda _: step(1),
                on_resume=lambda done: note_resumed(step, done),
            )
        tell_unanswered(summary.unanswered, summary.sentences, summary.reason, "they teach nothing")
    else:
        note(f"what the teacher says is in {path} already")
    return [row for _, row in read_jsonl(path)]
