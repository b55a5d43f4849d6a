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
from collections.abc import Callable
from typing import Annotated

import typer

from llmner.cli import (
    audit,
    batch,
    calibrate,
    compare,
    compare_models,
    convert,
    distill,
    doctor,
    evaluate,
    explain,
    export,
    extract,
    merge,
    project,
    push,
    select,
    serve,
    stats,
    train,
    train_baseline,
    view,
)
from llmner.cli._ending import Root, fill_standard_files
from llmner.cli._help import GroupedCommand

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


def _add(panel: str, **commands: Callable[..., None]) -> None:
    for name, command in commands.items():
        named = app.command(name.replace("_", "-"), cls=GroupedCommand, rich_help_panel=panel)
        named(command)


_FIND, _MEASURE, _TRAIN = "Find entities", "Measure", "Train and publish"
_add(_FIND, extract=extract.extract, project=project.project, view=view.view, serve=serve.serve)
app.add_typer(batch.app, name="batch", rich_help_panel=_FIND)
_add(
    _MEASURE,
    evaluate=evaluate.evaluate,
    compare=compare.compare,
    compare_models=compare_models.compare_models,
    calibrate=calibrate.calibrate,
    explain=explain.explain,
)
_add("Corpora", convert=convert.convert, stats=stats.stats, audit=audit.audit, select=select.select)
# The options of train are the fields of a training configuration, which parses them itself.
app.command(
    "train",
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    },
    rich_help_panel=_TRAIN,
)(train.train)
app.add_typer(train_baseline.app, name="train-baseline", rich_help_panel=_TRAIN)
_add(_TRAIN, distill=distill.distill, export=export.export, merge=merge.merge, push=push.push)
_add("This machine", doctor=doctor.doctor)


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
