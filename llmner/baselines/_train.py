"""Training a baseline of any kind, into a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from llmner.baselines._kinds import BaselineConfig, kind_of_config
from llmner.baselines._store import RECORD_FILE, clear, save_baseline
from llmner.baselines._types import Epoch, Report, Trained, silent, tag_counts
from llmner.corpora._held_out import split_held_out
from llmner.errors import InputError
from llmner.files import is_file, kind_of
from llmner.scoring import corpus_signature
from llmner.spans import Sentence

__all__ = ["BaselineConfig", "check_folder", "train_baseline"]


def train_baseline(
    sentences: Sequence[Sentence],
    config: BaselineConfig,
    folder: Path,
    *,
    held_out: float = 0.0,
    seed: int = 42,
    corpus: str = "",
    restart: bool = False,
    report: Report | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train a tagger, and save it in a folder with a record of its training (``baseline.json``).

    Args:
        sentences: The training sentences.
        config: The configuration; its type decides the kind of tagger.
        folder: The folder.
        held_out: The sentences to hold out for choosing the best epoch: a share below 1, or a
            number; 0 for none.
        seed: Seed of the choice of held-out sentences.
        corpus: The corpus's name, for the record.
        restart: Replace a baseline that is already in the folder.
        report: Called with a sentence about what is being done, and after each epoch (but not after
            each iteration of a CRF, because there are many).
        on_epoch: Called after each epoch; ``report`` is not called then.

    Raises:
        InputError: There is no entity or no sentence to train on, or the folder is in use.
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
    train, dev = split_held_out(sentences, held_out, seed) if held_out else (list(sentences), [])
    progress(
        f"{len(train):,} sentences to learn from, {len(dev):,} held out"
        if dev
        else f"{len(train):,} sentences"
    )
    if dev and not any(sentence.spans for sentence in dev):
        progress("the held-out sentences have no entities, so they cannot choose an epoch")
    unknown = {span.label for s in dev for span in s.spans} - {
        span.label for s in train for span in s.spans
    }
    if unknown:
        progress(
            f"labels that only held-out sentences have cannot be learnt: "
            f"{', '.join(sorted(unknown))}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # The content of the folder is replaced only after the training.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".training-") as name:
        work = Path(name)
        trained = kind.train(train, config, work, held_out=dev, on_epoch=on_epoch, report=report)
        save_baseline(
            trained,
            work,
            config=config.model_dump(),
            corpus=corpus_signature(corpus, sentences),
            held_out=len(dev),
            held_out_as=held_out,
            seed=seed,
            tags=tag_counts(train),
        )
        clear(folder)
        # The record is moved last: without it, the folder does not count as a baseline.
        for path in sorted(work.iterdir(), key=lambda path: path.name == RECORD_FILE):
            path.replace(folder / path.name)
    return trained


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
    if kind == "missing" or not any(folder.iterdir()):
        return
    if not is_file(folder / RECORD_FILE):
        raise InputError(
            "is not empty, and holds no baseline", path=folder, hint="name another folder"
        )
    if not restart:
        hint = "name another, or replace it with --restart"
        raise InputError("holds a baseline already", path=folder, hint=hint)
