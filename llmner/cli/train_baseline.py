"""``llmner train-baseline``: train a tagger to compare a model with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmner.cli._asking import given_options
from llmner.cli._common import (
    FromOption,
    JsonOption,
    RemoteCodeOption,
    SplitOption,
    StrictOption,
    dashed,
    guarded,
    note,
)
from llmner.cli._help import CommandGroup, GroupedCommand, current_name
from llmner.cli._interrupts import prompt_interrupts
from llmner.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from llmner.baselines import Trained
    from llmner.baselines._kinds import Kind

app = typer.Typer(
    cls=CommandGroup,
    help="Train a tagger to weigh a model against: crf, bilstm-crf or encoder for spans, "
    "classifier for labels of whole texts. extract and evaluate take its folder as "
    "--engine baseline:FOLDER.",
    no_args_is_help=True,
)

_DataOption = Annotated[
    str | None,
    typer.Option(
        "--train", help="The labelled corpus to learn from: file, saved data set, or Hub name."
    ),
]
_OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="The folder to make.", show_default=False)
]
_ConfigOption = Annotated[
    Path | None,
    typer.Option(
        help="A YAML file with any of these options, named with underscores; those given here win.",
        show_default=False,
    ),
]
_ValidationOption = Annotated[
    str | None,
    typer.Option(
        help="A labelled corpus that judges epochs, in place of held-out sentences.",
        show_default=False,
    ),
]
_SeedsOption = Annotated[
    str | None,
    typer.Option(
        help="Several seeds, such as 1,2,3: a tagger for each in a folder of its own, and the mean "
        "of their figures.",
        show_default=False,
    ),
]
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
_EpochsOption = Annotated[int, typer.Option(min=1, help="Passes over the sentences at the most.")]
_PatienceOption = Annotated[
    int, typer.Option(min=1, help="Epochs without a better F1 before it stops.")
]
_BatchOption = Annotated[int, typer.Option(min=1, help="Windows a device takes at once.")]
_AccumulationOption = Annotated[int, typer.Option(min=1, help="Batches added up for one step.")]
_BatchingOption = Annotated[
    str, typer.Option(help="length puts windows of similar lengths together, random does not.")
]
_RateOption = Annotated[float, typer.Option(min=1e-9, help="Its highest value.")]
_WarmupOption = Annotated[
    float, typer.Option(min=0, max=0.99, help="Share of the steps in which it rises.")
]
_DecayOption = Annotated[float, typer.Option(min=0, help="AdamW's.")]
_NormOption = Annotated[
    float, typer.Option(min=1e-9, help="Gradients are scaled down to this length.")
]
_DropoutOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=0.99,
        help="Share of hidden states left out; by default the model's own.",
        show_default=False,
    ),
]
_PrecisionOption = Annotated[str, typer.Option(help="float32, or mixed precision in bf16 or fp16.")]
_LengthOption = Annotated[int, typer.Option(min=8, help="Longest window, in tokens.")]
_StrideOption = Annotated[int, typer.Option(min=0, help="Tokens that two windows share.")]
_FreezeOption = Annotated[
    bool, typer.Option("--freeze-encoder", help="Train the classification layer alone.")
]
_FreezeEmbeddingsOption = Annotated[
    bool | None,
    typer.Option(
        "--freeze-embeddings/--train-embeddings",
        help="Leave the vectors of tokens as they are; by default where they are more than "
        "half of the weights.",
        show_default=False,
    ),
]
_LogStepsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Steps between two losses for TensorBoard, besides each epoch's."),
]
_SaveStepsOption = Annotated[
    int | None, typer.Option(min=1, help="Steps between two checkpoints, besides each epoch's.")
]
# The panel of help for options that are not of encoders.
_LINEAR = "Linear classifier"
_RestartOption = Annotated[bool, typer.Option("--restart", help="Replace what lies in the folder.")]


@app.command(cls=GroupedCommand)
@guarded
def crf(
    context: typer.Context,
    train: _DataOption = None,
    output: _OutputOption = None,
    config: _ConfigOption = None,
    from_: FromOption = None,
    split: SplitOption = None,
    validation: _ValidationOption = None,
    held_out: _HeldOption = 0,
    seed: _SeedOption = 42,
    seeds: _SeedsOption = None,
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
    _train("crf", context)


@app.command("bilstm-crf", cls=GroupedCommand)
@guarded
def bilstm_crf(
    context: typer.Context,
    train: _DataOption = None,
    output: _OutputOption = None,
    config: _ConfigOption = None,
    from_: FromOption = None,
    split: SplitOption = None,
    validation: _ValidationOption = None,
    held_out: _HeldOption = 0.1,
    seed: _SeedOption = 42,
    seeds: _SeedsOption = None,
    hidden: Annotated[int, typer.Option(min=1, help="Units of each direction.")] = 200,
    layers: Annotated[int, typer.Option(min=1, help="LSTM layers.")] = 1,
    dropout: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of vector elements left out.")
    ] = 0.5,
    epochs: _EpochsOption = 8,
    patience: _PatienceOption = 5,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences a step.")] = 32,
    learning_rate: _RateOption = 3e-3,
    strict: StrictOption = False,
    restart: _RestartOption = False,
    json: JsonOption = False,
) -> None:
    """A BiLSTM-CRF on characters; on a CPU."""
    _train("bilstm-crf", context)


@app.command(cls=GroupedCommand)
@guarded
def encoder(
    context: typer.Context,
    train: _DataOption = None,
    output: _OutputOption = None,
    config: _ConfigOption = None,
    model: Annotated[
        str, typer.Option(help="Name on the Hub, a folder, or gemma-3-270m.")
    ] = "klue/roberta-base",
    head: Annotated[
        str,
        typer.Option(
            help="What is tagged: tokens, or characters by a BiLSTM-CRF over their tokens' states; "
            "auto is tokens, and characters for language models."
        ),
    ] = "auto",
    from_: FromOption = None,
    split: SplitOption = None,
    validation: _ValidationOption = None,
    held_out: _HeldOption = 0.1,
    seed: _SeedOption = 42,
    seeds: _SeedsOption = None,
    epochs: _EpochsOption = 3,
    patience: _PatienceOption = 3,
    batch_size: _BatchOption = 32,
    gradient_accumulation: _AccumulationOption = 1,
    batching: _BatchingOption = "random",
    learning_rate: _RateOption = 5e-5,
    head_learning_rate: Annotated[
        float, typer.Option(min=1e-9, help="That of the head of characters.")
    ] = 1e-3,
    warmup: _WarmupOption = 0.0,
    weight_decay: _DecayOption = 0.0,
    max_grad_norm: _NormOption = 1.0,
    dropout: _DropoutOption = None,
    precision: _PrecisionOption = "float32",
    max_length: _LengthOption = 510,
    stride: _StrideOption = 64,
    freeze_encoder: _FreezeOption = False,
    freeze_embeddings: _FreezeEmbeddingsOption = None,
    hidden: Annotated[
        int, typer.Option(min=1, help="Units of each direction of the head of characters.")
    ] = 200,
    log_steps: _LogStepsOption = None,
    save_steps: _SaveStepsOption = None,
    strict: StrictOption = False,
    trust_remote_code: RemoteCodeOption = False,
    restart: _RestartOption = False,
    json: JsonOption = False,
) -> None:
    """Any encoder of the Hub, fine-tuned for token classification; the defaults are KLUE's own."""
    _train("encoder", context)


@app.command(cls=GroupedCommand)
@guarded
def classifier(
    context: typer.Context,
    train: _DataOption = None,
    output: _OutputOption = None,
    config: _ConfigOption = None,
    model: Annotated[
        str, typer.Option(help="linear, or an encoder: name on the Hub, folder, or gemma-3-270m.")
    ] = "linear",
    from_: FromOption = None,
    split: SplitOption = None,
    validation: _ValidationOption = None,
    held_out: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Texts that choose thresholds, and an encoder's epoch: a share below 1, or a "
            "number; by default none, and 0.1 for an encoder.",
            show_default=False,
        ),
    ] = None,
    seed: _SeedOption = 42,
    seeds: _SeedsOption = None,
    class_weight: Annotated[
        str, typer.Option(help="none, or balanced for texts weighted by how rare a label is.")
    ] = "none",
    ngrams: Annotated[
        int,
        typer.Option(
            min=1,
            max=8,
            help="The longest n-grams of characters.",
            rich_help_panel=_LINEAR,
        ),
    ] = 4,
    buckets: Annotated[
        int,
        typer.Option(min=256, help="The number of hashed features.", rich_help_panel=_LINEAR),
    ] = 1 << 17,
    c: Annotated[
        float,
        typer.Option(
            min=1e-9,
            help="Inverse strength of regularisation.",
            rich_help_panel=_LINEAR,
        ),
    ] = 10.0,
    folds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Parts that choose a threshold for each label; 0 for 0.5 throughout.",
            rich_help_panel=_LINEAR,
        ),
    ] = 3,
    epochs: _EpochsOption = 3,
    patience: _PatienceOption = 3,
    batch_size: _BatchOption = 32,
    gradient_accumulation: _AccumulationOption = 1,
    batching: _BatchingOption = "random",
    learning_rate: _RateOption = 5e-5,
    warmup: _WarmupOption = 0.0,
    weight_decay: _DecayOption = 0.0,
    max_grad_norm: _NormOption = 1.0,
    dropout: _DropoutOption = None,
    precision: _PrecisionOption = "float32",
    max_length: _LengthOption = 510,
    stride: _StrideOption = 64,
    freeze_encoder: _FreezeOption = False,
    freeze_embeddings: _FreezeEmbeddingsOption = None,
    log_steps: _LogStepsOption = None,
    save_steps: _SaveStepsOption = None,
    strict: StrictOption = False,
    trust_remote_code: RemoteCodeOption = False,
    restart: _RestartOption = False,
    json: JsonOption = False,
) -> None:
    """Labels of whole texts and their attributes: from n-grams of characters (scikit-learn) in
    seconds on one core, or by an encoder."""
    _train("classifier", context)


def _train(name: str, context: typer.Context) -> None:
    """Train a kind of tagger, configured by the options that are named as its fields."""
    from llmner.baselines import train_baseline
    from llmner.cli._results import print_json, read_gold

    kind, options = _chosen(name, context)
    for required in ("train", "output"):
        if not options[required]:
            raise InputError(f"--{required} is missing", hint="name it, here or in --config")
    if (
        options["validation"] is not None
        and given_options(context, ["held_out"])
        and options["held_out"]
    ):
        raise InputError("--held-out and --validation cannot both choose", hint="give one of them")
    output, corpus = Path(options["output"]), str(options["train"])
    strict = bool(options["strict"])
    sentences = read_gold(corpus, options["from_"], options["split"], strict=strict)
    validation = None
    if options["validation"] is not None:
        validation = read_gold(str(options["validation"]), None, None, strict=strict)
        options["held_out"] = 0
    if validation is None and not options["held_out"] and given_options(context, ["patience"]):
        raise InputError(
            "--patience needs held-out sentences, and there are none",
            hint="give --held-out or --validation",
        )
    seeds = _seeds(options)
    trainings: dict[int, Trained] = {}
    for seed in seeds:
        folder = output if len(seeds) == 1 else output / f"seed-{seed}"
        if len(seeds) > 1:
            note(f"seed {seed}")
        with prompt_interrupts(folder):
            trainings[seed] = train_baseline(
                sentences,
                _config(kind.config, options | {"seed": seed}),
                folder,
                held_out=float(options["held_out"]),
                validation=validation,
                seed=seed,
                corpus=Path(corpus).name,
                restart=bool(options["restart"]),
                report=note,
            )
        if not options["json"]:
            _show(trainings[seed], folder)
    if len(seeds) > 1:
        _show_means(trainings, output, json=bool(options["json"]))
        return
    if options["json"]:
        print_json(trainings[seeds[0]].to_dict())
    note(f"the tagger is in {output}; use it with --engine baseline:{output}")


def _chosen(name: str, context: typer.Context) -> tuple[Kind, dict[str, Any]]:
    """The kind of baseline, and all options; a classifier's model decides its kind.

    Raises:
        InputError: An option is of the other kind of classifier.
    """
    from llmner.baselines._kinds import KINDS, kind_named

    options, given = _with_file(context)
    kind = kind_named(name, options)
    if name == "classifier":
        if options["held_out"] is None:
            options["held_out"] = 0 if kind.library == "scikit-learn" else 0.1
        fields = {field for own in KINDS.values() for field in own.config.model_fields}
        others = sorted(given & fields - set(kind.config.model_fields) - {"model"})
        if others:
            raise InputError(
                f"--{dashed(others[0])} says nothing to --model {options['model']}",
                hint="leave it out, or choose another model",
            )
    return kind, options


def _with_file(context: typer.Context) -> tuple[dict[str, Any], set[str]]:
    """The options, and in place of those that were not given the fields of ``--config``.

    Returns:
        All options, and the names of those that are given in either place.

    Raises:
        InputError: The file cannot be read, or has a field that is no option.
    """
    from llmner._yaml import load_yaml
    from llmner.files import read_text

    options = dict(context.params)
    given = set(given_options(context, options))
    path = options.pop("config")
    if path is None:
        return options, given
    try:
        fields = load_yaml(read_text(path))
    except InputError as error:
        raise error.located(path=path) from None
    if not isinstance(fields, dict):
        raise InputError("has no fields", path=path, hint="expected options, such as train: FILE")
    # An option is named as it is written; the parameter of --from cannot have that name.
    parameters = {name.rstrip("_"): name for name in options if name not in ("json", "restart")}
    fields = {current_name(str(field)): value for field, value in fields.items()}
    unknown = sorted(field for field in fields if field not in parameters)
    if unknown:
        raise InputError(
            f"{unknown[0]!r} is no option of this command",
            path=path,
            hint=", ".join(sorted(parameters)),
        )
    fields = {parameters[field]: value for field, value in fields.items()}
    return options | {name: v for name, v in fields.items() if name not in given}, {*given, *fields}


def _config(config: type[BaseModel], options: Mapping[str, Any]) -> Any:
    from pydantic import ValidationError

    try:
        return config(**{name: options[name] for name in config.model_fields if name in options})
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(f"{dashed(str(problem['loc'][0]))}: {problem['msg'].lower()}") from None


def _seeds(options: Mapping[str, Any]) -> list[int]:
    given = options["seeds"]
    if given is None:
        return [int(options["seed"])]
    parts = given if isinstance(given, list) else str(given).split(",")
    try:
        seeds = [int(part) for part in parts]
    except (TypeError, ValueError):
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds {given} are not different whole numbers", hint="such as 1,2,3")
    return seeds


def _show_means(trainings: Mapping[int, Trained], output: Path, *, json: bool) -> None:
    """Show the figures of several seeds, and their mean and standard deviation."""
    from llmner.baselines._types import means
    from llmner.cli._results import print_json
    from llmner.reports.console import console, plain_table

    rows = {seed: trained.best_figures() for seed, trained in trainings.items()}
    mean, deviation = means(trainings.values())
    if json:
        print_json({"seeds": rows, "mean": mean, "standard_deviation": deviation})
    else:
        table = plain_table("seed", "precision", "recall", "F1", "seconds an epoch")
        named = {**{str(seed): row for seed, row in rows.items()}, "mean": mean, "±": deviation}
        for name, row in named.items():
            figures = (row["precision"], row["recall"], row["f1"])
            cells = ["–" if value is None else f"{value:.4f}" for value in figures]
            seconds = row["epoch_seconds"]
            table.add_row(name, *cells, "–" if seconds is None else f"{seconds:.1f}")
        console().print(table)
    note(f"the taggers are in {output}/seed-*")


def _show(trained: Trained, output: Path) -> None:
    from rich.text import Text

    from llmner.baselines._kinds import KINDS
    from llmner.baselines._store import read_baseline_record
    from llmner.reports.console import console, plain_table, printable

    out = console()
    record = read_baseline_record(output)
    tags = record["tags"]
    if KINDS[record["kind"]].about == "texts":
        total = record["corpus"]["sentences"] - record["held_out"]
        table = plain_table("label", "texts", "share")
    else:
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
        name = str(epoch.epoch) if epoch.epoch else "untrained"
        table.add_row(name, *cells, f"{epoch.seconds:.1f}")
    out.print(table)
    if trained.tags is not None:
        out.print()
        table = plain_table(f"tag of a {trained.tags.unit}", "precision", "recall", "F1", "support")
        for tag, row in trained.tags.tags.items():
            cells = [f"{value:.4f}" for value in (row.precision, row.recall, row.f1)]
            table.add_row(Text(printable(tag)), *cells, f"{row.support:,}")
        out.print(table)
        tags = trained.tags
        note(f"accuracy of {tags.unit}s on the held-out sentences: {tags.accuracy:.4f}")
    if trained.best is not None:
        note(f"best: epoch {trained.best}")
    note(f"{trained.baseline.parameters():,} parameters, trained in {trained.seconds:.0f} s")
