"""``llmner explain``: which words a label rests on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from llmner.asking import AskOptions, build, build_baseline, in_language_of, is_baseline, prepare
from llmner.cli._asking import given_options, with_ask_options
from llmner.cli._common import (
    FromOption,
    JsonOption,
    dashed,
    guarded,
    not_both,
    note,
    progress,
)
from llmner.errors import InputError


@guarded
@with_ask_options()
def explain(
    context: typer.Context,
    text: Annotated[
        str | None, typer.Argument(help="A text to explain.", show_default=False)
    ] = None,
    input: Annotated[
        Path | None, typer.Option("--input", "-i", help="A corpus, whose texts are explained.")
    ] = None,
    from_: FromOption = None,
    options: AskOptions = AskOptions(),
    report: Annotated[
        Path | None,
        typer.Option(help="Write an HTML page of all texts, one file.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show which words a label rests on: how far its score falls without each of them.

    Of sentences that select picked, also why, and which words the model is unsure for.

    A text of ten words is asked about eleven times. Classifiers (train-baseline classifier) are
    quick at that; a language model needs scores, which the transformers and vllm engines give.
    """
    from llmner.cli._results import check_outputs
    from llmner.corpora import read_corpus
    from llmner.extraction import SpanExtractor
    from llmner.files import dump_json, is_file, whole_file, write_bytes
    from llmner.labelling import explain as explained
    from llmner.labelling import explain_doubt, picked_reasons
    from llmner.labelling.explaining import Remembering
    from llmner.reports import render_explanations
    from llmner.reports.console import console, show_explanations
    from llmner.spans import Sentence

    not_both(TEXT=text, input=input)
    if json and report is not None:
        raise InputError("--json and --report are two outputs", hint="choose one")
    check_outputs(None, report, [] if input is None else [input])
    sentences = [Sentence(text)] if text is not None else list(read_corpus(str(input), from_))
    extractor: SpanExtractor
    if is_baseline(options.engine.engine):
        given = given_options(context, options.flat())
        extractor = build_baseline(options, given=given, report=note, spell=dashed)
    else:
        asking = in_language_of(prepare(options, note), (sentence.text for sentence in sentences))
        extractor = build(asking, soon=True, report=note, spell=dashed)
    # A pipe cannot be read again.
    reasons = picked_reasons(input) if input is not None and is_file(input) else []
    picked = len(reasons) == len(sentences)
    out = console()
    rows = []
    with progress("explaining", len(sentences)) as step:
        for number, sentence in enumerate(sentences):
            # Doubt is about the same texts as labels are.
            asked = Remembering(extractor) if picked else extractor
            (found,) = explained(asked, [sentence])
            step(1)
            reason = reasons[number] if picked else None
            doubted = reason is not None and reason.startswith(("uncertainty:", "mixed:"))
            doubt = explain_doubt(asked, sentence.text) if doubted else None
            if json:
                row: dict[str, Any] = {"id": sentence.id, "text": sentence.text}
                if picked:
                    told = None if doubt is None else doubt.to_dict()
                    row |= {"picked": reason, "doubt": told}
                row |= {"explanations": [explanation.to_dict() for explanation in found]}
                write_bytes(dump_json(row) + b"\n")
                continue
            explanations = found if doubt is None else (doubt, *found)
            if report is not None:
                rows.append((sentence, explanations, reason))
            else:
                show_explanations(out, sentence.text, explanations, reason)
    if report is not None:
        with whole_file(report) as stream:
            stream.write(render_explanations(rows).encode())
        note(f"wrote {report}")
