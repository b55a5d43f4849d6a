"""The configuration of a training run: dataclasses, a YAML file, and options that override it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic.dataclasses import dataclass

from llmner._yaml import load_yaml
from llmner.errors import CorpusError, InputError, MissingExtraError
from llmner.files import is_file, read_text

if TYPE_CHECKING:
    import jsonargparse

__all__ = [
    "DataOptions",
    "EvaluationOptions",
    "LoraOptions",
    "ModelOptions",
    "OptimOptions",
    "TrainingConfig",
    "load_config",
    "parse_arguments",
    "parse_config",
]

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


def _share_or_count(value: float) -> float:
    if value >= 1 and value != int(value):
        raise ValueError(f"{value} is neither a share below 1 nor a whole number")
    return value


ShareOrCount = Annotated[float, Field(ge=0), AfterValidator(_share_or_count)]


@dataclass(frozen=True)
class ModelOptions:
    """The model that is trained.

    >>> ModelOptions(model="gpt2").quantization
    'none'

    Attributes:
        model: Name on the Hub, a folder, or gemma-3-270m for the embedded model.
        quantization: 4bit for QLoRA (nf4, double quantisation, bf16 compute), none for plain LoRA
            in bf16 or float32.
        dtype: Number type that the model computes in. auto is bfloat16, on a CPU float32 if that is
            faster there.
        attention: Attention kernels as transformers names them; null for the model's default.
        trust_remote_code: Run Python code that comes with the model. Off unless asked for.
        gradient_checkpointing: Keep one hidden state a layer and compute the rest again: less
            memory, a third more time.
    """

    model: str = "gemma-3-270m"
    quantization: Literal["4bit", "none"] = "none"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    attention: str | None = None
    trust_remote_code: bool = False
    gradient_checkpointing: bool = False


@dataclass(frozen=True)
class LoraOptions:
    """The adapter.

    >>> LoraOptions(lora_rank=8).lora_alpha
    32

    Attributes:
        lora_rank: Rank of the two factors.
        lora_alpha: Scale; updates count alpha / rank times.
        lora_dropout: Share of the adapter's inputs that is dropped in training.
        lora_targets: all-linear, or a list of module names; every name must match, or nothing is
            trained.
    """

    lora_rank: Positive = 16
    lora_alpha: Positive = 32
    lora_dropout: Share = 0.0
    lora_targets: str | list[str] = "all-linear"


@dataclass(frozen=True)
class DataOptions:
    """The sentences that are learnt from.

    >>> DataOptions(held_out=0.2).recipe
    'klue'

    Attributes:
        train: Corpus with gold spans, a file or a name on the Hub.
        train_format: Its format; null to look at the file.
        train_limit: Sentences taken, chosen at random; null for all.
        held_out: Kept from the training sentences for evaluation: a share below 1, or a number of
            sentences. Not used with a validation file.
        validation: Corpus with gold spans for evaluation, in place of held-out sentences.
        validation_format: Its format; null to look at the file.
        recipe: What is asked: a built-in recipe's name or a YAML path.
        reply_format: How the model learns to answer; null for what the recipe says.
        max_length: Longest row, question and answer together, in tokens.
        over_long: What to do with longer rows: refuse to train (error) or leave them out (drop).
            A row is never cut.
        loss_on: Which tokens are learnt: the answer with its end-of-turn token, or all of them.
    """

    train: str = "data/sample.tsv"
    train_format: str | None = None
    train_limit: Positive | None = None
    held_out: ShareOrCount = 0.1
    validation: str | None = None
    validation_format: str | None = None
    recipe: str = "klue"
    reply_format: str | None = None
    max_length: Positive = 1024
    over_long: Literal["error", "drop"] = "error"
    loss_on: Literal["answer", "all"] = "answer"

    @property
    def evaluates(self) -> bool:
        """Whether there are sentences for evaluation."""
        return self.validation is not None or self.held_out > 0


@dataclass(frozen=True)
class OptimOptions:
    """How the model learns.

    >>> OptimOptions(batch_size=4, gradient_accumulation=2).scheduler
    'cosine'

    Attributes:
        epochs: Passes over the training sentences.
        max_steps: Stop after so many optimiser steps; null for all of the epochs.
        batch_size: Rows a device takes at once.
        gradient_accumulation: Batches added up for one optimiser step.
        learning_rate: Highest learning rate.
        warmup: Steps over which the learning rate rises from 0: a share below 1, or a number.
        scheduler: How the learning rate falls after that, as transformers names it.
        optimizer: Optimiser, as transformers names it; paged_adamw_8bit needs a CUDA device.
        weight_decay: Decay of the adapter's weights a step, times the learning rate.
        max_grad_norm: Gradients are scaled down to this length (L2).
        batching: length puts rows of like length together, packing fills rows of max_length with
            several sentences that do not see each other, random does neither.
        seed: Decides the held-out sentences, the adapter's start and the order of rows.
        log_steps: Optimiser steps between two logged losses.
        save_steps: Optimiser steps between two checkpoints, besides those of evaluations; null for
            these alone. A run that is killed goes on from the last.
    """

    epochs: Annotated[float, Field(gt=0)] = 1.0
    max_steps: Positive | None = None
    batch_size: Positive = 8
    gradient_accumulation: Positive = 1
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    warmup: ShareOrCount = 0.03
    scheduler: str = "cosine"
    optimizer: str = "adamw_torch"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    batching: Literal["length", "packing", "random"] = "length"
    seed: Annotated[int, Field(ge=0)] = 42
    log_steps: Positive = 10
    save_steps: Positive | None = 200


@dataclass(frozen=True)
class EvaluationOptions:
    """How the run is evaluated, and what is kept of it.

    >>> EvaluationOptions(output="build/mine").keep_checkpoints
    2

    Attributes:
        output: Folder for the adapter, checkpoints, curves and the record of the run.
        eval_steps: Optimiser steps between two evaluations, besides the one at each epoch's end;
            null for that one alone.
        eval_sentences: Held-out sentences answered in each evaluation; null for all.
        eval_batch_size: Sentences answered together.
        max_new_tokens: Longest answer, in tokens.
        patience: Evaluations without a better F1 (or, while that is 0, a lower loss) after which
            training stops; null to go on to the end.
        keep_checkpoints: Checkpoints kept, the best among them.
    """

    output: str = "build/adapter"
    eval_steps: Positive | None = None
    eval_sentences: Positive | None = 200
    eval_batch_size: Positive = 32
    max_new_tokens: Positive = 256
    patience: Positive | None = None
    keep_checkpoints: Positive = 2


_GROUPS = (ModelOptions, LoraOptions, DataOptions, OptimOptions, EvaluationOptions)


@dataclass(frozen=True)
class TrainingConfig:
    """The whole configuration of a run.

    Fields have the same names here, on the command line, and in the YAML file, which is flat.

    >>> config = TrainingConfig(optim=OptimOptions(batch_size=4, gradient_accumulation=2))
    >>> config.batch_rows(), config.flat()["batch_size"]
    (8, 4)

    Attributes:
        model: The model that is trained.
        lora: The adapter.
        data: The sentences that are learnt from.
        optim: How the model learns.
        evaluation: How the run is evaluated, and what is kept of it.
    """

    model: ModelOptions = ModelOptions()
    lora: LoraOptions = LoraOptions()
    data: DataOptions = DataOptions()
    optim: OptimOptions = OptimOptions()
    evaluation: EvaluationOptions = EvaluationOptions()

    def flat(self) -> dict[str, Any]:
        """All fields by name, as in the YAML file."""
        return {
            key: value
            for group in dataclasses.fields(self)
            for key, value in dataclasses.asdict(getattr(self, group.name)).items()
        }

    def batch_rows(self) -> int:
        """Rows that one optimiser step learns from, on one device."""
        return self.optim.batch_size * self.optim.gradient_accumulation


def _parser(prog: str, description: str | None) -> jsonargparse.ArgumentParser:
    try:
        import jsonargparse
    except ImportError:
        raise MissingExtraError("train", "reading a training configuration") from None
    parser = jsonargparse.ArgumentParser(prog=prog, description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of the fields below.")
    for group in _GROUPS:
        parser.add_class_arguments(group, None)
    return parser


def parse_arguments(
    arguments: Sequence[str],
    flags: Mapping[str, str],
    *,
    prog: str = "llmner train",
    description: str | None = None,
) -> tuple[TrainingConfig, dict[str, bool]]:
    """A configuration from command-line options such as ``--config FILE``, and further switches.

    Options are read from left to right: those after ``--config`` override the file. Dashes and
    underscores in names are the same. ``--help`` prints every field with its unit and exits.

    >>> config, switches = parse_arguments(["--epochs", "3"], {"restart": "Start over."})
    >>> config.optim.epochs, switches
    (3.0, {'restart': False})

    Args:
        arguments: The command line.
        flags: Switches that are not part of the configuration, with their help.
        prog: The command's name in the help.
        description: What the command does, for the help.

    Returns:
        The configuration, and whether each switch was given.

    Raises:
        InputError: A field is unknown, a value is not valid, or a file cannot be read.
        MissingExtraError: The ``train`` extra is not installed.
    """
    parser = _parser(prog, description)
    for name, text in flags.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    import jsonargparse

    path = _config_file(arguments)
    if path is not None:
        _check_file(Path(path))
    try:
        namespace = parser.parse_args([_underscored(argument) for argument in arguments])
    except (
        jsonargparse.ArgumentError,
        TypeError,
        ValueError,
        OSError,
        OverflowError,
        RecursionError,
    ) as error:
        raise InputError(_one_line(error), path=path, hint="--help lists every field") from None
    values = namespace.as_dict()
    values.pop("config", None)
    switches = {name: bool(values.pop(name)) for name in flags}
    return _build(values, path), switches


def parse_config(arguments: Sequence[str]) -> TrainingConfig:
    """A configuration from command-line options; see :func:`parse_arguments`.

    >>> parse_config(["--epochs", "3", "--lora-rank", "8"]).lora.lora_rank
    8
    """
    return parse_arguments(arguments, {})[0]


def load_config(path: Path) -> TrainingConfig:
    """A configuration from a YAML file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "training.yaml"
    ...     _ = path.write_text("epochs: 3")
    ...     load_config(path).optim.epochs
    3.0

    Raises:
        InputError: A field is unknown, a value is not valid, or the file cannot be read.
        MissingExtraError: The ``train`` extra is not installed.
    """
    return parse_config(["--config", str(path)])


def _build(values: dict[str, Any], path: str | None) -> TrainingConfig:
    groups: dict[str, Any] = {}
    try:
        for field, group in zip(dataclasses.fields(TrainingConfig), _GROUPS, strict=True):
            own = {item.name: values.pop(item.name) for item in dataclasses.fields(group)}
            groups[field.name] = group(**own)
    except ValidationError as error:
        problem = error.errors()[0]
        message = problem["msg"].removeprefix("Value error, ")
        raise InputError(f"{'.'.join(map(str, problem['loc']))}: {message}", path=path) from None
    config = TrainingConfig(**groups)
    if not config.data.evaluates and config.evaluation.patience is not None:
        raise InputError("patience needs held-out sentences, but held_out is 0", path=path)
    return config


def _underscored(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def _config_file(arguments: Sequence[str]) -> str | None:
    """The last configuration file of the command line, for messages."""
    path = None
    for index, argument in enumerate(arguments):
        if argument == "--config" and index + 1 < len(arguments):
            path = arguments[index + 1]
        elif argument.startswith("--config="):
            path = argument.partition("=")[2]
    return path


def _check_file(path: Path) -> None:
    """Refuse a file whose YAML aliases expand too far. The parser reports other faults itself."""
    if not is_file(path):
        return
    try:
        load_yaml(read_text(path))
    except CorpusError:
        return
    except InputError as error:
        raise InputError(
            error.problem, path=path, line=error.line, hint="--help lists every field"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).removeprefix("error: ") or type(error).__name__
