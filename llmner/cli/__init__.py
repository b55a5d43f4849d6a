"""The command line: one module per command, and no heavy import before a command runs.

Data goes to standard output, everything else to standard error. The exit code is 0 for success, 1
if the work failed, 2 for wrong usage or bad input; ``_ending`` has two more. Commands contain no
logic: they parse, call the library and print.

>>> from typer.testing import CliRunner
>>> print(CliRunner().invoke(app, ["--version"]).output.split()[0])
llmner
"""

from __future__ import annotations

import atexit
import gc
from typing import Annotated

import typer

from llmner.cli import (
    batch,
    calibrate,
    compare,
    compare_models,
    convert,
    doctor,
    evaluate,
    explain,
    extract,
    merge,
    project,
    push,
    serve,
    stats,
    train,
    train_baseline,
    view,
)
from llmner.cli._asking import GroupedCommand
from llmner.cli._ending import Root, fill_standard_files

__all__ = ["app", "main"]

app = typer.Typer(
    name="llmner",
    cls=Root,
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Named entities from any LLM: exact, auditable spans; run in batches, scored as the "
    "field scores.",
)
app.command("extract", cls=GroupedCommand)(extract.extract)
app.add_typer(batch.app, name="batch")
app.command("project", cls=GroupedCommand)(project.project)
app.command("convert", cls=GroupedCommand)(convert.convert)
app.command("stats")(stats.stats)
app.command("evaluate", cls=GroupedCommand)(evaluate.evaluate)
app.command("explain", cls=GroupedCommand)(explain.explain)
app.command("view")(view.view)
app.command("compare")(compare.compare)
app.command("compare-models")(compare_models.compare_models)
app.command("calibrate")(calibrate.calibrate)
# The options of train are the fields of a training configuration, which parses them itself.
app.command(
    "train",
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    },
)(train.train)
app.add_typer(train_baseline.app, name="train-baseline")
app.command("merge")(merge.merge)
app.command("push")(push.push)
app.command("serve", cls=GroupedCommand)(serve.serve)
app.command("doctor")(doctor.doctor)


def _version(show: bool) -> None:
    if show:
        from llmner import __version__

        typer.echo(f"llmner {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the ``llmner`` command."""
    fill_standard_files()
    # At its end, Python would look for garbage among all objects: a second, with a model loaded.
    atexit.register(gc.freeze)
    app()
