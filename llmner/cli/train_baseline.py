"""``llmner train-baseline``: train a tagger to compare a model with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmner.cli._common import JsonOption, SplitOption, StrictOption, guarded, note

if TYPE_CHECKING:
    from llmner.baselines import Trained

app = typer.Typer(
    help="Train a tagger to weigh a model against: crf, bilstm-crf or encoder. extract and "
    "evaluate take its folder as --engine baseline:FOLDER.",
    no_args_is_help=True,
)

_DataOption = Annotated[
    str,
    typer.Option(
        "--train", help="The labelled corpus to learn from: file, saved data set, or Hub name."
    ),
]
_OutputOption = Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")]
_FormatOption = Annotated[str | None, typer.Option(help="The corpus's format; by default guessed.")]
_HeldOption = Annotated[
    float,
    typer.Option(
        min=0,
        help="Sentences to judge epochs by and to stop early: a share below 1, or a number; 0 for "
        "none.",
    ),
]
_SeedOption = Annotated[
    int, typer.Option(min=0, help="Seed of the held-out sentences and of training.")
]
_RestartOption = Annotated[bool, typer.Option("--restart", help="Replace what lies in the folder.")]


@app.command()
@guarded
def crf(
    context: typer.Context,
    train: _DataOption,
    output: _OutputOption,
    format: _FormatOption = None,
    split: SplitOption = None,
    held_out: _HeldOption = 0,
    seed: _SeedOption = 42,
    c1: Annotated[float, typer.Option(min=0, help="Weight of the L1 term.")] = 0.05,
    c2: Annotated[float, typer.Option(min=0, help="Weight of the L2 term.")] = 0.1,
    max_iterations: Annotated[
        int, typer.Option(min=1, help="Passes over all sentences at the most.")
    ] = 60,
    min_frequency: Annotated[int, typer.Option(min=0, help="How often a feature must occur.")] = 0,
    outside_penalty: Annotated[
        float,
        typer.Option(min=0, help="How much less likely O is taken to be when tagging, in nats."),
    ] = 1.0,
    strict: StrictOption = False,
    restart: _RestartOption = False,
    json: JsonOption = False,
) -> None:
    """A linear-chain CRF on characters (sklearn-crfsuite); minutes on one core."""
    _train("crf", context.params)


@app.command("bilstm-crf")
@guarded
def bilstm_crf(
    context: typer.Context,
    train: _DataOption,
    output: _OutputOption,
    format: _FormatOption = None,
    split: SplitOption = None,
    held_out: _HeldOption = 0.1,
    seed: _SeedOption = 42,
    hidden: Annotated[int, typer.Option(min=1, help="Units of each direction.")] = 200,
    layers: Annotated[int, typer.Option(min=1, help="LSTM layers.")] = 1,
    dropout: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of vector elements left out.")
    ] = 0.5,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the sentences at the most.")] = 8,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better F1 before it stops.")
    ] = 5,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences a step.")] = 32,
    learning_rate: Annotated[float, typer.Option(min=1e-9, help="Its highest value.")] = 3e-3,
    strict: StrictOption = False,
    restart: _RestartOption = False,
    json: JsonOption = False,
) -> None:
    """A BiLSTM-CRF on characters; on a CPU."""
    _train("bilstm-crf", context.params)


@app.command()
@guarded
def encoder(
    context: typer.Context,
    train: _DataOption,
    output: _OutputOption,
    model: Annotated[str, typer.Option(help="Name on the Hub or a folder.")] = "klue/roberta-base",
    format: _FormatOption = None,
    split: SplitOption = None,
    held_out: _HeldOption = 0.1,
    seed: _SeedOption = 42,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the sentences at the most.")] = 3,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better F1 before it stops.")
    ] = 3,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows a step.")] = 32,
    learning_rate: Annotated[float, typer.Option(min=1e-9, help="Its highest value.")] = 5e-5,
    warmup: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of the steps in which it rises.")
    ] = 0.0,
    weight_decay: Annotated[float, typer.Option(min=0, help="AdamW's.")] = 0.0,
    max_length: Annotated[int, typer.Option(min=8, help="Longest window, in tokens.")] = 510,
    stride: Annotated[int, typer.Option(min=0, help="Tokens that two windows share.")] = 64,
    freeze_encoder: Annotated[
        bool, typer.Option("--freeze-encoder", help="Train the classification layer alone.")
    ] = False,
    strict: StrictOption = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")
    ] = False,
    restart: _RestartOption = False,
    json: JsonOption = False,
) -> None:
    """Any encoder of the Hub, fine-tuned for token classification; the defaults are KLUE's own."""
    _train("encoder", context.params)


def _train(name: str, options: Mapping[str, Any]) -> None:
    """Train a kind of tagger, configured by the options that are named as its fields."""
    from llmner.baselines import train_baseline
    from llmner.baselines._kinds import KINDS
    from llmner.cli._results import print_json, read_gold

    kind, output, corpus = KINDS[name].config, options["output"], options["train"]
    trained = train_baseline(
        read_gold(corpus, options["format"], options["split"], strict=options["strict"]),
        kind(**{field: options[field] for field in kind.model_fields if field in options}),
        output,
        held_out=options["held_out"],
        seed=options["seed"],
        corpus=Path(corpus).name,
        restart=options["restart"],
        report=note,
    )
    if options["json"]:
        print_json(trained.to_dict())
    else:
        _show(trained, output)
    note(f"the tagger is in {output}; use it with --engine baseline:{output}")


def _show(trained: Trained, output: Path) -> None:
    from rich.text import Text

    from llmner.baselines._store import read_baseline_record
    from llmner.reports.console import console, plain_table, printable

    out = console()
    tags = read_baseline_record(output)["tags"]
    total = sum(tags.values())
    table = plain_table("tag", "characters", "share")
    for tag, count in tags.items():
        table.add_row(Text(printable(tag)), f"{count:,}", f"{count / total:.2%}")
    out.print(table)
    out.print()
    table = plain_table("epoch", "train loss", "eval loss", "precision", "recall", "F1", "seconds")
    # A CRF has many iterations; only the last one matters.
    epochs = trained.epochs if len(trained.epochs) <= 30 else trained.epochs[-1:]
    for epoch in epochs:
        figures = (epoch.train_loss, epoch.eval_loss, epoch.precision, epoch.recall, epoch.f1)
        cells = ["–" if value is None else f"{value:.4f}" for value in figures]
        table.add_row(str(epoch.epoch), *cells, f"{epoch.seconds:.1f}")
    out.print(table)
    if trained.best is not None:
        note(f"best: epoch {trained.best}")
    note(f"{trained.baseline.parameters():,} parameters, trained in {trained.seconds:.0f} s")
