"""``llmner view``: texts and what was found in them, as a page for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmner.cli._common import FromOption, guarded, note, tell_reading


@guarded
def view(
    file: Annotated[
        Path, typer.Argument(help="What extract wrote, or a corpus in any format; - for stdin.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The page to write; by default FILE.html.", show_default=False
        ),
    ] = None,
    from_: FromOption = None,
    open: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write one HTML file that shows every text with its entities and outcomes.

    It needs no network, and filters by label, outcome, score and words.
    """
    from llmner.cli._results import check_outputs
    from llmner.corpora import ReadStats
    from llmner.files import whole_file
    from llmner.reports import render_view
    from llmner.scoring import read_predictions

    is_stream = str(file) == "-"
    page = output or Path("view.html" if is_stream else f"{file}.html")
    check_outputs(None, page, [file])
    stats = ReadStats()
    predictions = read_predictions(file, from_, stats=stats)
    tell_reading(stats)
    name = "standard input" if is_stream else file.name
    with whole_file(page) as stream:
        stream.write(render_view(predictions, name).encode("utf-8", "replace"))
    note(f"wrote {page}")
    if open:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
