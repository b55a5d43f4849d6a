"""``llmner train``: fine-tune a model on a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from llmner.cli._common import guarded, note
from llmner.cli._interrupts import prompt_interrupts

if TYPE_CHECKING:
    from llmner.training import ExamplePart, TrainingResult

_DESCRIPTION = (
    "Fine-tune a model to answer with entities. Fields come from --config, a YAML file, and from "
    "the options below; later ones win. A run that was interrupted goes on when the same command "
    "is given again."
)
_FLAGS = {
    "show_example": "Print one training row, learnt and masked tokens told apart, and train "
    "nothing.",
    "restart": "Throw away what an earlier run left in the output folder.",
}


@guarded
def train(context: typer.Context) -> None:
    """Fine-tune a model with LoRA or QLoRA; --help lists every field with its unit."""
    from llmner.training import example_row, is_main_process, parse_arguments
    from llmner.training import train as run

    config, flags = parse_arguments(context.args, _FLAGS, description=_DESCRIPTION)
    if flags["show_example"]:
        _print_example(example_row(config))
        return
    with prompt_interrupts(Path(config.evaluation.output)):
        result = run(config, restart=flags["restart"], report=note, on_log=_note_logs)
    if is_main_process():
        _print_table(result)


def _note_logs(logs: dict[str, Any], state: Any) -> None:
    position = f"step {state.global_step} of {state.max_steps}"
    if "eval_loss" in logs:
        figures = "".join(
            f", {name} {logs[f'eval_{key}']:.4f}"
            for key, name in (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))
            if f"eval_{key}" in logs
        )
        note(f"{position}: held-out loss {logs['eval_loss']:.4f}{figures}")
    elif "loss" in logs:
        note(f"{position}: loss {logs['loss']:.4f}, learning rate {logs['learning_rate']:.2e}")


def _print_example(parts: list[ExamplePart]) -> None:
    from rich.text import Text

    from llmner.reports.console import console

    out = console()
    plain = not out.is_terminal or out.no_color
    styles = {"learnt": "bold green", "masked": "dim", "padding": "dim red"}
    text = Text()
    for part in parts:
        content = part.text if part.kind != "padding" else f"({part.tokens} tokens of padding)"
        if plain and part.kind == "learnt":
            content = f"[[{content}]]"
        text.append(content, styles[part.kind])
    out.print(text, soft_wrap=True)
    counts = {kind: sum(part.tokens for part in parts if part.kind == kind) for kind in styles}
    legend = "in double brackets" if plain else "green"
    note(f"{counts['learnt']} tokens are learnt ({legend}), {counts['masked']} are not")


def _print_table(result: TrainingResult) -> None:
    from rich.table import Table

    from llmner.reports.console import console

    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in (
        "epoch",
        "steps",
        "train loss",
        "eval loss",
        "precision",
        "recall",
        "F1",
        "seconds",
    ):
        table.add_column(column, justify="right")
    for row in result.epochs:
        figures = (row.train_loss, row.eval_loss, row.precision, row.recall, row.f1)
        cells = ["–" if value is None else f"{value:.4f}" for value in figures]
        table.add_row(str(row.epoch), str(row.step), *cells, f"{row.seconds:.0f}")
    console().print(table)
    if result.best is not None and result.best["f1"] > 0:
        note(f"best: step {result.best['step']}, F1 {result.best['f1']:.4f}")
    elif result.best is not None:
        note(
            "warning: no entity of a held-out sentence was right in any evaluation, so the weights "
            f"with the lowest loss are kept (step {result.best['step']}, "
            f"{result.best['loss']:.4f}); train for longer, or on more sentences"
        )
    note(f"the adapter is in {result.folder}")
