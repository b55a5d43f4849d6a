"""Evaluations of recorded replies and engines: from options to runs that can be scored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmner.asking.building import build, build_baseline, in_language_of, prepare
from llmner.asking.options import AskOptions, Spell, is_baseline, plain
from llmner.errors import InputError

if TYPE_CHECKING:
    from llmner.extraction import SpanExtractor
    from llmner.scoring import Source
    from llmner.spans import Sentence

__all__ = ["Answerer", "answerer_sources", "build_answerers", "check_labels"]


@dataclass(frozen=True, slots=True)
class Answerer:
    """What answers in one run of an evaluation.

    Attributes:
        name: The run's name: the file of recorded replies, or the engine.
        extractor: The extractor or tagger.
        recorded: Whether it replays recorded replies.
    """

    name: str
    extractor: SpanExtractor
    recorded: bool


def build_answerers(
    options: AskOptions,
    replies: Sequence[Path] = (),
    *,
    engine: bool = True,
    given: Collection[str] | None = None,
    report: Callable[[str], None] | None = None,
    spell: Spell = plain,
    texts: Iterable[str] = (),
) -> list[Answerer]:
    """Build what answers in an evaluation: one per file of recorded replies, then the engine.

    All share a recipe: the recorded replies are read with the adapter's recipe if there is one.

    Args:
        options: The options of asking.
        replies: Files of recorded replies.
        engine: Whether the options' engine is asked, too.
        given: Names of the options that the user gave, for a baseline.
        report: Called with a sentence that says what is being waited for.
        spell: How to write an option's name in errors.
        texts: The texts, in whose language labels without a recipe are asked for.

    Raises:
        InputError: Options that are unknown, that exclude each other, or that an engine cannot use.
        GenerationError: The Hub does not have the adapter.
        MissingExtraError: The engine's libraries are not installed.

    >>> build_answerers(AskOptions(), engine=False)
    []
    """
    runs = [(str(path), options.replaying(path)) for path in replies]
    if engine:
        runs.append((options.engine.engine, options))
    asking = prepare(options if engine else options.but(engine="recorded"), report)
    asking = in_language_of(asking, texts)
    return [
        Answerer(
            name,
            build_baseline(run_options, given=() if replies else given, report=report, spell=spell)
            if is_baseline(run_options.engine.engine)
            else build(replace(asking, options=run_options), report=report, spell=spell),
            recorded=run_options.engine.replies is not None,
        )
        for name, run_options in runs
    ]


def check_labels(answerer: Answerer, corpus: Sequence[Sentence]) -> None:
    """Check, before a model is loaded, that it is asked for labels that the corpus has.

    Args:
        answerer: What answers.
        corpus: The gold sentences.

    Raises:
        InputError: The two have no label in common.
    """
    recipe = getattr(answerer.extractor, "recipe", None)
    if recipe is not None:
        asked = {label.code for label in (*recipe.labels, *recipe.text_labels)}
    else:
        asked = set(getattr(answerer.extractor, "labels", ()))
    gold = {span.label for sentence in corpus for span in sentence.spans}
    gold |= {label.label for sentence in corpus for label in sentence.labels}
    if asked and gold and not asked & gold:
        raise InputError(
            f"the corpus has the labels {_listed(gold)}, and asked for are {_listed(asked)}",
            hint="name the recipe or the labels of the corpus",
        )


def _listed(labels: Collection[str]) -> str:
    shown = sorted(labels)[:6]
    return ", ".join(shown) + (", ..." if len(labels) > len(shown) else "")


def answerer_sources(
    answerers: Sequence[Answerer],
    corpus: Sequence[Sentence],
    *,
    whole: bool = True,
    keep: Callable[[Mapping[str, Any]], Path | None] | None = None,
    restart: bool = False,
    on_prediction: Callable[[], None] | None = None,
    on_resume: Callable[[int], None] | None = None,
) -> list[Source]:
    """The runs of answerers on a corpus; nothing is asked before they are scored.

    Args:
        answerers: What answers.
        corpus: The gold sentences.
        whole: Whether recorded replies must all be of the corpus.
        keep: Given what decides an engine's answers, the file to keep them in until the evaluation
            is done; see :func:`llmner.scoring.from_extractor`.
        restart: Whether to discard what an interrupted evaluation kept.
        on_prediction: Called after each sentence that is asked.
        on_resume: Called with the number of sentences that were answered before.
    """
    from llmner.scoring import from_extractor

    return [
        from_extractor(
            answerer.name,
            answerer.extractor,
            corpus,
            whole=whole,
            on_prediction=on_prediction,
            keep=None if answerer.recorded else keep,
            restart=restart,
            on_resume=on_resume,
        )
        for answerer in answerers
    ]
