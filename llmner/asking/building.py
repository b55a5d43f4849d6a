"""From options to recipe, adapter, engine, and extractor or tagger. No model is loaded here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmner.asking.options import (
    BASELINE,
    ONE_ENGINES,
    OPTIONS,
    AskOptions,
    DecodingOptions,
    EngineOptions,
    RecipeOptions,
    ScoreOptions,
    Spell,
    is_baseline,
    plain,
)
from llmner.errors import InputError
from llmner.files import is_file, kind_of

if TYPE_CHECKING:
    from llmner.baselines import BaselineExtractor
    from llmner.engines import Engine
    from llmner.engines.adapters import Adapter
    from llmner.extraction import Extractor
    from llmner.extraction.confidence import Calibrator
    from llmner.extraction.passes import PassesExtractor
    from llmner.recipes import Recipe

__all__ = [
    "GLANCE",
    "Asking",
    "build",
    "build_baseline",
    "build_engine",
    "extractor_options",
    "in_language_of",
    "language_of",
    "load_recipe",
    "prepare",
    "questions_at_once",
    "temperature_of",
]

# Default temperature for several samples, and default number of sentences per batch of a tagger.
_SAMPLING, _TAGGED_AT_ONCE = 0.7, 64
# How many texts are looked at to see in which language to ask.
GLANCE = 10


@dataclass(frozen=True, slots=True)
class Asking:
    """Options together with the recipe, the adapter and the calibration that they name.

    Attributes:
        options: The options.
        recipe: The recipe to ask with.
        adapter: The adapter, or ``None`` for the bare model.
        calibrator: Turns scores into shares of correct spans; ``None`` leaves scores as they are.

    >>> asking = prepare(AskOptions.of(recipe="klue", adapter="none"))
    >>> asking.recipe.name, asking.adapter, asking.in_the_box
    ('klue', None, False)
    """

    options: AskOptions
    recipe: Recipe
    adapter: Adapter | None
    calibrator: Calibrator | None

    @property
    def in_the_box(self) -> bool:
        """Whether the adapter that comes with this package is used."""
        from llmner.engines.adapters import PACKAGED_ADAPTER

        return self.adapter is not None and self.adapter.name == PACKAGED_ADAPTER


def prepare(
    options: AskOptions,
    report: Callable[[str], None] | None = None,
    *,
    recipe: Recipe | None = None,
) -> Asking:
    """Find the recipe, the adapter and the calibration that options name. No model is loaded.

    The packaged adapter is the default if no adapter, model, recipe or reply format is named: with
    another recipe or format than it was trained on, it would answer worse than the bare model.
    Engines that cannot use adapters, and recorded replies, get none.

    Args:
        options: The options.
        report: Called with a sentence that says what is being waited for.
        recipe: A recipe in place of the one that the options name.

    Raises:
        InputError: There is no such engine, adapter, recipe or calibration, or the overlap is not
            smaller than the window.
        GenerationError: The Hub does not have the adapter.

    >>> asking = prepare(AskOptions.of(engine="openai", recipe="klue-strict"))
    >>> asking.recipe.schema_.codes
    ('PS', 'LC', 'OG', 'DT', 'TI', 'QT')
    """
    from llmner.engines._registry import engine_class
    from llmner.engines.adapters import PACKAGED_ADAPTER, find_adapter
    from llmner.extraction.windows import WindowSizes

    engine, recipe_options = options.engine, options.recipe
    name = engine.adapter
    takes_adapters = (
        not is_baseline(engine.engine) and engine_class(engine.engine).capabilities.adapters
    )
    # What the model in the box is asked without an adapter's name.
    is_in_box = name is None and takes_adapters and engine.model is None and recipe is None
    tells_unused = False
    if is_in_box and recipe_options == RecipeOptions(language=recipe_options.language):
        name = PACKAGED_ADAPTER
    elif is_in_box:
        tells_unused = recipe_options.labels is None
    adapter = None if name in (None, "none") else find_adapter(name, report, model=engine.model)
    if recipe is None:
        recipe = load_recipe(recipe_options, adapter, engine.model)
        if recipe_options.labels is not None:
            check_model_for_labels(options)
    elif recipe_options.reply_format is not None:
        recipe = recipe.with_reply_format(recipe_options.reply_format)
    # Told now, and not once a model is loaded.
    WindowSizes.of(recipe.windows, options.windows.window, options.windows.overlap)
    if tells_unused and report is not None:
        report("the adapter in the package is not used: it answers its own recipe alone")
    return Asking(options, recipe, adapter, _calibrator(options.scores))


def check_model_for_labels(options: AskOptions) -> None:
    """Make sure that labels without a recipe go to a model that was named.

    The model in the box follows no instructions. Without its adapter it finds next to nothing
    (``benchmarks/results/zero_shot.json``).

    Raises:
        InputError: There are such labels, and neither a model nor an adapter.

    >>> check_model_for_labels(AskOptions.of(labels="PERSON", base_url="http://localhost/v1"))
    >>> check_model_for_labels(AskOptions.of(labels="PERSON"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    llmner.errors.InputError: labels of one's own need a model that follows instructions; ...
    """
    from llmner.engines._registry import engine_class

    engine = options.engine
    if is_baseline(engine.engine) or engine.model is not None or engine.adapter is not None:
        return
    if engine_class(engine.engine).capabilities.adapters:
        raise InputError(
            "labels of one's own need a model that follows instructions",
            hint="name a model, or an endpoint and its model; without labels, the model in the box "
            "finds people, places, organisations, dates, times and quantities",
        )


def _calibrator(options: ScoreOptions) -> Calibrator | None:
    from llmner.extraction.confidence import Calibrator

    return None if options.calibration is None else Calibrator.load(options.calibration)


def load_recipe(
    options: RecipeOptions, adapter: Adapter | None = None, model: str | None = None
) -> Recipe:
    """The recipe that options name, else the adapter's or the merged model's, else ``klue``.

    If the options name a reply format, the recipe asks for that one.

    Args:
        options: The options.
        adapter: The adapter, whose recipe is the default.
        model: The model; the folder of a merged model holds a recipe.

    Raises:
        InputError: There is no recipe of that name, it is broken, or there are labels besides.

    >>> load_recipe(RecipeOptions(reply_format="lines")).reply_format
    'lines'
    """
    from llmner.engines.adapters import RECIPE_FILE
    from llmner.recipes import Recipe

    merged = None if model is None else Path(model) / RECIPE_FILE
    if options.labels is not None:
        if options.recipe is not None:
            raise InputError("labels and a recipe are two questions", hint="give one of them")
        recipe = Recipe.of(options.labels, language=options.language or language_of(options.labels))
    elif options.recipe is None and adapter is not None:
        recipe = adapter.recipe
    elif options.recipe is None and merged is not None and is_file(merged):
        recipe = Recipe.load(merged)
    else:
        recipe = Recipe.load(options.recipe or "klue")
    return (
        recipe if options.reply_format is None else recipe.with_reply_format(options.reply_format)
    )


def language_of(texts: Iterable[str]) -> str:
    """The language in which to ask about texts, by their letters.

    >>> language_of(["손흥민은 춘천에서"]), language_of(["Ines flew to Tallinn"])
    ('ko', 'en')
    """
    from llmner.languages import main_language

    return main_language(" ".join(texts))


def in_language_of(asking: Asking, texts: Iterable[str]) -> Asking:
    """Options that ask for labels, where they name no language, in that of the first ten texts.

    >>> asking = prepare(AskOptions.of(labels="PERSON", engine="openai", model="m"))
    >>> in_language_of(asking, ["손흥민은"]).recipe.language
    'ko'
    """
    asked = asking.options.recipe
    if asked.labels is None or asked.language is not None:
        return asking
    options = asking.options.but(language=language_of(islice(texts, GLANCE)))
    recipe = load_recipe(options.recipe, asking.adapter, options.engine.model)
    return replace(asking, options=options, recipe=recipe)


def build_engine(
    asking: Asking,
    *,
    report: Callable[[str], None] | None = None,
    more: Mapping[str, Any] | None = None,
    spell: Spell = plain,
) -> Engine:
    """The engine that options name, built with the options that it takes.

    Args:
        asking: The options.
        report: Called with a sentence that says what is being waited for.
        more: Further arguments for its constructor; those it does not have are left out.
        spell: How to write an option's name in errors.

    Raises:
        InputError: An option that the engine cannot use, or one that it needs is missing.
        MissingExtraError: Its libraries are not installed.
    """
    from llmner.engines._registry import engine_class, options_taken

    options, decoding = asking.options.engine, asking.options.decoding
    engine = engine_class(options.engine)
    capabilities, parameters = engine.capabilities, options_taken(engine)
    for name in ONE_ENGINES:
        if getattr(options, name) is not None and name not in parameters:
            raise _meaningless(name, options.engine, spell)
    if capabilities.replays and options.replies is None:
        raise InputError(
            f"the {options.engine} engine needs recorded replies",
            hint=f"give {spell('replies')} FILE",
        )
    values = {
        **asking.options.flat(),
        "temperature": temperature_of(decoding, spell),
        "report": report,
    }
    if not capabilities.samples and (decoding.samples > 1 or values["temperature"] > 0):
        raise InputError(
            f"the {options.engine} engine cannot sample replies",
            hint=f"leave out {spell('samples')} and {spell('temperature')}",
        )
    if capabilities.adapters:
        values |= {
            "adapter": asking.adapter,
            "model": options.model or (asking.adapter and asking.adapter.model),
        }
    values |= more or {}
    arguments = {
        parameters[name]: value
        for name, value in values.items()
        if name in parameters and value is not None
    }
    return engine(**arguments)


def temperature_of(decoding: DecodingOptions, spell: Spell = plain) -> float:
    """The temperature of decoding: 0 for one sample, 0.7 for several, if none is given.

    Raises:
        InputError: All of several samples would be the same.

    >>> temperature_of(DecodingOptions(samples=3))
    0.7
    """
    if decoding.temperature is None:
        return _SAMPLING if decoding.samples > 1 else 0.0
    if decoding.samples > 1 and decoding.temperature == 0:
        raise InputError(
            f"with {spell('temperature')} 0 all {spell('samples')} would be the same",
            hint="leave one of them out",
        )
    return decoding.temperature


def _meaningless(name: str, engine: str, spell: Spell) -> InputError:
    from llmner.engines._registry import ENGINES, engine_class, options_taken

    if name == "replies":
        problem = f"{spell(name)} and {spell('engine')} {engine} exclude each other"
        return InputError(problem, hint="give one of them")
    owner = next(
        candidate for candidate in ENGINES if name in options_taken(engine_class(candidate))
    )
    hint = f"add {spell('engine')} {owner}"
    return InputError(f"{spell(name)} does not apply to {spell('engine')} {engine}", hint=hint)


def questions_at_once(options: EngineOptions, *, soon: bool = False) -> int:
    """How many questions to hand to an engine at once.

    More than one batch keeps the engine busy, and lets it sort questions by length.

    Args:
        options: The engine and its batch size or concurrency.
        soon: Whether somebody waits for the first answer; then it is a single batch.

    >>> questions_at_once(EngineOptions(batch_size=8), soon=True)
    8
    """
    from llmner.engines._registry import engine_class

    capabilities = engine_class(options.engine).capabilities
    together = options.batch_size or (
        options.concurrency if capabilities.concurrent else capabilities.batch_size
    )
    return together if soon and capabilities.sorts else capabilities.queue * together


def extractor_options(asking: Asking) -> dict[str, Any]:
    """The keyword arguments for :class:`llmner.extraction.Extractor` that options come to.

    >>> options = AskOptions.of(adapter="none", window=100, overlap=20)
    >>> arguments = extractor_options(prepare(options))
    >>> arguments["window"], arguments["samples"]
    (100, 1)
    """
    options = asking.options
    windows, decoding = options.windows, options.decoding
    return {
        "grounded": _grounded(asking),
        "json_schema": decoding.json_schema,
        "samples": decoding.samples,
        "min_score": options.scores.min_score,
        "calibrator": asking.calibrator,
        "window": windows.window,
        "overlap": windows.overlap,
        **options.projection.policy(),
    }


def _grounded(asking: Asking) -> bool:
    """Whether replies are grounded.

    The packaged adapter's are unless they are not to be: its answers are as good and sooner there.
    """
    decoding = asking.options.decoding
    if decoding.grounded is None:
        return asking.in_the_box and not decoding.json_schema
    return decoding.grounded


def build(
    asking: AskOptions | Asking,
    *,
    soon: bool = False,
    report: Callable[[str], None] | None = None,
    more: Mapping[str, Any] | None = None,
    spell: Spell = plain,
) -> Extractor | PassesExtractor:
    """Build an extractor from options. The model is loaded when the extractor is first used.

    Args:
        asking: The options, or what :func:`prepare` made of them.
        soon: Whether somebody waits for the first sentence.
        report: Called with a sentence that says what is being waited for.
        more: Further arguments for the engine's constructor; those it does not have are left out.
        spell: How to write an option's name in errors.

    Raises:
        InputError: Unknown options, or options that exclude each other.
        GenerationError: The Hub does not have the adapter.
        MissingExtraError: The engine's libraries are not installed.

    >>> import json, tempfile
    >>> from llmner.spans import Sentence
    >>> row = {"id": "1", "text": "손흥민은 춘천에서", "reply": '{"PS": ["손흥민"]}'}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     replies = Path(folder) / "replies.jsonl"
    ...     _ = replies.write_text(json.dumps(row), encoding="utf-8")
    ...     extractor = build(AskOptions.of(engine="recorded", replies=replies))
    ...     [extraction] = extractor.extract([Sentence(row["text"], id="1")])
    >>> extraction.spans
    (Span('손흥민', 'PS', start=0, end=3),)
    """
    from llmner.extraction import Extractor
    from llmner.extraction.passes import PassesExtractor

    if isinstance(asking, AskOptions):
        asking = prepare(asking, report)
    options = asking.options
    engine = build_engine(asking, report=report, more=more, spell=spell)
    passes = options.decoding.passes
    if passes > 1 and engine.capabilities.replays:
        raise InputError(
            f"{spell('passes')} does not apply to recorded replies", hint="leave it out"
        )
    extractor = Extractor(
        asking.recipe,
        engine,
        batch_size=questions_at_once(options.engine, soon=soon),
        # Recorded replies may be in any format, whatever the recipe asks for.
        read_as="auto"
        if engine.capabilities.replays and options.recipe.reply_format is None
        else None,
        **extractor_options(asking),
    )
    return extractor if passes == 1 else PassesExtractor(extractor, passes)


def build_baseline(
    options: AskOptions,
    *,
    given: Collection[str] | None = None,
    report: Callable[[str], None] | None = None,
    spell: Spell = plain,
) -> BaselineExtractor:
    """Load the tagger that the engine ``baseline:FOLDER`` names.

    Args:
        options: The options.
        given: Names of the options that the user gave; by default those whose values are not the
            defaults.
        report: Called with a sentence that says what is being waited for.
        spell: How to write an option's name in errors.

    Raises:
        InputError: An option that a tagger cannot use, or a folder without a tagger.

    >>> build_baseline(AskOptions.of(engine="baseline:build/crf"))  # doctest: +SKIP
    >>> build_baseline(AskOptions.of(engine="baseline:build/crf", samples=3))
    Traceback (most recent call last):
    llmner.errors.InputError: samples does not apply to a baseline; leave it out
    """
    from llmner.baselines import BaselineExtractor, find_baseline
    from llmner.baselines._kinds import KINDS

    given = options.given() if given is None else given
    for name in OPTIONS:
        if name in given and name not in _TAGGER_OPTIONS:
            raise InputError(f"{spell(name)} does not apply to a baseline", hint="leave it out")
    engine, scores = options.engine, options.scores
    name = engine.engine.removeprefix(BASELINE)
    tagger = BaselineExtractor(
        find_baseline(name, report),
        batch_size=engine.batch_size or _TAGGED_AT_ONCE,
        min_score=scores.min_score,
        calibrator=_calibrator(scores),
        device=engine.device,
        trust_remote_code=engine.trust_remote_code,
        name=name if kind_of(Path(name)) == "missing" else None,
    )
    for option in ("device", "trust_remote_code"):
        is_encoder = KINDS[tagger.record["kind"]].library == "transformers"
        if not is_encoder and option in given:
            hint = "leave it out; only encoders have it"
            raise InputError(f"{spell(option)} does not apply to this baseline", hint=hint)
    return tagger


_TAGGER_OPTIONS = (
    "engine",
    "batch_size",
    "device",
    "trust_remote_code",
    "min_score",
    "calibration",
)
