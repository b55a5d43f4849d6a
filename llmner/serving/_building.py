"""Builds a service from the options of asking: what an engine can do decides how it is served."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from llmner.asking import AskOptions, build_baseline, is_baseline, prepare
from llmner.asking.building import build_engine, extractor_options, load_recipe
from llmner.asking.options import EngineOptions, Spell, plain
from llmner.engines._registry import engine_class
from llmner.engines.recorded_engine import RecordedGenerator
from llmner.errors import InputError
from llmner.serving._limits import Limits
from llmner.serving._service import Service

__all__ = ["build_service", "limits_for"]

# Attempts to reach an endpoint, and the share of a request's time that they may take. Clients
# should hear that the endpoint is away before their own time is over.
_ATTEMPTS = 2
_SHARE_OF_TIMEOUT = 0.9


def build_service(
    options: AskOptions,
    limits: Limits,
    *,
    log_texts: bool = False,
    given: Collection[str] | None = None,
    report: Callable[[str], None] | None = None,
    spell: Spell = plain,
) -> Service:
    """A service with the engine that options name. No model is loaded before it runs.

    Args:
        options: The options of asking.
        limits: How much work is taken on. Batches are as :func:`limits_for` says.
        log_texts: Log texts and replies.
        given: Names of the options that the user gave, for a tagger.
        report: Called with a sentence about what is being waited for.
        spell: How options are written in errors.

    Raises:
        InputError: The engine cannot be served, an option does not exist, or two options exclude
            each other.
        GenerationError: The Hub does not have the adapter.
        MissingExtraError: The engine's libraries are not installed.
    """
    name = options.engine.engine
    if is_baseline(name):
        tagger = build_baseline(options, given=given, report=report, spell=spell)
        return Service(
            load_recipe(options.recipe),
            tagger=tagger,
            limits=replace(limits, batch_size=tagger.batch_size),
            log_texts=log_texts,
        )
    if options.decoding.passes > 1:
        raise InputError(f"{spell('passes')} does not apply to a server", hint="leave it out")
    capabilities = engine_class(name).capabilities
    asking = prepare(options, report)
    engine = build_engine(
        asking,
        report=report,
        more={
            "timeout": limits.timeout,
            "attempts": _ATTEMPTS,
            "deadline": _SHARE_OF_TIMEOUT * limits.timeout,
        },
        spell=spell,
    )
    if isinstance(engine, RecordedGenerator):
        engine = engine.repeating()
    return Service(
        asking.recipe,
        engine,
        options=extractor_options(asking),
        limits=limits_for(options.engine, limits),
        engine_loads=capabilities.in_process,
        log_texts=log_texts,
    )


def limits_for(options: EngineOptions, limits: Limits) -> Limits:
    """Limits with the batches that suit an engine.

    An endpoint makes batches itself, of all requests in progress. So it gets questions one by one,
    many at a time. Any other engine gets one batch at a time.

    >>> limits_for(EngineOptions(engine="openai", concurrency=8), Limits()).lanes
    8
    >>> limits_for(EngineOptions(batch_size=4), Limits()).batch_size
    4
    """
    capabilities = engine_class(options.engine).capabilities
    if capabilities.concurrent:
        return replace(limits, batch_size=1, batch_wait=0.0, lanes=options.concurrency)
    return replace(limits, batch_size=options.batch_size or capabilities.batch_size, lanes=1)
