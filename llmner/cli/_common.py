"""What the commands share: progress on standard error, option types, what options come to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from llmner.cli._ending import guarded as guarded
from llmner.cli._ending import note as note
from llmner.errors import GenerationError, InputError
from llmner.files import beside, check_output, dump_json, is_file, whole_file

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task, TaskID

    from llmner.corpora import BadRow, ReadStats
    from llmner.engines import Generator
    from llmner.engines.adapters import Adapter
    from llmner.recipes import Recipe

# Sentences that the transformers engine answers together.
BATCH_SIZE = 16
# Resamples or shuffles beyond this tell nothing more, and fill the memory.
MOST_DRAWS = 1_000_000

_T = TypeVar("_T")

RecipeOption = Annotated[
    str | None,
    typer.Option(
        help="A built-in recipe (klue, klue-strict, gmb) or a YAML file; by default the adapter's, else klue."
    ),
]
ReplyFormatOption = Annotated[
    str | None,
    typer.Option(help="json-by-type, json-list, tagged, lines or pairs, not the recipe's own."),
]
EngineOption = Annotated[
    str,
    typer.Option(
        help="transformers, vllm, openai (any OpenAI-compatible endpoint), recorded, or baseline:FOLDER for a "
        "tagger that train-baseline made (or USER/NAME on the Hub)."
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(help="Model name or folder; by default the adapter's, else the embedded Gemma 3 270M."),
]
AdapterOption = Annotated[
    str | None,
    typer.Option(
        help="PEFT adapter: a folder or USER/NAME on the Hub; brings model and recipe unless they are named. "
        "The one in the package, trained on KLUE-NER, is used unless an adapter, model, recipe or reply format "
        "is named; none asks the bare model."
    ),
]
RepliesOption = Annotated[
    Path | None, typer.Option(help='Recorded replies, JSON Lines of {"id", "text", "reply"}.')
]
BaseUrlOption = Annotated[
    str | None,
    typer.Option(help="Address of the openai engine's endpoint, ending in /v1; by default OPENAI_BASE_URL."),
]
ConcurrencyOption = Annotated[
    int, typer.Option(min=1, help="Requests that the openai engine has on their way at once.")
]
GroundedOption = Annotated[
    bool,
    typer.Option(
        "--grounded",
        help="Keep each reply to its format, its labels and stretches of the text: nothing is invented.",
    ),
]
JsonSchemaOption = Annotated[
    bool,
    typer.Option(
        "--json-schema", help="Keep each reply to its JSON format, for endpoints that cannot do --grounded."
    ),
]
SamplesOption = Annotated[
    int, typer.Option(min=1, help="Replies drawn for each text; spans that more than half have are kept.")
]
TemperatureOption = Annotated[
    float | None,
    typer.Option(min=0, help="0 for the likeliest reply, the default; with --samples 0.7.", show_default=False),
]
MinScoreOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Drop spans with a lower score.", show_default=False)
]
CalibrationOption = Annotated[
    Path | None, typer.Option(help="Turn scores into shares of right spans; a file that calibrate wrote.")
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Sentences answered together; 16, with vllm 128, with a baseline 64.", show_default=False
    ),
]
MaxModelLenOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="vllm: longest question and answer together, in tokens; 4096.", show_default=False
    ),
]
GpuMemoryOption = Annotated[
    float | None,
    typer.Option(min=0.05, max=1, help="vllm: share of the card's memory to take; 0.9.", show_default=False),
]
WindowOption = Annotated[
    int,
    typer.Option(
        min=1, help="Longest stretch of a text asked about at once, in characters; longer texts are split."
    ),
]
OverlapOption = Annotated[
    int,
    typer.Option(
        min=0, help="Context on either side of what a window of a longer text is asked for, in characters."
    ),
]
MaxNewTokensOption = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
RemoteCodeOption = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")
]
ParticlesOption = Annotated[
    str, typer.Option(help="Korean particles and titles at the end of a mention: auto, keep or trim.")
]
RepeatsOption = Annotated[
    str, typer.Option(help="listed: place what is listed; all: every place of a name that is listed once.")
]
FuzzyOption = Annotated[
    float, typer.Option(min=0, max=1, help="Lowest similarity of a fuzzy match; 1 allows none.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Broken tag sequences are errors instead of being repaired.")
]
SkipBadOption = Annotated[
    bool, typer.Option("--skip-bad", help="Pass over bad rows and write them to a side file.")
]
RestartOption = Annotated[
    bool, typer.Option("--restart", help="Start an interrupted run over instead of going on with it.")
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        help="Which split of a data set; of a gmb-csv file train, test, or test:SEED.", show_default=False
    ),
]
ResamplesOption = Annotated[
    int,
    typer.Option(min=0, max=MOST_DRAWS, help="Bootstrap resamples for the 95 % intervals; 0 for none."),
]
ReportOption = Annotated[
    Path | None, typer.Option(help="Write a report: report.html (one file, no network) or report.md.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def given(context: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def make_generator(
    engine: str,
    *,
    model: str | None,
    adapter: Adapter | None,
    replies: Path | None,
    base_url: str | None,
    concurrency: int,
    batch_size: int | None,
    max_new_tokens: int,
    device: str,
    trust_remote_code: bool,
    max_model_len: int | None = None,
    gpu_memory_utilization: float | None = None,
    samples: int = 1,
    temperature: float | None = None,
    patience: Mapping[str, Any] | None = None,
) -> Generator:
    """An engine from the options every command that generates has.

    ``patience`` has an endpoint's ``timeout``, ``attempts`` and ``deadline`` that are not the usual ones.
    """
    from llmner.engines import create_generator

    if temperature is None:
        temperature = 0.7 if samples > 1 else 0.0
    elif samples > 1 and temperature == 0:
        raise InputError("--samples at --temperature 0 are all the same", hint="leave one of them out")
    memory = {"max_model_len": max_model_len, "gpu_memory_utilization": gpu_memory_utilization}
    memory = {name: value for name, value in memory.items() if value is not None}
    if memory and engine != "vllm":
        option = next(iter(memory)).replace("_", "-")
        raise InputError(f"--{option} means nothing to --engine {engine}", hint="add --engine vllm")
    if engine == "recorded":
        if replies is None:
            raise InputError("the recorded engine has nothing to replay", hint="give --replies FILE")
        if samples > 1 or temperature > 0:
            raise InputError(
                "recorded replies cannot be drawn again", hint="leave out --samples and --temperature"
            )
        return create_generator(engine, path=replies)
    if replies is not None:
        raise InputError(f"--replies and --engine {engine} exclude each other", hint="give one of them")
    if engine == "openai":
        # The endpoint has its own adapters, each under a model's name; the adapter here brings its recipe.
        return create_generator(
            engine,
            model=model,
            base_url=base_url,
            concurrency=concurrency,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            **(patience or {}),
        )
    if base_url is not None:
        raise InputError(f"--base-url means nothing to --engine {engine}", hint="add --engine openai")
    model = model or (None if adapter is None else adapter.model)
    shared: dict[str, Any] = {
        "model": model,
        "adapter": adapter,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "trust_remote_code": trust_remote_code,
        "report": note,
    }
    if engine == "vllm":
        if batch_size is not None:
            memory["max_num_seqs"] = batch_size
        return create_generator(engine, **shared, **memory)
    return create_generator(engine, **shared, batch_size=batch_size or BATCH_SIZE, device=device)


def at_once(engine: str, batch_size: int | None, concurrency: int) -> int:
    """Questions to hand to an engine at once: enough that it never waits for more, and sorts by length."""
    waiting = {"vllm": 256, "openai": concurrency}.get(engine, BATCH_SIZE)
    return 4 * (batch_size or waiting)


def load_recipe(
    recipe: str | None, reply_format: str | None, adapter: Adapter | None = None, model: str | None = None
) -> Recipe:
    """The recipe that was named, else the adapter's or the merged model's, else ``klue``.

    It asks for the reply format that was named, if any.
    """
    from llmner.engines.adapters import RECIPE_FILE
    from llmner.recipes import Recipe

    merged = None if model is None else Path(model) / RECIPE_FILE
    if recipe is None and adapter is not None:
        loaded = adapter.recipe
    elif recipe is None and merged is not None and is_file(merged):
        loaded = Recipe.load(merged)
    else:
        loaded = Recipe.load(recipe or "klue")
    return loaded if reply_format is None else loaded.with_reply_format(reply_format)


def choose_adapter(
    name: str | None, *, model: str | None, recipe: str | None, reply_format: str | None, asks: bool
) -> Adapter | None:
    """The adapter of ``--adapter``; the one in the package where nothing says what else to ask.

    Asked with another recipe or in another format than it was trained on, an adapter answers worse than the
    bare model; and recorded replies (``asks`` is false) need none.
    """
    from llmner.engines.adapters import PACKAGED_ADAPTER, find_adapter

    if name is None and asks and (model, recipe, reply_format) == (None, None, None):
        name = PACKAGED_ADAPTER
    return None if name in (None, "none") else find_adapter(name, note, model=model)


def policy(particles: str, fuzzy: float, repeats: str) -> dict[str, Any]:
    """Projection policy from its options."""
    if particles not in ("auto", "keep", "trim"):
        raise InputError(f"--particles {particles!r} is unknown", hint="expected auto, keep or trim")
    if repeats not in ("listed", "all"):
        raise InputError(f"--repeats {repeats!r} is unknown", hint="expected listed or all")
    return {"particles": particles, "fuzzy": None if fuzzy >= 1 else fuzzy, "repeats": repeats}


def windows(window: int, overlap: int) -> dict[str, Any]:
    """How long texts are split, from its options.

    Raises:
        InputError: The overlap is not below the window.
    """
    from llmner.extraction.windows import check_windows

    check_windows(window, overlap)
    return {"window": window, "overlap": overlap}


def answering(
    grounded: bool, json_schema: bool, samples: int, min_score: float | None, calibration: Path | None
) -> dict[str, Any]:
    """What replies are kept to and what is made of their probabilities, from its options.

    Raises:
        InputError: The calibration cannot be read.
    """
    from llmner.extraction.confidence import Calibrator

    return {
        "grounded": grounded,
        "json_schema": json_schema,
        "samples": samples,
        "min_score": min_score,
        "calibrator": None if calibration is None else Calibrator.load(calibration),
    }


class BadRows:
    """Collects bad rows into ``OUTPUT.bad.jsonl``, written only if there are any."""

    def __init__(self, output: Path | None, *, skip: bool) -> None:
        self.output = output
        self.path = None
        if output is not None:
            check_output(output)
            self.path = beside(output, ".bad.jsonl")
            if skip:
                check_output(self.path)
        self.rows: list[dict[str, str]] = []
        self.collect: Callable[[BadRow], None] | None = self._collect if skip else None

    def _collect(self, bad: BadRow) -> None:
        note(f"skipped: {bad.error}")
        self.rows.append({"error": str(bad.error), "row": bad.raw})

    def close(self) -> None:
        """Write the side file."""
        if self.rows and self.path is not None:
            # They are rows of the input: nobody should see them who may not see the output.
            with whole_file(self.path, like=self.output) as stream:
                for row in self.rows:
                    stream.write(dump_json(row) + b"\n")
            note(f"{len(self.rows)} bad rows are in {self.path}")


def tell_repairs(stats: ReadStats, predicted: Path | None = None) -> None:
    """Say that tags were repaired; silence would be leniency nobody asked for."""
    if stats.repairs and predicted is not None:
        note(
            f"warning: {stats.repairs} broken tags were read as seqeval's default mode reads them (first: "
            f"{stats.first_repair}); in IOB2 files strict figures leave out what begins so"
        )
        return
    if stats.repairs:
        note(
            f"warning: {stats.repairs} broken tags were repaired (first: {stats.first_repair}); "
            "--strict makes them errors"
        )


class Steps:
    """Counts what is done; the bar it moves is that of :func:`progress`."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self.done = 0
        self._bar = bar
        self._task = task

    def __call__(self, steps: int) -> None:
        """So many more are done."""
        self.done += steps
        self._bar.update(self._task, completed=self.done)

    def resume(self, done: int) -> None:
        """So many were done before this run; rate and time left do not count them."""
        self.done = done
        self._bar.reset(self._task, completed=done, resumed=done)

    def total(self, total: int) -> None:
        """There are so many to do."""
        self._bar.update(self._task, total=total)


@contextmanager
def progress(what: str, total: int | None = None, unit: str = "sentences") -> Iterator[Steps]:
    """A progress bar with rate and time left on standard error; silent where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        _pace_column(unit),
        console=Console(stderr=True),
        disable=sys.stderr is None or not sys.stderr.isatty(),
        transient=True,
    ) as bar:
        yield Steps(bar, bar.add_task(what, total=total, resumed=0))


def _pace_column(unit: str) -> ProgressColumn:
    """Rate and time left, from the mean of this run: answers come in bursts, a batch at a time."""
    from rich.progress import ProgressColumn
    from rich.table import Column
    from rich.text import Text

    class Pace(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(pace(task.completed - task.fields["resumed"], task.remaining, task.elapsed, unit))

    return Pace(Column(no_wrap=True))


def pace(done: float, left: float | None, seconds: float | None, unit: str) -> str:
    """How fast it goes and how long it will take: ``12.5 sentences/s, 0:01:20 left``."""
    if not done or not seconds:
        return ""
    rate = f"{done / seconds:.1f} {unit}/s"
    return rate if left is None else f"{rate}, {timedelta(seconds=round(left * seconds / done))} left"


@contextmanager
def resumable(step: Steps, *, restart: bool) -> Iterator[None]:
    """Where a run stops before its end, say what is kept and how to go on."""

    def told() -> str:
        way = "the same command without --restart" if restart else "the same command"
        return f"{step.done} sentences are kept, {way} goes on from there"

    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {told()}" if step.done else "interrupted") from None
    except GenerationError as error:
        if not step.done:
            raise
        raise GenerationError(f"{error}; {told()}", retryable=error.retryable) from error


def tell_unanswered(count: int, total: int, reason: str | None, hint: str) -> None:
    """Say how many sentences the engine had no answer to, if any.

    Raises:
        GenerationError: It had none to any.
    """
    if count and count == total:
        raise GenerationError(f"no sentence has an answer (first: {reason}); {hint}", retryable=True)
    if count:
        note(f"warning: {count} of {total} sentences have no answer (first: {reason}); {hint}")


def counted(items: Iterable[_T], step: Callable[[int], None]) -> Iterator[_T]:
    """The items, with a step of progress for each."""
    for item in items:
        yield item
        step(1)


def not_both(**given: object) -> None:
    """Refuse options that exclude each other, or none of them.

    Raises:
        InputError: Not exactly one was given.
    """
    names = [f"--{name.replace('_', '-')}" for name in given]
    count = sum(value is not None for value in given.values())
    if count != 1:
        raise InputError(
            f"{'none' if count == 0 else 'more than one'} of {', '.join(names)} was given",
            hint="give exactly one",
        )
