"""``llmner audit``: which labels of a corpus are likely wrong, and a corpus without those."""

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
    counted,
    dashed,
    guarded,
    note,
    progress,
)
from llmner.cli._interrupts import prompt_interrupts
from llmner.errors import CorpusError, InputError

if TYPE_CHECKING:
    from llmner.labelling import Suspicion
    from llmner.spans import Sentence


@guarded
@with_ask_options(names=JUDGE_OPTIONS)
def audit(
    corpus: Annotated[
        str, typer.Argument(help="The labelled corpus: file, saved data set, or Hub name.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The rows to write, the likeliest errors first."),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="What judges: crf or bilstm-crf, trained on the folds; baseline:FOLDER; or an "
            "engine, such as openai:MODEL. May be given several times.",
            show_default="crf",
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, max=100, help="Parts, each judged by a tagger of the others.")
    ] = 5,
    held_out: Annotated[
        str | None,
        typer.Option(help="The held-out part; texts in both are told.", show_default=False),
    ] = None,
    from_: FromOption = None,
    split: SplitOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the folds and of planted errors.")] = 42,
    options: AskOptions = AskOptions(),
    report: Annotated[
        Path | None,
        typer.Option(help="Write a page to decide on each row, HTML.", show_default=False),
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option(
            help="Rows with decisions: write the corpus as they mend it, as spans JSONL.",
            show_default=False,
        ),
    ] = None,
    strict: StrictOption = False,
) -> None:
    """Rank the labels of CORPUS by how likely each is wrong: missing, spurious, at a wrong place.

    Each row has a decision to fill in: accept takes the suggestion, keep leaves the label, and
    {"start", "end", "label"} puts another one. The page of --report does that, too; --apply then
    writes the corpus as it should be.
    """
    from llmner.cli._results import check_outputs, read_gold

    inputs = [Path(corpus), *([Path(held_out)] if held_out else []), *([apply] if apply else [])]
    if report is not None and report.suffix.lower() not in (".html", ".htm"):
        raise InputError("the report of an audit is a page", path=report, hint="name it .html")
    check_outputs(report, output, inputs)
    if apply is not None and (report is not None or model):
        raise InputError("--apply asks no model and has no report", hint="leave them out")
    _check_decided(output)
    sentences = read_gold(corpus, from_, split, strict=strict)
    if apply is not None:
        _apply(sentences, apply, output)
        return
    others = [] if held_out is None else read_gold(held_out, None, None, strict=strict)
    found = _found(sentences, others, model or ["crf"], options, output, folds=folds, seed=seed)
    _write(found, output, report, Path(corpus).name)


def _found(
    sentences: list[Sentence],
    held_out: list[Sentence],
    models: list[str],
    options: AskOptions,
    output: Path,
    *,
    folds: int,
    seed: int,
) -> list[Suspicion]:
    import shutil

    from llmner.asking.judges import judged
    from llmner.files import beside
    from llmner.labelling import audit as audited

    # Taggers of an interrupted run are there, and are used again.
    folder = beside(output, ".folds")
    with (
        progress("judging", len(sentences) * len(models)) as step,
        prompt_interrupts(folder, lambda: _kept(folder)),
    ):
        evidence = judged(
            sentences,
            models,
            options,
            folder,
            folds=folds,
            seed=seed,
            report=note,
            on_sentence=lambda: step(1),
            spell=dashed,
        )
    found = audited(sentences, evidence, held_out=held_out, seed=seed)
    shutil.rmtree(folder, ignore_errors=True)
    return found


def _check_decided(output: Path) -> None:
    """Make sure that nobody's decisions are written over.

    Raises:
        InputError: The output holds some.
    """
    from llmner.files import is_file, read_jsonl

    if not is_file(output):
        return
    try:
        rows = [row for _, row in read_jsonl(output)]
    except (CorpusError, InputError):
        return
    count = sum(isinstance(row, dict) and row.get("decision") is not None for row in rows)
    if count:
        raise InputError(
            f"has {count} decisions",
            path=output,
            hint="use them with --apply, or name another output",
        )


def _kept(folder: Path) -> str:
    taggers = len(list(folder.glob("*/baseline.json")))
    if not taggers:
        return "interrupted before anything was kept; the same command starts anew"
    return (
        f"interrupted; {taggers} trained taggers are kept, and the same command goes on from there"
    )


def _write(found: list[Suspicion], output: Path, report: Path | None, name: str) -> None:
    from collections import Counter

    from llmner.files import whole_file, write_jsonl
    from llmner.reports import render_audit

    rows = [own.row() for own in found]
    write_jsonl(output, rows)
    if report is not None:
        with whole_file(report) as stream:
            stream.write(render_audit(rows, name).encode("utf-8", "replace"))
    kinds = Counter(own.kind for own in found)
    told = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common()) or "none"
    if report is not None:
        note(f"wrote {report}")
    note(f"{len(found):,} labels to look at are in {output}, the likeliest errors first: {told}")


def _apply(sentences: list[Sentence], decisions: Path, output: Path) -> None:
    from llmner.corpora import write_corpus
    from llmner.labelling import apply_decisions
    from llmner.labelling.audit import read_decisions

    decided = read_decisions(decisions)
    mended, changed = apply_decisions(sentences, decided)
    with progress("writing", len(mended)) as step:
        write_corpus(counted(mended, step), output, "spans")
    open_rows = sum(decision is None for _, decision in decided)
    note(
        f"{changed:,} labels are changed in {output}; {open_rows:,} of {len(decided):,} rows have "
        "no decision"
    )
