"""``llmner push``: upload a trained adapter or baseline to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmner.cli._common import JsonOption, guarded, note
from llmner.errors import InputError

if TYPE_CHECKING:
    from llmner.hub.adapters import PushResult

_CARD_LINES = 30


@guarded
def push(
    folder: Annotated[
        Path, typer.Argument(help="The folder that llmner train or train-baseline wrote.")
    ],
    repo: Annotated[str, typer.Option(help="USER/NAME on the Hub; made if it does not exist.")],
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show what would be uploaded; needs neither network nor token."
        ),
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="What the adapter was trained with, if its folder lacks recipe.yaml: name or path."
        ),
    ] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(
            help="What evaluate --json printed, for the card, besides the folder's "
            "evaluation-*.json. May be given several times."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Upload an adapter or a baseline to the Hugging Face Hub, with a model card written for it.

    The token comes from HF_TOKEN or hf auth login. The folder's README.md stays: the card is
    written anew.
    """
    from llmner.baselines._store import RECORD_FILE
    from llmner.files import is_file
    from llmner.hub.adapters import push_adapter

    if is_file(folder / RECORD_FILE):
        from llmner.hub.taggers import push_baseline

        if recipe is not None:
            raise InputError("--recipe does not apply to a baseline", hint="leave it out")
        _print_result(
            push_baseline(
                folder,
                repo,
                private=private,
                dry_run=dry_run,
                evaluations=evaluation or (),
                report=note,
            ),
            json=json,
        )
        return
    result = push_adapter(
        folder,
        repo,
        private=private,
        dry_run=dry_run,
        recipe=recipe,
        evaluations=evaluation or (),
        report=note,
    )
    _print_result(result, json=json)


def _print_result(result: PushResult, *, json: bool) -> None:
    if json:
        from llmner.cli._results import print_json

        print_json(result.to_dict())
    else:
        _show(result)


def _show(result: PushResult) -> None:
    from rich.table import Table
    from rich.text import Text

    from llmner.reports.console import console, printable

    out = console()
    table = Table(box=None, padding=(0, 2), header_style="bold")
    table.add_column("file")
    table.add_column("bytes", justify="right")
    for name, size in result.files:
        table.add_row(Text(printable(name)), f"{size:,}")
    out.print(table)
    if result.dry_run:
        lines = result.card.splitlines()
        out.print(
            Text(f"\nREADME.md, its first {min(_CARD_LINES, len(lines))} of {len(lines)} lines:\n")
        )
        out.print(Text(printable("\n".join(lines[:_CARD_LINES]))), soft_wrap=True)
        note(f"nothing was uploaded; without --dry-run it would go to {result.url}")
    else:
        out.print(Text(result.url), soft_wrap=True)
        note(f"commit {result.commit}")
