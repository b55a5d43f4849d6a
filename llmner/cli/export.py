"""``llmner export``: a trained model in another form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmner.cli._common import FromOption, RemoteCodeOption, SplitOption, guarded, note

if TYPE_CHECKING:
    from llmner.exporting import Figures


@guarded
def export(
    source: Annotated[
        str,
        typer.Argument(
            help="An adapter, a language model or a baseline: a folder, USER/NAME on the Hub "
            "(baseline:USER/NAME for a baseline), or the packaged adapter's name."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")],
    to: Annotated[
        str,
        typer.Option(
            help="onnx or int8 for an encoder, which then runs without torch; bfloat16, int8 (for "
            "vLLM) or gguf (for llama.cpp) for a language model."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="The base model, where it is not the one that an adapter names."),
    ] = None,
    quantization: Annotated[
        str,
        typer.Option(help="A GGUF's matrices: q8_0, q5_1, q5_0, q4_1, q4_0, bf16, f16 or f32."),
    ] = "q8_0",
    gold: Annotated[
        str | None,
        typer.Option(
            help="Labelled sentences: tells size, speed and F1 before and after, for an encoder.",
            show_default=False,
        ),
    ] = None,
    from_: FromOption = None,
    split: SplitOption = None,
    trust_remote_code: RemoteCodeOption = False,
) -> None:
    """Write a trained model in another form, with its tokenizer and its recipe or record.

    Encoders become ONNX, which runs without torch: extract, serve and evaluate take the folder as
    they took the first one. Adapters are merged into their base model.
    """
    from llmner.cli._results import read_gold
    from llmner.exporting import compare_exported, export_model
    from llmner.exporting.exports import GGUF_FILE

    sentences = [] if gold is None else read_gold(gold, from_, split, strict=False)
    exported = export_model(
        source,
        output,
        to,  # type: ignore[arg-type]
        model=model,
        quantization=quantization,  # type: ignore[arg-type]
        trust_remote_code=trust_remote_code,
        report=note,
    )
    note(f"{output} has {exported.bytes / 1e6:,.0f} MB")
    if exported.error is not None:
        note(f"its matrices differ by {exported.error:.1%} from the original ones")
    if exported.notice is not None:
        note(f"it comes under the base model's terms: {exported.notice}")
    if exported.source is not None:
        note(f"llmner extract --engine baseline:{output} asks it")
        if sentences:
            _print_figures(*compare_exported(exported.source, output, sentences))
    elif exported.form == "gguf":
        note(f"llama-server -m {output / GGUF_FILE} serves it")
        note("llmner extract --base-url http://127.0.0.1:8080/v1 asks the server, with the recipe")
    else:
        note(f"--model {output} asks it with the recipe that lies there")


def _print_figures(before: Figures, after: Figures) -> None:
    from llmner.reports.console import console, plain_table

    table = plain_table("", "MB", "sentences a second", "F1", "same answer")
    for name, own in (("before", before), ("after", after)):
        table.add_row(
            name,
            f"{own.bytes / 1e6:,.0f}",
            f"{own.sentences_a_second:,.1f}",
            f"{own.f1:.4f}",
            f"{own.same:.1%}",
        )
    console().print(table)
