"""Training a baseline of any kind, into a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmner._checkpoints import last_checkpoint
from llmner._mishaps import attempt
from llmner.baselines._fine_tuning import CHECKPOINTS, LOGS
from llmner.baselines._kinds import BaselineConfig, kind_of_config
from llmner.baselines._store import RECORD_FILE, clear, save_baseline
from llmner.baselines._tag_scores import TagScores, tag_scores
from llmner.baselines._types import (
    Baseline,
    Epoch,
    Report,
    Trained,
    label_counts,
    silent,
    tag_counts,
)
from llmner.baselines.encoder import EncoderTagger
from llmner.corpora._held_out import split_held_out
from llmner.errors import InputError
from llmner.files import dump_json, is_file, kind_of, whole_file
from llmner.scoring import corpus_signature
from llmner.spans import Sentence, Span

__all__ = ["BaselineConfig", "check_folder", "train_baseline"]


def train_baseline(
    sentences: Sequence[Sentence],
    config: BaselineConfig,
    folder: Path,
    *,
    held_out: float = 0.0,
    validation: Sequence[Sentence] | None = None,
    seed: int = 42,
    corpus: str = "",
    restart: bool = False,
    report: Report | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train a tagger, and save it in a folder with a record of its training (``baseline.json``).

    An encoder's training that was interrupted, even by ``kill -9``, goes on from its last
    checkpoint when this function is called again with the same arguments.

    Args:
        sentences: The training sentences.
        config: The configuration; its type decides the kind of tagger.
        folder: The folder.
        held_out: The sentences to hold out for choosing the best epoch: a share below 1, or a
            number; 0 for none.
        validation: Sentences of another file that choose the best epoch, in place of held-out ones.
        seed: Seed of the choice of held-out sentences.
        corpus: The corpus's name, for the record.
        restart: Replace a baseline that is already in the folder, and begin an interrupted training
            anew.
        report: Called with a sentence about what is being done, and after each epoch (but not after
            each iteration of a CRF, because there are many).
        on_epoch: Called after each epoch; ``report`` is not called then.

    Raises:
        InputError: There is no entity or no sentence to train on, the folder is in use or holds
            another interrupted training, or there are both held-out and validation sentences.
        GenerationError: An encoder cannot be loaded.
        MissingExtraError: The ``baselines`` extra is not installed.

    >>> from llmner import read_corpus
    >>> from llmner.baselines import CrfConfig
    >>> sentences = list(read_corpus("data/sample.tsv"))  # doctest: +SKIP
    >>> trained = train_baseline(sentences, CrfConfig(), Path("build/crf"))  # doctest: +SKIP
    >>> trained.baseline.labels  # doctest: +SKIP
    ('DT', 'LC', 'OG', 'PS', 'QT', 'TI')
    """
    progress: Report = report if report is not None else silent
    kind = kind_of_config(config)
    if on_epoch is None and kind.step == "epoch":
        on_epoch = _epoch_report(progress)
    check_folder(folder, restart=restart)
    if held_out and validation is not None:
        raise InputError("held-out and validation sentences cannot both choose", hint="use one")
    train, dev = split_held_out(sentences, held_out, seed) if held_out else (list(sentences), [])
    dev = dev if validation is None else list(validation)
    progress(
        f"{len(train):,} sentences to learn from, {len(dev):,} held out"
        if dev
        else f"{len(train):,} sentences"
    )
    if dev and not any(sentence.spans or sentence.labels for sentence in dev):
        progress("the held-out sentences have no entities, so they cannot choose an epoch")
    about_texts = kind.about == "texts"
    unknown = _labels(dev, about_texts) - _labels(train, about_texts)
    if unknown:
        progress(
            f"labels that only held-out sentences have cannot be learnt: "
            f"{', '.join(sorted(unknown))}"
        )
    facts: dict[str, Any] = {
        "config": config.model_dump(),
        "corpus": corpus_signature(corpus, sentences),
        "held_out": len(dev),
        "held_out_as": held_out,
        "seed": seed,
    }
    if validation is not None:
        facts["validation"] = corpus_signature("validation", validation)["sha256"]
    work = folder / _WORK
    _begin(work, facts, restart=restart)
    with ExitStack() as stack:
        stack.callback(_end, work)
        trained = kind.train(train, config, work, held_out=dev, on_epoch=on_epoch, report=report)
        stack.pop_all()
    if dev and not about_texts:
        trained = replace(trained, tags=_tag_scores(trained.baseline, dev))
    finished = work / "finished"
    shutil.rmtree(finished, ignore_errors=True)
    counts = label_counts(train) if about_texts else tag_counts(train)
    save_baseline(trained, finished, **facts, tags=counts)
    # The content of the folder is replaced only after the training.
    clear(folder)
    if (work / LOGS).exists():
        (work / LOGS).replace(folder / LOGS)
    # The record is moved last: without it, the folder does not count as a baseline.
    for path in sorted(finished.iterdir(), key=lambda path: path.name == RECORD_FILE):
        path.replace(folder / path.name)
    shutil.rmtree(work, ignore_errors=True)
    return trained


_WORK = ".training"
_FACTS = "training.json"


def _begin(work: Path, facts: Mapping[str, Any], *, restart: bool) -> None:
    """Make the folder of a training, or make sure that what it holds is of the same training.

    Raises:
        InputError: It holds checkpoints of another one.
    """
    path = work / _FACTS
    if not restart and last_checkpoint(work / CHECKPOINTS) is not None:
        begun = attempt(lambda: json.loads(path.read_text(encoding="utf-8")))
        if begun == json.loads(dump_json(facts)):
            return
        known = begun if isinstance(begun, dict) else {}
        differing = sorted(key for key in facts if known.get(key) != facts[key])
        raise InputError(
            f"holds an interrupted training with another {', '.join(differing)}",
            path=work.parent,
            hint="finish it as it was begun, or start over with --restart",
        )
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with whole_file(path) as stream:
        stream.write(dump_json(facts, indent=2) + b"\n")


def _labels(sentences: Sequence[Sentence], about_texts: bool) -> set[str]:
    """The labels of spans, or of whole texts."""
    if about_texts:
        return {label.label for sentence in sentences for label in sentence.labels}
    return {span.label for sentence in sentences for span in sentence.spans}


def _tag_scores(baseline: Baseline, dev: Sequence[Sentence]) -> TagScores | None:
    tagged = baseline.tag([sentence.text for sentence in dev])
    found = [tuple(span for span in own if isinstance(span, Span)) for own in tagged]
    if isinstance(baseline, EncoderTagger):
        return tag_scores(dev, found, baseline.offsets, unit=baseline.unit)
    return tag_scores(dev, found)


def _end(work: Path) -> None:
    """Leave nothing of a failed training but what can be gone on with."""
    if last_checkpoint(work / CHECKPOINTS) is None:
        shutil.rmtree(work, ignore_errors=True)


def _epoch_report(report: Report) -> Callable[[Epoch], None]:
    return lambda epoch: report(str(epoch))


def check_folder(folder: Path, *, restart: bool) -> None:
    """Check that a baseline may be saved in a folder.

    Raises:
        InputError: It is not a folder, it contains other files, or it contains a baseline that must
            not be replaced.
    """
    kind = kind_of(folder)
    if kind not in ("missing", "folder"):
        raise InputError("is not a folder", path=folder, hint="name another")
    if kind == "missing" or all(path.name == _WORK for path in folder.iterdir()):
        return
    if not is_file(folder / RECORD_FILE):
        raise InputError(
            "is not empty, and holds no baseline", path=folder, hint="name another folder"
        )
    if not restart:
        hint = "name another, or replace it with --restart"
        raise InputError("holds a baseline already", path=folder, hint=hint)
