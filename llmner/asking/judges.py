"""Models that judge labels: taggers trained on folds, taggers that are there, and engines.

One grammar for all of them: ``crf`` and ``bilstm-crf`` are trained on the corpus's folds,
``baseline:FOLDER`` is a tagger that is there, and an engine's name asks it, with the name of its
model behind a colon: ``openai:gpt-5-mini``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llmner.asking.building import build, build_baseline, in_language_of, prepare
from llmner.asking.options import OPTIONS, AskOptions, Spell, is_baseline, plain
from llmner.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from llmner.extraction import SpanExtractor
    from llmner.labelling import Evidence
    from llmner.spans import Sentence

__all__ = ["JUDGE_OPTIONS", "build_judge", "judged", "taught"]

JUDGE_OPTIONS = tuple(
    name for name in OPTIONS if name not in ("engine", "model", "replies", "calibration")
)
"""The options of judges that are engines. A judge's own name has its engine and its model."""


def build_judge(
    model: str,
    options: AskOptions,
    sentences: Sequence[Sentence],
    *,
    report: Callable[[str], None] | None = None,
    spell: Spell = plain,
) -> SpanExtractor | None:
    """The model that a name stands for; ``None`` for one that is trained on folds.

    Args:
        model: ``crf``, ``bilstm-crf``, ``baseline:FOLDER``, or an engine, ``openai:MODEL``.
        options: How engines are asked.
        sentences: The corpus, in whose language labels without a recipe are asked for.
        report: Called with a sentence that says what is being waited for.
        spell: How to write an option's name in errors.

    Raises:
        InputError: There is no such model, or an option does not apply to it.

    >>> build_judge("crf", AskOptions(), []) is None
    True
    """
    from llmner.engines import engine_names
    from llmner.labelling import FOLD_MODELS

    if model in FOLD_MODELS:
        return None
    if is_baseline(model):
        return build_baseline(options.but(engine=model), report=report, spell=spell)
    engine, _, name = model.partition(":")
    if engine not in engine_names():
        names = [*FOLD_MODELS, "baseline:FOLDER", *engine_names()]
        raise UnknownNameError(f"unknown model {model!r}", hint=f"expected {', '.join(names)}")
    asked = options.but(engine=engine, model=name or None)
    asking = in_language_of(prepare(asked, report), (sentence.text for sentence in sentences))
    return build(asking, report=report, spell=spell)


def judged(
    sentences: Sequence[Sentence],
    models: Sequence[str],
    options: AskOptions,
    folder: Path,
    *,
    folds: int = 5,
    seed: int = 42,
    report: Callable[[str], None] | None = None,
    on_sentence: Callable[[], None] | None = None,
    spell: Spell = plain,
) -> list[list[Evidence]]:
    """What each model says of the sentences. No model judges what it has learnt from the folds.

    Args:
        sentences: The corpus.
        models: The models, as of :func:`build_judge`.
        options: How engines are asked.
        folder: Where taggers of folds are kept.
        folds: How many folds.
        seed: Their seed.
        report: Called with a sentence about what is being done.
        on_sentence: Called after each sentence that a model has judged.
        spell: How to write an option's name in errors.

    Raises:
        InputError: There is no such model, or there is too little to learn from.
        GenerationError: A model fails.
        MissingExtraError: What a model needs is not installed.
    """
    from llmner.labelling import fold_evidence

    judges = _built(models, options, sentences, report, spell)
    learn = partial(
        fold_evidence,
        sentences,
        folder=folder,
        folds=folds,
        seed=seed,
        report=report,
        on_sentence=on_sentence,
    )
    return _said(sentences, judges, learn, on_sentence)


def taught(
    sentences: Sequence[Sentence],
    labelled: Sequence[Sentence],
    models: Sequence[str],
    options: AskOptions,
    output: Path,
    *,
    seed: int = 42,
    report: Callable[[str], None] | None = None,
    on_sentence: Callable[[], None] | None = None,
    spell: Spell = plain,
) -> list[list[Evidence]]:
    """What each model says of sentences that nobody has labelled.

    Args:
        sentences: The sentences.
        labelled: What ``crf`` and ``bilstm-crf`` learn from.
        models: The models, as of :func:`build_judge`.
        options: How engines are asked.
        output: The file beside which taggers are trained.
        seed: Seed of training.
        report: Called with a sentence about what is being done.
        on_sentence: Called after each sentence.
        spell: How to write an option's name in errors.

    Raises:
        InputError: There is no such model, or nothing to learn from.
        GenerationError: A model fails.
        MissingExtraError: What a model needs is not installed.
    """
    import shutil

    from llmner.files import beside
    from llmner.labelling import learnt_evidence

    judges = _built(models, options, sentences, report, spell)
    to_train = [model for model, judge in judges if judge is None]
    if to_train and not any(sentence.spans for sentence in labelled):
        raise InputError(
            f"{to_train[0]} learns from labelled sentences, and there are none",
            hint=f"give {spell('labelled')}",
        )
    folder = beside(output, ".tagger")
    learn = partial(
        learnt_evidence,
        sentences,
        labelled,
        folder=folder,
        seed=seed,
        report=report,
        on_sentence=on_sentence,
    )
    try:
        return _said(sentences, judges, learn, on_sentence)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_Judges = Sequence[tuple[str, "SpanExtractor | None"]]
"""Models by name; those without an extractor are to be trained."""


def _built(
    models: Sequence[str],
    options: AskOptions,
    sentences: Sequence[Sentence],
    report: Callable[[str], None] | None,
    spell: Spell,
) -> _Judges:
    return [
        (model, build_judge(model, options, sentences, report=report, spell=spell))
        for model in models
    ]


def _said(
    sentences: Sequence[Sentence],
    judges: _Judges,
    learn: Callable[[str], list[Evidence]],
    on_sentence: Callable[[], None] | None,
) -> list[list[Evidence]]:
    """What each judge says; ``learn`` trains one and asks it."""
    from llmner.labelling import asked_evidence

    return [
        learn(model) if judge is None else asked_evidence(sentences, judge, on_sentence=on_sentence)
        for model, judge in judges
    ]
