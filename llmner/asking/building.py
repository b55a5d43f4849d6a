"""What options of asking come to: recipe and adapter, engine, extractor or tagger. No model is
loaded here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmner.asking.options import (
    BASELINE,
    ONE_ENGINES,
    OPTIONS,
    SENTENCE_WINDOWS,
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
    from llmner.recipes import Recipe

__all__ = [
    "Asking",
    "build",
    "build_baseline",
    "build_engine",
    "extractor_options",
    "load_recipe",
    "prepare",
    "questions_at_once",
]

# Temperature of several samples, and sentences that a tagger is given at once.
_SAMPLING, _TAGGED_AT_ONCE = 0.7, 64


@dataclass(frozen=True, slots=True)
class Asking:
    """Options with what they name: recipe, adapter and calibration.

    Attributes:
        options: The options.
        recipe: What is asked.
        adapter: What was trained to be asked it, if anything was.
        calibrator: What makes of scores shares of right spans, if anything does.
    """

    options: AskOptions
    recipe: Recipe
    adapter: Adapter | None
    calibrator: Calibrator | None

    @property
    def in_the_box(self) -> bool:
        """Whether the adapter that comes with this package answers."""
        from llmner.engines.adapters import PACKAGED_ADAPTER

        return self.adapter is not None and self.adapter.name == PACKAGED_ADAPTER

    def by_sentences(self, given: Collection[str] = ()) -> Asking:
        """The same for paragraphs: the model in the box is asked about a sentence at a time.

        Args:
            given: Names of the options that were given: a window or an overlap stays.
        """
        if not self.in_the_box or {"window", "overlap"} & set(given):
            return self
        return replace(self, options=self.options.but(**SENTENCE_WINDOWS))


def prepare(options: AskOptions, report: Callable[[str], None] | None = None) -> Asking:
    """Find the recipe, the adapter and the calibration that options name. No model is loaded.

    The adapter in the package is taken where nothing says what else to ask. Asked with another
    recipe or in another format than it was trained on, an adapter answers worse than the bare
    model; engines that take no adapters, and recorded replies, need none.

    Args:
        options: The options.
        report: Told in a sentence what is being waited for.

    Raises:
        InputError: An engine, adapter, recipe or calibration that there is not, or an overlap that
            is not below the window.
        GenerationError: The Hub does not have the adapter.
    """
    from llmner.engines._registry import engine_class
    from llmner.engines.adapters import PACKAGED_ADAPTER, find_adapter
    from llmner.extraction.windows import check_windows

    engine, recipe_options = options.engine, options.recipe
    name = engine.adapter
    takes_adapters = (
        not is_baseline(engine.engine) and engine_class(engine.engine).capabilities.adapters
    )
    if (
        name is None
        and takes_adapters
        and (engine.model, recipe_options.recipe, recipe_options.reply_format) == (None, None, None)
    ):
        name = PACKAGED_ADAPTER
    adapter = None if name in (None, "none") else find_adapter(name, report, model=engine.model)
    recipe = load_recipe(recipe_options, adapter, engine.model)
    check_windows(options.windows.window, options.windows.overlap)
    return Asking(options, recipe, adapter, _calibrator(options.scores))


def _calibrator(options: ScoreOptions) -> Calibrator | None:
    from llmner.extraction.confidence import Calibrator

    return None if options.calibration is None else Calibrator.load(options.calibration)


def load_recipe(
    options: RecipeOptions, adapter: Adapter | None = None, model: str | None = None
) -> Recipe:
    """The recipe that was named, else the adapter's or the merged model's, else ``klue``.

    It asks for the reply format that was named, if any.

    Raises:
        InputError: There is none of that name, or it is broken.
    """
    from llmner.engines.adapters import RECIPE_FILE
    from llmner.recipes import Recipe

    merged = None if model is None else Path(model) / RECIPE_FILE
    if options.recipe is None and adapter is not None:
        recipe = adapter.recipe
    elif options.recipe is None and merged is not None and is_file(merged):
        recipe = Recipe.load(merged)
    else:
        recipe = Recipe.load(options.recipe or "klue")
    return (
        recipe if options.reply_format is None else recipe.with_reply_format(options.reply_format)
    )


def build_engine(
    asking: Asking,
    *,
    report: Callable[[str], None] | None = None,
    more: Mapping[str, Any] | None = None,
    spell: Spell = plain,
) -> Engine:
    """The engine that options name, with those of them that it takes.

    Args:
        asking: The options.
        report: Told in a sentence what is being waited for.
        more: Further parameters of its constructor, as far as it has them.
        spell: How options are written in errors.

    Raises:
        InputError: An option that means nothing to it, or the lack of one that it needs.
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
            f"the {options.engine} engine has nothing to replay",
            hint=f"give {spell('replies')} FILE",
        )
    values = {
        **asking.options.flat(),
        "temperature": _temperature(decoding, spell),
        "report": report,
    }
    if not capabilities.samples and (decoding.samples > 1 or values["temperature"] > 0):
        raise InputError(
            f"the {options.engine} engine cannot draw replies",
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


def _temperature(decoding: DecodingOptions, spell: Spell) -> float:
    if decoding.temperature is None:
        return _SAMPLING if decoding.samples > 1 else 0.0
    if decoding.samples > 1 and decoding.temperature == 0:
        raise InputError(
            f"{spell('samples')} at {spell('temperature')} 0 are all the same",
            hint="leave one of them out",
        )
    return decoding.temperature


def _meaningless(name: str, engine: str, spell: Spell) -> InputError:
    from llmner.engines._registry import ENGINES, engine_class, options_taken

    if name == "replies":
        problem = f"{spell(name)} and {spell('engine')} {engine} exclude each other"
        return InputError(problem, hint="give one of them")
    owner = next(other for other in ENGINES if name in options_taken(engine_class(other)))
    hint = f"add {spell('engine')} {owner}"
    return InputError(f"{spell(name)} means nothing to {spell('engine')} {engine}", hint=hint)


def questions_at_once(options: EngineOptions, *, soon: bool = False) -> int:
    """Questions to hand to an engine at once: enough that it never waits for more, and sorts by
    length.

    Args:
        options: Which engine, and how it is to be asked.
        soon: Somebody waits for the first answer.
    """
    from llmner.engines._registry import engine_class

    capabilities = engine_class(options.engine).capabilities
    together = options.batch_size or (
        options.concurrency if capabilities.concurrent else capabilities.batch_size
    )
    return together if soon and capabilities.sorts else capabilities.queue * together


def extractor_options(asking: Asking) -> dict[str, Any]:
    """What an :class:`llmner.extraction.Extractor` is told of the options."""
    options = asking.options
    windows, decoding = options.windows, options.decoding
    return {
        "grounded": decoding.grounded,
        "json_schema": decoding.json_schema,
        "samples": decoding.samples,
        "min_score": options.scores.min_score,
        "calibrator": asking.calibrator,
        "window": windows.window,
        "overlap": windows.overlap,
        **options.projection.policy(),
    }


def build(
    asking: AskOptions | Asking,
    *,
    soon: bool = False,
    report: Callable[[str], None] | None = None,
    more: Mapping[str, Any] | None = None,
    spell: Spell = plain,
) -> Extractor:
    """The extractor that options come to. No model is loaded before it is asked.

    Args:
        asking: The options, or what :func:`prepare` made of them.
        soon: Somebody waits for the first sentence.
        report: Told in a sentence what is being waited for.
        more: Further parameters of the engine's constructor, as far as it has them.
        spell: How options are written in errors.

    Raises:
        InputError: Options that there are not, or that exclude each other.
        GenerationError: The Hub does not have the adapter.
        MissingExtraError: The engine's libraries are not installed.
    """
    from llmner.extraction import Extractor

    if isinstance(asking, AskOptions):
        asking = prepare(asking, report)
    options = asking.options
    engine = build_engine(asking, report=report, more=more, spell=spell)
    return Extractor(
        asking.recipe,
        engine,
        batch_size=questions_at_once(options.engine, soon=soon),
        # Recorded replies may have been asked for in any way.
        read_as="auto"
        if engine.capabilities.replays and options.recipe.reply_format is None
        else None,
        **extractor_options(asking),
    )


def build_baseline(
    options: AskOptions,
    *,
    given: Collection[str] | None = None,
    report: Callable[[str], None] | None = None,
    spell: Spell = plain,
) -> BaselineExtractor:
    """The tagger of ``baseline:FOLDER``.

    Args:
        options: The options.
        given: Names of those that were given; by default those that are not at their defaults.
        report: Told in a sentence what is being waited for.
        spell: How options are written in errors.

    Raises:
        InputError: An option that was given and means nothing to a tagger, or a folder that holds
            none.
    """
    from llmner.baselines import BaselineExtractor, find_baseline

    given = options.given() if given is None else given
    for name in OPTIONS:
        if name in given and name not in _TAGGER_OPTIONS:
            raise InputError(f"{spell(name)} means nothing to a baseline", hint="leave it out")
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
        if tagger.record["kind"] != "encoder" and option in given:
            hint = "leave it out: encoders alone have it"
            raise InputError(f"{spell(option)} means nothing to this baseline", hint=hint)
    return tagger


_TAGGER_OPTIONS = (
    "engine",
    "batch_size",
    "device",
    "trust_remote_code",
    "min_score",
    "calibration",
)
